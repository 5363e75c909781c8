"""Free energy f(ε, α) of a law of means, convex in α and, where that is right, jointly convex."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .networks import InputConvexNetwork

MicroscopicEnergy = Callable[[Tensor, Tensor], Tensor]
"""e(x, ε) per unit reference length: microstates ``(n_state, n_point, n_x)``, strain ``(n_state,
n_ε)`` → ``(n_state, n_point)``. Averaged strain does not enter e, but is passed all the same."""


class EnergyValues(NamedTuple):
    """f, σ = ∂f/∂ε and g = −∂f/∂α."""

    energy: Tensor
    stress: Tensor
    driving_force: Tensor


class FreeEnergy(nn.Module):
    """Helmholtz free energy per unit reference length, convex in α at fixed ε.

    f(ε, α) = E F((ε − c)/s, α) + offset, F an input-convex network and E the product of the
    standard deviations of stress and strain in the training data, so that F is of order one. F is
    jointly convex unless it is coupled, by a free bilinear term in ε and α.

    Args:
        strain_size: n_ε.
        internal_size: n_α.
        widths: Hidden layers of F; empty for a quadratic law.
        generator: Source of the initial weights.
        coupled: Whether F is coupled.
    """

    strain_centre: Tensor
    strain_scale: Tensor
    energy_scale: Tensor
    offset: Tensor

    def __init__(
        self,
        strain_size: int,
        internal_size: int,
        *,
        widths: Sequence[int],
        generator: torch.Generator,
        coupled: bool = False,
    ) -> None:
        super().__init__()
        self.strain_size = strain_size
        self.net = InputConvexNetwork(
            strain_size + internal_size,
            widths,
            generator=generator,
            coupled=strain_size if coupled else 0,
        )
        self.register_buffer("strain_centre", torch.zeros(strain_size, dtype=torch.float64))
        self.register_buffer("strain_scale", torch.ones(strain_size, dtype=torch.float64))
        self.register_buffer("energy_scale", torch.ones((), dtype=torch.float64))
        self.register_buffer("offset", torch.zeros((), dtype=torch.float64))

    def state(self, strain: Tensor, internal: Tensor) -> Tensor:
        """Return the normalised state ((ε − c)/s, α) that the networks see."""
        return torch.cat([(strain - self.strain_centre) / self.strain_scale, internal], -1)

    def forward(self, strain: Tensor, internal: Tensor) -> EnergyValues:
        """Return f, σ and g for ε of shape ``(..., n_ε)`` and α of ``(..., n_α)``."""
        value, gradient = self.net.value_and_gradient(self.state(strain, internal))
        n = self.strain_size
        return EnergyValues(
            self.energy_scale * value + self.offset,
            self.energy_scale / self.strain_scale * gradient[..., :n],
            -self.energy_scale * gradient[..., n:],
        )

    def hessian(self, strain: Tensor, internal: Tensor) -> Tensor:
        """Return ∂²f/∂(ε, α)², shape ``(..., n_ε + n_α, n_ε + n_α)``."""
        _, hessian = self.net.gradient_and_hessian(self.state(strain, internal))
        ones = torch.ones(
            self.net.size - self.strain_size, dtype=strain.dtype, device=strain.device
        )
        scale = torch.cat([1.0 / self.strain_scale, ones])
        return self.energy_scale * scale * hessian * scale.unsqueeze(-1)
