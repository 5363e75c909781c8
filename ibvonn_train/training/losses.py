"""Losses, each dimensionless and of order one for a law that knows nothing."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from ..data.binned_microstates import EmpiricalMeasure
from ..law.normalisation import Normalisation

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
        internal: α of the encoder, shape ``(n_protocol, n_time, ..., n_α)``.
        rate: r = ∂φ/∂g at the same states, same shape.
        time: Instants, shape ``(n_time,)``.
        widths: Numbers of interior points of the bumps; those that do not fit are left out, and
            where none fits one of a third of the record is taken.
        strides: m of each interval, steps of the integrator in it; by default one.

    Returns:
        Observed and modelled mean rates, each ``(n_protocol, n_bump, ..., n_α)``.
    """
    dt = torch.diff(time)
    steps = torch.as_tensor(strides or [1], dtype=dt.dtype, device=dt.device)
    late = 0.5 * (steps - 1.0) / steps

    def over_time(values: Tensor) -> Tensor:
        """(n_time,) → the shape that multiplies a series."""
        return values.reshape(-1, *(1,) * (internal.ndim - 2))

    mean_rate = over_time(1.0 - late) * rate[:, :-1] + over_time(late) * rate[:, 1:]
    flow = mean_rate * over_time(dt)
    pairs = []
    for width in [w for w in widths if w < len(time)] or [max(1, len(time) // 3)]:
        v = bump(width).to(internal)
        slope = F.pad(v, (0, 1)) - F.pad(v, (1, 0))  # v_n − v_{n−1}, n over width + 1 points
        hop = max(1, width // 4)
        duration = over_time(windowed_sums(dt[None], v, hop)[0])
        change = -windowed_sums(internal, slope, hop)
        pairs.append((change / duration, windowed_sums(flow, v, hop) / duration))
    return pairs


def windowed_sums(series: Tensor, weights: Tensor, hop: int) -> Tensor:
    """Return Σ_k w_k x_{i·hop + k} over the time of a series, for each i that fits.

    Args:
        series: x, shape ``(n_protocol, n_time, ...)``.
        weights: w, shape ``(n,)``.
        hop: Distance of the windows in instants.

    Returns:
        Shape ``(n_protocol, n_window, ...)``.
    """
    # A picture of one column for each site and component, over which a column of weights moves.
    picture = series.reshape(len(series), 1, series.shape[1], -1)
    sums = F.conv2d(picture, weights[None, None, :, None], stride=(hop, 1))
    return sums.reshape(len(series), -1, *series.shape[2:])


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


def translation_invariance(
    normalise: Normalisation[Tensor], slope: Tensor, strain_scale: Tensor
) -> Tensor:
    """Return the mean square of ⟨∂α/∂x⟩ in units of the standard deviations of α and ε.

    Args:
        normalise: Of the raw means.
        slope: ⟨∂ψ/∂x⟩, shape ``(n_state, n_α, n_x)``.
        strain_scale: Standard deviation of ε, shape ``(n_ε,)``.
    """
    relative: Tensor = (normalise.matrix @ slope) * strain_scale
    return relative.square().mean()
