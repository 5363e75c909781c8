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

    def __init__(self, law: LawParameters) -> None:
        super().__init__()
        self.strain_size, self.internal_size = law.strain_size, law.internal_size
        self.layers = law.energy_layers
        self.constant = float(law.energy_constant)
        _buffer(self, "linear", law.energy_linear[None, :])
        _buffer(self, "quadratic", law.energy_quadratic)
        _buffer(self, "quadratic_internal", law.energy_quadratic[:, law.strain_size :])
        _buffer(self, "linear_internal", law.energy_linear[None, law.strain_size :])
        _buffer(self, "output", law.energy_output[None, :])
        _buffer(self, "output_column", law.energy_output[:, None])
        for i, (skip, bias) in enumerate(zip(law.energy_skip, law.energy_bias, strict=True)):
            _buffer(self, f"skip_t{i}", skip.T)
            _buffer(self, f"skip{i}", skip)
            _buffer(self, f"skip_internal{i}", skip[:, law.strain_size :])
            _buffer(self, f"bias{i}", bias[None, :])
        for i, hidden in enumerate(law.energy_hidden, start=1):
            _buffer(self, f"hidden{i}", hidden)
            _buffer(self, f"hidden_t{i}", hidden.T)

    def value(self, strain: Tensor, internal: Tensor) -> Tensor:
        """f, shape ``(n, 1)``."""
        x = torch.cat([strain, internal], 1)
        result = self.constant + torch.sum(
            x * (self.linear + 0.5 * torch.matmul(x, self.quadratic)), 1, keepdim=True
        )
        if self.layers:
            result = result + torch.matmul(self._hidden(x)[0], self.output_column)
        return result

    def internal(self, strain: Tensor, internal: Tensor) -> tuple[Tensor, Tensor]:
        """∂f/∂α, shape ``(n, n_α)``, and ∂²f/∂α², shape ``(n, n_α, n_α)``."""
        x = torch.cat([strain, internal], 1)
        gradient = self.linear_internal + torch.matmul(x, self.quadratic_internal)
        block = self.quadratic[self.strain_size :, self.strain_size :]
        return self._derivatives(x, gradient, block, internal_only=True)

    def derivatives(self, strain: Tensor, internal: Tensor) -> tuple[Tensor, Tensor]:
        """∂f/∂x, shape ``(n, d)``, and ∂²f/∂x², shape ``(n, d, d)``."""
        x = torch.cat([strain, internal], 1)
        gradient = self.linear + torch.matmul(x, self.quadratic)
        return self._derivatives(x, gradient, self.quadratic, internal_only=False)

    def gradient(self, strain: Tensor, internal: Tensor) -> Tensor:
        """∂f/∂x, shape ``(n, d)``."""
        x = torch.cat([strain, internal], 1)
        gradient = self.linear + torch.matmul(x, self.quadratic)
        if not self.layers:
            return gradient
        _, slopes, _ = self._hidden(x)
        return self._backward(slopes, gradient, internal_only=False)[0]

    def _hidden(self, x: Tensor) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """h_L with s′ and s″ of every layer."""
        slopes, curvatures = [], []
        hidden = x
        for i in range(self.layers):
            argument = torch.matmul(x, getattr(self, f"skip_t{i}")) + getattr(self, f"bias{i}")
            if i:
                argument = argument + torch.matmul(hidden, getattr(self, f"hidden_t{i}"))
            hidden, slope, curvature = softplus(argument)
            slopes.append(slope)
            curvatures.append(curvature)
        return hidden, slopes, curvatures

    def _backward(
        self, slopes: list[Tensor], gradient: Tensor, *, internal_only: bool
    ) -> tuple[Tensor, list[Tensor]]:
        """Add v·∂h_L/∂x to the gradient; also return v·∂h_L/∂h_l of every layer."""
        adjoint = self.output
        adjoints = [adjoint]
        skip = "skip_internal" if internal_only else "skip"
        for i in range(self.layers - 1, -1, -1):
            delta = adjoint * slopes[i]
            gradient = gradient + torch.matmul(delta, getattr(self, f"{skip}{i}"))
            if i:
                adjoint = torch.matmul(delta, getattr(self, f"hidden{i}"))
                adjoints.insert(0, adjoint)
        return gradient, adjoints

    def _derivatives(
        self, x: Tensor, gradient: Tensor, block: Tensor, *, internal_only: bool
    ) -> tuple[Tensor, Tensor]:
        size = self.internal_size if internal_only else self.strain_size + self.internal_size
        # An all-zero product gives the constant matrix a batch axis.
        hessian = torch.zeros_like(x[:, :1]).reshape(-1, 1, 1) + block
        if not self.layers:
            return gradient, hessian
        _, slopes, curvatures = self._hidden(x)
        gradient, adjoints = self._backward(slopes, gradient, internal_only=internal_only)
        # Rows of `jacobian`: ∂z_l/∂x_i, propagated forward; each layer adds Zᵀ diag(v_l s″) Z.
        jacobian = x
        for i in range(self.layers):
            skip = getattr(self, f"skip_t{i}")[-size:, :]
            if i == 0:
                jacobian = torch.zeros_like(x[:, :1]).reshape(-1, 1, 1) + skip
            else:
                passed = jacobian * slopes[i - 1].unsqueeze(1)
                jacobian = torch.matmul(passed, getattr(self, f"hidden_t{i}")) + skip
            weight = adjoints[i] * curvatures[i]
            # The factor stands between transposition and product, so that they are not fused.
            weighted = jacobian.permute(0, 2, 1) * weight.unsqueeze(2)
            hessian = hessian + torch.matmul(jacobian, weighted)
        return gradient, hessian


class RidgeDissipation(nn.Module):
    """φ(g; x_n) = ½ |Λᵀg|² + Σ_j A_j [s(u_j + β_j) − s(β_j) − σ(β_j) u_j], u = W g."""

    def __init__(self, law: LawParameters) -> None:
        super().__init__()
        n = law.internal_size
        self.internal_size, self.count = n, law.ridge_count
        self.layers = law.context_layers
        for i, (weight, bias) in enumerate(zip(law.context_weight, law.context_bias, strict=True)):
            _buffer(self, f"weight_t{i}", weight.T)
            _buffer(self, f"bias{i}", bias[None, :])
        _buffer(self, "ridge_t", law.ridge_weight.T)
        _buffer(self, "ridge", law.ridge_weight)
        products = law.ridge_weight[:, :, None] * law.ridge_weight[:, None, :]
        _buffer(self, "ridge_products", products.reshape(law.ridge_count, n * n))
        _buffer(self, "ridge_bias", law.ridge_bias[None, :])
        at_rest = softplus(torch.tensor(law.ridge_bias[None, :]))
        self.register_buffer("value_at_rest", at_rest[0])
        self.register_buffer("slope_at_rest", at_rest[1])

    def prepare(self, strain_old: Tensor, internal_old: Tensor) -> tuple[Tensor, Tensor]:
        """Evaluate what depends on the frozen state: Λ Λᵀ ``(n, n_α, n_α)`` and A ``(n, K)``."""
        y = torch.cat([strain_old, internal_old], 1)
        for i in range(self.layers):
            y = torch.matmul(y, getattr(self, f"weight_t{i}")) + getattr(self, f"bias{i}")
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


def _buffer(module: nn.Module, name: str, array: FloatArray) -> None:
    module.register_buffer(name, torch.tensor(np.ascontiguousarray(array), dtype=torch.float64))
