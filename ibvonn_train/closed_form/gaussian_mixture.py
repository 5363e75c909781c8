"""Mixtures of Gaussians: density, and quantiles that make comparable samples."""

from __future__ import annotations

import math

import torch
from torch import Tensor

BISECTIONS = 60
"""Halvings of the bracket of a quantile: from any width to float64 round-off."""


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
    gives comparable samples.

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
