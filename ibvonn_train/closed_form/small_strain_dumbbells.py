r"""Hookean dumbbells at small strain, exactly: a Maxwell solid with n_ε = n_α = 3 or 6.

In a medium that deforms affinely, with the connector q in the coordinates of the undeformed medium,
C = I + 2ε and A = ⟨q⊗q⟩ = (k_BT/H)(I + α), the free energy of one dumbbell is

.. math::
    f = \tfrac H2\,\mathrm{tr}(C A) - \tfrac{k_BT}2 \ln\det A - \tfrac{k_BT}2 \ln\det C
      = k_BT\,|\varepsilon + \alpha/2|^2 + \text{third order},

up to its constant, and its second order is the law at small strain:

.. math::
    \sigma = k_BT\,(2\varepsilon + \alpha), \quad g = -k_BT\,(\varepsilon + \alpha/2), \quad
    \varphi = \frac{|g|^2}{k_BT\,\lambda}, \quad \dot\alpha = -(2\varepsilon + \alpha)/\lambda,

with the relaxation time λ = η/2H, η being the drag on the connector (half that of a bead, ζ/2, so
that λ = ζ/4H). −α/2 is the viscous strain. Errors of σ and α are of the second order in ε. The
pressure of the dumbbells follows the medium here, S = H A − k_BT C⁻¹; where it does not, as in
:class:`~ibvonn_train.simulation.HookeanDumbbell`, the stress H A − k_BT I is smaller by 2 k_BT ε.

References:
    R. B. Bird, C. F. Curtiss, R. C. Armstrong & O. Hassager (1987), *Dynamics of Polymeric
    Liquids*, volume 2, section 13.4.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from ..export.parameters import FloatArray, LawParameters
from ..simulation.systems.lattice_geometry import shears
from .linear_solids import quadratic_law

STRAIN_RANGE = 0.1
"""Declared half width of ε; that of α is twice as large."""


def small_strain_dumbbells(
    dimension: int, *, stiffness: float = 1.0, friction: float = 1.0, thermal_energy: float = 1.0
) -> LawParameters:
    """Build the law, stress and energy per dumbbell, in Mandel order.

    Args:
        dimension: 2 (three strains) or 3 (six).
        stiffness: H.
        friction: η.
        thermal_energy: k_BT.

    Raises:
        ValueError: If the dimension is another.
    """
    if dimension not in (2, 3):
        raise ValueError(
            f"small_strain_dumbbells: dimension must be 2 (three strains) or 3 (six); found "
            f"{dimension}."
        )
    size = dimension * (dimension + 1) // 2
    one, relaxation = np.eye(size), friction / (2.0 * stiffness)
    quadratic: FloatArray = thermal_energy * np.block([[2.0 * one, one], [one, 0.5 * one]])
    widths = np.repeat([STRAIN_RANGE, 2.0 * STRAIN_RANGE], size)
    return quadratic_law(
        quadratic,
        2.0 / (thermal_energy * relaxation) * one,
        strain_size=size,
        internal_scale=widths[size:],
        envelope=np.stack([-widths, widths], 1),
    )


class SecondMoments(nn.Module):
    """α = (H/k_BT)⟨q⊗q⟩ − I in Mandel order, of microstates ``(n_state, n_replica, d)``."""

    def __init__(self, dimension: int, *, stiffness: float, thermal_energy: float) -> None:
        super().__init__()
        rows, columns = shears(dimension)
        one = torch.eye(dimension, dtype=torch.float64)
        self.first: Tensor
        self.second: Tensor
        self.rest: Tensor
        scale = torch.full((dimension + len(rows),), stiffness / thermal_energy).double()
        scale[dimension:] *= math.sqrt(2.0)
        self.register_buffer("first", one[:, [*range(dimension), *rows]] * scale)
        self.register_buffer("second", one[:, [*range(dimension), *columns]])
        self.register_buffer("rest", torch.cat([one.diagonal(), torch.zeros(len(rows)).double()]))

    def forward(self, microstate: Tensor) -> Tensor:
        """Average the products over the replicas."""
        products = torch.matmul(microstate, self.first) * torch.matmul(microstate, self.second)
        return torch.mean(products, 1) - self.rest
