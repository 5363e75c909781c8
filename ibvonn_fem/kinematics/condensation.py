"""Strains that follow from zero stress at a point: plane stress, uniaxial stress.

With E = (E_f, E_c), find E_c from S_c(E_f, E_c) = 0 and return

    S_f,   C* = C_ff − C_fc C_cc⁻¹ C_cf.

S_c is the gradient of a convex function of E_c (an incremental energy), so |S_c| falls along every
Newton direction; steps after which it has not are shortened.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ..kernels.base import FloatArray

TOLERANCE = 1e-9
"""Accepted error of E_c relative to the largest component of E. The remaining S_c is removed to
first order, so the error of S_f is the square of it."""

_SMALLEST_STRAIN = 1e-14  # strain below which E_c is zero
_PASSES = 40


class Condensation:
    """Newton's method for the condensed components, at many points at once.

    Args:
        condensed: Positions of the condensed components in the measure.
        measure_size: Components of the measure.
    """

    def __init__(self, condensed: tuple[int, ...], measure_size: int) -> None:
        self.size = len(condensed)
        self._columns = list(condensed)
        self._measure_size = measure_size

    def solve(
        self, respond: Callable[[], tuple[FloatArray, FloatArray]], measure: FloatArray
    ) -> NDArray[np.bool_]:
        """Find E_c, and condense stress and tangent in place.

        Args:
            respond: Evaluates S, shape (n, size), and C, shape (n, size²), at ``measure``.
            measure: E, shape (n, size); its condensed components are the first iterate.

        Returns:
            Points that did not converge, shape (n,); those with NaN are among them.
        """
        c = self._columns
        stress, flat = respond()
        tangent = flat.reshape(-1, self._measure_size, self._measure_size)
        base, residual = measure[:, c], stress[:, c]
        direction = self._newton(tangent, residual)
        length = np.ones(len(measure))
        for _ in range(_PASSES):
            scale = np.abs(measure).max(axis=1, initial=0.0)
            active = ~(np.abs(direction).max(axis=1) <= TOLERANCE * scale + _SMALLEST_STRAIN)
            active &= np.isfinite(direction).all(axis=1)
            if not active.any():
                break
            step = np.where(active, length, 0.0)[:, np.newaxis]
            measure[:, c] = base + step * direction
            respond()
            new_residual = stress[:, c]
            allowed = (1.0 - 1e-4 * length) * _norm(residual)
            better = active & (_norm(new_residual) <= allowed)
            length = np.where(better | ~active, 1.0, 0.25 * length)
            base[better], residual[better] = measure[better][:, c], new_residual[better]
            fresh = self._newton(tangent, new_residual)
            direction[better] = fresh[better]
        scale = np.abs(measure).max(axis=1, initial=0.0)
        failed: NDArray[np.bool_] = ~(
            np.abs(direction).max(axis=1) <= TOLERANCE * scale + _SMALLEST_STRAIN
        )
        self._condense(stress, tangent)
        return failed

    def _newton(self, tangent: FloatArray, residual: FloatArray) -> FloatArray:
        block = tangent[:, self._columns][:, :, self._columns]
        return -_solve(block, residual[:, :, np.newaxis])[:, :, 0]

    def _condense(self, stress: FloatArray, tangent: FloatArray) -> None:
        c = self._columns
        block, coupling = tangent[:, c][:, :, c], tangent[:, :, c]
        right = np.concatenate([tangent[:, c], stress[:, c][:, :, np.newaxis]], axis=2)
        solved = _solve(block, right)
        correction = coupling @ solved
        tangent -= correction[:, :, :-1]
        stress -= correction[:, :, -1]


def _norm(values: FloatArray) -> FloatArray:
    return np.asarray(np.sqrt(np.einsum("pi,pi->p", values, values)))


def _solve(matrix: FloatArray, right: FloatArray) -> FloatArray:
    """matrix⁻¹ right for blocks of size 1 or 2; a singular block gives NaN or infinity."""
    with np.errstate(all="ignore"):
        if matrix.shape[1] == 1:
            return np.asarray(right / matrix)
        a, b, c, d = matrix[:, 0, 0], matrix[:, 0, 1], matrix[:, 1, 0], matrix[:, 1, 1]
        adjugate = np.array([[d, -b], [-c, a]]).transpose(2, 0, 1)
        return np.asarray(adjugate @ right / (a * d - b * c)[:, np.newaxis, np.newaxis])
