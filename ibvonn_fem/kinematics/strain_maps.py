"""From the strain of a solid to the strains of the law, and back to stress and stiffness.

Strain e in Mandel components (those of the setting), with the six-vectors D_k = n_k⊗n_k of the
directions:

    small strain    ε_k = D_k·e;               S = ρ Σ w_k s_k D_k,  C = ρ Σ w_k c_k D_k⊗D_k,
    finite strain   ε_k = l_k − 1, l_k² = 1 + 2 D_k·e with the Green–Lagrange strain e;
                    S = ρ Σ w_k (s_k/l_k) D_k,  C = ρ Σ w_k (c_k/l_k² − s_k/l_k³) D_k⊗D_k.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..directions import Directions
from ..kernels.base import FloatArray, LocalUpdate
from .settings import MANDEL, ROOT2, Setting


class StrainMap(Protocol):
    """Links the strain of a solid to the strains of the law.

    Attributes:
        direction_count: Number of integration directions at a quadrature point.
        law_strains: Strain components of the law, n_ε.
        weights: Weight of each direction, shape ``(direction_count,)``, sum 1.
        density: Factor on energy and stress.
    """

    direction_count: int
    law_strains: int
    weights: FloatArray
    density: float

    def strains(self, e: FloatArray, out: FloatArray) -> None:
        """Write the strains of the law: (n, k) → (n * direction_count, n_ε)."""
        ...

    def gather(
        self, e: FloatArray, update: LocalUpdate, stress: FloatArray, tangent: FloatArray
    ) -> None:
        """Write S (n, k) and C (n, k²), work-conjugate to e."""
        ...


class TensorMap:
    """One evaluation of the law, whose strains are components of e.

    Args:
        law_strains: Positions of the law's strains among the six Mandel components.
        setting: Space, plane, rotational symmetry or bar.
    """

    direction_count = 1
    density = 1.0

    def __init__(self, law_strains: tuple[int, ...], setting: Setting) -> None:
        self.law_strains = len(law_strains)
        self.weights = np.ones(1)
        self._columns = [law_strains.index(a) for a in setting.strains]
        # Mostly the strains of the law are those of the setting, and nothing is selected.
        self._all = self._columns == list(range(self.law_strains))

    def strains(self, e: FloatArray, out: FloatArray) -> None:
        """Strains outside the setting are 0."""
        if self._all:
            np.copyto(out, e)
            return
        out[...] = 0.0
        out[:, self._columns] = e

    def gather(
        self,
        e: FloatArray,
        update: LocalUpdate,
        stress: FloatArray,
        tangent: FloatArray,
    ) -> None:
        """Select the components of the setting."""
        if self._all:
            np.copyto(stress, update.stress)
            np.copyto(tangent, update.tangent.reshape(len(e), -1))
            return
        stress[...] = update.stress[:, self._columns]
        block = update.tangent[:, self._columns][:, :, self._columns]
        tangent[...] = block.reshape(len(e), -1)


class DirectionMap:
    """Integration directions of an affine network: each spring stretches with the solid.

    Directions that the setting cannot tell apart (mirror images in a plane problem) are one law
    point with the sum of their weights.

    Args:
        directions: Directions and weights.
        setting: Space, plane, rotational symmetry or bar.
        density: ρ [stress of the solid / stress of the law].
        finite: Finite strain.

    Attributes:
        directions: One direction of each class, and the weight of the class.
        direction_count: Number of classes.
    """

    law_strains = 1

    def __init__(
        self, directions: Directions, setting: Setting, density: float, *, finite: bool
    ) -> None:
        rows = mandel_squares(directions.vectors)
        components = list(setting.strains)
        first, of = _classes(rows[:, components])
        weights: FloatArray = np.bincount(of, weights=directions.weights).astype(np.float64)
        self._require_symmetry(directions.weights[:, np.newaxis] * rows, of, setting)
        self.directions = Directions(directions.vectors[first], weights)
        self.direction_count = len(first)
        self.weights = weights
        self.density = density
        self.finite = finite
        self._rows = np.ascontiguousarray(rows[first][:, components])
        scaled = density * weights[:, np.newaxis] * self._rows
        self._scaled = np.ascontiguousarray(scaled)
        outer = scaled[:, :, np.newaxis] * self._rows[:, np.newaxis, :]
        self._outer = np.ascontiguousarray(outer.reshape(len(first), -1))

    @staticmethod
    def _require_symmetry(weighted: FloatArray, of: NDArray[np.intp], setting: Setting) -> None:
        """Shear stresses that a condensed setting takes as zero must vanish for any state."""
        dropped = [a for a in range(3, 6) if a not in setting.strains]
        if not setting.free or not dropped:
            return
        shear = np.column_stack([np.bincount(of, weights=weighted[:, a]) for a in dropped])
        if not np.abs(shear).max() <= 1e-10:
            raise ValueError(
                f"{setting.name}: the orientation must be symmetric about the plane of the "
                "problem, else shear stresses out of it do not vanish. Rotate it, or solve in "
                "three dimensions."
            )

    def strains(self, e: FloatArray, out: FloatArray) -> None:
        """ε_k = D_k·e, or the stretch less 1."""
        strain = out.reshape(len(e), self.direction_count)
        np.matmul(e, self._rows.T, out=strain)
        if self.finite:  # l − 1 = 2q / (1 + l), exact for small q
            strain *= 2.0
            with np.errstate(invalid="ignore"):
                strain /= 1.0 + np.sqrt(1.0 + strain)

    def gather(
        self, e: FloatArray, update: LocalUpdate, stress: FloatArray, tangent: FloatArray
    ) -> None:
        """Sum over the directions."""
        s = update.stress.reshape(len(e), self.direction_count)
        c = update.tangent.reshape(len(e), self.direction_count)
        if self.finite:
            with np.errstate(all="ignore"):
                square = 1.0 + 2.0 * (e @ self._rows.T)
                s = s / np.sqrt(square)
                c = (c - s) / square
        np.matmul(s, self._scaled, out=stress)
        np.matmul(c, self._outer, out=tangent)


def mandel_squares(vectors: FloatArray) -> FloatArray:
    """n⊗n in the six Mandel components: (m, 3) → (m, 6)."""
    return np.column_stack(
        [(1.0 if i == j else ROOT2) * vectors[:, i] * vectors[:, j] for i, j in MANDEL]
    )


def _classes(rows: FloatArray) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows that are equal to round-off: index of one of each class, and the class of each row."""
    _, first, of = np.unique(
        np.round(rows, 12) + 0.0, axis=0, return_index=True, return_inverse=True
    )
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return first[order], rank[of.reshape(-1)]
