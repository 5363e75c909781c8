"""Laws of lattices at finite strain: their directions have true stretches."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..model.exported_model import ExportedModel
from ..model.manifest import Manifest
from .full_strain import SETTINGS
from .solid import Solid
from .stretch_map import StretchMap, direction_basis
from .volumetric import Volumetric


class DirectionStretch(Solid):
    r"""A law of the elongations of its directions, at finite strain (total Lagrangian).

    A lattice's law depends on the strain through the elongations of its directions, the rows
    l_a n_a⊗n_a of ``strain_basis`` in its manifest. Here these are true ones,

    .. math::
        e_a = l_a (|F n_a| - 1), \qquad
        P = \sum_a \frac{\partial f}{\partial e_a} l_a \frac{(F n_a) \otimes n_a}{|F n_a|},

    and the law is given the strain ε with A ε = e. P and its tangent are the derivatives of f by F,
    to round-off, and W(QF) = W(F). At small strain the solid is ``FullStrain``. Nodes need not
    move affinely: what a law has learned of that at small strain is used as it is, so where
    its directions have turned far, how they interact is an extrapolation. ``law.validity`` tells
    whether ε has left the training data, not whether directions have turned.

    A law with 6 strain components may be wrapped in ``PlaneStrain``, ``PlaneStress`` and so on.

    Args:
        model: The law, or another with the same directions.
        volumetric: U(J), added to the law's energy.
        stress_free: Subtract the law's initial stress.
        axes: Axes of the material, as for ``FullStrain``.

    Raises:
        ValueError: If the law does not depend on strain through independent directions alone.

    Example:
        ``InternalVariableLaw(model, DirectionStretch(model), u, 2)``
    """

    def __init__(
        self,
        model: ExportedModel,
        *,
        volumetric: Volumetric | None = None,
        stress_free: bool = True,
        axes: Any = None,
    ) -> None:
        manifest = model.manifest
        if manifest.strain_size not in SETTINGS:
            raise ValueError(
                "DirectionStretch: needs a law of 6, 4 or 3 strain components; "
                f"{manifest.name} has {manifest.strain_size}. Laws with one strain go into "
                "Uniaxial, or with finite=True into Microsphere or Microcircle."
            )
        setting, strains = SETTINGS[manifest.strain_size]
        self._basis = direction_basis(manifest.strain_basis, strains, manifest.name)
        super().__init__(
            lambda setting: StretchMap(self._basis, strains, setting),
            setting,
            finite=True,
            volumetric=volumetric,
            stress_free=stress_free,
            axes=axes,
        )

    def check_law(self, manifest: Manifest) -> None:
        """Raise :class:`ValueError` unless the law has the strains and directions of this one."""
        super().check_law(manifest)
        basis = manifest.strain_basis
        if basis is None or not np.array_equal(basis[:, 0], self._basis):
            raise ValueError(
                "DirectionStretch: needs the law it was made with, or one with the same "
                f"strain_basis; {manifest.name} has another. Make it with this law."
            )
