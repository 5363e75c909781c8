"""Small systems without symmetry, batched, in operations that every runtime has.

Rows are scaled to a largest entry of one, then Householder reflections make the matrix triangular:
orthogonal steps need no pivoting, which a graph without branches could not do row by row.
"""

from __future__ import annotations

import torch
from torch import Tensor


def solve(matrix: Tensor, right: Tensor, size: int) -> Tensor:
    """Solve A x = b.

    Args:
        matrix: A, shape ``(n, size, size)``, regular.
        right: b, shape ``(n, size, m)``.
        size: Number of rows.

    Returns:
        x, shape ``(n, size, m)``.
    """
    if size == 1:
        return right / matrix
    largest = torch.amax(torch.abs(matrix), 2, keepdim=True)
    rest = torch.cat([matrix / largest, right / largest], 2)
    rows, diagonals = [], []
    for k in range(size):
        column, rest = rest[:, :, 0:1], rest[:, :, 1:]
        if k + 1 == size:
            rows.append(rest)
            diagonals.append(column)
            break
        norm = torch.sqrt(torch.sum(torch.square(column), 1, keepdim=True))
        head = column[:, 0:1, :]
        diagonal = torch.where(head > 0.0, -norm, norm)
        normal = torch.cat([head - diagonal, column[:, 1:, :]], 1)
        shares = torch.sum(normal * rest, 1, keepdim=True) / (diagonal * (head - diagonal))
        rest = rest + normal * shares
        rows.append(rest[:, 0:1, :])
        diagonals.append(diagonal)
        rest = rest[:, 1:, :]
    solution = rows[-1] / diagonals[-1]
    for k in range(size - 2, -1, -1):
        count = size - 1 - k
        coupled = torch.matmul(rows[k][:, :, :count], solution)
        solution = torch.cat([(rows[k][:, :, count:] - coupled) / diagonals[k], solution], 1)
    return solution
