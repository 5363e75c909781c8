"""Smooth energy and ridges of an exported law, from plain arrays.

The functions are those that were trained, :mod:`ibvonn_train.law.networks.convex`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from ...law.networks.convex import (
    EnergyWeights,
    RidgeWeights,
    energy_arguments,
    energy_gradient,
    energy_gradient_and_hessian,
    energy_value,
    ridge_coefficients,
    ridge_gradient,
    ridge_hessian,
    ridge_value,
    softplus,
    tanh_layers,
    triangle_places,
)
from ..potential_parameters import FloatArray, PotentialParameters


class NetworkEnergy(nn.Module):
    """F(x) = c + l·x + ½ xᵀQx + v·h_L(x) of x = (ε, α), jointly convex where Q allows it."""

    def __init__(self, law: PotentialParameters) -> None:
        super().__init__()
        self.strain_size = law.strain_size
        self.constant = float(law.energy_constant)
        self.weights = EnergyWeights(
            _tensor(law.energy_linear),
            _tensor(law.energy_quadratic),
            _tensors(law.energy_skip),
            _tensors(law.energy_bias),
            _tensors(law.energy_hidden),
            _tensor(law.energy_output),
        )

    def value(self, strain: Tensor, internal: Tensor) -> Tensor:
        """Return f, shape ``(n, 1)``."""
        x = torch.cat([strain, internal], 1)
        return self._value(x, energy_arguments(x, self.weights))

    def gradient(self, strain: Tensor, internal: Tensor) -> tuple[Tensor, Tensor]:
        """Return f ``(n, 1)`` and ∂f/∂x ``(n, d)``."""
        x = torch.cat([strain, internal], 1)
        arguments = energy_arguments(x, self.weights)
        return self._value(x, arguments), energy_gradient(x, self.weights, arguments)

    def internal(self, strain: Tensor, internal: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return f ``(n, 1)``, ∂f/∂α ``(n, n_α)`` and ∂²f/∂α² ``(n, n_α, n_α)``."""
        return self._all(strain, internal, self.strain_size)

    def derivatives(self, strain: Tensor, internal: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return f ``(n, 1)``, ∂f/∂x ``(n, d)`` and ∂²f/∂x² ``(n, d, d)``."""
        return self._all(strain, internal, 0)

    def _value(self, x: Tensor, arguments: Sequence[Tensor]) -> Tensor:
        return energy_value(x, self.weights, arguments) + self.constant

    def _all(self, strain: Tensor, internal: Tensor, first: int) -> tuple[Tensor, Tensor, Tensor]:
        x = torch.cat([strain, internal], 1)
        arguments = energy_arguments(x, self.weights)
        derivatives = energy_gradient_and_hessian(x, self.weights, arguments, first)
        return self._value(x, arguments), *derivatives


class RidgeDissipation(nn.Module):
    """φ(g; x_n) = ½ |Λᵀg|² + Σ_j A_j [s(u_j + β_j) − s(β_j) − σ(β_j) u_j], u = W g."""

    def __init__(self, law: PotentialParameters) -> None:
        super().__init__()
        self.size = law.mean_size
        self.weights = RidgeWeights(
            _tensor(law.ridge_weight), _tensor(law.ridge_bias), law.ridge_count, law.mean_size
        )
        self.context = _tensors(law.context_weight), _tensors(law.context_bias)
        self.diagonal, self.places = triangle_places(law.mean_size)

    def prepare(self, strain_old: Tensor, internal_old: Tensor) -> tuple[Tensor, Tensor]:
        """Evaluate what depends on the frozen state: Λ Λᵀ ``(n, n_α, n_α)`` and A ``(n, K)``."""
        return self.coefficients(self.output(strain_old, internal_old))

    def output(self, strain: Tensor, internal: Tensor) -> Tensor:
        """Return what the context network says of a state: Λ with ln on its diagonal, ln A."""
        return tanh_layers(torch.cat([strain, internal], 1), *self.context)

    def coefficients(self, output: Tensor) -> tuple[Tensor, Tensor]:
        """Return Λ Λᵀ and A of the output of the context network."""
        return ridge_coefficients(output, self.diagonal, self.places, self.size)

    def derivatives(
        self, force: Tensor, mobility: Tensor, amplitude: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """φ ``(n, 1)``, ∂φ/∂g ``(n, n_α)`` and ∂²φ/∂g² ``(n, n_α, n_α)`` at g = ``force``."""
        frozen = (mobility, amplitude, self.weights)
        return (
            ridge_value(force, *frozen),
            ridge_gradient(force, *frozen),
            ridge_hessian(force, *frozen),
        )

    def magnitude(self, force: Tensor, mobility: Tensor, amplitude: Tensor) -> Tensor:  # noqa: ARG002
        """Bound the terms that cancel in φ, ``(n, 1)``: its round-off is a fraction of them."""
        if not self.weights.ridges:
            return torch.zeros_like(force[:, :1])
        terms = softplus(self.weights.bias) + torch.abs(torch.matmul(force, self.weights.weight.T))
        return 2.0 * torch.sum(amplitude * terms, 1, keepdim=True)


def _tensor(array: FloatArray) -> Tensor:
    return torch.tensor(np.ascontiguousarray(array), dtype=torch.float64)


def _tensors(arrays: Sequence[FloatArray]) -> tuple[Tensor, ...]:
    return tuple(_tensor(array) for array in arrays)
