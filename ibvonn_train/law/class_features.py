"""Features of the classes of elements: what the networks of a law with populations see."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .internal_variables import InternalVariables
from .networks.tied import averaged


class ClassFeatures(nn.Module):
    """Scaled strain features A_a ε and internal variables of every class, class by class.

    Strain features are standardised, alike for classes that a permutation maps on each other;
    fractions go from −1 to 1, means have unit variance already.

    Args:
        strain_size: n_ε.
        variables: Kinds and numbers of the internal variables.
        strain_basis: A, shape ``(classes, q, n_ε)``.
        orbits: Of pairs of classes.
    """

    basis: Tensor
    orbits: Tensor
    strain_centre: Tensor
    strain_scale: Tensor
    unit: Tensor
    middle: Tensor

    def __init__(
        self,
        strain_size: int,
        variables: InternalVariables,
        strain_basis: Tensor,
        orbits: Tensor,
    ) -> None:
        super().__init__()
        self.variables = variables
        unit = torch.ones(variables.size, dtype=torch.float64)
        middle = torch.zeros(variables.size, dtype=torch.float64)
        for first, states in variables.groups:
            unit[first : first + states - 1] = 2.0
            middle[first : first + states - 1] = 0.5
        self.register_buffer("basis", strain_basis.to(torch.float64))
        self.register_buffer("strain_centre", torch.zeros(strain_size, dtype=torch.float64))
        self.register_buffer("strain_scale", torch.ones(strain_size, dtype=torch.float64))
        self.register_buffer("orbits", orbits, persistent=False)
        self.register_buffer("unit", unit, persistent=False)
        self.register_buffer("middle", middle, persistent=False)

    @property
    def strain_features(self) -> int:
        """q, strain features of one class."""
        return self.basis.shape[1]

    def of_strain(self) -> tuple[Tensor, Tensor]:
        """Return S ``(classes, q, n_ε)`` and s ``(classes, q)`` of the strain features S ε + s."""
        size = averaged(self.basis.abs() @ self.strain_scale, self.orbits).clamp(min=1e-300)
        strain = self.basis / size.unsqueeze(-1)
        return strain, -averaged(strain @ self.strain_centre, self.orbits)

    def map(self) -> tuple[Tensor, Tensor]:
        """Return Z and x_0 of the features x = Z z + x_0 of all classes, z = (ε, α)."""
        classes, q, m = self.basis.shape
        n = self.variables.per_class
        strain, shift = self.of_strain()
        rows = self.basis.new_zeros(classes, q + n, m + self.variables.size)
        offset = self.basis.new_zeros(classes, q + n)
        rows[:, :q, :m] = strain
        offset[:, :q] = shift
        own = torch.arange(n)
        for a in range(classes):
            rows[a, q + own, m + a * n + own] = self.unit[a * n : (a + 1) * n]
        offset[:, q:] = -(self.unit * self.middle).reshape(classes, n)
        return rows.flatten(0, 1), offset.flatten()

    def places(self) -> tuple[Tensor, Tensor]:
        """Return where the features of strain and of α stand among those of all classes."""
        classes, q, _ = self.basis.shape
        order = torch.arange(classes * (q + self.variables.per_class), device=self.basis.device)
        order = order.reshape(classes, -1)
        return order[:, :q].flatten(), order[:, q:].flatten()
