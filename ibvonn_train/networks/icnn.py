"""Input-convex network: quadratic plus softplus layers, all derivatives in closed form."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .mlp import uniform

SILENT = -40.0
"""Free parameter of a weight of no effect, 4e-18."""


def softplus(y: Tensor) -> Tensor:
    """Return ln(1 + e^y) to float64 round-off (torch's default is off by 2e-9 at 20)."""
    return F.softplus(y, threshold=40.0)


class InputConvexNetwork(nn.Module):
    """Function F(x) = l·x + ½ xᵀQx + v·h_L, convex in x for any weights.

    h_1 = s(S_1 x + b_1), h_l = s(H_l h_{l−1} + S_l x + b_l), with s the softplus, Q = RRᵀ and
    H_l, v ≥ 0 (softplus of free parameters). Gradient and Hessian are written out layer by layer,
    so that training needs no second automatic differentiation and the graph exports.

    Args:
        size: Number of components of x.
        widths: Widths of the hidden layers; empty for a quadratic function.
        generator: Source of the initial weights.
        reserved: Further units of the last layer, without effect until :meth:`add_walls`.

    References:
        Amos, Xu & Kolter (2017), *Input Convex Neural Networks*, arXiv 1609.07152, section 3.
    """

    def __init__(
        self,
        size: int,
        widths: Sequence[int],
        *,
        generator: torch.Generator,
        reserved: int = 0,
    ) -> None:
        super().__init__()
        if reserved and not widths:
            raise ValueError("InputConvexNetwork: walls need a hidden layer; found no widths.")
        self.size = size
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
        self.reserved = reserved
        if reserved:
            self._reserve()

    def _reserve(self) -> None:
        """Append units of the last layer that see nothing and that nothing sees."""

        def longer(old: Tensor, value: float) -> nn.Parameter:
            rows = old.new_full((self.reserved, *old.shape[1:]), value)
            return nn.Parameter(torch.cat([old.detach(), rows]))

        self.skip[-1], self.bias[-1] = longer(self.skip[-1], 0.0), longer(self.bias[-1], 0.0)
        self.output_raw = longer(self.output_raw, SILENT)
        if self.hidden_raw:
            self.hidden_raw[-1] = longer(self.hidden_raw[-1], SILENT)

    @torch.no_grad()
    def add_walls(self, skip: Tensor, bias: Tensor, slope: Tensor) -> None:
        """Give the reserved units a meaning: slope/|S| s(S·x + b), a wall that rises along S.

        Args:
            skip: S, shape ``(reserved, size)``.
            bias: b, shape ``(reserved,)``.
            slope: Norm of the gradient far up the wall, ``(reserved,)``.
        """
        n = self.reserved
        self.skip[-1][-n:] = skip
        self.bias[-1][-n:] = bias
        self.output_raw[-n:] = _inverse_softplus(slope / torch.linalg.vector_norm(skip, dim=1))

    def positive(self) -> tuple[list[Tensor], Tensor]:
        """Return the nonnegative weights H_2 … H_L and v."""
        return [softplus(raw) for raw in self.hidden_raw], softplus(self.output_raw)

    def quadratic(self) -> Tensor:
        """Return Q = RRᵀ."""
        return self.root @ self.root.T

    def forward(self, x: Tensor) -> Tensor:
        """Return F(x), shape ``(...)``, for x of shape ``(..., size)``."""
        return self.value_and_gradient(x)[0]

    def value_and_gradient(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return F and ∂F/∂x, shapes ``(...)`` and ``(..., size)``."""
        hidden, output = self.positive()
        value, gradient, _ = self._evaluate(x, hidden, output)
        return value, gradient

    def value_gradient_hessian(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return F, ∂F/∂x and ∂²F/∂x², the last of shape ``(..., size, size)``."""
        hidden, output = self.positive()
        value, gradient, (slopes, weights) = self._evaluate(x, hidden, output)
        hessian = self.quadratic().expand(*x.shape, self.size)
        jacobian: Tensor | None = None  # of the input of layer l with respect to x
        for layer, skip in enumerate(self.skip):
            if jacobian is None:
                jacobian = skip.expand(*x.shape[:-1], *skip.shape)
            else:
                jacobian = skip + hidden[layer - 1] @ (slopes[layer - 1].unsqueeze(-1) * jacobian)
            curvature = weights[layer] * slopes[layer] * (1.0 - slopes[layer])
            hessian = hessian + jacobian.mT @ (curvature.unsqueeze(-1) * jacobian)
        return value, gradient, hessian

    def gradient_function(self) -> Callable[[Tensor], Tensor]:
        """Return x ↦ ∂F/∂x with the weights prepared once, for many calls in a row."""
        hidden, output = self.positive()
        hidden_t = [weight.T for weight in hidden]
        quadratic = self.quadratic()
        layers = [(s, s.T, b) for s, b in zip(self.skip, self.bias, strict=True)]
        last = len(layers) - 1

        def gradient(x: Tensor) -> Tensor:
            result = self.linear + x @ quadratic
            slopes: list[Tensor] = []
            h = x
            for i, (_, skip_t, bias) in enumerate(layers):
                y = x @ skip_t + bias
                if i:
                    y = y + h @ hidden_t[i - 1]
                slopes.append(torch.sigmoid(y))
                if i < last:
                    h = softplus(y)
            weight = output
            for i in range(last, -1, -1):
                delta = weight * slopes[i]
                result = result + delta @ layers[i][0]
                if i:
                    weight = delta @ hidden[i - 1]
            return result

        return gradient

    def _evaluate(
        self, x: Tensor, hidden: list[Tensor], output: Tensor
    ) -> tuple[Tensor, Tensor, tuple[list[Tensor], list[Tensor]]]:
        """Return F, ∂F/∂x, the slopes s' of every layer and ∂F/∂h_l of every layer."""
        qx = x @ self.quadratic()
        value = (self.linear * x).sum(-1) + 0.5 * (x * qx).sum(-1)
        gradient = self.linear + qx
        slopes: list[Tensor] = []
        h: Tensor | None = None
        for layer, (skip, bias) in enumerate(zip(self.skip, self.bias, strict=True)):
            y = x @ skip.T + bias
            if h is not None:
                y = y + h @ hidden[layer - 1].T
            h = softplus(y)
            slopes.append(torch.sigmoid(y))
        weights: list[Tensor] = []
        if h is not None:
            value = value + h @ output
            weight = output.expand_as(h)
            weights = [weight]
            for layer in range(len(self.skip) - 1, -1, -1):
                delta = weight * slopes[layer]
                gradient = gradient + delta @ self.skip[layer]
                if layer:
                    weight = delta @ hidden[layer - 1]
                    weights.insert(0, weight)
        return value, gradient, (slopes, weights)


def _raw(rows: int, columns: int, generator: torch.Generator) -> Tensor:
    """Return free parameters whose softplus lies around 1/columns."""
    return _inverse_softplus((1.0 + uniform((rows, columns), 0.5, generator)) / max(columns, 1))


def _inverse_softplus(y: Tensor) -> Tensor:
    return y + torch.log(-torch.expm1(-y))
