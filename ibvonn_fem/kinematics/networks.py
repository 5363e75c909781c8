"""Networks of springs that each follow a law with one strain: microsphere and microcircle.

An affine network of ρ springs per volume in directions n with weights w (averages over the sphere),

    W = ρ Σ_k w_k f(ε_k, α_k),   ε_k = n_k·ε n_k   or   |F n_k| − 1,

is a solid with as many internal variables as directions. Each satisfies the second law by itself.
In the reference state of an isotropic network of modulus E₀:

    in space       λ = μ = ρ E₀/15,  ν = 1/4,  Young's modulus ρ E₀/6,
    in the plane   λ = μ = ρ E₀/8,   ν = 1/3,  Young's modulus ρ E₀/3,

to which U(J) adds its modulus κ in λ.
"""

from __future__ import annotations

import logging
from typing import Any, ClassVar, Self

from ..directions import Directions, Orientation, equispaced, lebedev
from ..model.exported_model import ExportedModel
from .settings import PLANE, SPACE, Setting
from .solid import Solid
from .strain_maps import DirectionMap
from .volumetric import QuadraticVolumetric, Volumetric

logger = logging.getLogger(__name__)


class _Network(Solid):
    """Base of both networks, which differ in their setting and their family of rules."""

    _setting: ClassVar[Setting]
    _rule: ClassVar[staticmethod[[int], Directions]]
    _default: ClassVar[int]
    _finest: ClassVar[int]  # number of directions for the moments of an orientation

    def __init__(
        self,
        directions: int | Directions | None = None,
        *,
        density: float = 1.0,
        finite: bool = False,
        volumetric: Volumetric | None = None,
        orientation: Orientation | None = None,
        stress_free: bool = True,
    ) -> None:
        if not density > 0.0:
            raise ValueError(f"{type(self).__name__}: density must be positive; found {density}.")
        self.density = float(density)
        if directions is None:
            directions = self._default
        rule = directions if isinstance(directions, Directions) else self._rule(directions)
        if orientation is not None:
            rule = rule.oriented(orientation, self._rule(self._finest))
        super().__init__(
            lambda setting: DirectionMap(rule, setting, self.density, finite=finite),
            self._setting,
            finite=finite,
            volumetric=volumetric,
            stress_free=stress_free,
        )


class Microsphere(_Network):
    """Isotropic or oriented network in space of springs that follow a law with one strain.

    For plane problems and bars wrap it: ``PlaneStrain(Microsphere())``, ``PlaneStress``,
    ``Axisymmetric``, ``UniaxialStress``; mirror directions then count as one (55 → 31).

    Args:
        directions: Number of directions of a Lebedev rule on the half sphere (25 to try, 55 as a
            rule and by default, 97 to check; errors 1.3, 0.7 and 0.2 % with sharp wells), or a
            rule of your own.
        density: ρ: length of springs per volume, if the law's stress is the force in one spring
            [1/length²]; in general stress of the solid over stress of the law. See
            :meth:`from_modulus`.
        finite: Finite strain.
        volumetric: U(J), for Poisson ratios above 1/4.
        orientation: Density of springs by direction, unit vectors (m, 3) → (m,); any factor.
        stress_free: Subtract the law's initial stress, so that the reference state bears none.
    """

    _setting = SPACE
    _rule = staticmethod(lebedev)
    _default = 55
    _finest = 385

    @classmethod
    def from_modulus(
        cls,
        model: ExportedModel,
        young: float,
        poisson: float = 0.25,
        *,
        relaxed: bool = False,
        **options: Any,
    ) -> Self:
        """Calibrate density and U(J) by the elastic constants at the reference state.

        Args:
            model: The law.
            young: Young's modulus of the solid [stress].
            poisson: Poisson's ratio, 1/4 or more.
            relaxed: The constants are those after a long time instead of the instantaneous ones.
            **options: As for the class.

        Raises:
            ValueError: If no density and U(J) give these constants.
        """
        _require_ratio(cls.__name__, poisson, 0.25, 0.5)
        shear = young / (2.0 * (1.0 + poisson))
        first = 2.0 * shear * poisson / (1.0 - 2.0 * poisson)
        density = 15.0 * shear / reference_modulus(model, relaxed=relaxed)
        return cls(density=density, **_with_bulk(first - shear, shear, options))


