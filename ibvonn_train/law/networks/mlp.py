"""Tanh network with its Jacobian in closed form."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from .convex import tanh_layers


class TanhNetwork(nn.Module):
    """Map y_1 = tanh(W_1 x + b_1), …, y_M = W_M y_{M−1} + b_M; the last layer is linear.

    Args:
        inputs: Number of components of x.
        widths: Widths of the hidden layers; empty for an affine map.
        outputs: Number of components of y_M.
        generator: Source of the initial weights.
        first_gain: Factor on the initial W_1 and b_1. Above 1 for inputs whose structure is finer
            than their range, such as two narrow wells.
        last_gain: Factor on the initial W_M; 0 starts from a constant function.
    """

    def __init__(
        self,
        inputs: int,
        widths: Sequence[int],
        outputs: int,
        *,
        generator: torch.Generator,
        first_gain: float = 1.0,
        last_gain: float = 1.0,
    ) -> None:
        super().__init__()
        sizes = [inputs, *widths, outputs]
        self.weights = nn.ParameterList()
        self.biases = nn.ParameterList()
        for i, (n_in, n_out) in enumerate(pairwise(sizes)):
            gain = (first_gain if i == 0 else 1.0) * (last_gain if i == len(widths) else 1.0)
            bound = gain / max(n_in, 1) ** 0.5
            self.weights.append(nn.Parameter(uniform((n_out, n_in), bound, generator)))
            self.biases.append(nn.Parameter(uniform((n_out,), bound, generator)))

    def forward(self, x: Tensor) -> Tensor:
        """Return y_M for x of shape ``(..., inputs)``."""
        return tanh_layers(x, [*self.weights], [*self.biases])

    def value_and_jacobian(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return y_M and ∂y_M/∂x, shapes ``(..., outputs)`` and ``(..., outputs, inputs)``."""
        y = x
        jacobian = torch.eye(x.shape[-1], dtype=x.dtype, device=x.device)
        last = len(self.weights) - 1
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            y = y @ weight.T + bias
            jacobian = weight @ jacobian
            if i < last:
                y = torch.tanh(y)
                jacobian = (1.0 - y * y).unsqueeze(-1) * jacobian
        return y, jacobian.expand(*y.shape, x.shape[-1])


def uniform(shape: tuple[int, ...], bound: float, generator: torch.Generator) -> Tensor:
    """Return float64 numbers uniform in [−bound, bound]."""
    return (2.0 * torch.rand(shape, dtype=torch.float64, generator=generator) - 1.0) * bound
