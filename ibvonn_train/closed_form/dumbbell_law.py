r"""The exact law of Hookean dumbbells at small strain: their second moments are closed.

With A = ⟨q⊗q⟩ and C = I + 2ε, the Langevin equation η dq = −H C q dt + √(2 k_BT η) dW gives

.. math::
    f = \tfrac H2\,\mathrm{tr}(C A) - \tfrac{k_BT}2 \ln\det A - k_BT\,\mathrm{tr}\,\varepsilon,
    \qquad \sigma = H A - k_BT I,

    G = -\partial f/\partial A = \tfrac{k_BT}2 A^{-1} - \tfrac H2 C, \qquad
    \varphi(G; A) = \tfrac2\eta\,\mathrm{tr}(G A G), \qquad
    \dot A = \partial\varphi/\partial G = \tfrac2\eta (A G + G A),

that is Ȧ = −(H/η)(C A + A C) + (2 k_BT/η) I. Densities stay Gaussian, N(0, A).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
ROOT_2 = np.sqrt(2.0)


def matrix_of(mandel: FloatArray) -> FloatArray:
    """Return symmetric matrices ``(…, 2, 2)`` of components 11, 22, √2 12, ``(…, 3)``."""
    first, second, shear = np.moveaxis(mandel, -1, 0)
    rows = np.stack([first, shear / ROOT_2, shear / ROOT_2, second], -1)
    return rows.reshape(*mandel.shape[:-1], 2, 2)


def mandel_of(matrix: FloatArray) -> FloatArray:
    """Return the components 11, 22, √2 12 of symmetric matrices, ``(…, 2, 2)`` → ``(…, 3)``."""
    shear = ROOT_2 * 0.5 * (matrix[..., 0, 1] + matrix[..., 1, 0])
    return np.stack([matrix[..., 0, 0], matrix[..., 1, 1], shear], -1)


@dataclass(frozen=True)
class DumbbellLaw:
    """f, σ, G, φ and Ȧ of strains ``(…, 3)`` in Mandel order and second moments ``(…, 2, 2)``.

    Attributes:
        stiffness: H.
        friction: η.
        thermal_energy: k_BT.
    """

    stiffness: float = 1.0
    friction: float = 1.0
    thermal_energy: float = 1.0

    @staticmethod
    def metric(strain: FloatArray) -> FloatArray:
        """Return C = I + 2ε."""
        return np.eye(2) + 2.0 * matrix_of(strain)

    def energy(self, strain: FloatArray, moments: FloatArray) -> FloatArray:
        """Return f, shape ``(…)``."""
        stretched = np.einsum("...ij,...ji->...", self.metric(strain), moments)
        disorder = self.thermal_energy * (
            0.5 * np.log(np.linalg.det(moments)) + strain[..., 0] + strain[..., 1]
        )
        energy: FloatArray = 0.5 * self.stiffness * stretched - disorder
        return energy

    def stress(self, moments: FloatArray) -> FloatArray:
        """Return σ in Mandel order, ``(…, 3)``."""
        return mandel_of(self.stiffness * moments - self.thermal_energy * np.eye(2))

    def driving_force(self, strain: FloatArray, moments: FloatArray) -> FloatArray:
        """Return G, ``(…, 2, 2)``."""
        inverse = np.asarray(np.linalg.inv(moments), np.float64)
        return 0.5 * self.thermal_energy * inverse - 0.5 * self.stiffness * self.metric(strain)

    def dual_dissipation(self, force: FloatArray, moments: FloatArray) -> FloatArray:
        """Return φ(G; A), shape ``(…)``."""
        value: FloatArray = (
            2.0 / self.friction * np.einsum("...ij,...jk,...ki->...", force, moments, force)
        )
        return value

    def rate(self, strain: FloatArray, moments: FloatArray) -> FloatArray:
        """Return Ȧ, ``(…, 2, 2)``."""
        half = moments @ self.driving_force(strain, moments)
        rate: FloatArray = 2.0 / self.friction * (half + np.swapaxes(half, -1, -2))
        return rate

    def equilibrium(self, strain: FloatArray) -> FloatArray:
        """Return A at rest under a strain, (k_BT/H) C⁻¹."""
        inverse = np.asarray(np.linalg.inv(self.metric(strain)), np.float64)
        return self.thermal_energy / self.stiffness * inverse

    def moments(
        self, time: FloatArray, strain: FloatArray, first: FloatArray, substeps: int = 10
    ) -> FloatArray:
        """Return A(t) under a strain path, by the Runge–Kutta scheme of fourth order.

        Args:
            time: Instants, ``(n_time,)``.
            strain: ε at the instants, ``(…, n_time, 3)``; straight lines between them.
            first: A at the first instant, ``(…, 2, 2)``.
            substeps: Steps in each interval.

        Returns:
            Shape ``(…, n_time, 2, 2)``.
        """
        states = [first]
        moments = first
        for n, interval in enumerate(np.diff(time)):
            before, change = strain[..., n, :], strain[..., n + 1, :] - strain[..., n, :]
            step = interval / substeps
            for part in range(substeps):
                at = [before + (part + half / 2) / substeps * change for half in range(3)]
                k1 = self.rate(at[0], moments)
                k2 = self.rate(at[1], moments + step / 2 * k1)
                k3 = self.rate(at[1], moments + step / 2 * k2)
                k4 = self.rate(at[2], moments + step * k3)
                moments = moments + step / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
            states.append(moments)
        return np.stack(states, -3)
