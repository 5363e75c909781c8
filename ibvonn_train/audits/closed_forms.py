r"""Free energies that are known in closed form, as functions of strain and order parameter.

A law has internal variables of its own. What they have in common with the order parameter s of the
closed form (mean position, open fraction) is the ensemble: states are compared through the measured
s, and forces through the chain rule along ensembles of the closed form at (ε, s),

.. math:: g_s = \sum_i g_i\, \partial\alpha_i/\partial s |_\varepsilon,

α from the law's own encoder. It holds for any number of internal variables.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from ..closed_form.two_wells import TwoWells
from ..data.ensemble import TrajectoryEnsemble
from ..evaluation.interface import FloatArray, Law
from ..evaluation.noise_free import exact_trap_of
from ..simulation import ChainCell, SpringChain
from ..simulation.systems.registry import known_system
from .audit_data import Evidence

REPLICAS = 200
"""Quantiles that represent one well, or the particle in the trap."""
OCCUPIED = 10
"""Replicas that each well must hold where slopes are compared: ln p is not resolved beyond."""


class ClosedForm(Protocol):
    """A free energy f(ε, s), ε in the measure of the data; all arguments ``(n,)``."""

    def energy(self, strain: FloatArray, order: FloatArray) -> FloatArray:
        """Return f, ``(n,)``, per unit reference length."""

    def driving_force(self, strain: FloatArray, order: FloatArray) -> FloatArray:
        """Return −∂f/∂s, ``(n,)``."""

    def slope(self, law: Law, strain: FloatArray, order: FloatArray) -> FloatArray:
        """Return ∂α/∂s at given ε along ensembles of the closed form, ``(n, n_α)``."""

    def resolved(self, order: FloatArray, replicas: int) -> npt.NDArray[np.bool_]:
        """Return at which states data of this many samples resolve slopes by s."""


class TrapForm:
    """The particle in the trap: s is its mean position, ensembles are Gaussian."""

    def __init__(self, data: TrajectoryEnsemble) -> None:
        exact = exact_trap_of(data)
        assert exact is not None  # noqa: S101 (the caller has asked)
        self.exact = exact

    def energy(self, strain: FloatArray, order: FloatArray) -> FloatArray:
        """Return k/2 (λ − m)² + k/2 m²."""
        return self.exact.energy(strain, order)

    def driving_force(self, strain: FloatArray, order: FloatArray) -> FloatArray:
        """Return k (λ − 2m)."""
        return self.exact.driving_force(strain, order)

    def slope(self, law: Law, strain: FloatArray, order: FloatArray) -> FloatArray:  # noqa: ARG002
        """Return dα/dm along Gaussian ensembles."""
        step = 1e-3 * float(np.std(order))
        variance = np.full_like(order, self.exact.thermal_energy / (2 * self.exact.stiffness))
        ahead, behind = (
            law.encode(self.exact.ensemble(order + sign * step, variance, REPLICAS))[1]
            for sign in (1, -1)
        )
        slope: FloatArray = (ahead - behind) / (2 * step)
        return slope

    def resolved(self, order: FloatArray, replicas: int) -> npt.NDArray[np.bool_]:  # noqa: ARG002
        """Everywhere."""
        return np.ones(order.shape, dtype=bool)


class TwoWellForm:
    """Springs of two wells: s is the open fraction p, ensembles are Gaussians cut at the crossing.

    Args:
        chain: The springs.
        thermal_energy: k_BT of a spring, the effective one of the integrator's step.
    """

    def __init__(self, chain: SpringChain | ChainCell, thermal_energy: float) -> None:
        spring, length = chain.spring, chain.reference_length
        self.wells = TwoWells(
            width=math.sqrt(thermal_energy / spring.stiffness) / length,
            distance=spring.well_distance / length,
            crossing=spring.crossing / length,
            offset=spring.offset / thermal_energy,
            thermal_energy=thermal_energy / length,
        )

    def energy(self, strain: FloatArray, order: FloatArray) -> FloatArray:
        """Return f(ε, p)."""
        return self.wells.energy(strain, order)

    def driving_force(self, strain: FloatArray, order: FloatArray) -> FloatArray:
        """Return −∂f/∂p."""
        return self.wells.driving_force(strain, order)

    def slope(self, law: Law, strain: FloatArray, order: FloatArray) -> FloatArray:
        """Return ∂α/∂p at given ε: springs leave one well for the other while the force adapts.

        α = (1 − p) α₁(σ) + p α₂(σ) is a mean over the springs of both wells, and at given ε the
        force falls as springs open.
        """
        force = self.wells.force(strain, order)
        step = 1e-3 * self.wells.width
        first, second = (
            np.stack(
                [
                    law.encode(well[..., None])[1]
                    for well in (
                        self.wells.ensembles(force + by, REPLICAS)[index] for by in (0, step, -step)
                    )
                ]
            )
            for index in (0, 1)
        )
        p, wells = order[:, None], self.wells.wells(force)
        by_force = ((1 - p) * (first[1] - first[2]) + p * (second[1] - second[2])) / (2 * step)
        mean = (1 - order) * wells.slope[0] + order * wells.slope[1]
        falls = (wells.mean[1] - wells.mean[0]) / mean
        slope: FloatArray = second[0] - first[0] - falls[:, None] * by_force
        return slope

    def resolved(self, order: FloatArray, replicas: int) -> npt.NDArray[np.bool_]:
        """Return where both wells hold :data:`OCCUPIED` replicas."""
        occupied: npt.NDArray[np.bool_] = replicas * np.minimum(order, 1 - order) >= OCCUPIED
        return occupied


def closed_form_of(data: TrajectoryEnsemble) -> ClosedForm | None:
    """Return the closed form of the system that made the data, or None where there is none."""
    if exact_trap_of(data) is not None:
        return TrapForm(data)
    system = known_system(data)
    if not isinstance(system, SpringChain | ChainCell) or not system.thermal_energy > 0:
        return None
    thermal = data.parameters.get("effective_thermal_energy", system.thermal_energy)
    return TwoWellForm(system, float(thermal))


class Known(NamedTuple):
    """The closed form at the states of unseen data.

    Attributes:
        form: The closed form.
        strain: ε in the measure of the data, ``(n,)``.
        order: s, ``(n,)``.
        resolved: Where the data resolve slopes by s, ``(n,)``.
    """

    form: ClosedForm
    strain: FloatArray
    order: FloatArray
    resolved: npt.NDArray[np.bool_]


def closed_form_at_states(law: Law, evidence: Evidence) -> Known | None:
    """Return the closed form at all states in the order of `Evidence.all_states`, or None."""
    order = evidence.measured.order_parameter
    form = closed_form_of(evidence.data)
    if form is None or order is None:
        return None
    strain = (evidence.measured.strain + law.strain_reference)[..., 0].reshape(-1)
    order = order.reshape(-1)
    samples = evidence.data.replicas * evidence.data.elements
    return Known(form, strain, order, form.resolved(order, samples))
