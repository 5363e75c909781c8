"""f and φ of a law with populations as functions of (ε, α) and g, for audits and rates.

The update and the rates do not use them where fractions are small: there the logarithms of g and
the square roots of φ cancel, see :mod:`ibvonn_train.export.graphs.population_kinetics`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...law.networks.convex import ridge_gradient, ridge_hessian, ridge_value
from .interfaces import EnergyGraph, RatesGraph
from .population_kinetics import PopulationKinetics
from .populations import Populations


class MixedEnergy(nn.Module):
    """f(ε, α) = F(ε, α) + θ Σ p ln p, convex in α at fixed ε."""

    def __init__(self, smooth: EnergyGraph, populations: Populations) -> None:
        super().__init__()
        self.smooth, self.populations = smooth, populations
        self.constant = smooth.constant

    def value(self, strain: Tensor, internal: Tensor) -> Tensor:
        """Return f, shape ``(n, 1)``."""
        entropy, _ = self.populations.mixing(self.populations.positive(internal))
        return self.smooth.value(strain, internal) + entropy

    def gradient(self, strain: Tensor, internal: Tensor) -> tuple[Tensor, Tensor]:
        """Return f ``(n, 1)`` and ∂f/∂x ``(n, d)``."""
        value, gradient = self.smooth.gradient(strain, internal)
        entropy, slope = self.populations.mixing(self.populations.positive(internal))
        return value + entropy, gradient + torch.cat([torch.zeros_like(strain), slope], 1)

    def internal(self, strain: Tensor, internal: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return f ``(n, 1)``, ∂f/∂α ``(n, n_α)`` and ∂²f/∂α² ``(n, n_α, n_α)``."""
        value, gradient, hessian = self.smooth.internal(strain, internal)
        fractions = self.populations.positive(internal)
        entropy, slope = self.populations.mixing(fractions)
        curvature = self.populations.mixing_curvature(fractions)
        return value + entropy, gradient + slope, hessian + curvature

    def derivatives(self, strain: Tensor, internal: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return f ``(n, 1)``, ∂f/∂x ``(n, d)`` and ∂²f/∂x² ``(n, d, d)``."""
        value, gradient, hessian = self.smooth.derivatives(strain, internal)
        fractions = self.populations.positive(internal)
        entropy, slope = self.populations.mixing(fractions)
        gradient = gradient + torch.cat([torch.zeros_like(strain), slope], 1)
        m, curvature = strain.shape[1], self.populations.mixing_curvature(fractions)
        below = torch.cat([torch.zeros_like(hessian[:, m:, :m]), curvature], 2)
        added = torch.cat([torch.zeros_like(hessian[:, :m, :]), below], 1)
        return value + entropy, gradient, hessian + added


class ActivatedDissipation(nn.Module):
    """φ(g; x_n) = Σ 4 θ κ_ij [cosh((g_i − g_j)/2θ) − 1] + φ_means(g), κ_ij = k'_ij √(p_i p_j)."""

    def __init__(self, kinetics: PopulationKinetics) -> None:
        super().__init__()
        self.kinetics = kinetics

    def prepare(self, strain_old: Tensor, internal_old: Tensor) -> tuple[Tensor, Tensor]:
        """Return ln κ of every pair and the output of the means' context network."""
        log_rates, context = self.kinetics.prepare(strain_old, internal_old)
        _, gradient = self.kinetics.energy.gradient(strain_old, internal_old)
        y = -self.kinetics.populations.drive(gradient[:, strain_old.shape[1] :])
        log_rates = log_rates + self.kinetics.rates.implicit(y)[0]
        populations = self.kinetics.populations
        fractions = populations.positive(internal_old)
        products = [torch.matmul(torch.log(fractions), ends) for ends in populations.incidence]
        return log_rates + 0.5 * (products[0] + products[1]), context

    def derivatives(
        self, force: Tensor, log_rates: Tensor, context: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """φ ``(n, 1)``, ∂φ/∂g ``(n, n_α)`` and ∂²φ/∂g² ``(n, n_α, n_α)`` at g = ``force``."""
        p, ridges = self.kinetics.populations, self.kinetics.ridges
        y = p.drive(force)
        forward, backward = torch.exp(log_rates + y), torch.exp(log_rates - y)
        terms = forward + backward - 2.0 * torch.exp(log_rates)
        value = torch.sum(terms, 1, keepdim=True) * (2.0 * p.thermal_energy)
        rate = torch.matmul(forward - backward, p.pairs)
        weighted = torch.unsqueeze((forward + backward) * (0.5 / p.thermal_energy), 2) * p.pairs
        curvature = torch.matmul(p.pairs.T, weighted)
        if ridges is not None:
            g = torch.matmul(force, p.means.T)
            frozen = (*ridges.coefficients(context), ridges.weights)
            value = value + ridge_value(g, *frozen)
            rate = rate + torch.matmul(ridge_gradient(g, *frozen), p.means)
            inner = torch.matmul(ridge_hessian(g, *frozen), p.means)
            curvature = curvature + torch.matmul(p.means.T, inner)
        return value, rate, curvature

    def magnitude(self, force: Tensor, log_rates: Tensor, context: Tensor) -> Tensor:
        """Bound the terms that cancel in φ, ``(n, 1)``: its round-off is a fraction of them."""
        p, ridges = self.kinetics.populations, self.kinetics.ridges
        size = torch.sum(torch.exp(log_rates), 1, keepdim=True) * (4.0 * p.thermal_energy)
        if ridges is None:
            return size
        g = torch.matmul(force, p.means.T)
        return size + ridges.magnitude(g, *ridges.coefficients(context))


class PopulationRates(RatesGraph):
    """The law in continuous time: (ε, α) → f, σ, g, α̇, with α̇ from the kinetics."""

    def __init__(self, energy: MixedEnergy, kinetics: PopulationKinetics, strain_size: int) -> None:
        super().__init__(energy, ActivatedDissipation(kinetics), strain_size)
        self.kinetics = kinetics

    def forward(self, strain: Tensor, statev: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return energy ``(n, 1)``, stress ``(n, n_ε)``, driving force and rate ``(n, n_α)``."""
        m = self.strain_size
        energy, gradient = self.energy.gradient(strain, statev)
        _, slope = self.kinetics.energy.gradient(strain, statev)
        frozen = self.kinetics.prepare(strain, statev)
        rate = self.kinetics.rate(statev, -slope[:, m:], *frozen)
        return energy, gradient[:, :m], -gradient[:, m:], rate
