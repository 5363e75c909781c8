"""Losses, each dimensionless and of order one for a law that knows nothing."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from ..data.binned_microstates import EmpiricalMeasure

WEAK_WIDTHS = (20, 60)
"""Interior points of the test functions: the short one resolves relaxation within a record of some
hundred instants, the long one averages the noise of α over it."""


def bump(width: int) -> Tensor:
    """Return the test function (1 − s²)² on ``width`` interior points of (−1, 1), of unit sum."""
    s = torch.linspace(-1.0, 1.0, width + 2, dtype=torch.float64)[1:-1]
    values = (1.0 - s * s) ** 2
    return values / values.sum()


def weak_form(
    internal: Tensor,
    rate: Tensor,
    time: Tensor,
    widths: Sequence[int] = WEAK_WIDTHS,
    *,
    strides: Sequence[int] = (),
) -> list[tuple[Tensor, Tensor]]:
    """Return the mean rates of α and of r under bump functions, a pair for each width.

    With the forward-Euler scheme of the data, Σ_n v_n [α_{n+1} − α_n − Δt_n r_n] = 0 for every test
    function v. Summation by parts, Σ_n v_n (α_{n+1} − α_n) = −Σ_n (v_n − v_{n−1}) α_n for a v that
    vanishes at its ends, is exact and takes the difference off the noisy α. Both sides are
    divided by the time that the bump spans: they are rates. Where only every m-th step of the
    scheme is stored, r between the stored instants is interpolated: Δt_n r_n becomes
    Δt_n [(1 − θ) r_n + θ r_{n+1}] with θ = (m − 1)/2m, which is exact for m = 1 and the trapezoidal
    rule for many steps.

    Args:
        internal: α of the encoder, shape ``(n_trajectory, n_time, n_α)``.
        rate: r = ∂φ/∂g at the same states, same shape.
        time: Instants, shape ``(n_time,)``.
        widths: Numbers of interior points of the bumps; those that do not fit are left out, and
            where none fits one of a third of the record is taken.
        strides: m of each interval, steps of the integrator in it; by default one.

    Returns:
        Observed and modelled mean rates, each ``(n_trajectory, n_bump, n_α)``.
    """
    dt = torch.diff(time)
    n_trajectory, n_time, n_internal = internal.shape
    # One row for each trajectory and variable, the layout of conv1d.
    alpha = internal.transpose(1, 2).reshape(-1, 1, n_time)
    steps = torch.as_tensor(strides or [1], dtype=dt.dtype, device=dt.device)
    late = (0.5 * (steps - 1.0) / steps)[:, None]
    mean_rate = (1.0 - late) * rate[:, :-1] + late * rate[:, 1:]
    flow = (mean_rate * dt[:, None]).transpose(1, 2).reshape(-1, 1, n_time - 1)
    span = dt.reshape(1, 1, -1)
    pairs = []
    for width in [w for w in widths if w < n_time] or [max(1, n_time // 3)]:
        v = bump(width).to(internal)
        slope = F.pad(v, (0, 1)) - F.pad(v, (1, 0))  # v_n − v_{n−1}, n over width + 1 points
        hop = max(1, width // 4)
        change = -F.conv1d(alpha, slope[None, None], stride=hop)
        moved = F.conv1d(flow, v[None, None], stride=hop)
        duration = F.conv1d(span, v[None, None], stride=hop)
        shape = (n_trajectory, n_internal, -1)
        observed = (change / duration).reshape(shape).transpose(1, 2)
        pairs.append((observed, (moved / duration).reshape(shape).transpose(1, 2)))
    return pairs


def weak_form_loss(pairs: Sequence[tuple[Tensor, Tensor]], time_scale: Tensor) -> Tensor:
    """Return (τ |observed − modelled|)², averaged over everything; τ of shape ``(n_α,)``.

    The scales τ are fixed: scales that followed the encoder would have to be differentiated too,
    and would reward fast variables.
    """
    return torch.stack([(time_scale * (a - b)).square().mean() for a, b in pairs]).mean()


def negative_log_likelihood(measure: EmpiricalMeasure, log_density: Tensor) -> Tensor:
    """Return −⟨ln q⟩ per state, shape ``(n_state,)``, of log densities on the measure's nodes."""
    return -(measure.weights * log_density).sum(-1)


def relative_variance(value: Tensor, reference: Tensor) -> Tensor:
    """Return Var(value − reference)/Var(reference): an additive constant is free."""
    return (value - reference).var(unbiased=False) / reference.var(unbiased=False)


def normalised_square(value: Tensor, reference: Tensor, scale: Tensor) -> Tensor:
    """Return the mean square of (value − reference)/scale."""
    return ((value - reference) / scale).square().mean()
