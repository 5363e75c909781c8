"""Residuals in units of their sampling error, and robust losses of them."""

from __future__ import annotations

import torch
from torch import Tensor


def scaled(error: Tensor, sampling_error: Tensor, tolerance: Tensor) -> Tensor:
    """Return an error over √(SE² + tolerance²), both of which count as none."""
    return error / torch.sqrt(sampling_error.square() + tolerance.square())


def robust(residual: Tensor) -> Tensor:
    """Return the mean of 4 ln(1 + r²/4): r² for small residuals, and no outlier decides.

    References:
        Black & Rangarajan (1996), Int. J. Computer Vision 19, 57 (the Lorentzian).
    """
    return 4.0 * torch.log1p(0.25 * residual.square()).mean()


def without_constant(error: Tensor) -> Tensor:
    """Return an error of energies, whose constant is free, about its mean."""
    return error - error.mean()
