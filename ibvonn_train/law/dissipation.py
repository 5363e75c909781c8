"""Dual dissipation potential φ(g; ε, α) and the rate α̇ = ∂φ/∂g."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .networks import ConvexRidge


class DualDissipation(nn.Module):
    """Convex potential with φ(0) = 0 and ∂φ/∂g(0) = 0, so that g·α̇ ≥ φ ≥ 0 for any weights.

    φ(g; ε, α) = (E/τ) Φ(g/E; normalised state), Φ a convex ridge function, E the energy scale and τ
    the time in which α changes by one standard deviation.

    Args:
        strain_size: n_ε.
        internal_size: n_α.
        ridges: Number of softplus ridges; 0 for a quadratic potential.
        context_widths: Hidden layers of the network of the state.
        generator: Source of the initial weights.
    """

    energy_scale: Tensor
    time_scale: Tensor

    def __init__(
        self,
        strain_size: int,
        internal_size: int,
        *,
        ridges: int,
        context_widths: Sequence[int],
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.net = ConvexRidge(
            internal_size,
            strain_size + internal_size,
            ridges=ridges if internal_size else 0,
            context_widths=context_widths,
            generator=generator,
        )
        self.register_buffer("energy_scale", torch.ones((), dtype=torch.float64))
        self.register_buffer("time_scale", torch.ones((), dtype=torch.float64))

    def forward(self, driving_force: Tensor, state: Tensor) -> Tensor:
        """Return φ, shape ``(...)``, for g of ``(..., n_α)`` and the normalised state."""
        value: Tensor = self.net(driving_force / self.energy_scale, state)
        return self.energy_scale / self.time_scale * value

    def rate(self, driving_force: Tensor, state: Tensor) -> Tensor:
        """Return α̇ = ∂φ/∂g, shape ``(..., n_α)``."""
        return self.net.gradient(driving_force / self.energy_scale, state) / self.time_scale

    def hessian(self, driving_force: Tensor, state: Tensor) -> Tensor:
        """Return the mobility ∂²φ/∂g², shape ``(..., n_α, n_α)``."""
        scale = self.energy_scale * self.time_scale
        return self.net.hessian(driving_force / self.energy_scale, state) / scale
