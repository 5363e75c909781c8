"""Monotone rational-quadratic spline, branch-free, with one set of knots for many points."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .icnn import softplus

MIN_BIN = 1e-3
MIN_DERIVATIVE = 1e-3
"""The values of nflows, whose spline this is."""


def rational_quadratic(y: Tensor, raw: Tensor, *, bins: int, bound: float) -> tuple[Tensor, Tensor]:
    """Return z(y) and ln dz/dy of a spline on [−bound, bound], the identity outside.

    Args:
        y: Points, shape ``(..., n_point)``.
        raw: Unconstrained widths, heights and inner derivatives, shape ``(..., 3 bins − 1)``: one
            spline for each row of ``y``.
        bins: Number of bins.
        bound: Half width of the interval.

    References:
        Durkan et al. (2019), *Neural Spline Flows*, arXiv 1906.04032, section 3.1; nflows'
        ``unconstrained_rational_quadratic_spline`` with linear tails, evaluated here once per row
        instead of once per point.
    """
    left, width = _knots(raw[..., :bins], bound)
    bottom, height = _knots(raw[..., bins : 2 * bins], bound)
    edge = raw.new_full((*raw.shape[:-1], 1), math.log(math.expm1(1.0 - MIN_DERIVATIVE)))
    derivative = MIN_DERIVATIVE + softplus(torch.cat([edge, raw[..., 2 * bins :], edge], -1))
    inside = (y >= -bound) & (y <= bound)
    y_in = y.clamp(-bound, bound)
    # The bin of each point: the number of inner knots at or below it.
    index = torch.searchsorted(left[..., 1:].detach().contiguous(), y_in.contiguous(), right=True)
    w, h = width.gather(-1, index), height.gather(-1, index)
    slope = h / w
    d0 = derivative[..., :-1].gather(-1, index)
    d1 = derivative[..., 1:].gather(-1, index)
    t = (y_in - left.gather(-1, index)) / w
    t1 = t * (1.0 - t)
    denominator = slope + (d0 + d1 - 2.0 * slope) * t1
    z = bottom.gather(-1, index) + h * (slope * t * t + d0 * t1) / denominator
    derivative_t = d1 * t * t + 2.0 * slope * t1 + d0 * (1.0 - t) ** 2
    log_slope = 2.0 * (torch.log(slope) - torch.log(denominator)) + torch.log(derivative_t)
    return torch.where(inside, z, y), torch.where(inside, log_slope, torch.zeros_like(y))


def _knots(raw: Tensor, bound: float) -> tuple[Tensor, Tensor]:
    """Return the left ends of the bins and their widths."""
    bins = raw.shape[-1]
    share = MIN_BIN + (1.0 - MIN_BIN * bins) * torch.softmax(raw, -1)
    right = 2.0 * bound * torch.cumsum(share, -1) - bound
    left = torch.cat([torch.full_like(right[..., :1], -bound), right[..., :-1]], -1)
    return left, 2.0 * bound * share
