r"""Bonds with two states that do not feel each other: a cell whose law is exact at any size.

Every bond of the direction a has the imposed elongation :math:`e_a = A_a\varepsilon`, is folded
(b = 0) or open (b = 1), and jumps by itself, with Glauber's rates:

.. math::
    E &= \tfrac\kappa2 (e_a - z_h b)^2 + D b, \qquad k_BT\,G_a = \kappa z_h (e_a - z_h/2) - D, \\
    k_{\text{open}} &= \frac{\lambda}{1 + e^{-G_a}}, \qquad
    k_{\text{fold}} = \frac{\lambda}{1 + e^{G_a}} .

The mean of the open fraction p obeys a closed equation, :math:`\dot p = k_{\text{open}} (1 - p) -
k_{\text{fold}}\, p`, and with V the volume of a node, one bond of each direction for a node,

.. math::
    V f &= \sum_a \tfrac\kappa2 e_a^2 - \kappa z_h e_a p_a + (\tfrac\kappa2 z_h^2 + D) p_a
        + k_BT\,[p_a \ln p_a + (1 - p_a) \ln(1 - p_a)], \\
    V \varphi &= \sum_a 4 k_BT\, k_a \sqrt{p_a (1 - p_a)}\, [\cosh(V g_a / 2 k_BT) - 1],
    \qquad k_a = \sqrt{k_{\text{open}} k_{\text{fold}}} .

Audits of cells are calibrated on it, and tests make it wrong by stated amounts.

References:
    Glauber (1963), J. Math. Phys. 4, 294.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..data.ensemble import TrajectoryEnsemble
from ..law.rates import Rates
from ..simulation.protocols import Protocol
from ..simulation.systems.lattice_geometry import GEOMETRIES, LatticeGeometry
from ..statistical_mechanics.microscopic_energy import Physics

FloatArray = npt.NDArray[np.float64]
EMPTY = 1e-300
"""Fraction of an empty state in logarithms."""
PIECES = 50
"""Steps that a record counts in each stored interval."""


@dataclass(frozen=True)
class IndependentBonds:
    """The bonds of a lattice, each by itself, as a law with the interface of learned ones.

    α are the open fractions of the directions. Microstates are the states b of the bonds.

    Attributes:
        geometry: Name of the lattice whose directions the bonds have.
        stiffness: κ [force / length].
        jump: z_h [length].
        offset: D [energy].
        thermal_energy: k_BT [energy].
        relaxation: λ [1 / time].
    """

    geometry: str = "triangular"
    stiffness: float = 0.875
    jump: float = 0.1
    offset: float = 0.002
    thermal_energy: float = 0.001
    relaxation: float = 2e-3

    name = "independent bonds"
    system = "independent_bonds"
    averaged = False
    has_decoder = False
    has_potentials = True
    training_normalisation = None

    @property
    def lattice(self) -> LatticeGeometry:
        """The geometry."""
        return GEOMETRIES[self.geometry]

    @property
    def strain_size(self) -> int:
        """n_ε."""
        return int(self.lattice.strain_basis.shape[1])

    @property
    def internal_size(self) -> int:
        """One open fraction for each direction."""
        return len(self.lattice.bonds)

    @property
    def strain_reference(self) -> FloatArray:
        """Zero."""
        return np.zeros(self.strain_size)

    @property
    def internal_scale(self) -> FloatArray:
        """A typical spread of fractions."""
        return np.full(self.internal_size, 0.2)

    @property
    def bounds(self) -> FloatArray:
        """Fractions lie between 0 and 1."""
        return np.tile([0.0, 1.0], (self.internal_size, 1))

    @property
    def groups(self) -> npt.NDArray[np.int64]:
        """Each fraction is one of two states."""
        return np.stack([np.arange(self.internal_size), np.full(self.internal_size, 2)], 1)

    @property
    def envelope(self) -> FloatArray:
        """Strains about the transformation, all fractions."""
        strain = np.tile([-0.1, 0.2], (self.strain_size, 1))
        return np.concatenate([strain, self.bounds])

    @property
    def physics(self) -> Physics:
        """k_BT per volume of a node; the drag is in λ."""
        return Physics(None, self.thermal_energy / self.lattice.volume, 1.0, 1.0)

    def encode(
        self, microstate: npt.NDArray[np.floating[Any]]
    ) -> tuple[FloatArray | None, FloatArray]:
        """Return None and the open fractions of states ``(..., n_direction, n_bond, 1)``."""
        return None, microstate[..., 0].mean(-1, dtype=np.float64)

    def tilt(self, strain: FloatArray) -> FloatArray:
        """Return G, ``(..., n_direction)``, in k_BT, of ε ``(..., n_ε)``."""
        elongation = strain @ self.lattice.strain_basis.T
        work = self.stiffness * self.jump * (elongation - 0.5 * self.jump) - self.offset
        tilt: FloatArray = work / self.thermal_energy
        return tilt

    def open_at_rest(self, strain: FloatArray) -> FloatArray:
        """Return the open fractions at which nothing moves, ``(..., n_direction)``."""
        fraction: FloatArray = 1.0 / (1.0 + np.exp(-self.tilt(strain)))
        return fraction

    def energy(self, strain: FloatArray, fraction: FloatArray) -> FloatArray:
        """Return the mean energy of the bonds per volume, ``(...)``."""
        elongation = strain @ self.lattice.strain_basis.T
        bound = 0.5 * self.stiffness * elongation**2
        released = self.thermal_energy * self.tilt(strain) * fraction
        mean: FloatArray = (bound - released).sum(-1) / self.lattice.volume
        return mean

    def stress(self, strain: FloatArray, fraction: FloatArray) -> FloatArray:
        """Return σ, ``(..., n_ε)``."""
        basis = self.lattice.strain_basis
        tension = self.stiffness * (strain @ basis.T - self.jump * fraction)
        stress: FloatArray = tension @ basis / self.lattice.volume
        return stress

    def rates(self, strain: npt.ArrayLike, internal: npt.ArrayLike) -> Rates[FloatArray]:
        """Return f ``(n,)``, σ ``(n, n_ε)``, g and α̇ ``(n, n_α)``."""
        eps, p = np.asarray(strain, float), np.asarray(internal, float)
        theta, logs = self.physics.thermal_energy, _logarithms(p)
        mixing = (p * logs[0] + (1.0 - p) * logs[1]).sum(-1)
        force = theta * (self.tilt(eps) - logs[0] + logs[1])
        rate = self.relaxation * (self.open_at_rest(eps) - p)
        return Rates(self.energy(eps, p) + theta * mixing, self.stress(eps, p), force, rate)

    def dual_dissipation(
        self, force: npt.ArrayLike, strain: npt.ArrayLike, internal: npt.ArrayLike
    ) -> tuple[FloatArray, FloatArray]:
        """Return φ(g; ε, α) ``(n,)`` and ∂²φ/∂g² ``(n, n_α, n_α)``."""
        g, eps, p = (np.asarray(part, float) for part in (force, strain, internal))
        theta, logs = self.physics.thermal_energy, _logarithms(p)
        geometric = self.relaxation / (2.0 * np.cosh(0.5 * self.tilt(eps)))
        weight = geometric * np.exp(0.5 * (logs[0] + logs[1]))
        cosh = np.cosh(0.5 * g / theta)
        value: FloatArray = (4.0 * theta * weight * (cosh - 1.0)).sum(-1)
        return value, (weight * cosh / theta)[:, None] * np.eye(p.shape[-1])

    def energy_hessian(
        self,
        strain: npt.ArrayLike,  # noqa: ARG002
        internal: npt.ArrayLike,
    ) -> FloatArray:
        """Return ∂²f/∂(ε, α)², ``(n, n_ε + n_α, n_ε + n_α)``."""
        p = np.asarray(internal, float)
        size, basis = self.strain_size, self.lattice.strain_basis
        hessian = np.zeros((len(p), size + p.shape[1], size + p.shape[1]))
        hessian[:, :size, :size] = self.stiffness * basis.T @ basis / self.lattice.volume
        coupling = -self.stiffness * self.jump * basis / self.lattice.volume
        hessian[:, size:, :size], hessian[:, :size, size:] = coupling, coupling.T
        mixing = self.physics.thermal_energy / np.maximum(p * (1.0 - p), EMPTY)
        hessian[:, size:, size:] = mixing[:, None] * np.eye(p.shape[1])
        return hessian

    def log_density(self, *_: FloatArray) -> FloatArray:
        """There is no decoder.

        Raises:
            ValueError: Always.
        """
        raise ValueError(f"{self.name}: has no decoder; has_decoder says so.")

    sample = log_density


def _logarithms(fraction: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return ln p and ln(1 − p)."""
    return np.log(np.maximum(fraction, EMPTY)), np.log(np.maximum(1.0 - fraction, EMPTY))


