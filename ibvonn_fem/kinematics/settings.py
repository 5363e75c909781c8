"""Settings of a solid: space, plane strain, plane stress, rotational symmetry, a bar.

A setting lists which components of the strain (Mandel order xx yy zz xy xz yz, √2 on shear) and of
the displacement gradient H = ∂u/∂X can differ from zero, and writes them in UFL.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
import ufl

ROOT2 = float(np.sqrt(2.0))

MANDEL = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))
"""Tensor indices of the six Mandel components."""


class Symmetry(Enum):
    """How the gradient of a displacement field fills the 3 × 3 gradient."""

    SPACE = "space"
    PLANE = "plane"
    ROTATIONAL = "rotational"
    AXIAL = "axial"


@dataclass(frozen=True)
class Setting:
    """Components that can differ from zero, and the mesh they need.

    Attributes:
        name: Name in messages.
        symmetry: How H follows from the displacement.
        dimension: Dimension of the mesh and of the displacement.
        strains: Positions among the six Mandel components.
        gradients: Index pairs (i, J) of the components of H.
        free: Diagonal components (0 to 2) that follow from zero stress, not from u.
        labels: Names of the three axes.
    """

    name: str
    symmetry: Symmetry
    dimension: int
    strains: tuple[int, ...]
    gradients: tuple[tuple[int, int], ...]
    free: tuple[int, ...] = ()
    labels: str = "xyz"

    def components(self, *, finite: bool) -> tuple[str, ...]:
        """Names of the components of the measure."""
        pairs = self.gradients if finite else tuple(MANDEL[a] for a in self.strains)
        return tuple(self.labels[i] + self.labels[j] for i, j in pairs)

    def condensed(self, *, finite: bool) -> tuple[int, ...]:
        """Positions of the free components in the measure."""
        pairs = self.gradients if finite else tuple(MANDEL[a] for a in self.strains)
        return tuple(pairs.index((i, i)) for i in self.free)

    def measure(self, u: Any, *, finite: bool, axes: Any = None) -> Any:
        """Strain (Mandel) or displacement gradient as a UFL vector; free components are 0.

        Args:
            u: Displacement.
            finite: Finite strain.
            axes: Q whose columns are the material axes, a UFL tensor ``(3, 3)``: the components
                are those of Qᵀ (∂u/∂X) Q.
        """
        gradient = self._gradient(u)
        if axes is not None:
            rotated = ufl.transpose(axes) * ufl.as_tensor(gradient) * axes
            gradient = [[rotated[i, j] for j in range(3)] for i in range(3)]
        if finite:
            return ufl.as_vector([gradient[i][j] for i, j in self.gradients])
        return ufl.as_vector(
            [
                gradient[i][i] if i == j else (gradient[i][j] + gradient[j][i]) / ROOT2
                for i, j in (MANDEL[a] for a in self.strains)
            ]
        )

    def _gradient(self, u: Any) -> list[list[Any]]:
        result: list[list[Any]] = [[ufl.as_ufl(0.0)] * 3 for _ in range(3)]
        if self.symmetry is Symmetry.AXIAL:
            result[0][0] = ufl.grad(u)[0] if u.ufl_shape == () else ufl.grad(u)[0, 0]
            return result
        gradient = ufl.grad(u)
        for i in range(self.dimension):
            for j in range(self.dimension):
                result[i][j] = gradient[i, j]
        if self.symmetry is Symmetry.ROTATIONAL:
            radius = ufl.SpatialCoordinate(ufl.domain.extract_unique_domain(u))[0]
            result[2][2] = u[0] / radius
        return result

    def check(self, mesh: Any) -> None:
        """Raise :class:`ValueError` unless the mesh has this setting's dimension."""
        dimensions = (mesh.topology.dim, mesh.geometry.dim)
        if dimensions != (self.dimension, self.dimension):
            raise ValueError(
                f"{self.name}: needs a mesh of dimension {self.dimension}; found cells of "
                f"dimension {dimensions[0]} in {dimensions[1]} coordinates. "
                f"{_ADVICE[dimensions[0]]}"
            )


_ADVICE = {
    0: "",
    1: "On intervals use Uniaxial or UniaxialStress.",
    2: "In the plane use PlaneStrain, PlaneStress, Axisymmetric or Microcircle.",
    3: "In space use Microsphere or FullStrain.",
}

_PLANE_STRAINS = (0, 1, 2, 3)
_PLANE_GRADIENTS = ((0, 0), (0, 1), (1, 0), (1, 1), (2, 2))

SPACE = Setting(
    "solid in space",
    Symmetry.SPACE,
    3,
    (0, 1, 2, 3, 4, 5),
    tuple((i, j) for i in range(3) for j in range(3)),
)
PLANE = Setting("plane solid", Symmetry.PLANE, 2, (0, 1, 3), ((0, 0), (0, 1), (1, 0), (1, 1)))
PLANE_STRAIN = Setting("plane strain", Symmetry.PLANE, 2, _PLANE_STRAINS, _PLANE_GRADIENTS)
PLANE_STRESS = Setting("plane stress", Symmetry.PLANE, 2, _PLANE_STRAINS, _PLANE_GRADIENTS, (2,))
AXISYMMETRIC = Setting(
    "rotational symmetry",
    Symmetry.ROTATIONAL,
    2,
    _PLANE_STRAINS,
    _PLANE_GRADIENTS,
    labels="rzt",
)
UNIAXIAL_STRESS = Setting(
    "uniaxial stress", Symmetry.AXIAL, 1, (0, 1, 2), ((0, 0), (1, 1), (2, 2)), (1, 2)
)
