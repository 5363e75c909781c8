r"""A bond with two states: folded or open, in series with a spring or plain.

With the elongation u and the inner coordinate z of a bistable element,

.. math::
    E_b = \tfrac k2 (u - z)^2 + W(z), \qquad
    W = \tfrac K2 z^2 \text{ for } z \le z_c, \quad \tfrac K2 (z - z_h)^2 + D \text{ beyond},

and the wells cross at z_c = z_h/2 + D/(K z_h). A *plain* bond has the energy W(u) with the
stiffness k in place of K.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class TwoStateBond:
    """Energy and forces of bonds; where z is None the bonds are plain.

    Attributes:
        stiffness: k [force / length].
        curvature: K; of plain bonds k.
        well_distance: z_h [length].
        offset: D [energy].
    """

    stiffness: float
    curvature: float
    well_distance: float
    offset: float

    @property
    def crossing(self) -> float:
        """z_c."""
        return 0.5 * self.well_distance + self.offset / (self.curvature * self.well_distance)

    @property
    def stiffness_in_series(self) -> float:
        """κ = k K/(k + K), of a bond that stays in its well."""
        return self.stiffness * self.curvature / (self.stiffness + self.curvature)

    def energy(self, elongation: Tensor, inner: Tensor | None) -> Tensor:
        """Return E_b, shape of the elongations."""
        if inner is None:
            return self._well(elongation)
        return 0.5 * self.stiffness * (elongation - inner) ** 2 + self._well(inner)

    def tension(self, elongation: Tensor, inner: Tensor | None) -> Tensor:
        """Return ∂E_b/∂u, shape of the elongations."""
        if inner is None:
            return self.well_force(elongation)
        return self.stiffness * (elongation - inner)

    def well_force(self, z: Tensor) -> Tensor:
        """Return ∂W/∂z."""
        return self.curvature * torch.where(z > self.crossing, z - self.well_distance, z)

    def _well(self, z: Tensor) -> Tensor:
        folded = 0.5 * self.curvature * z**2
        opened = 0.5 * self.curvature * (z - self.well_distance) ** 2 + self.offset
        return torch.where(z > self.crossing, opened, folded)
