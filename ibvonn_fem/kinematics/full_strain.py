"""Laws whose strain is a tensor: one evaluation at each quadrature point."""

from __future__ import annotations

from typing import Any

from .settings import PLANE, PLANE_STRAIN, SPACE
from .solid import Solid
from .strain_maps import TensorMap
from .volumetric import Volumetric

SETTINGS = {
    6: (SPACE, (0, 1, 2, 3, 4, 5)),
    4: (PLANE_STRAIN, (0, 1, 2, 3)),
    3: (PLANE, (0, 1, 3)),
}
"""Setting of a law by its number of strains, and these among the six Mandel components."""


class FullStrain(Solid):
    """A law of the strain tensor in Mandel order.

    With 6 components (xx yy zz xy xz yz, √2 on shear) a solid in space; wrap it in ``PlaneStrain``,
    ``PlaneStress``, ``Axisymmetric`` or ``UniaxialStress`` for other settings. With 4 components
    (xx yy zz xy) a solid in plane strain, to be wrapped likewise. With 3 (xx yy xy) a law of the
    plane, on a mesh of the plane.

    Args:
        size: Strain components of the law: 6, 4 or 3.
        finite: Total Lagrangian: the law's strain is that of Green and Lagrange and its stress the
            second Piola–Kirchhoff stress.
        volumetric: U(J), added to the law's energy.
        stress_free: Subtract the law's initial stress.
        axes: Axes of the material, along which the law's components are; by default x, y, z. In
            the plane an angle in radians from x to the first axis, counter-clockwise; in space a
            matrix Q whose columns are the axes. Numbers, or UFL expressions for axes that vary.
            ``law.stress`` then has the components along these axes, and ``tensor`` turns them
            back into x, y, z.

    Raises:
        ValueError: If ``size`` is none of these, or the axes are not orthonormal.
    """

    def __init__(
        self,
        size: int = 6,
        *,
        finite: bool = False,
        volumetric: Volumetric | None = None,
        stress_free: bool = True,
        axes: Any = None,
    ) -> None:
        if size not in SETTINGS:
            raise ValueError(
                f"FullStrain: size must be 6, 4 or 3 strain components; found {size}. "
                "Laws with one strain go into Uniaxial, Microsphere or Microcircle."
            )
        setting, strains = SETTINGS[size]
        super().__init__(
            lambda setting: TensorMap(strains, setting),
            setting,
            finite=finite,
            volumetric=volumetric,
            stress_free=stress_free,
            axes=axes,
        )
