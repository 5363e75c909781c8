"""Free energy and dual dissipation potential with their derivatives written out layer by layer.

Automatic differentiation inside a graph does not export, so the first and second derivatives are
ordinary operations here. Weights are stored transposed: row vectors times a matrix need no
transposition in the graph.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from .parameters import FloatArray, LawParameters


def softplus(y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return ln(1 + eʸ) with its first and second derivative, without overflow for any y."""
    decay = torch.exp(-torch.abs(y))
    inverse = 1.0 / (1.0 + decay)
    value = torch.relu(y) + torch.log(1.0 + decay)
    slope = torch.where(y >= 0.0, inverse, decay * inverse)
    return value, slope, decay * inverse * inverse


class ConvexEnergy(nn.Module):
    """f(x) = c + l·x + ½ xᵀQx + v·h_L(x), jointly convex in x = (ε, α)."""

    linear: Tensor
    quadratic: Tensor
    output: Tensor
    output_column: Tensor

    def __init__(self, law: LawParameters) -> None:
        super().__init__()
        self.strain_size, self.size = law.strain_size, law.size
        self.layers = law.energy_layers
        self.constant = float(law.energy_constant)
        _store(self, "linear", law.energy_linear[None, :])
        _store(self, "quadratic", law.energy_quadratic)
        _store(self, "output", law.energy_output[None, :])
        _store(self, "output_column", law.energy_output[:, None])
        for i, (skip, bias) in enumerate(zip(law.energy_skip, law.energy_bias, strict=True)):
            _store(self, f"skip{i}", skip)
            _store(self, f"skip_t{i}", skip.T)
            _store(self, f"bias{i}", bias[None, :])
        for i, hidden in enumerate(law.energy_hidden, start=1):
            _store(self, f"hidden{i}", hidden)
            _store(self, f"hidden_t{i}", hidden.T)

    def value(self, strain: Tensor, internal: Tensor) -> Tensor:
        """Return f, shape ``(n, 1)``."""
        return self._gradient(torch.cat([strain, internal], 1), 0)[0]

    def gradient(self, strain: Tensor, internal: Tensor) -> tuple[Tensor, Tensor]:
        """Return f ``(n, 1)`` and ∂f/∂x ``(n, d)``."""
        return self._gradient(torch.cat([strain, internal], 1), 0)[:2]

    def internal(self, strain: Tensor, internal: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return f ``(n, 1)``, ∂f/∂α ``(n, n_α)`` and ∂²f/∂α² ``(n, n_α, n_α)``."""
        return self._hessian(torch.cat([strain, internal], 1), self.strain_size)

    def derivatives(self, strain: Tensor, internal: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return f ``(n, 1)``, ∂f/∂x ``(n, d)`` and ∂²f/∂x² ``(n, d, d)``."""
        return self._hessian(torch.cat([strain, internal], 1), 0)

    def _gradient(self, x: Tensor, first: int) -> tuple[Tensor, Tensor, list[Tensor], list[Tensor]]:
        """Return f, its gradient from component ``first`` on, and s′, v·∂h_L/∂h_l s″ by layers."""
        product = torch.matmul(x, self.quadratic)
        value = torch.sum(x * (self.linear + 0.5 * product), 1, keepdim=True) + self.constant
        gradient = self.linear[:, first:] + product[:, first:]
        hidden, slopes, curvatures = x, [], []
        for i in range(self.layers):
            argument = torch.matmul(x, _stored(self, f"skip_t{i}")) + _stored(self, f"bias{i}")
            if i:
                argument = argument + torch.matmul(hidden, _stored(self, f"hidden_t{i}"))
            hidden, slope, curvature = softplus(argument)
            slopes.append(slope)
            curvatures.append(curvature)
        if self.layers:
            value = value + torch.matmul(hidden, self.output_column)
        adjoint = self.output
        for i in range(self.layers - 1, -1, -1):
            curvatures[i] = adjoint * curvatures[i]
            delta = adjoint * slopes[i]
            gradient = gradient + torch.matmul(delta, _stored(self, f"skip{i}")[:, first:])
            if i:
                adjoint = torch.matmul(delta, _stored(self, f"hidden{i}"))
        return value, gradient, slopes, curvatures

    def _hessian(self, x: Tensor, first: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return f with gradient and second derivative from component ``first`` on."""
        value, gradient, slopes, curvatures = self._gradient(x, first)
        # Zeros of the batch's length give the constant matrices a batch axis.
        zeros = torch.zeros_like(x[:, :1]).reshape(-1, 1, 1)
        hessian = zeros + self.quadratic[first:, first:]
        jacobian = zeros
        for i in range(self.layers):
            # Rows: ∂z_l/∂x_i of the arguments of layer l. Each adds Zᵀ diag(v·∂h_L/∂h_l s″) Z.
            skip = _stored(self, f"skip_t{i}")[first:, :]
            if i:
                passed = jacobian * slopes[i - 1].unsqueeze(1)
                jacobian = torch.matmul(passed, _stored(self, f"hidden_t{i}")) + skip
            else:
                jacobian = zeros + skip
            # The factor stands between transposition and product, so that they are not fused.
            weighted = jacobian.permute(0, 2, 1) * curvatures[i].unsqueeze(2)
            hessian = hessian + torch.matmul(jacobian, weighted)
        return value, gradient, hessian


class RidgeDissipation(nn.Module):
    """φ(g; x_n) = ½ |Λᵀg|² + Σ_j A_j [s(u_j + β_j) − s(β_j) − σ(β_j) u_j], u = W g."""

    ridge: Tensor
    ridge_t: Tensor
    ridge_products: Tensor
    ridge_bias: Tensor
    value_at_rest: Tensor
    slope_at_rest: Tensor

    def __init__(self, law: LawParameters) -> None:
        super().__init__()
        n = law.internal_size
        self.internal_size, self.count = n, law.ridge_count
        self.layers = law.context_layers
        for i, (weight, bias) in enumerate(zip(law.context_weight, law.context_bias, strict=True)):
            _store(self, f"weight_t{i}", weight.T)
            _store(self, f"bias{i}", bias[None, :])
        _store(self, "ridge_t", law.ridge_weight.T)
        _store(self, "ridge", law.ridge_weight)
        products = law.ridge_weight[:, :, None] * law.ridge_weight[:, None, :]
        _store(self, "ridge_products", products.reshape(law.ridge_count, n * n))
        _store(self, "ridge_bias", law.ridge_bias[None, :])
        at_rest = softplus(torch.tensor(law.ridge_bias[None, :]))
        self.register_buffer("value_at_rest", at_rest[0])
        self.register_buffer("slope_at_rest", at_rest[1])

    def prepare(self, strain_old: Tensor, internal_old: Tensor) -> tuple[Tensor, Tensor]:
        """Evaluate what depends on the frozen state: Λ Λᵀ ``(n, n_α, n_α)`` and A ``(n, K)``."""
        y = torch.cat([strain_old, internal_old], 1)
        for i in range(self.layers):
            y = torch.matmul(y, _stored(self, f"weight_t{i}")) + _stored(self, f"bias{i}")
            if i + 1 < self.layers:
                y = torch.tanh(y)
        n, m = self.internal_size, self.internal_size * (self.internal_size + 1) // 2
        zero = torch.zeros_like(y[:, :1])
        rows, entry = [], 0
        for i in range(n):
            row = [y[:, entry + j : entry + j + 1] for j in range(i)]
            row.append(torch.exp(y[:, entry + i : entry + i + 1]))
            row.extend([zero] * (n - i - 1))
            rows.append(row)
            entry += i + 1
        lower = torch.cat([e for row in rows for e in row], 1).reshape(-1, n, n)
        upper = torch.cat([rows[j][i] for i in range(n) for j in range(n)], 1).reshape(-1, n, n)
        return torch.matmul(lower, upper), torch.exp(y[:, m:])

    def derivatives(
        self, force: Tensor, mobility: Tensor, amplitude: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """φ ``(n, 1)``, ∂φ/∂g ``(n, n_α)`` and ∂²φ/∂g² ``(n, n_α, n_α)`` at g = ``force``."""
        n = self.internal_size
        rate = torch.matmul(mobility, force.unsqueeze(2)).reshape(-1, n)
        value = 0.5 * torch.sum(force * rate, 1, keepdim=True)
        if not self.count:
            return value, rate, mobility
        u = torch.matmul(force, self.ridge_t)
        soft, slope, curvature = softplus(u + self.ridge_bias)
        excess = soft - self.value_at_rest - self.slope_at_rest * u
        value = value + torch.sum(amplitude * excess, 1, keepdim=True)
        rate = rate + torch.matmul(amplitude * (slope - self.slope_at_rest), self.ridge)
        added = torch.matmul(amplitude * curvature, self.ridge_products).reshape(-1, n, n)
        return value, rate, mobility + added

    def magnitude(self, force: Tensor, mobility: Tensor, amplitude: Tensor) -> Tensor:  # noqa: ARG002
        """Bound the terms that cancel in φ, ``(n, 1)``: its round-off is a fraction of them."""
        if not self.count:
            return torch.zeros_like(force[:, :1])
        u = torch.matmul(force, self.ridge_t)
        return 2.0 * torch.sum(amplitude * (self.value_at_rest + torch.abs(u)), 1, keepdim=True)


def _store(module: nn.Module, name: str, array: FloatArray) -> None:
    module.register_buffer(name, torch.tensor(np.ascontiguousarray(array), dtype=torch.float64))


def _stored(module: nn.Module, name: str) -> Tensor:
    tensor: Tensor = getattr(module, name)
    return tensor
