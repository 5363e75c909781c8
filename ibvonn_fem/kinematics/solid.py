"""Solids of any setting: a strain map, small or finite strain, and a volumetric part."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import ufl

from ..kernels.base import FloatArray, LocalUpdate
from ..model.mandel import ORDERS, not_mandel
from ..model.manifest import Manifest
from .green_lagrange import GreenLagrange
from .interface import Kinematics
from .material_axes import axes_of
from .settings import MANDEL, ROOT2, Setting, Symmetry
from .strain_maps import StrainMap
from .volume_change import VolumeChange
from .volumetric import Volumetric


class Solid(Kinematics):
    """Base of all solids.

    At small strain the measure is ε in Mandel components and ``law.stress`` is σ; at finite strain
    the measure is H = ∂u/∂X and ``law.stress`` is the nominal stress P, both row by row.

    Args:
        map_in: Builds the strain map of the material in a setting.
        setting: Space, plane, rotational symmetry or bar.
        finite: Finite strain.
        volumetric: U(J).
        factor: Factor of the volume element: a thickness or a cross-section.
        stress_free: Subtract the law's initial stress.
        axes: Material axes, see :func:`~ibvonn_fem.kinematics.material_axes.axes_of`.

    Attributes:
        components: Names of the components of the measure.
        strain_map: From the strain of the solid to those of the law.
    """

    def __init__(
        self,
        map_in: Callable[[Setting], StrainMap],
        setting: Setting,
        *,
        finite: bool = False,
        volumetric: Volumetric | None = None,
        factor: float = 1.0,
        stress_free: bool = True,
        axes: Any = None,
    ) -> None:
        if not factor > 0.0:
            raise ValueError(f"{setting.name}: thickness or area must be positive; found {factor}.")
        self.map_in = map_in
        self.strain_map = map_in(setting)
        self.setting = setting
        self.finite = finite
        self.volumetric = volumetric
        self.factor = float(factor)
        self.stress_free = stress_free
        self.axes = None if axes is None else axes_of(axes, setting)
        self.direction_count = self.strain_map.direction_count
        self.components = setting.components(finite=finite)
        self.shape = (len(self.components),)
        self.condensed = setting.condensed(finite=finite)
        self._green = GreenLagrange(setting) if finite else None
        self._volume = (
            None if volumetric is None else VolumeChange(volumetric, setting, finite=finite)
        )

    def check(self, mesh: Any, manifest: Manifest) -> None:
        """Raise :class:`ValueError` unless mesh and law have the sizes of this solid."""
        self.setting.check(mesh)
        self.check_law(manifest)

    def check_law(self, manifest: Manifest) -> None:
        """Raise :class:`ValueError` unless the law has the strains of this solid."""
        expected = self.strain_map.law_strains
        if manifest.strain_size != expected:
            raise ValueError(
                f"{type(self).__name__}: needs a law with {expected} strain component"
                f"{'' if expected == 1 else 's'}; {manifest.name} has {manifest.strain_size} "
                f"({', '.join(manifest.strain_components)}). Laws with one strain go into "
                "Microsphere or Microcircle, others into FullStrain."
            )
        wrong = not_mandel(manifest)
        if wrong:
            raise ValueError(
                f"{type(self).__name__}: needs strains in Mandel order "
                f"({', '.join(ORDERS[expected])}, factor √2 on shear); of {manifest.name}, {wrong}"
                ". Export the law with its strains in this order, and say so (strain_order)."
            )

    def measure(self, u: Any) -> Any:
        """Strain in Mandel components, or displacement gradient, as a UFL vector."""
        return self.setting.measure(u, finite=self.finite, axes=self.axes)

    def weight(self, mesh: Any) -> Any:
        """Thickness or cross-section; 2πr in rotational symmetry."""
        if self.setting.symmetry is Symmetry.ROTATIONAL:
            return 2.0 * ufl.pi * ufl.SpatialCoordinate(mesh)[0]
        return self.factor

    def strains(self, measure: FloatArray, out: FloatArray) -> None:
        """Strains of the law."""
        self.strain_map.strains(self._strain(measure), out)

    def gather(
        self, measure: FloatArray, update: LocalUpdate, stress: FloatArray, tangent: FloatArray
    ) -> None:
        """Stress and stiffness of the solid."""
        if self._green is None:
            self.strain_map.gather(measure, update, stress, tangent)
        else:
            n, k = len(measure), len(self.setting.strains)
            second, material = np.empty((n, k)), np.empty((n, k * k))
            self.strain_map.gather(self._strain(measure), update, second, material)
            self._green.pull(measure, second, material, stress, tangent)
        if self._volume is not None:
            self._volume.add(measure, stress, tangent)

    def average(self, values: FloatArray, out: FloatArray) -> None:
        """Density times the weighted mean over the directions."""
        if self.direction_count == 1:
            np.multiply(values, self.strain_map.weights[0], out=out)
        else:
            np.matmul(values.reshape(-1, self.direction_count), self.strain_map.weights, out=out)
        out *= self.strain_map.density

    def energy(self, measure: FloatArray, update: LocalUpdate, out: FloatArray) -> None:
        """Energy of the law and of the volumetric part."""
        self.average(update.energy, out)
        if self._volume is not None:
            out += self._volume.energy(measure)

    def mean(self, values: FloatArray) -> FloatArray:
        """Mean over the directions, with their weights: (n, directions, k) → (n, k)."""
        return np.asarray(np.einsum("k,nkj->nj", self.strain_map.weights, values))

    def tensor(self, vector: Any) -> Any:
        """A UFL vector of components, such as ``law.stress``, as a 3 × 3 tensor in x, y, z."""
        rows: list[list[Any]] = [[ufl.as_ufl(0.0)] * 3 for _ in range(3)]
        if self.finite:
            for value, (i, j) in enumerate(self.setting.gradients):
                rows[i][j] = vector[value]
            return self._in_space(ufl.as_tensor(rows))
        for value, a in enumerate(self.setting.strains):
            i, j = MANDEL[a]
            rows[i][j] = rows[j][i] = vector[value] if i == j else vector[value] / ROOT2
        return self._in_space(ufl.as_tensor(rows))

    def _in_space(self, tensor: Any) -> Any:
        return tensor if self.axes is None else self.axes * tensor * ufl.transpose(self.axes)

    def _strain(self, measure: FloatArray) -> FloatArray:
        return measure if self._green is None else self._green.strain(measure)
