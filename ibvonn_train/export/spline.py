"""Monotone rational-quadratic spline without branches, one bin chosen by a sum.

nflows gathers the bin of each point and treats points outside the interval separately, which does
not export; a sum over the bins, all but one term of which vanish, does, and gives the same digits.

References:
    Durkan et al. (2019), *Neural Spline Flows*, arXiv 1906.04032, section 3.1.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from .potentials import softplus

MIN_BIN = 1e-3
MIN_DERIVATIVE = 1e-3
EDGE = math.log(math.expm1(1.0 - MIN_DERIVATIVE))
"""Raw derivative at both ends that makes the slope 1, that of the linear tails."""


class Knots(NamedTuple):
    """Left and lower ends, widths and heights of the bins, slopes at their two ends."""

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
    first = MIN_DERIVATIVE + softplus(torch.cat([edge, inner], -1))[0]
    last = MIN_DERIVATIVE + softplus(torch.cat([inner, edge], -1))[0]
    return Knots(left, width, bottom, height, first, last)


def forward(y: Tensor, spline: Knots, bound: float) -> tuple[Tensor, Tensor]:
    """z(y) and ln dz/dy; the identity outside [−bound, bound].

    Args:
        y: Points, shape ``(..., 1)``.
        spline: Knots, each of shape ``(..., bins)``, broadcast against the points.
        bound: Half width of the interval.
    """
    inside, clipped = _clip(y, bound)
    left, width, bottom, height, first, last = _choose(clipped, spline.left, spline)
    slope = height / width
    t = (clipped - left) / width
    t1 = t * (1.0 - t)
    denominator = slope + (first + last - 2.0 * slope) * t1
    z = bottom + height * (slope * t * t + first * t1) / denominator
    rise = last * t * t + 2.0 * slope * t1 + first * (1.0 - t) * (1.0 - t)
    log_slope = 2.0 * (torch.log(slope) - torch.log(denominator)) + torch.log(rise)
    return torch.where(inside, z, y), torch.where(inside, log_slope, 0.0)


def inverse(z: Tensor, spline: Knots, bound: float) -> Tensor:
    """y(z): the root of a quadratic in each bin, in the form that does not cancel."""
    inside, clipped = _clip(z, bound)
    left, width, bottom, height, first, last = _choose(clipped, spline.bottom, spline)
    slope = height / width
    rise = clipped - bottom
    bend = first + last - 2.0 * slope
    a = rise * bend + height * (slope - first)
    b = height * first - rise * bend
    c = -slope * rise
    t = 2.0 * c / (-b - torch.sqrt(torch.relu(b * b - 4.0 * a * c)))
    return torch.where(inside, left + width * t, z)


def _bins(raw: Tensor, bins: int, bound: float) -> tuple[Tensor, Tensor]:
    share = MIN_BIN + (1.0 - MIN_BIN * bins) * torch.softmax(raw, -1)
    right = 2.0 * bound * torch.cumsum(share, -1) - bound
    left = torch.cat([torch.full_like(raw[..., :1], -bound), right[..., : bins - 1]], -1)
    return left, 2.0 * bound * share


def _clip(y: Tensor, bound: float) -> tuple[Tensor, Tensor]:
    inside = (y >= -bound) & (y <= bound)
    return inside, torch.where(inside, y, 0.0)


def _choose(y: Tensor, ends: Tensor, spline: Knots) -> list[Tensor]:
    """Values of the bin in which each point lies, each of shape ``(..., 1)``."""
    reached = torch.where(y >= ends[..., 1:], torch.ones_like(ends[..., 1:]), 0.0)
    one = torch.ones_like(reached[..., :1])
    chosen = torch.cat([one, reached], -1) - torch.cat([reached, 0.0 * one], -1)
    return [torch.sum(chosen * values, -1, keepdim=True) for values in spline]
