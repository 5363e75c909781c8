"""The volumetric part of a solid: J, its derivatives, and what U(J) adds to stress and stiffness.

Small strain: J − 1 = tr ε. Finite strain: J = det F with ∂J/∂F = cof F, and ∂²J/∂F² linear in F.
"""

from __future__ import annotations

import itertools

import numpy as np

from ..kernels.base import FloatArray
from .settings import MANDEL, Setting
from .volumetric import Volumetric


class VolumeChange:
    """Adds U(J) to a solid.

    Args:
        volumetric: U.
        setting: Space, plane, rotational symmetry or bar.
        finite: Finite strain: the measure is the displacement gradient.
    """

    def __init__(self, volumetric: Volumetric, setting: Setting, *, finite: bool) -> None:
        self._volumetric = volumetric
        self._finite = finite
        self._trace = np.array([float(MANDEL[a][0] == MANDEL[a][1]) for a in setting.strains])
        self._columns = [3 * i + j for i, j in setting.gradients]
        self._second = _determinant_tensor().reshape(9, 81)

    def energy(self, measure: FloatArray) -> FloatArray:
        """U, shape (n,)."""
        if not self._finite:  # second order in the strain: the volumetric part of linear elasticity
            return np.asarray(0.5 * self._volumetric.bulk * (measure @ self._trace) ** 2)
        return self._volumetric.derivatives(self._jacobian(measure)[0])[0]

    def add(self, measure: FloatArray, stress: FloatArray, tangent: FloatArray) -> None:
        """Add ∂U to ``stress`` (n, size) and ∂²U to ``tangent`` (n, size²)."""
        if not self._finite:
            bulk = self._volumetric.bulk
            stress += bulk * np.outer(measure @ self._trace, self._trace)
            tangent += bulk * np.outer(self._trace, self._trace).reshape(-1)
            return
        volume, cofactor, second = self._jacobian(measure)
        _, first, curvature = self._volumetric.derivatives(volume)
        c = cofactor[:, self._columns]
        stress += first[:, np.newaxis] * c
        block = first[:, np.newaxis, np.newaxis] * second[:, self._columns][:, :, self._columns]
        block += curvature[:, np.newaxis, np.newaxis] * c[:, :, np.newaxis] * c[:, np.newaxis]
        tangent += block.reshape(tangent.shape)

    def _jacobian(self, gradient: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """J (n,), cof F (n, 9) and ∂²J/∂F² (n, 9, 9)."""
        f = np.tile(np.eye(3).reshape(-1), (len(gradient), 1))
        f[:, self._columns] += gradient
        second = (f @ self._second).reshape(-1, 9, 9)
        cofactor = 0.5 * np.einsum("pab,pb->pa", second, f)
        volume: FloatArray = np.einsum("pa,pa->p", cofactor, f) / 3.0
        return volume, cofactor, second


def _determinant_tensor() -> FloatArray:
    """∂³ det F/∂F³, shape (9, 9, 9): products of permutation symbols."""
    sign = np.zeros((3, 3, 3))
    for p in itertools.permutations(range(3)):
        sign[p] = np.linalg.det(np.eye(3)[list(p)])
    products: FloatArray = np.einsum("ikm,jln->ijklmn", sign, sign)
    return products.reshape(9, 9, 9)
