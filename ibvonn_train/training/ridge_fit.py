"""Linear least squares with a ridge, which decides among columns that depend on each other."""

from __future__ import annotations

import torch
from torch import Tensor

RIDGE = 1e-8
"""Over the mean square of the columns."""


def ridge_weights(design: Tensor, target: Tensor) -> Tensor:
    """Return w that minimises ‖D w − y‖² + ridge ‖w‖².

    Args:
        design: D, shape ``(n_row, n_column)``.
        target: y, shape ``(n_row, n)``.

    Returns:
        Shape ``(n_column, n)``.
    """
    normal = design.T @ design
    ridge = RIDGE * torch.diagonal(normal).mean() * torch.eye(len(normal)).to(normal)
    weights: Tensor = torch.linalg.solve(normal + ridge, design.T @ target)
    return weights
