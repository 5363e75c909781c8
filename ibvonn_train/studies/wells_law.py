r"""The exact law of a particle over several wells under an imposed strain, by quadrature.

α are the fractions of the wells but for one, p of all; Z_s(ε) is the integral of exp(−e/θ) over
well s. As far as every well is in equilibrium,

.. math::
    f = \sum_s p_s (A_s + \theta\ln p_s), \quad A_s = -\theta\ln Z_s, \qquad
    J_{s \to s+1} = \frac{\theta}{\eta}\,
        \frac{p_s/Z_s - p_{s+1}/Z_{s+1}}{\int_{x_s}^{x_{s+1}} e^{e/\theta}\,dx},

the flux over the barrier between the middles of neighbouring wells.

References:
    Risken, *The Fokker-Planck Equation* (1989), section 5.10.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.interpolate import CubicSpline
from scipy.special import logsumexp

from ..data.ensemble import TrajectoryEnsemble
from ..evaluation.interface import FloatArray
from ..law.normalisation import Normalisation
from ..law.rates import Rates
from ..statistical_mechanics.microscopic_energy import Physics

STRAINS, NODES = 201, 4001
BEYOND = 0.2
"""Part by which tables exceed the range of the data on either side."""
EMPTY = 1e-12
"""Fraction of an empty well in logarithms."""


class WellsLaw:
    """f, σ, g, α̇ and the density of the microstates, in closed form but for the kinetics.

    The fluxes are those of a density that is at rest in each well: high barriers.

    Args:
        data: Ensemble of a microstate of one component, for the ranges of strain and microstate.
        physics: With e(x, ε).
        middles: Bottoms of the wells, rising.
        rest: Number of the well that is left out.
    """

    averaged, has_decoder, has_potentials, strain_size = False, True, True, 1
    training_normalisation: Normalisation[FloatArray] | None = None
    groups: tuple[tuple[int, int], ...]

    def __init__(
        self, data: TrajectoryEnsemble, physics: Physics, middles: Sequence[float], rest: int
    ) -> None:
        self.physics: Physics | None = physics
        self.name, self.system = f"exact law of {data.system}", data.system
        self.strain_reference: FloatArray = np.zeros(1)
        self.internal_size = len(middles) - 1
        self.internal_scale: FloatArray = np.full(self.internal_size, 0.3)
        self.bounds: FloatArray = np.tile([0.0, 1.0], (self.internal_size, 1))
        self.groups = ((0, len(middles)),)
        self._tops = (np.asarray(middles)[1:] + np.asarray(middles)[:-1]) / 2
        self._theta, self._friction = physics.thermal_energy, physics.friction
        self._order = [*range(rest), *range(rest + 1, len(middles))]
        self._rest = rest
        self._nodes = _range(data.samples, NODES)
        strain = _range(data.strain, STRAINS)
        self.envelope: FloatArray = np.array(
            [[strain[0], strain[-1]], *np.tile([0.0, 1.0], (self.internal_size, 1))]
        )
        self._energy = _energy_of(physics)
        exponent = -self._energy(strain, self._nodes) / self._theta
        step = self._nodes[1] - self._nodes[0]
        well = np.searchsorted(self._tops, self._nodes)
        log_z = [logsumexp(exponent[:, well == s], axis=1) for s in range(len(middles))]
        self._free = CubicSpline(strain, -self._theta * (np.stack(log_z, 1) + np.log(step)))
        between = [
            logsumexp(-exponent[:, (self._nodes >= low) & (self._nodes < high)], axis=1)
            for low, high in pairwise(middles)
        ]
        self._resistance = CubicSpline(strain, np.stack(between, 1) + np.log(step))

    def encode(self, microstate: npt.NDArray[np.floating[Any]]) -> tuple[None, FloatArray]:
        """Return the fractions of the wells but for the one at rest."""
        well = np.searchsorted(self._tops, microstate[..., 0])
        return None, np.stack([np.mean(well == s, -1) for s in self._order], -1)

    def rates(self, strain: npt.ArrayLike, internal: npt.ArrayLike) -> Rates[FloatArray]:
        """Return f, σ, g and α̇."""
        eps, p = np.asarray(strain, dtype=float)[:, 0], self._fractions(internal)
        free, slope, theta = self._free(eps), self._free(eps, 1), self._theta
        log_p = np.log(np.maximum(p, EMPTY))
        energy = (p * (free + theta * log_p)).sum(1)
        force = -(free + theta * log_p)
        density = p * np.exp(free / theta)
        over = np.exp(-self._resistance(eps)) * theta / self._friction
        flux = over * (density[:, :-1] - density[:, 1:])
        change = np.zeros_like(p)
        change[:, :-1] -= flux
        change[:, 1:] += flux
        of_alpha = force[:, self._order] - force[:, [self._rest]]
        stress = (p * slope).sum(1, keepdims=True)
        return Rates(energy, stress, of_alpha, change[:, self._order])

    def log_density(
        self, microstate: FloatArray, strain: FloatArray, internal: FloatArray
    ) -> FloatArray:
        """Return ln q: Boltzmann's in each well, filled as p says."""
        x, eps = microstate[..., 0], strain[:, 0]
        p = np.maximum(self._fractions(internal), EMPTY)
        constant = np.log(p) + self._free(eps) / self._theta
        well = np.searchsorted(self._tops, x)
        energy = self._energy(eps, x)
        value: FloatArray = np.take_along_axis(constant, well, 1) - energy / self._theta
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
        self, force: npt.ArrayLike, strain: npt.ArrayLike, internal: npt.ArrayLike
    ) -> tuple[FloatArray, FloatArray]:
        """Return φ = Σ 4θ c [cosh(h/2θ) − 1], h the step of g between wells, and ∂²φ/∂g²."""
        eps, p = np.asarray(strain, dtype=float)[:, 0], self._fractions(internal)
        theta, g = self._theta, np.asarray(force, dtype=float)
        density = np.sqrt(p) * np.exp(self._free(eps) / (2.0 * theta))
        over = np.exp(-self._resistance(eps)) * theta / self._friction
        size = over * density[:, :-1] * density[:, 1:]
        step = np.diff(self._chosen, axis=0)  # g is counted from the well at rest
        half = g @ step.T / (2.0 * theta)
        value: FloatArray = 4.0 * theta * (size * (np.cosh(half) - 1.0)).sum(1)
        curvature: FloatArray = (step.T * (size * np.cosh(half) / theta)[:, None]) @ step
        return value, curvature

    def energy_hessian(self, strain: npt.ArrayLike, internal: npt.ArrayLike) -> FloatArray:
        """Return ∂²f/∂(ε, α)²."""
        eps, p = np.asarray(strain, dtype=float)[:, 0], self._fractions(internal)
        slope, bend, by_alpha = self._free(eps, 1), self._free(eps, 2), self._by_alpha
        n = self.internal_size + 1
        hessian: FloatArray = np.empty((len(eps), n, n))
        hessian[:, 0, 0] = (p * bend).sum(1)
        hessian[:, 0, 1:] = hessian[:, 1:, 0] = slope @ by_alpha
        mixing = self._theta / np.maximum(p, EMPTY)
        hessian[:, 1:, 1:] = (by_alpha.T * mixing[:, None]) @ by_alpha
        return hessian

    @property
    def _chosen(self) -> FloatArray:
        """One where an α is the fraction of a well, ``(n_well, n_α)``."""
        return np.eye(self.internal_size + 1)[:, self._order]

    @property
    def _by_alpha(self) -> FloatArray:
        """∂p/∂α, ``(n_well, n_α)``."""
        return self._chosen - np.eye(self.internal_size + 1)[:, [self._rest]]

    def _fractions(self, internal: npt.ArrayLike) -> FloatArray:
        alpha = np.asarray(internal, dtype=float)
        return np.insert(alpha, self._rest, 1.0 - alpha.sum(1), axis=1)


def _range(values: npt.NDArray[np.floating[Any]], count: int) -> FloatArray:
    low, high = float(np.min(values)), float(np.max(values))
    margin = BEYOND * (high - low)
    return np.linspace(low - margin, high + margin, count)


def _energy_of(physics: Physics) -> Callable[[FloatArray, FloatArray], FloatArray]:
    """Return e of strains ``(n,)`` and microstates ``(n, m)`` or ``(m,)``, shape ``(n, m)``."""
    microscopic = physics.energy
    assert microscopic is not None  # noqa: S101 (the caller knows the system)

    def energy(strain: FloatArray, microstate: FloatArray) -> FloatArray:
        x = np.broadcast_to(microstate, (len(strain), microstate.shape[-1]))
        value = microscopic(
            torch.from_numpy(x[..., None].copy()), torch.from_numpy(strain[:, None])
        )
        return np.asarray(value.numpy(), dtype=np.float64)

    return energy
