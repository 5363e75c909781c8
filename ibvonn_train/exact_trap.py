r"""Closed forms of the tethered particle: the yardstick of everything learned from it.

With e = k/2 (λ − x)² + k/2 x² the distribution stays Gaussian, its mean obeys η ṁ = k(λ − 2m), and

:math:`f = \tfrac k2 (\lambda - m)^2 + \tfrac k2 m^2, \quad \sigma = k(\lambda - m), \quad
g = k(\lambda - 2m), \quad \varphi = g^2/2\eta`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ExactTrap:
    """The trap in closed form.

    Attributes:
        stiffness: k of both springs.
        friction: η.
        thermal_energy: k_BT.
    """

    stiffness: float = 1.0
    friction: float = 1.0
    thermal_energy: float = 1e-2

    def energy(self, strain: FloatArray, mean: FloatArray) -> FloatArray:
        """Return f(λ, m) up to its constant."""
        return 0.5 * self.stiffness * ((strain - mean) ** 2 + mean**2)

    def stress(self, strain: FloatArray, mean: FloatArray) -> FloatArray:
        """Return σ = k(λ − m)."""
        return self.stiffness * (strain - mean)

    def driving_force(self, strain: FloatArray, mean: FloatArray) -> FloatArray:
        """Return g = k(λ − 2m)."""
        return self.stiffness * (strain - 2 * mean)

    def dual_dissipation(self, force: FloatArray) -> FloatArray:
        """Return φ = g²/2η."""
        return 0.5 * force**2 / self.friction

    def discrete_mean(self, time: FloatArray, control: FloatArray, start: FloatArray) -> FloatArray:
        """Return the exact mean of the Euler–Maruyama scheme.

        Args:
            time: Instants of the scheme, ``(n_time,)``.
            control: λ, ``(n_protocol, n_time)``.
            start: m at the first instant, ``(n_protocol,)``.

        Returns:
            m, ``(n_protocol, n_time)``.
        """
        mean = np.empty_like(control)
        mean[:, 0] = start
        for n, dt in enumerate(np.diff(time)):
            drift = self.driving_force(control[:, n], mean[:, n]) / self.friction
            mean[:, n + 1] = mean[:, n] + dt * drift
        return mean

    def discrete_variance(self, time: FloatArray, start: FloatArray) -> FloatArray:
        """Return the exact variance of the scheme, ``(n_protocol, n_time)``."""
        variance = np.empty((len(start), len(time)))
        variance[:, 0] = start
        for n, dt in enumerate(np.diff(time)):
            decay = 1 - 2 * self.stiffness * dt / self.friction
            noise = 2 * self.thermal_energy * dt / self.friction
            variance[:, n + 1] = decay**2 * variance[:, n] + noise
        return variance

    @staticmethod
    def ensemble(mean: FloatArray, variance: FloatArray, replicas: int = 2000) -> FloatArray:
        """Return noise-free ensembles: Gaussian quantiles of mean m and the given variance.

        Args:
            mean: Any shape.
            variance: Same shape.
            replicas: Number of quantiles.

        Returns:
            Microstates, shape ``(..., replicas, 1)``.
        """
        quantiles = norm.ppf((np.arange(replicas) + 0.5) / replicas)
        quantiles /= math.sqrt(float(np.mean(quantiles**2)))
        return np.asarray(mean[..., None] + np.sqrt(variance)[..., None] * quantiles)[..., None]
