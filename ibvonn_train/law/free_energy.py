"""Free energy f(ε, α): the convex potential, and the one that statistical mechanics assigns."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .networks import InputConvexNetwork

MicroscopicEnergy = Callable[[Tensor, Tensor], Tensor]
"""e(x, ε) per unit reference length: microstates ``(n_state, n_point, n_x)``, strain ``(n_state,
n_ε)`` → ``(n_state, n_point)``. Averaged strain does not enter e, but is passed all the same."""


FIRST_BARRIER = 0.1
"""Depth of the widest barrier unit, in parts of the range of α."""
THINNER = 4.0
"""r, how many times a barrier unit is thinner than the one before."""
RISE = 3.0
"""Argument of a barrier unit's softplus at the end of α; one depth inside it is 0."""
HOLDS = 3.0
"""Slope of the last barrier unit, in parts of the largest g that it stands against."""
AT_END = 0.006
"""States this close to the least or largest α show where its end is."""


class EnergyValues(NamedTuple):
    """f, σ = ∂f/∂ε and g = −∂f/∂α."""

    energy: Tensor
    stress: Tensor
    driving_force: Tensor


class FreeEnergy(nn.Module):
    """Helmholtz free energy per unit reference length, jointly convex in (ε, α).

    f(ε, α) = E F((ε − c)/s, α) + offset, F an input-convex network and E the product of the
    standard deviations of stress and strain in the training data, so that F is of order one.

    Args:
        strain_size: n_ε.
        internal_size: n_α.
        widths: Hidden layers of F; empty for a quadratic law.
        generator: Source of the initial weights.
        entropic_barriers: Units of F reserved at each end of each α, see
            :meth:`add_entropic_barriers`.
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
        entropic_barriers: int = 0,
    ) -> None:
        super().__init__()
        self.strain_size = strain_size
        self.entropic_barriers = entropic_barriers
        self.net = InputConvexNetwork(
            strain_size + internal_size,
            widths,
            generator=generator,
            reserved=2 * entropic_barriers * internal_size,
        )
        self.register_buffer("strain_centre", torch.zeros(strain_size, dtype=torch.float64))
        self.register_buffer("strain_scale", torch.ones(strain_size, dtype=torch.float64))
        self.register_buffer("energy_scale", torch.ones((), dtype=torch.float64))
        self.register_buffer("offset", torch.zeros((), dtype=torch.float64))

    @torch.no_grad()
    def add_entropic_barriers(
        self, strain: Tensor, internal: Tensor, thermal_energy: float
    ) -> None:
        """Raise f steeply at both ends of α, as the entropy of mixing does.

        Where α is a fraction p of two species, f contains k_BT [p ln p + (1 − p) ln(1 − p)], whose
        slope grows by k_BT ln r whenever p shrinks r times, without bound. Smooth units do not find
        that by themselves. Each entropic barrier unit adds k_BT ln r over a range of α that is r
        times thinner than that of the one before; the last holds against what f does at the given
        states.
        All follow the end of α, which may vary a little with ε, along a straight line.

        Args:
            strain: ε of relaxed states, one strain: ``(n, 1)``.
            internal: Their α, ``(n, n_α)``.
            thermal_energy: k_BT per unit reference length.
        """
        normalised = self.state(strain, internal)[:, 0]
        against = HOLDS * self(strain, internal).driving_force.abs().amax(0)
        number = self.entropic_barriers
        thinner = THINNER ** torch.arange(number, dtype=strain.dtype, device=strain.device)
        skip, bias, slope = [], [], []
        for i, alpha in enumerate(internal.T):
            span = alpha.max() - alpha.min()
            steps = (thermal_energy * math.log(THINNER) / span).repeat(number)
            steps[-1] += against[i]
            for sign in (-1.0, 1.0):
                base, tilt = _line_of_end(normalised, alpha, sign)
                sharpness = sign * RISE * thinner / (FIRST_BARRIER * span)
                rows = sharpness.new_zeros(number, self.net.size)
                rows[:, 0], rows[:, self.strain_size + i] = -tilt * sharpness, sharpness
                skip.append(rows)
                bias.append(RISE - sharpness * base)
                slope.append(steps)
        scaled = torch.cat(slope) / self.energy_scale
        self.net.add_barriers(torch.cat(skip), torch.cat(bias), scaled)

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


def _line_of_end(strain: Tensor, alpha: Tensor, sign: float) -> tuple[Tensor, Tensor]:
    """Return base and tilt of the line along which one α ends: base + tilt ε, ε normalised."""
    depth = (sign * alpha).max() - sign * alpha
    at_end = depth <= AT_END * depth.max()
    x, y = strain[at_end], alpha[at_end]
    moved = x - x.mean()
    tilt = (moved * (y - y.mean())).sum() / (moved**2).sum().clamp(min=1e-12)
    return y.mean() - tilt * x.mean(), tilt


def flow_free_energy(
    log_density: Tensor,
    microscopic: Tensor,
    spacing: float | Tensor,
    thermal_energy: float,
) -> Tensor:
    """Return F = ∫ q (e + k_BT ln q) dx by the trapezoidal rule on equidistant nodes.

    For a smooth density that vanishes at both ends the rule converges faster than any power of the
    spacing. The density is normalised on the nodes, which removes what lies beyond them.

    Args:
        log_density: ln q on the nodes, shape ``(n_state, n_node)``.
        microscopic: e on the nodes, same shape.
        spacing: Distance of the nodes.
        thermal_energy: k_BT per unit reference length.

    Returns:
        F of shape ``(n_state,)``.
    """
    weight = torch.exp(log_density) * spacing
    total = weight.sum(-1)
    mean = (weight * (microscopic + thermal_energy * log_density)).sum(-1) / total
    return mean - thermal_energy * torch.log(total)
