"""Finite strain: Green–Lagrange strain of a displacement gradient, and back to nominal stress.

With H = ∂u/∂X and F = 1 + H:

    e = sym H + ½ HᵀH,   P = ∂W/∂H = Lᵀ S,   A = dP/dH = Lᵀ C L + S·∂²e/∂H²,   L = ∂e/∂H,

where S and C are conjugate to e. Since W depends on H through e alone, P(RF) = R P(F).
"""

from __future__ import annotations

import numpy as np

from ..kernels.base import FloatArray
from .settings import MANDEL, ROOT2, Setting


class GreenLagrange:
    """The quadratic map H → e in the components of a setting.

    Args:
        setting: Space, plane, rotational symmetry or bar.
    """

    def __init__(self, setting: Setting) -> None:
        pairs = setting.gradients
        size, count = len(pairs), len(setting.strains)
        linear, quadratic = np.zeros((count, size)), np.zeros((count, size, size))
        for row, a in enumerate(setting.strains):
            i, j = MANDEL[a]
            factor = 0.5 if i == j else 0.5 * ROOT2
            for p, (k, l) in enumerate(pairs):
                linear[row, p] += factor * (((k, l) == (i, j)) + ((k, l) == (j, i)))
                for q, (m, n) in enumerate(pairs):
                    if k == m:
                        quadratic[row, p, q] += factor * ((l, n) == (i, j))
                        quadratic[row, p, q] += factor * ((l, n) == (j, i))
        self._linear = linear
        self._linear_flat = linear.reshape(-1)
        self._quadratic = quadratic.reshape(count, size * size)
        self._slope = np.ascontiguousarray(quadratic.transpose(2, 0, 1).reshape(size, -1))
        self._shape = (-1, count, size)

    def strain(self, gradient: FloatArray) -> FloatArray:
        """e: (n, size) → (n, k)."""
        half = 0.5 * (gradient @ self._slope).reshape(self._shape) + self._linear
        return np.asarray((half @ gradient[:, :, np.newaxis])[:, :, 0])

    def pull(
        self,
        gradient: FloatArray,
        stress: FloatArray,
        tangent: FloatArray,
        nominal: FloatArray,
        stiffness: FloatArray,
    ) -> None:
        """Write P (n, size) and A (n, size²) from S (n, k) and C (n, k²)."""
        slope = (gradient @ self._slope + self._linear_flat).reshape(self._shape)
        nominal[...] = (stress[:, np.newaxis] @ slope)[:, 0]
        count = slope.shape[1]
        right = tangent.reshape(-1, count, count) @ slope
        np.matmul(stress, self._quadratic, out=stiffness)
        stiffness += (slope.transpose(0, 2, 1) @ right).reshape(stiffness.shape)
