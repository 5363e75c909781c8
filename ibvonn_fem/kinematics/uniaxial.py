"""Bars and trusses: one strain along the axis of an interval cell."""

from __future__ import annotations

from typing import Any

import numpy as np
import ufl

from ..kernels.base import FloatArray, LocalUpdate
from ..model.manifest import Manifest
from .interface import Kinematics


class Uniaxial(Kinematics):
    """Axial strain of a bar, ε = t · (∇u) t with t the unit tangent of the cell.

    On an interval mesh of a line with a scalar displacement, ε = du/dx. On an interval mesh
    embedded in the plane or in space, the displacement is a vector and rotations are small.

    Args:
        area: Cross-section [length²]; multiplies work and energy, not ``law.stress``.
        stress_free: Subtract the law's initial stress, so that the undeformed bar bears none.
    """

    direction_count = 1
    shape: tuple[int, ...] = ()

    def __init__(self, area: float = 1.0, *, stress_free: bool = True) -> None:
        if not area > 0.0:
            raise ValueError(f"Uniaxial: area must be positive; found {area}.")
        self.area = float(area)
        self.stress_free = stress_free

    def check(self, mesh: Any, manifest: Manifest) -> None:
        """Raise :class:`ValueError` unless the mesh is of intervals and the law has one strain."""
        if mesh.topology.dim != 1:
            raise ValueError(
                "Uniaxial: needs a mesh of intervals; found cells of dimension "
                f"{mesh.topology.dim}. Choose a kinematics for solids."
            )
        if manifest.strain_size != 1:
            raise ValueError(
                f"Uniaxial: needs a law with 1 strain component; {manifest.name} has "
                f"{manifest.strain_size} ({', '.join(manifest.strain_components)})."
            )

    def measure(self, u: Any) -> Any:
        """ε(u) in UFL."""
        if u.ufl_shape == ():
            return ufl.grad(u)[0]
        jacobian = ufl.Jacobian(ufl.domain.extract_unique_domain(u))
        tangent = jacobian[:, 0] / ufl.sqrt(ufl.dot(jacobian[:, 0], jacobian[:, 0]))
        return ufl.dot(tangent, ufl.dot(ufl.grad(u), tangent))

    def weight(self, mesh: Any) -> Any:  # noqa: ARG002
        """The cross-section."""
        return self.area

    def strains(self, measure: FloatArray, out: FloatArray) -> None:
        """The measure is the strain."""
        np.copyto(out, measure)

    def gather(
        self,
        measure: FloatArray,  # noqa: ARG002
        update: LocalUpdate,
        stress: FloatArray,
        tangent: FloatArray,
    ) -> None:
        """Stress and tangent of the law."""
        np.copyto(stress, update.stress)
        np.copyto(tangent, update.tangent.reshape(tangent.shape))

    def average(self, values: FloatArray, out: FloatArray) -> None:
        """The value of the one direction."""
        np.copyto(out, values)