class Microcircle(_Network):
    """Isotropic or oriented plane network of springs that follow a law with one strain.

    Components xx yy xy (√2 on shear), at finite strain xx xy yx yy; stress is a force per length.

    Args:
        directions: Number of equispaced directions on the half circle (12, or 16 by default;
            errors 0.3 and 0.1 % with sharp wells), or a rule of your own.
        density: As for :class:`Microsphere`, per area.
        finite: Finite strain.
        volumetric: U(J) of the area ratio, for Poisson ratios (of the plane) above 1/3.
        orientation: Density of springs by direction, unit vectors (m, 3) → (m,); any factor.
        stress_free: Subtract the law's initial stress.
    """

    _setting = PLANE
    _rule = staticmethod(equispaced)
    _default = 16
    _finest = 360

    @classmethod
    def from_modulus(
        cls,
        model: ExportedModel,
        young: float,
        poisson: float = 1.0 / 3.0,
        *,
        relaxed: bool = False,
        **options: Any,
    ) -> Self:
        """Calibrate density and U(J) by the elastic constants of the plane at the reference state.

        Args:
            model: The law.
            young: Stress over strain in uniaxial tension in the plane [force / length].
            poisson: Ratio of the plane, 1/3 or more.
            relaxed: The constants are those after a long time instead of the instantaneous ones.
            **options: As for the class.

        Raises:
            ValueError: If no density and U(J) give these constants.
        """
        _require_ratio(cls.__name__, poisson, 1.0 / 3.0, 1.0)
        shear = young / (2.0 * (1.0 + poisson))
        first = 2.0 * shear * poisson / (1.0 - poisson)
        density = 8.0 * shear / reference_modulus(model, relaxed=relaxed)
        return cls(density=density, **_with_bulk(first - shear, shear, options))


def reference_modulus(model: ExportedModel, *, relaxed: bool = False) -> float:
    """dσ/dε of a law with one strain at its declared equilibrium, at once or after a long time.

    Raises:
        ValueError: If the law has several strains, or a modulus that is not positive.
        LocalSolveError: If the law does not converge there.
    """
    manifest = model.manifest
    if manifest.strain_size != 1:
        raise ValueError(
            f"reference_modulus: needs a law with one strain; {manifest.name} has "
            f"{manifest.strain_size}."
        )
    strain = manifest.initial_state.strain[None]
    slowest = 1e6 * max(float(manifest.envelope.time_step[1]), 1.0)
    update = model.update(
        strain, strain, model.initial_state(), slowest if relaxed else 0.0, relaxing=True
    )
    modulus = float(update.tangent[0, 0, 0])
    if not modulus > 0.0:
        raise ValueError(
            f"reference_modulus: {manifest.name} has modulus {modulus:.6g} at its equilibrium; "
            "only a positive one can be calibrated."
        )
    return modulus


def _require_ratio(context: str, poisson: float, lowest: float, limit: float) -> None:
    if not lowest * (1.0 - 1e-12) <= poisson < limit:
        raise ValueError(
            f"{context}: Poisson's ratio must be at least {lowest:.6g}, that of the network, and "
            f"less than {limit:.6g}; found {poisson:.6g}."
        )


def _with_bulk(bulk: float, shear: float, options: dict[str, Any]) -> dict[str, Any]:
    """Options with the volumetric part that is needed, none where it is zero to round-off."""
    if "volumetric" in options or "density" in options:
        raise ValueError(
            "from_modulus: density and volumetric follow from the moduli; leave them out."
        )
    if bulk <= 1e-9 * shear:
        return options
    return {**options, "volumetric": QuadraticVolumetric(bulk)}
