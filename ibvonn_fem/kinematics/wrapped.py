"""The same material in another setting: plane strain, plane stress, rotational symmetry, a bar."""

from __future__ import annotations

from ..model.manifest import Manifest
from .settings import AXISYMMETRIC, PLANE_STRAIN, PLANE_STRESS, UNIAXIAL_STRESS, Setting
from .solid import Solid


class Wrapped(Solid):
    """A solid moved into another setting.

    Args:
        solid: ``Microsphere(…)`` or ``FullStrain(…)``.
        setting: The new setting.
        factor: Thickness or cross-section.

    Raises:
        ValueError: If the solid has not all strains of the setting.
    """

    def __init__(self, solid: Solid, setting: Setting, factor: float = 1.0) -> None:
        if isinstance(solid, Wrapped):
            raise ValueError(
                f"{setting.name}: needs Microsphere(…) or FullStrain(…); found "
                f"{type(solid).__name__}, which is wrapped already. Wrap the solid once."
            )
        missing = set(setting.strains) - set(solid.setting.strains)
        if missing:
            raise ValueError(
                f"{setting.name}: needs the strain along z, which {type(solid).__name__} in the "
                "plane does not have. Use Microsphere, or a law with 4 or 6 strain components."
            )
        self._solid = solid
        super().__init__(
            solid.map_in,
            setting,
            finite=solid.finite,
            volumetric=solid.volumetric,
            factor=factor,
            stress_free=solid.stress_free,
            axes=solid.axes,
        )

    def check_law(self, manifest: Manifest) -> None:
        """Raise :class:`ValueError` unless the law has the strains of the solid."""
        super().check_law(manifest)
        self._solid.check_law(manifest)


class PlaneStrain(Wrapped):
    """Plane strain, ε_i3 = 0; ``law.stress`` has the components xx yy zz xy (√2 on shear).

    At finite strain the components of H and P are xx xy yx yy zz.

    Args:
        solid: ``Microsphere(…)`` or ``FullStrain(…)``.
        thickness: Thickness [length]; multiplies work and energy.

    Example:
        ``InternalVariableLaw(model, PlaneStrain(Microsphere()), u, 2)``
    """

    def __init__(self, solid: Solid, thickness: float = 1.0) -> None:
        super().__init__(solid, PLANE_STRAIN, thickness)


class PlaneStress(Wrapped):
    """Plane stress, σ_33 = 0: the thickness strain follows from it at every point.

    It is part of ``law.measure``, committed and restored with the state. The components are those
    of plane strain; those of zz of the tangent have no meaning.

    Args:
        solid: ``Microsphere(…)`` or ``FullStrain(…)``.
        thickness: Thickness [length]; multiplies work and energy.
    """

    def __init__(self, solid: Solid, thickness: float = 1.0) -> None:
        super().__init__(solid, PLANE_STRESS, thickness)


class Axisymmetric(Wrapped):
    """Rotational symmetry about the line r = 0, with x = (r, z) and u = (u_r, u_z); no torsion.

    Components rr zz tt rz (t around the axis, √2 on shear); at finite strain rr rz zr zz tt. The
    volume element is 2πr dr dz; directions of an orientation are (r, z, t).

    Args:
        solid: ``Microsphere(…)`` or ``FullStrain(…)``.
    """

    def __init__(self, solid: Solid) -> None:
        super().__init__(solid, AXISYMMETRIC)


class UniaxialStress(Wrapped):
    """A bar of a three-dimensional material along x: lateral strains follow from zero stress.

    Components xx yy zz. The material must not couple them with shear, which holds for isotropy and
    for symmetry about the coordinate planes.

    Args:
        solid: ``Microsphere(…)`` or ``FullStrain(…)``.
        area: Cross-section [length²]; multiplies work and energy.
    """

    def __init__(self, solid: Solid, area: float = 1.0) -> None:
        super().__init__(solid, UNIAXIAL_STRESS, area)
