"""Kinetics of populations and means, with the logarithms of the mixing entropy cancelled.

With G = −∂F/∂α of the smooth energy and y = (G_i − G_j)/2θ the flow from state j to state i is

    J_ij = k'_ij [p_j e^y − p_i e^−y] = ∂φ/∂(g_i − g_j),

which has no stiff ends, obeys detailed balance for any k' and keeps fractions positive.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from ...law.networks.convex import ridge_gradient, ridge_hessian, softplus, tanh_layers
from ..population_parameters import PopulationParameters
from .interfaces import EnergyGraph
from .network_potentials import RidgeDissipation
from .populations import Populations


class LogRates(Protocol):
    """What the kinetics need of ln k' = frozen(ε, α) + implicit(y); a network, or a closed form.

    The first part is frozen over a step at its start, the second is taken at its end. With a slope
    of the second between −1 and 1, k' e^y grows with y and k' e^−y falls.
    """

    def frozen(self, strain: Tensor, internal: Tensor, drive: Tensor) -> Tensor:
        """Return the first part for every pair, ``(n, n_pair)``; ``drive`` is (G_i − G_j)/θ."""

    def implicit(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return the second part and its derivative by y, each ``(n, n_pair)``."""


class RateNetwork(nn.Module):
    """ln k' = net(ε, α, 2y) − s(y − b) − s(−y − b), y = (G_i − G_j)/2θ and s the softplus."""

    def __init__(self, law: PopulationParameters) -> None:
        super().__init__()
        self.layers = tuple(
            tuple(torch.tensor(array) for array in arrays)
            for arrays in (law.rate_weight, law.rate_bias)
        )
        self.barrier = torch.tensor(law.rate_barrier) if len(law.rate_barrier) else None

    def frozen(self, strain: Tensor, internal: Tensor, drive: Tensor) -> Tensor:
        """Return what the network says, ``(n, n_pair)``."""
        return tanh_layers(torch.cat([strain, internal, drive], 1), *self.layers)

    def implicit(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return the saturation and its derivative."""
        if self.barrier is None:
            return torch.zeros_like(y), torch.zeros_like(y)
        above, below = y - self.barrier, -y - self.barrier
        value = -softplus(above) - softplus(below)
        return value, torch.sigmoid(below) - torch.sigmoid(above)


class Balance(NamedTuple):
    """End of an implicit step at a given force: α(γ) solves α − α_n = Δt α̇(α, γ).

    Attributes:
        internal: α(γ), shape ``(n, n_α)``.
        fractions: Those of all states, accurate however small, ``(n, n_state)``.
        compliance: W = dα/dγ, shape ``(n, n_α, n_α)``; symmetric if all populations have two
            states.
    """

    internal: Tensor
    fractions: Tensor
    compliance: Tensor


class PopulationKinetics(nn.Module):
    """α̇ of populations and means from the force of the smooth energy, G = −∂F/∂α.

    Args:
        populations: Which components are populations.
        energy: F.
        rates: ln k'.
        ridges: φ of the means; None where there are none.
    """

    def __init__(
        self,
        populations: Populations,
        energy: EnergyGraph,
        rates: LogRates,
        ridges: RidgeDissipation | None,
    ) -> None:
        super().__init__()
        self.populations, self.energy, self.rates, self.ridges = populations, energy, rates, ridges

    def prepare(self, strain_old: Tensor, internal_old: Tensor) -> tuple[Tensor, Tensor]:
        """Evaluate what is frozen over a step: of ln k', and the output of the means' context."""
        _, gradient = self.energy.gradient(strain_old, internal_old)
        drive = -2.0 * self.populations.drive(gradient[:, -self.populations.size :])
        log_rates = self.rates.frozen(strain_old, internal_old, drive)
        if self.ridges is None:
            return log_rates, torch.zeros_like(strain_old[:, :1])
        return log_rates, self.ridges.output(strain_old, internal_old)

    def rate(self, internal: Tensor, force: Tensor, log_rates: Tensor, context: Tensor) -> Tensor:
        """Return α̇, ``(n, n_α)``.

        Args:
            internal: α.
            force: G, shape ``(n, n_α)``.
            log_rates: From :meth:`prepare`.
            context: Likewise.
        """
        p = self.populations
        forward, backward, _ = self._coefficients(force, log_rates)
        first, second = p.of_pairs(internal)
        rate = torch.matmul(forward * second - backward * first, p.pairs)
        return rate if self.ridges is None else rate + self._of_means(force, context)[0]

    def balance(
        self, internal_old: Tensor, dt: Tensor, force: Tensor, log_rates: Tensor, context: Tensor
    ) -> Balance:
        """Solve α − α_n = Δt α̇(α, γ) at a given force γ: linear in fractions, explicit in means.

        Args:
            internal_old: α_n.
            dt: Δt, shape ``(n, 1)``.
            force: γ, shape ``(n, n_α)``.
            log_rates: From :meth:`prepare`.
            context: Likewise.
        """
        p = self.populations
        forward, backward, rise = self._coefficients(force, log_rates)
        before = torch.relu(p.fractions(internal_old))
        fractions, compliance = p.relaxed(before, dt * forward, dt * backward, rise)
        internal = internal_old + torch.matmul(fractions - before, p.components)
        if self.ridges is not None:
            rate, mobility = self._of_means(force, context)
            internal = internal + dt * rate
            compliance = compliance + dt.unsqueeze(2) * mobility
        return Balance(internal, fractions, compliance)

    def _coefficients(self, force: Tensor, log_rates: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return k' e^y, k' e^−y and ∂ ln k'/∂y: what share of j flows to i, and of i to j."""
        y = self.populations.drive(force)
        saturation, rise = self.rates.implicit(y)
        log_rates = log_rates + saturation
        # exp(ln k' ± y) overflows later than k' e^y, whose factors may both be extreme.
        return torch.exp(log_rates + y), torch.exp(log_rates - y), rise

    def _of_means(self, force: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Return the rate of the means and its derivative by G; zero for populations."""
        assert self.ridges is not None  # noqa: S101 (the callers have asked)
        means = self.populations.means
        frozen = (*self.ridges.coefficients(context), self.ridges.weights)
        own = torch.matmul(force, means.T)
        hessian = torch.matmul(ridge_hessian(own, *frozen), means)
        return (
            torch.matmul(ridge_gradient(own, *frozen), means),
            torch.matmul(means.T, hessian),
        )
