"""Small symmetric positive definite systems, batched, in operations that every runtime has.

ONNX has no Cholesky factorisation, and a loop over the columns of small matrices is short. No
transposition meets a product here: runtimes fuse such a pair into an operation that some of them
lack in float64.
"""

from __future__ import annotations

import torch
from torch import Tensor


def cholesky(matrix: Tensor, size: int) -> list[Tensor]:
    """Factorise S = R Rᵀ and return the columns of R from the diagonal down.

    Args:
        matrix: S, shape ``(n, size, size)``, positive definite; the upper triangle is not read.
        size: Number of rows.

    Returns:
        ``size`` columns, column k of shape ``(n, size − k, 1)``.
    """
    columns = []
    rest = matrix
    for k in range(size):
        column = rest[:, :, 0:1] / torch.sqrt(rest[:, 0:1, 0:1])
        columns.append(column)
        if k + 1 < size:
            below = column[:, 1:, :]
            rest = rest[:, 1:, 1:] - below * below.reshape(-1, 1, size - k - 1)
    return columns


def lower_matrix(columns: list[Tensor], size: int) -> tuple[Tensor, Tensor]:
    """Return R and Rᵀ, each of shape ``(n, size, size)``, from the columns of R."""
    full = []
    for k, column in enumerate(columns):
        if k == 0:
            full.append(column)
        else:
            zeros = torch.zeros_like(columns[0][:, :k, :])
            full.append(torch.cat([zeros, column], 1))
    rows = [column.reshape(-1, 1, size) for column in full]
    return torch.cat(full, 2), torch.cat(rows, 1)


def solve_lower(columns: list[Tensor], right: Tensor) -> list[Tensor]:
    """Solve R y = b by forward substitution.

    Args:
        columns: Columns of R from :func:`cholesky`.
        right: b, shape ``(n, size, m)``.

    Returns:
        The rows of y, each of shape ``(n, 1, m)``.
    """
    rows = []
    rest = right
    for k, column in enumerate(columns):
        row = rest[:, 0:1, :] / column[:, 0:1, :]
        rows.append(row)
        if k + 1 < len(columns):
            rest = rest[:, 1:, :] - column[:, 1:, :] * row
    return rows


def solve_upper(columns: list[Tensor], rows: list[Tensor]) -> Tensor:
    """Solve Rᵀ x = y by back substitution; y in rows as from :func:`solve_lower`."""
    solution = rows[-1] / columns[-1]
    for k in range(len(columns) - 2, -1, -1):
        column = columns[k]
        coupled = torch.sum(column[:, 1:, :] * solution, 1, keepdim=True)
        row = (rows[k] - coupled) / column[:, 0:1, :]
        solution = torch.cat([row, solution], 1)
    return solution
