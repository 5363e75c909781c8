"""Convex function of one argument whose coefficients depend on another."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .convex import (
    RidgeWeights,
    ridge_coefficients,
    ridge_gradient,
    ridge_hessian,
    ridge_value,
    triangle_places,
)
from .mlp import TanhNetwork, uniform


class ConvexRidge(nn.Module):
    """Function Φ(g; c) = ½ |Λᵀg|² + Σ_j A_j [s(u_j + b_j) − s(b_j) − s'(b_j) u_j], u = W g.

    Λ(c) is lower triangular with positive diagonal and A_j(c) > 0: a tanh network of c gives the
    lower triangle row by row, then ln A; the diagonal of Λ is the exponential of its entry. So Φ is
    convex in g with its minimum 0 at g = 0, for any weights.

    Args:
        size: Number of components of g.
        context_size: Number of components of c.
        ridges: Number K of softplus ridges; 0 for a quadratic function.
        context_widths: Hidden layers of the network of c.
        generator: Source of the initial weights.
    """

    diagonal: Tensor
    places: Tensor

    def __init__(
        self,
        size: int,
        context_size: int,
        *,
        ridges: int,
        context_widths: Sequence[int],
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.size = size
        self.ridges = ridges
        outputs = size * (size + 1) // 2 + ridges
        self.context = TanhNetwork(context_size, context_widths, outputs, generator=generator)
        self.weight = nn.Parameter(uniform((ridges, size), 1.5, generator))
        self.bias = nn.Parameter(uniform((ridges,), 1.5, generator))
        diagonal, places = triangle_places(size)
        self.register_buffer("diagonal", diagonal, persistent=False)
        self.register_buffer("places", places, persistent=False)

    def weights(self) -> RidgeWeights:
        """Return W and b."""
        return RidgeWeights(self.weight, self.bias, self.ridges, self.size)

    def coefficients(self, c: Tensor) -> tuple[Tensor, Tensor]:
        """Return Λ Λᵀ and A, shapes ``(..., size, size)`` and ``(..., ridges)``."""
        return ridge_coefficients(self.context(c), self.diagonal, self.places, self.size)

    def forward(self, g: Tensor, c: Tensor) -> Tensor:
        """Return Φ, shape ``(...)``, for g of ``(..., size)`` and c of ``(..., context_size)``."""
        return ridge_value(g, *self.coefficients(c), self.weights()).squeeze(-1)

    def gradient(self, g: Tensor, c: Tensor) -> Tensor:
        """Return ∂Φ/∂g, shape ``(..., size)``."""
        return ridge_gradient(g, *self.coefficients(c), self.weights())

    def hessian(self, g: Tensor, c: Tensor) -> Tensor:
        """Return ∂²Φ/∂g², shape ``(..., size, size)``, positive definite."""
        return ridge_hessian(g, *self.coefficients(c), self.weights())
