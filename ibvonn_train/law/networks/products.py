"""Matrix products that do not ask BLAS for products of numbers."""

from __future__ import annotations

import torch
from torch import Tensor


def product(left: Tensor, right: Tensor) -> Tensor:
    """Return the matrix product, shapes ``(..., i, k)`` or ``(k,)``, and ``(..., k, j)``.

    Where k = 1 it is that of broadcasting: batched BLAS takes several times as long for it, and
    laws with one internal variable have nothing else.
    """
    of_numbers = left.ndim > 1 and left.shape[-1] == 1
    return left * right if of_numbers else torch.matmul(left, right)
