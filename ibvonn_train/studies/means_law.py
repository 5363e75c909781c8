r"""The exact law of the mean microstate under an imposed strain, by quadrature.

α is ⟨x⟩, component by component. As far as all else of the microstate is at rest at given ε and α,
the density is :math:`q \propto \exp(-e(x, \varepsilon)/\theta + \lambda\cdot x)`, and

.. math::
    f = \theta\,(\lambda\cdot\alpha - \ln Z), \qquad g = -\theta\lambda, \qquad
    \dot\alpha_i = -\langle\partial_i e\rangle/\eta_i = g_i/\eta_i, \qquad
    \varphi = \sum_i g_i^2 / 2\eta_i,

since :math:`\langle\partial_i e\rangle = \theta\lambda_i` by integration by parts: φ is exact, and
f as exact as means can be. How far this law is from the data is what the means leave open: widths
that follow more slowly than the means move.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ..data.ensemble import TrajectoryEnsemble
from ..evaluation.interface import FloatArray
from ..law.normalisation import Normalisation
from ..law.rates import Rates
from ..statistical_mechanics.constrained_equilibrium import (
    ConstrainedEquilibrium,
    constrained_equilibrium,
)
from ..statistical_mechanics.microscopic_energy import Physics

NODES = {1: 801, 2: 61}
"""Of the quadrature along each component."""
BEYOND = 0.2
"""Part by which nodes and envelope exceed the range of the data on either side."""
STRAIN_STEP = 1e-4
"""Of central differences, over the range of the strain."""


class MeansLaw:
    """f, σ, g, α̇, φ and the density of the microstates of one or two components.

    Args:
        data: Ensemble, for the ranges of strain and microstate.
        physics: With e(x, ε).
        friction: Drag coefficient of each component.
    """

    averaged, has_decoder, has_potentials, strain_size = False, True, True, 1
    training_normalisation: Normalisation[FloatArray] | None = None

    def __init__(
        self, data: TrajectoryEnsemble, physics: Physics, friction: Sequence[float]
    ) -> None:
        self.physics: Physics | None = physics
        self.name, self.system = f"exact law of {data.system}", data.system
        self.strain_reference: FloatArray = np.zeros(1)
        self.internal_size = len(friction)
        self._friction, self._theta = np.asarray(friction, float), physics.thermal_energy
        samples = data.samples.reshape(-1, data.microstate_size)
        low, high = samples.min(0).astype(float), samples.max(0).astype(float)
        margin = BEYOND * (high - low)
        axes = np.linspace(low - margin, high + margin, NODES[self.internal_size])
        grid = np.meshgrid(*axes.T, indexing="ij")
        self._nodes = np.stack(grid, -1).reshape(-1, self.internal_size)
        self._cell = float(np.prod(axes[1] - axes[0]))
        means = data.samples.mean(-2, dtype=float).reshape(-1, self.internal_size)
        self.internal_scale: FloatArray = means.std(0)
        ends = float(data.strain.min()), float(data.strain.max())
        self._step = STRAIN_STEP * (ends[1] - ends[0])
        self.envelope: FloatArray = np.array([ends, *np.stack([means.min(0), means.max(0)], 1)])

    def encode(self, microstate: npt.NDArray[np.floating[Any]]) -> tuple[None, FloatArray]:
        """Return the mean microstate."""
        return None, np.asarray(microstate.mean(-2, dtype=float))

    def rates(self, strain: npt.ArrayLike, internal: npt.ArrayLike) -> Rates[FloatArray]:
        """Return f, σ = ⟨∂e/∂ε⟩, g and α̇."""
        eps, alpha = np.asarray(strain, dtype=float), np.asarray(internal, dtype=float)
        equilibrium = self._equilibrium(eps, alpha)
        multiplier = -equilibrium.force / self._theta
        slope = self._energy(eps + self._step) - self._energy(eps - self._step)
        exponent = multiplier @ self._nodes.T - self._energy(eps) / self._theta
        weights = np.exp(exponent - exponent.max(1, keepdims=True))
        stress = (weights * slope).sum(1) / weights.sum(1) / (2.0 * self._step)
        return Rates(
            equilibrium.energy,
            stress[:, None],
            equilibrium.force,
            equilibrium.force / self._friction,
        )

    def log_density(
        self, microstate: FloatArray, strain: FloatArray, internal: FloatArray
    ) -> FloatArray:
        """Return ln q."""
        equilibrium = self._equilibrium(strain, internal)
        multiplier = -equilibrium.force / self._theta
        log_z = (multiplier * internal).sum(1) - equilibrium.energy / self._theta
        tilt = np.einsum("nmi,ni->nm", microstate, multiplier)
        value: FloatArray = (
            tilt - self._energy_at(microstate, strain) / self._theta - log_z[:, None]
        )
        return value

    def sample(
        self,
        noise: FloatArray,
        strain: FloatArray,  # noqa: ARG002
        internal: FloatArray,  # noqa: ARG002
    ) -> FloatArray:
        """Return the ends of the range of the data: all that a quadrature asks for."""
        ends: FloatArray = np.where(noise > 0, self._nodes[-1], self._nodes[0])
        return ends

    def dual_dissipation(
        self,
        force: npt.ArrayLike,
        strain: npt.ArrayLike,  # noqa: ARG002
        internal: npt.ArrayLike,  # noqa: ARG002
    ) -> tuple[FloatArray, FloatArray]:
        """Return φ and ∂²φ/∂g²."""
        g = np.asarray(force, dtype=float)
        curvature = np.tile(np.diag(1.0 / self._friction), (len(g), 1, 1))
        return (g**2 / self._friction).sum(1) / 2.0, curvature

    def energy_hessian(self, strain: npt.ArrayLike, internal: npt.ArrayLike) -> FloatArray:
        """Return ∂²f/∂(ε, α)², by central differences of σ and g."""
        state = np.concatenate([np.asarray(strain, float), np.asarray(internal, float)], 1)
        steps = np.array([self._step, *(1e-3 * self.internal_scale)])
        columns = []
        for number, step in enumerate(steps):
            moved = np.zeros(len(steps))
            moved[number] = step
            slopes = []
            for sign in (1.0, -1.0):
                at = state + sign * moved
                rates = self.rates(at[:, :1], at[:, 1:])
                slopes.append(np.concatenate([rates.stress, -rates.driving_force], 1))
            columns.append((slopes[0] - slopes[1]) / (2.0 * step))
        hessian = np.stack(columns, -1)
        symmetric: FloatArray = (hessian + np.swapaxes(hessian, 1, 2)) / 2.0
        return symmetric

    def _equilibrium(self, strain: FloatArray, internal: FloatArray) -> ConstrainedEquilibrium:
        return constrained_equilibrium(
            self._energy(strain),
            self._nodes,
            internal,
            spacing=self._cell,
            thermal_energy=self._theta,
        )

    def _energy(self, strain: FloatArray) -> FloatArray:
        nodes = np.broadcast_to(self._nodes, (len(strain), *self._nodes.shape))
        return self._energy_at(nodes, strain)

    def _energy_at(self, microstate: FloatArray, strain: FloatArray) -> FloatArray:
        assert self.physics is not None  # noqa: S101 (it has been given)
        assert self.physics.energy is not None  # noqa: S101 (the caller knows the system)
        value = self.physics.energy(
            torch.from_numpy(np.ascontiguousarray(microstate)), torch.from_numpy(strain)
        )
        return np.asarray(value.numpy(), dtype=np.float64)
