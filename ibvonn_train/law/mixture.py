"""Gaussian mixture decoder, the alternative to the flow for microstates of one dimension."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from .decoder import Decoder
from .networks import TanhNetwork

BISECTIONS = 60
"""Halvings of the bracket of a quantile: from any width to float64 round-off."""


class GaussianMixture(Decoder):
    """Density q(y | α) = Σ_k w_k N(y; m_k, s_k²), with w, m, ln s from a tanh network of α.

    The defaults are those of the comparison with the flow (`ibvonn reproduce --mixture-seeds`).

    Args:
        context: n_α; 0 gives one unconditional mixture.
        components: Number of Gaussians.
        widths: Hidden layers of the network.
        generator: Source of the initial weights.
    """

    centre: Tensor
    scale: Tensor

    def __init__(
        self,
        context: int,
        *,
        components: int = 8,
        widths: Sequence[int] = (16, 16),
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.components = components
        self.net = TanhNetwork(context, widths, 3 * components, generator=generator, last_gain=0.3)
        # Start from means spread over the data: equal Gaussians would stay equal.
        spread = torch.linspace(-1.5, 1.5, components, dtype=torch.float64)
        self.net.biases[-1].data[components : 2 * components] += spread
        self.register_buffer("centre", torch.zeros(1, dtype=torch.float64))
        self.register_buffer("scale", torch.ones(1, dtype=torch.float64))

    def parameters_at(self, internal: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return ln w, m and s in units of the data, each ``(n_state, components)``."""
        logit, mean, log_scale = self.net(internal).split(self.components, -1)
        return (
            torch.log_softmax(logit, -1),
            self.centre + self.scale * mean,
            self.scale * torch.exp(log_scale - 1.0),
        )

    def log_density(self, y: Tensor, internal: Tensor) -> Tensor:
        """Return ln q(y | α), ``(n_state, n_point)``, for y of ``(n_state, n_point, 1)``."""
        return mixture_log_density(y, *self.parameters_at(internal))

    def sample(self, noise: Tensor, internal: Tensor) -> Tensor:
        """Return the quantiles of standard normal noise, ``(n_state, n_sample, 1)``."""
        return mixture_quantile(noise, *self.parameters_at(internal))


def mixture_log_density(y: Tensor, log_weight: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    """Return ln Σ_k w_k N(y; m_k, s_k²), ``(n_state, n_point)``.

    Args:
        y: Shape ``(n_state, n_point, 1)``.
        log_weight: ln w, shape ``(n_state, components)``.
        mean: m, same shape.
        scale: s, same shape.
    """
    log_weight, mean, scale = (p.unsqueeze(-2) for p in (log_weight, mean, scale))
    z = (y - mean) / scale
    log_normal = -0.5 * z * z - torch.log(scale) - 0.5 * math.log(2.0 * math.pi)
    return torch.logsumexp(log_weight + log_normal, -1)


def mixture_quantile(noise: Tensor, log_weight: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    """Return y with the same cumulative probability as standard normal noise, by bisection.

    The monotone map from noise to y has the mixture's distribution, as a flow's has: equal noise
    gives comparable samples from both decoders.

    Args:
        noise: Shape ``(n_state, n_point, 1)``.
        log_weight: ln w, shape ``(n_state, components)``.
        mean: m, same shape.
        scale: s, same shape.
    """
    log_weight, mean, scale = (p.unsqueeze(-2) for p in (log_weight, mean, scale))
    level = torch.special.ndtr(noise)
    reach = scale.amax(-1, keepdim=True) * (noise.abs() + 1.0)
    low = mean.amin(-1, keepdim=True) - reach
    high = mean.amax(-1, keepdim=True) + reach
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        below = (log_weight.exp() * torch.special.ndtr((middle - mean) / scale)).sum(-1, True)
        up = below < level
        low, high = torch.where(up, middle, low), torch.where(up, high, middle)
    return 0.5 * (low + high)
