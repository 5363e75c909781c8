r"""Potentials of a law with populations: mixing entropy in f, thermally activated jumps in φ.

With z = (ε, α), the fractions p_s of the states of every population, θ = k_BT per reference volume,
and the smooth part F of f,

    f = F(z) + θ Σ_populations Σ_s p_s ln p_s,        G = −∂F/∂α,
    φ = Σ_populations Σ_{i<j} 4 θ k_ij √(p_i p_j) [cosh(g_ij/2θ) − 1] + φ_means,  g_ij = g_i − g_j.

The logarithms of g cancel in the rate, the net flux from state j to i being

    k_ij [p_j exp(G_ij/2θ) − p_i exp(−G_ij/2θ)],

so nothing is stiff at the ends; detailed balance and the second law hold for any weights. k_ij is
positive and symmetric, and depends on the state:

    ln k_ij = net(z, G_ij/θ) − s(G_ij/2θ − b_ij) − s(−G_ij/2θ − b_ij),       s(y) = ln(1 + e^y).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .class_features import ClassFeatures
from .internal_variables import InternalVariables, Jumps
from .mean_dissipation import Coefficients, MeanDissipation
from .networks.convex import (
    EnergyWeights,
    energy_arguments,
    energy_gradient,
    energy_gradient_and_hessian,
    energy_value,
    softplus,
    tanh_layers,
)
from .networks.products import product
from .networks.tied import class_orbits, repeated
from .networks.tied_networks import TiedTanhNetwork
from .potentials import (
    Linearised,
    LinearisedFunction,
    Potentials,
    RateFunction,
    Relaxation,
    RelaxationFunction,
)
from .rates import Rates
from .smooth_energy import SmoothEnergy

EMPTY = 1e-300
"""Fraction of an empty state in logarithms; those of binned microstates may be a little below 0."""
FIRST_BARRIER = 5.0
"""Initial b of :func:`saturation`, in 2 k_BT."""
FORCE_UNIT = 10.0
"""G_ij/θ in the input of the network of ln k is divided by this: wells are some ten k_BT apart."""


class Prepared(NamedTuple):
    """Weights as functions of z = (ε, α), computed once for many states.

    Attributes:
        energy: Of F, energy scale included.
        rate: Weights and biases of the network of ln k; its inputs are z and G_ij/θ of all pairs.
        barrier: b of every pair.
        context: Those of the network of the means' dissipation, of inputs z; empty without means.
    """

    energy: EnergyWeights
    rate: tuple[list[Tensor], list[Tensor]]
    barrier: Tensor
    context: tuple[list[Tensor], list[Tensor]]


class _Flow(NamedTuple):
    """α̇, ∂α̇/∂g and ∂α̇/∂α at fixed G, the state of ln k being frozen."""

    rate: Tensor
    mobility: Tensor
    leaving: Tensor


class PopulationPotentials(Potentials):
    """Potentials of populations, with or without means beside them.

    Args:
        strain_size: n_ε.
        variables: Kinds and numbers of the internal variables; at least one population.
        orbits: Of pairs of classes under the symmetry of the classes, ``(classes, classes)``.
        strain_basis: A of the strain features e_a = A_a ε of each class, ``(classes, q, n_ε)``.
        widths: Hidden layers of F, units of one class.
        rate_widths: Hidden layers of ln k and of the means' dissipation.
        ridges: Number of softplus ridges of each class of means.
        generator: Source of the initial weights.
    """

    thermal_energy: Tensor
    time_scale: Tensor
    orbits: Tensor
    fraction_matrix: Tensor
    fraction_offset: Tensor
    same_population: Tensor
    is_fraction: Tensor

    def __init__(
        self,
        strain_size: int,
        variables: InternalVariables,
        *,
        orbits: Tensor,
        strain_basis: Tensor,
        widths: Sequence[int],
        rate_widths: Sequence[int],
        ridges: int,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.strain_size, self.internal_size = strain_size, variables.size
        self.variables = variables
        self.features = ClassFeatures(strain_size, variables, strain_basis, orbits)
        self.smooth = SmoothEnergy(self.features, orbits, widths, generator)
        self.register_buffer("thermal_energy", torch.ones((), dtype=torch.float64))
        self.register_buffer("time_scale", torch.ones((), dtype=torch.float64))
        for name, value in (
            ("orbits", orbits),
            *zip(("fraction_matrix", "fraction_offset"), variables.fractions(), strict=True),
            ("same_population", variables.same_population()),
            ("is_fraction", variables.same_population().any(0)),
            *((f"jump_{name}", value) for name, value in variables.jumps()._asdict().items()),
        ):
            self.register_buffer(name, value, persistent=False)
        pairs, kinds = variables.pairs_per_class, int(class_orbits(orbits).max()) + 1
        state = self.features.strain_features + variables.per_class
        self.rate_net = TiedTanhNetwork(
            orbits, state + pairs, rate_widths, pairs, generator=generator, last_gain=0.3
        )
        self.barrier = nn.Parameter(torch.full((kinds, pairs), FIRST_BARRIER, dtype=torch.float64))
        self.means: MeanDissipation | None = None
        if variables.means:
            self.means = MeanDissipation(
                self.features, orbits, widths=rate_widths, ridges=ridges, generator=generator
            )

    @property
    def strain_centre(self) -> Tensor:  # type: ignore[override]
        """Mean of ε in training."""
        return self.features.strain_centre

    @property
    def strain_scale(self) -> Tensor:  # type: ignore[override]
        """Standard deviation of ε in training."""
        return self.features.strain_scale

    @property
    def energy_scale(self) -> Tensor:  # type: ignore[override]
        """E of F."""
        return self.smooth.energy_scale

    @property
    def jumps(self) -> Jumps:
        """Pairs of states between which elements jump."""
        return Jumps(*(getattr(self, f"jump_{name}") for name in Jumps._fields))

    def prepared(self) -> Prepared:
        """Return the weights as functions of z."""
        energy, (features, offset) = self.smooth.weights(self.thermal_energy), self.features.map()
        classes, pairs = self.variables.classes, self.variables.pairs_per_class
        weights, biases = self.rate_net.weights()
        columns = torch.arange(weights[0].shape[1]).reshape(classes, -1)
        state, forces = columns[:, :-pairs].flatten(), columns[:, -pairs:].flatten()
        of_state = weights[0][:, state]
        first = torch.cat([of_state @ features, weights[0][:, forces] / FORCE_UNIT], 1)
        biases = [biases[0] + of_state @ offset, *biases[1:]]
        biases[-1] = biases[-1] - torch.log(self.time_scale)
        barrier = repeated(softplus(self.barrier), self.orbits)
        context = ([], []) if self.means is None else self.means.context(features, offset)
        return Prepared(energy, ([first, *weights[1:]], biases), barrier, context)

    def forward(self, strain: Tensor, internal: Tensor) -> Rates[Tensor]:
        """Return f, σ, g, α̇; g is very large where a state is empty."""
        weights, m = self.prepared(), self.strain_size
        z = torch.cat([strain, internal], -1)
        arguments = energy_arguments(z, weights.energy)
        gradient = energy_gradient(z, weights.energy, arguments)
        value = energy_value(z, weights.energy, arguments).squeeze(-1)
        p = self.fractions(internal).clamp(min=EMPTY)
        energy = value + self.thermal_energy * torch.special.xlogy(p, p).sum(-1)
        mixing = self.thermal_energy * (torch.log(p) @ self.fraction_matrix)
        smooth = -gradient[..., m:]
        rate = self._rate(weights, z, smooth, internal)
        return Rates(energy, gradient[..., :m], smooth - mixing, rate)

    def fractions(self, internal: Tensor) -> Tensor:
        """Return the fractions of all states of all populations, ``(..., n_state)``."""
        return internal @ self.fraction_matrix.T + self.fraction_offset

    def admissible(self, internal: Tensor) -> Tensor:
        """Return α with fractions below 0 at 0, and those of a sum above 1 scaled to 1."""
        positive = torch.where(self.is_fraction, internal.clamp(min=0.0), internal)
        return positive / product(positive, self.same_population).clamp(min=1.0)

    def rates_function(self) -> RateFunction:
        """Return (ε, α) ↦ (σ, α̇) with the weights prepared once, for roll-outs."""
        weights, m = self.prepared(), self.strain_size

        def rates(strain: Tensor, internal: Tensor) -> tuple[Tensor, Tensor]:
            z = torch.cat([strain, internal], -1)
            gradient = energy_gradient(z, weights.energy, energy_arguments(z, weights.energy))
            return gradient[..., :m], self._rate(weights, z, -gradient[..., m:], internal)

        return rates

    def linearised_function(self) -> LinearisedFunction:
        """Return (ε, α) ↦ σ, α̇ and their derivatives, for implicit steps.

        A long step of a linearised law may carry fractions beyond their bounds, where mobilities
        are negative and the next step would go further: such fractions count as on their bounds.
        """
        weights, m = self.prepared(), self.strain_size

        def linearised(strain: Tensor, internal: Tensor) -> Linearised:
            internal = self.admissible(internal)
            z = torch.cat([strain, internal], -1)
            arguments = energy_arguments(z, weights.energy)
            gradient, hessian = energy_gradient_and_hessian(z, weights.energy, arguments)
            flow = self._flow(weights, z, -gradient[..., m:], internal)
            return Linearised(
                stress=gradient[..., :m],
                rate=flow.rate,
                stiffness=hessian[..., :m, :m],
                coupling=hessian[..., :m, m:],
                rate_by_strain=-product(flow.mobility, hessian[..., m:, :m]),
                rate_by_internal=flow.leaving - product(flow.mobility, hessian[..., m:, m:]),
            )

        return linearised

    def relaxation_function(self) -> RelaxationFunction:
        """Return (ε, α) ↦ α̇ and its derivative by α; fractions as in the function above."""
        weights, m = self.prepared(), self.strain_size

        def relaxation(strain: Tensor, internal: Tensor) -> Relaxation:
            internal = self.admissible(internal)
            z = torch.cat([strain, internal], -1)
            arguments = energy_arguments(z, weights.energy)
            gradient, hessian = energy_gradient_and_hessian(z, weights.energy, arguments, m)
            flow = self._flow(weights, z, -gradient, internal)
            return Relaxation(flow.rate, flow.leaving - product(flow.mobility, hessian))

        return relaxation

    def energy_hessian(self, strain: Tensor, internal: Tensor) -> Tensor:
        """Return ∂²f/∂(ε, α)², shape ``(..., n_ε + n_α, n_ε + n_α)``."""
        weights, m = self.prepared(), self.strain_size
        z = torch.cat([strain, internal], -1)
        _, hessian = energy_gradient_and_hessian(
            z, weights.energy, energy_arguments(z, weights.energy)
        )
        inverse = 1.0 / self.fractions(internal).unsqueeze(-1)
        mixing = self.thermal_energy * self.fraction_matrix.T @ (inverse * self.fraction_matrix)
        return hessian + nn.functional.pad(mixing, (m, 0, m, 0))

    def dual_dissipation(self, driving_force: Tensor, strain: Tensor, internal: Tensor) -> Tensor:
        """Return φ(g; ε, α), shape ``(...)``."""
        prefactor, half, coefficients = self._activated(driving_force, strain, internal)
        value = (2.0 * self.thermal_energy * prefactor * (torch.cosh(half) - 1.0)).sum(-1)
        if self.means is not None and coefficients is not None:
            value = value + self.means.value(coefficients, driving_force, self.energy_scale)
        return value

    def mobility(self, driving_force: Tensor, strain: Tensor, internal: Tensor) -> Tensor:
        """Return ∂²φ/∂g², shape ``(..., n_α, n_α)``."""
        prefactor, half, coefficients = self._activated(driving_force, strain, internal)
        incidence = self.jumps.incidence
        response = prefactor * torch.cosh(half) / (2.0 * self.thermal_energy)
        matrix = incidence.T @ (response.unsqueeze(-1) * incidence)
        if self.means is not None and coefficients is not None:
            matrix = matrix + self.means.mobility(coefficients, driving_force, self.energy_scale)
        return matrix

    def _activated(
        self, driving_force: Tensor, strain: Tensor, internal: Tensor
    ) -> tuple[Tensor, Tensor, Coefficients | None]:
        """Return 2 k_ij √(p_i p_j) and g_ij/2θ of all pairs, and what the means depend on."""
        weights, m, jumps = self.prepared(), self.strain_size, self.jumps
        z = torch.cat([strain, internal], -1)
        gradient = energy_gradient(z, weights.energy, energy_arguments(z, weights.energy))
        forces = -gradient[..., m:] @ jumps.incidence.T / self.thermal_energy
        first = internal @ jumps.first.T + jumps.first_offset
        second = internal @ jumps.second.T + jumps.second_offset
        half = driving_force @ jumps.incidence.T / (2.0 * self.thermal_energy)
        prefactor = 2.0 * torch.exp(log_rate(weights, z, forces)) * torch.sqrt(first * second)
        coefficients = None
        if self.means is not None:
            coefficients = self.means.coefficients(weights.context, z)
        return prefactor, half, coefficients

    def _flow(self, weights: Prepared, z: Tensor, smooth: Tensor, internal: Tensor) -> _Flow:
        """Return α̇, ∂α̇/∂g and what ∂α̇/∂α is at fixed G."""
        jumps = self.jumps
        forward, backward, first, second = self._jump_rates(weights, z, smooth, internal)
        rate = product(forward * second - backward * first, jumps.incidence)
        leaving = forward.unsqueeze(-1) * jumps.second - backward.unsqueeze(-1) * jumps.first
        response = (forward * second + backward * first) / (2.0 * self.thermal_energy)
        mobility = product(jumps.incidence.T, response.unsqueeze(-1) * jumps.incidence)
        if self.means is not None:
            coefficients = self.means.coefficients(weights.context, z)
            rate = rate + self.means.rate(coefficients, smooth, self.energy_scale)
            mobility = mobility + self.means.mobility(coefficients, smooth, self.energy_scale)
        return _Flow(rate, mobility, product(jumps.incidence.T, leaving))

    def _jump_rates(
        self, weights: Prepared, z: Tensor, smooth: Tensor, internal: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return rates into and out of the first state of each pair, and the two fractions."""
        jumps = self.jumps
        forces = product(smooth, jumps.incidence.T) / self.thermal_energy
        log_k = log_rate(weights, z, forces)
        first = product(internal, jumps.first.T) + jumps.first_offset
        second = product(internal, jumps.second.T) + jumps.second_offset
        return torch.exp(log_k + 0.5 * forces), torch.exp(log_k - 0.5 * forces), first, second

    def _rate(self, weights: Prepared, z: Tensor, smooth: Tensor, internal: Tensor) -> Tensor:
        forward, backward, first, second = self._jump_rates(weights, z, smooth, internal)
        rate = product(forward * second - backward * first, self.jumps.incidence)
        if self.means is not None:
            coefficients = self.means.coefficients(weights.context, z)
            rate = rate + self.means.rate(coefficients, smooth, self.energy_scale)
        return rate


def log_rate(weights: Prepared, z: Tensor, forces: Tensor) -> Tensor:
    """Return ln k_ij of all pairs, ``(..., n_pair)``, for G_ij/θ of that shape."""
    net = tanh_layers(torch.cat([z, forces], -1), *weights.rate)
    return net - saturation(0.5 * forces, weights.barrier)


def saturation(half: Tensor, barrier: Tensor) -> Tensor:
    """Return what is taken off ln k where G_ij/2θ exceeds the barrier b on either side.

    s(y − b) + s(−y − b): the faster of the two rates grows no further once the force has removed
    the barrier, as that of a particle that slides down a slope.
    """
    return softplus(half - barrier) + softplus(-half - barrier)
