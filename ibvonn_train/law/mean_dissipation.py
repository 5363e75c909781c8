"""Dissipation of the means of a law with populations: softplus ridges of each class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .class_features import ClassFeatures
from .networks.convex import (
    RidgeWeights,
    ridge_coefficients,
    ridge_gradient,
    ridge_hessian,
    ridge_value,
    tanh_layers,
    triangle_places,
)
from .networks.mlp import uniform
from .networks.tied_networks import TiedTanhNetwork


class Coefficients(NamedTuple):
    """Λ Λᵀ ``(..., classes, n, n)`` and amplitudes ``(..., classes, K)`` at given states."""

    mobility: Tensor
    amplitude: Tensor


class MeanDissipation(nn.Module):
    """φ_means = Σ_classes (E/τ) Φ(g_a/E; state), Φ a convex ridge function with Φ(0) = ∂Φ(0) = 0.

    Args:
        features: Of the classes.
        orbits: Of pairs of classes.
        widths: Hidden layers of the network of the state, units of one class.
        ridges: Softplus ridges of a class.
        generator: Source of the initial weights.
    """

    time_scale: Tensor
    components: Tensor
    diagonal: Tensor
    places: Tensor

    def __init__(
        self,
        features: ClassFeatures,
        orbits: Tensor,
        *,
        widths: Sequence[int],
        ridges: int,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        variables = features.variables
        self.classes, self.size, self.ridges = variables.classes, variables.means, ridges
        inputs = features.strain_features + variables.per_class
        outputs = self.size * (self.size + 1) // 2 + ridges
        self.context_net = TiedTanhNetwork(orbits, inputs, widths, outputs, generator=generator)
        self.ridge_weight = nn.Parameter(uniform((ridges, self.size), 1.5, generator))
        self.ridge_bias = nn.Parameter(uniform((ridges,), 1.5, generator))
        diagonal, places = triangle_places(self.size)
        self.register_buffer("time_scale", torch.ones((), dtype=torch.float64))
        self.register_buffer("diagonal", diagonal, persistent=False)
        self.register_buffer("places", places, persistent=False)
        components = torch.tensor(variables.mean_components)
        self.register_buffer("components", components, persistent=False)

    def context(self, features: Tensor, offset: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Return the network of the state as one of z, x = features z + offset."""
        weights, biases = self.context_net.weights()
        first = biases[0] + weights[0] @ offset
        return [weights[0] @ features, *weights[1:]], [first, *biases[1:]]

    def ridge(self) -> RidgeWeights:
        """Return the ridges of one class."""
        return RidgeWeights(self.ridge_weight, self.ridge_bias, self.ridges, self.size)

    def coefficients(
        self, context: tuple[Sequence[Tensor], Sequence[Tensor]], z: Tensor
    ) -> Coefficients:
        """Return what depends on the state z."""
        output = tanh_layers(z, *context)
        output = output.reshape(*output.shape[:-1], self.classes, -1)
        return Coefficients(*ridge_coefficients(output, self.diagonal, self.places, self.size))

    def value(self, coefficients: Coefficients, force: Tensor, energy_scale: Tensor) -> Tensor:
        """Return φ_means, shape ``(...)``, for g of ``(..., n_α)``."""
        of_class = ridge_value(self._scaled(force, energy_scale), *coefficients, self.ridge())
        return energy_scale / self.time_scale * of_class.sum((-2, -1))

    def rate(self, coefficients: Coefficients, force: Tensor, energy_scale: Tensor) -> Tensor:
        """Return ∂φ_means/∂g, shape ``(..., n_α)``; that of populations is zero."""
        scaled = self._scaled(force, energy_scale)
        rate = ridge_gradient(scaled, *coefficients, self.ridge()) / self.time_scale
        return torch.zeros_like(force).index_copy(-1, self.components, rate.flatten(-2))

    def mobility(self, coefficients: Coefficients, force: Tensor, energy_scale: Tensor) -> Tensor:
        """Return ∂²φ_means/∂g², shape ``(..., n_α, n_α)``."""
        scaled = self._scaled(force, energy_scale)
        blocks = ridge_hessian(scaled, *coefficients, self.ridge())
        blocks = blocks / (energy_scale * self.time_scale)
        matrix = force.new_zeros(*force.shape, force.shape[-1])
        for number in range(self.classes):
            first = int(self.components[number * self.size])
            own = slice(first, first + self.size)
            matrix[..., own, own] = blocks[..., number, :, :]
        return matrix

    def _scaled(self, force: Tensor, energy_scale: Tensor) -> Tensor:
        of_means = force.index_select(-1, self.components) / energy_scale
        return of_means.reshape(*of_means.shape[:-1], self.classes, self.size)