def simulate_bonds(
    law: IndependentBonds,
    protocols: Sequence[Protocol],
    *,
    duration: float,
    instants: int,
    replicas: int,
    bonds: int,
    seed: int,
) -> TrajectoryEnsemble:
    """Return a record of jumping bonds, each drawn with its exact probability to be open.

    A bond that was in state b at the last stored instant is open at the next one, Δt later, with
    the probability b e^{−λΔt} + ∫ λ e^{−λ(Δt−s)} p_rest(ε(s)) ds. It begins at rest.

    Args:
        law: The bonds.
        protocols: Paths of the strain.
        duration: Of the record.
        instants: Stored intervals of equal length.
        replicas: Independent cells of each path.
        bonds: Of each direction in a cell.
        seed: Of the random numbers.
    """
    rng = np.random.default_rng(seed)
    interval = duration / instants
    time: FloatArray = interval * np.arange(instants + 1, dtype=np.float64)
    fine: FloatArray = time[:-1, None] + interval * (np.arange(PIECES) + 0.5) / PIECES
    age = interval * (1.0 - (np.arange(PIECES) + 0.5) / PIECES)
    kernel = np.exp(-law.relaxation * age)
    kernel *= -np.expm1(-law.relaxation * interval) / kernel.sum()
    strain = np.stack([protocol.value(time) for protocol in protocols])
    drawn = np.array([protocol.value(fine.ravel()) for protocol in protocols])
    gained = law.open_at_rest(drawn).reshape(len(strain), instants, PIECES, -1)
    entering = np.einsum("ctka,k->cta", gained, kernel)
    shape = (len(strain), law.internal_size, replicas * bonds)
    state = np.empty((len(strain), instants + 1, *shape[1:]), np.float32)
    state[:, 0] = rng.random(shape) < law.open_at_rest(strain[:, 0])[..., None]
    kept = np.exp(-law.relaxation * interval)
    for n in range(instants):
        state[:, n + 1] = rng.random(shape) < kept * state[:, n] + entering[:, n, :, None]
    fraction = state.mean(-1, dtype=np.float64)
    return TrajectoryEnsemble(
        time=time,
        strain=strain[:, :, None],
        stress=law.stress(strain, fraction)[:, :, None],
        microstate=state[..., None],
        system=law.system,
        strain_kind="controlled",
        parameters={
            "friction": 1.0,
            "thermal_energy": law.thermal_energy,
            "reference_volume": law.lattice.volume,
        },
        time_step=interval / PIECES,
        seed=seed,
        samples_per_replica=bonds,
        energy=law.energy(strain, fraction)[:, :, None],
        strain_names=("11", "22", "√2 12"),
        stress_names=("11", "22", "√2 12"),
        classes=tuple(f"direction {number + 1}" for number in range(law.internal_size)),
        symmetry=law.lattice.symmetry,
        strain_basis=law.lattice.strain_basis[:, None],
        reference_volume=law.lattice.volume,
    )
