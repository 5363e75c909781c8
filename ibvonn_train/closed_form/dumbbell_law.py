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

from ..simulation.systems.lattice_geometry import shears

FloatArray = npt.NDArray[np.float64]
ROOT_2 = np.sqrt(2.0)
SIZES = {3: 2, 6: 3}
"""Dimensions d by the number of strains."""


def matrix_of(mandel: FloatArray) -> FloatArray:
    """Return symmetric matrices of components in Mandel order, ``(…, n_ε)`` → ``(…, d, d)``."""
    size = SIZES[mandel.shape[-1]]
    rows, columns = shears(size)
    matrix = np.zeros((*mandel.shape[:-1], size, size))
    matrix[..., range(size), range(size)] = mandel[..., :size]
    matrix[..., rows, columns] = matrix[..., columns, rows] = mandel[..., size:] / ROOT_2
    return matrix


def mandel_of(matrix: FloatArray) -> FloatArray:
    """Return the components in Mandel order of symmetric matrices, their symmetric part."""
    rows, columns = shears(matrix.shape[-1])
    shear = ROOT_2 * 0.5 * (matrix[..., rows, columns] + matrix[..., columns, rows])
    return np.concatenate([np.diagonal(matrix, axis1=-2, axis2=-1), shear], -1)


@dataclass(frozen=True)
class DumbbellLaw:
    """f, σ, G, φ and Ȧ of strains ``(…, n_ε)`` in Mandel order and second moments ``(…, d, d)``.

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
        matrix = matrix_of(strain)
        metric: FloatArray = np.eye(matrix.shape[-1]) + 2.0 * matrix
        return metric

    def energy(self, strain: FloatArray, moments: FloatArray) -> FloatArray:
        """Return f, shape ``(…)``."""
        stretched = np.einsum("...ij,...ji->...", self.metric(strain), moments)
        trace = strain[..., : moments.shape[-1]].sum(-1)
        disorder = self.thermal_energy * (0.5 * np.log(np.linalg.det(moments)) + trace)
        energy: FloatArray = 0.5 * self.stiffness * stretched - disorder
        return energy

    def stress(self, moments: FloatArray) -> FloatArray:
        """Return σ in Mandel order, ``(…, n_ε)``."""
        rest = self.thermal_energy * np.eye(moments.shape[-1])
        return mandel_of(self.stiffness * moments - rest)

    def driving_force(self, strain: FloatArray, moments: FloatArray) -> FloatArray:
        """Return G, ``(…, d, d)``."""
        inverse = np.asarray(np.linalg.inv(moments), np.float64)
        return 0.5 * self.thermal_energy * inverse - 0.5 * self.stiffness * self.metric(strain)

    def dual_dissipation(self, force: FloatArray, moments: FloatArray) -> FloatArray:
        """Return φ(G; A), shape ``(…)``."""
        value: FloatArray = (
            2.0 / self.friction * np.einsum("...ij,...jk,...ki->...", force, moments, force)
        )
        return value

    def rate(self, strain: FloatArray, moments: FloatArray) -> FloatArray:
        """Return Ȧ, ``(…, d, d)``."""
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
            strain: ε at the instants, ``(…, n_time, n_ε)``; straight lines between them.
            first: A at the first instant, ``(…, d, d)``.
            substeps: Steps in each interval.

        Returns:
            Shape ``(…, n_time, d, d)``.
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
