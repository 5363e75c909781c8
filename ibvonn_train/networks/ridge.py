"""Convex function of one argument whose coefficients depend on another."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .icnn import softplus
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
    place: Tensor

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
        self.triangle = size * (size + 1) // 2
        self.context = TanhNetwork(
            context_size, context_widths, self.triangle + ridges, generator=generator
        )
        self.weight = nn.Parameter(uniform((ridges, size), 1.5, generator))
        self.bias = nn.Parameter(uniform((ridges,), 1.5, generator))
        rows, columns = torch.tril_indices(size, size)
        place = torch.zeros(self.triangle, size * size, dtype=torch.float64)
        place[torch.arange(self.triangle), rows * size + columns] = 1.0
        self.register_buffer("diagonal", rows == columns, persistent=False)
        self.register_buffer("place", place, persistent=False)

    def coefficients(self, c: Tensor) -> tuple[Tensor, Tensor]:
        """Return Λ and A, shapes ``(..., size, size)`` and ``(..., ridges)``."""
        out = self.context(c)
        entries = out[..., : self.triangle]
        entries = torch.where(self.diagonal, torch.exp(entries), entries)
        shape = (*entries.shape[:-1], self.size, self.size)
        return (entries @ self.place).reshape(shape), torch.exp(out[..., self.triangle :])

    def forward(self, g: Tensor, c: Tensor) -> Tensor:
        """Return Φ, shape ``(...)``, for g of ``(..., size)`` and c of ``(..., context_size)``."""
        factor, amplitude = self.coefficients(c)
        u = g @ self.weight.T
        ridge = softplus(u + self.bias) - softplus(self.bias) - torch.sigmoid(self.bias) * u
        return 0.5 * (g.unsqueeze(-2) @ factor).square().sum((-2, -1)) + (amplitude * ridge).sum(-1)

    def gradient(self, g: Tensor, c: Tensor) -> Tensor:
        """Return ∂Φ/∂g, shape ``(..., size)``."""
        factor, amplitude = self.coefficients(c)
        u = g @ self.weight.T
        slope = torch.sigmoid(u + self.bias) - torch.sigmoid(self.bias)
        quadratic = (factor @ (factor.mT @ g.unsqueeze(-1))).squeeze(-1)
        return quadratic + (amplitude * slope) @ self.weight

    def hessian(self, g: Tensor, c: Tensor) -> Tensor:
        """Return ∂²Φ/∂g², shape ``(..., size, size)``, positive definite."""
        factor, amplitude = self.coefficients(c)
        slope = torch.sigmoid(g @ self.weight.T + self.bias)
        curvature = amplitude * slope * (1.0 - slope)
        return factor @ factor.mT + self.weight.T @ (curvature.unsqueeze(-1) * self.weight)
