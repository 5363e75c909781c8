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
from scipy.interpolate import CubicHermiteSpline
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

    def discrete_moments(
        self,
        time: FloatArray,
        control: FloatArray,
        control_rate: FloatArray,
        time_step: float,
        mean: FloatArray,
        variance: FloatArray,
    ) -> tuple[FloatArray, FloatArray]:
        """Return the exact mean and variance of the Euler–Maruyama scheme at the stored instants.

        Where the record is coarser than the integrator's step, λ between stored instants is the
        cubic through λ and λ̇.

        Args:
            time: Stored instants, ``(n_time,)``.
            control: λ, ``(n_protocol, n_time)``.
            control_rate: λ̇, same shape.
            time_step: Of the integrator.
            mean: m at the first instant, ``(n_protocol,)``.
            variance: At the first instant, ``(n_protocol,)``.

        Returns:
            m and variance, each ``(n_protocol, n_time)``.
        """
        means, variances = np.empty_like(control), np.empty_like(control)
        means[:, 0], variances[:, 0] = mean, variance
        decay = 1 - 2 * self.stiffness * time_step / self.friction
        noise = 2 * self.thermal_energy * time_step / self.friction
        path = CubicHermiteSpline(time, control, control_rate, axis=1)
        for n, interval in enumerate(np.diff(time)):
            m, v = means[:, n], variances[:, n]
            steps = round(interval / time_step)
            for k in range(steps):
                drive = control[:, n] if k == 0 else path(time[n] + k * time_step)
                m = m + time_step / self.friction * self.driving_force(drive, m)
                v = decay**2 * v + noise
            means[:, n + 1], variances[:, n + 1] = m, v
        return means, variances

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
