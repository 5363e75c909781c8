"""Monotone rational-quadratic spline on [−bound, bound], the identity outside, without branches.

It is the spline of nflows: trained inside a flow of nflows and exported as it is. Points of one row
share their knots, so that the knots of a state are computed once and not once for each point.

References:
    Durkan et al. (2019), *Neural Spline Flows*, arXiv 1906.04032, section 3.1.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from .convex import softplus

MIN_BIN = 1e-3
MIN_DERIVATIVE = 1e-3
"""The values of nflows."""
EDGE = math.log(math.expm1(1.0 - MIN_DERIVATIVE))
"""Raw derivative at both ends that makes the slope 1, that of the linear tails."""


class Knots(NamedTuple):
    """Left and lower ends, widths and heights of the bins, slopes at their two ends.

    Each of shape ``(..., bins)``.
    """

    left: Tensor
    width: Tensor
    bottom: Tensor
    height: Tensor
    first: Tensor
    last: Tensor


def knots(raw: Tensor, bins: int, bound: float) -> Knots:
    """Turn unconstrained parameters, shape ``(..., 3 bins − 1)``, into the spline's knots."""
    left, width = _bins(raw[..., :bins], bins, bound)
    bottom, height = _bins(raw[..., bins : 2 * bins], bins, bound)
    edge = torch.full_like(raw[..., :1], EDGE)
    inner = raw[..., 2 * bins :]
    first = MIN_DERIVATIVE + softplus(torch.cat([edge, inner], -1))
    last = MIN_DERIVATIVE + softplus(torch.cat([inner, edge], -1))
    return Knots(left, width, bottom, height, first, last)


def forward(y: Tensor, spline: Knots, bound: float) -> tuple[Tensor, Tensor]:
    """Return z(y) and ln dz/dy.

    Args:
        y: Points, shape ``(..., n_point)`` with the leading axes of the knots.
        spline: From :func:`knots`.
        bound: Half width of the interval.
    """
    inside, clipped = _clip(y, bound)
    left, width, bottom, height, first, last = _of_the_bin(clipped, spline.left, spline)
    slope = height / width
    t = (clipped - left) / width
    t1 = t * (1.0 - t)
    denominator = slope + (first + last - 2.0 * slope) * t1
    z = bottom + height * (slope * t * t + first * t1) / denominator
    rise = last * t * t + 2.0 * slope * t1 + first * (1.0 - t) * (1.0 - t)
    log_slope = 2.0 * (torch.log(slope) - torch.log(denominator)) + torch.log(rise)
    return torch.where(inside, z, y), torch.where(inside, log_slope, torch.zeros_like(y))


def inverse(z: Tensor, spline: Knots, bound: float) -> Tensor:
    """Return y(z): the root of a quadratic in each bin, in the form that does not cancel."""
    inside, clipped = _clip(z, bound)
    left, width, bottom, height, first, last = _of_the_bin(clipped, spline.bottom, spline)
    slope = height / width
    rise = clipped - bottom
    bend = first + last - 2.0 * slope
    a = rise * bend + height * (slope - first)
    b = height * first - rise * bend
    c = -slope * rise
    t = 2.0 * c / (-b - torch.sqrt(torch.relu(b * b - 4.0 * a * c)))
    return torch.where(inside, left + width * t, z)


def _bins(raw: Tensor, bins: int, bound: float) -> tuple[Tensor, Tensor]:
    """Left ends of the bins and their widths."""
    share = MIN_BIN + (1.0 - MIN_BIN * bins) * torch.softmax(raw, -1)
    right = 2.0 * bound * torch.cumsum(share, -1) - bound
    left = torch.cat([torch.full_like(right[..., :1], -bound), right[..., : bins - 1]], -1)
    return left, 2.0 * bound * share


def _clip(y: Tensor, bound: float) -> tuple[Tensor, Tensor]:
    inside = (y >= -bound) & (y <= bound)
    return inside, torch.where(inside, y, torch.zeros_like(y))


def _of_the_bin(y: Tensor, ends: Tensor, spline: Knots) -> list[Tensor]:
    """Values of the bin in which each point lies: its number is that of the ends below it."""
    below = torch.unsqueeze(y, -1) >= torch.unsqueeze(ends[..., 1:], -2)
    number = torch.sum(below.long(), -1)
    return [torch.gather(values, -1, number) for values in spline]
