"""Hat functions on sorted nodes: piecewise linear, and 1 at their sum."""

from __future__ import annotations

import torch
from torch import Tensor


def hat_functions(nodes: Tensor, count: int) -> Tensor:
    """Return the values of hat functions whose peaks are equally far apart in number of the node.

    Args:
        nodes: Shape ``(n_node, …)``, in order.
        count: Number of functions.

    Returns:
        Shape ``(n_node, count)``; each row sums to 1.
    """
    place = torch.linspace(0.0, count - 1.0, len(nodes), dtype=nodes.dtype, device=nodes.device)
    below = place.floor().clamp(max=count - 2).long()
    rows = torch.arange(len(nodes), device=nodes.device)
    hats = nodes.new_zeros(len(nodes), count)
    hats[rows, below] = 1.0 - (place - below)
    hats[rows, below + 1] = place - below
    return hats
