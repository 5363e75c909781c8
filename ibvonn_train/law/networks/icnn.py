"""Input-convex network: the free parameters of a trained convex function."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from .convex import (
    EnergyWeights,
    energy_arguments,
    energy_gradient,
    energy_gradient_and_hessian,
    energy_value,
    softplus,
)
from .mlp import uniform


class InputConvexNetwork(nn.Module):
    """Function F(x) = l·x + ½ xᵀQx + v·h_L, convex in x for any weights, unless it is coupled.

    h_1 = s(S_1 x + b_1), h_l = s(H_l h_{l−1} + S_l x + b_l), with s the softplus, Q = RRᵀ and
    H_l, v ≥ 0 (softplus of free parameters); :mod:`ibvonn_train.law.networks.convex` evaluates it.
    A function that is *coupled* has the free bilinear term aᵀCb of the first components a and the
    others b in ½ xᵀQx, too. It is convex in a and in b, each with the other fixed.

    Args:
        size: Number of components of x.
        widths: Widths of the hidden layers; empty for a quadratic function.
        generator: Source of the initial weights.
        coupled: Number of the first components that are coupled; 0 for a function convex in all.

    References:
        Amos, Xu & Kolter (2017), *Input Convex Neural Networks*, arXiv 1609.07152, section 3.
    """

    def __init__(
        self,
        size: int,
        widths: Sequence[int],
        *,
        generator: torch.Generator,
        coupled: int = 0,
    ) -> None:
        super().__init__()
        self.size, self.coupled = size, coupled
        self.linear = nn.Parameter(torch.zeros(size, dtype=torch.float64))
        self.root = nn.Parameter(
            0.7 * torch.eye(size, dtype=torch.float64) + uniform((size, size), 0.1, generator)
        )
        self.skip = nn.ParameterList()
        self.bias = nn.ParameterList()
        self.hidden_raw = nn.ParameterList()
        below = 0
        for width in widths:
            self.skip.append(nn.Parameter(uniform((width, size), 1.5, generator)))
            self.bias.append(nn.Parameter(uniform((width,), 1.5, generator)))
            if below:
                self.hidden_raw.append(nn.Parameter(_raw(width, below, generator)))
            below = width
        self.output_raw = nn.Parameter(_raw(1, below, generator)[0])
        if coupled:
            self._couple()

    def weights(self) -> EnergyWeights:
        """Return the weights of F: Q = RRᵀ, and H_l and v made nonnegative."""
        hidden = [softplus(raw) for raw in self.hidden_raw]
        quadratic = self.root @ self.root.T
        if self.coupled:
            quadratic = quadratic + torch.cat(
                [
                    nn.functional.pad(self.coupling, (self.coupled, 0)),
                    nn.functional.pad(self.coupling.T, (0, self.size - self.coupled)),
                ]
            )
        return EnergyWeights(
            self.linear, quadratic, [*self.skip], [*self.bias], hidden, softplus(self.output_raw)
        )

    def _couple(self) -> None:
        """Add C = 0, and let nothing else couple the components at the start."""
        n = self.coupled
        self.coupling = nn.Parameter(torch.zeros(n, self.size - n, dtype=torch.float64))
        with torch.no_grad():
            self.root[:n, n:], self.root[n:, :n] = 0.0, 0.0
            for skip in self.skip:
                skip[:, :n] = 0.0

    def forward(self, x: Tensor) -> Tensor:
        """Return F(x), shape ``(...)``, for x of shape ``(..., size)``."""
        return self.value_and_gradient(x)[0]

    def value_and_gradient(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return F and ∂F/∂x, shapes ``(...)`` and ``(..., size)``."""
        weights = self.weights()
        arguments = energy_arguments(x, weights)
        value = energy_value(x, weights, arguments).squeeze(-1)
        return value, energy_gradient(x, weights, arguments)

    def gradient_and_hessian(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return ∂F/∂x and ∂²F/∂x², shapes ``(..., size)`` and ``(..., size, size)``."""
        weights = self.weights()
        return energy_gradient_and_hessian(x, weights, energy_arguments(x, weights))

    def gradient_function(self) -> Callable[[Tensor], Tensor]:
        """Return x ↦ ∂F/∂x with the weights prepared once, for many calls in a row."""
        weights = self.weights()
        return lambda x: energy_gradient(x, weights, energy_arguments(x, weights))


def _raw(rows: int, columns: int, generator: torch.Generator) -> Tensor:
    """Return free parameters whose softplus lies around 1/columns."""
    return inverse_softplus((1.0 + uniform((rows, columns), 0.5, generator)) / max(columns, 1))


def inverse_softplus(y: Tensor) -> Tensor:
    """Return x with ln(1 + e^x) = y > 0."""
    return y + torch.log(-torch.expm1(-y))
