r"""Potentials of a law with populations: mixing entropy in f, thermally activated jumps in φ.

With z = (ε, α), the fractions p_s of the states of every population, θ = k_BT per reference volume,
and the smooth part F of f,

    f = F(z) + θ Σ_populations Σ_s p_s ln p_s,        G = −∂F/∂α,
    φ = Σ_populations Σ_{i<j} 4 θ k_ij √(p_i p_j) [cosh(g_ij/2θ) − 1] + φ_means,   g_ij = g_i − g_j.

The logarithms of g cancel in the rate, the net flux from state j to i being

    k_ij [p_j exp(G_ij/2θ) − p_i exp(−G_ij/2θ)],

so nothing is stiff at the ends, detailed balance and the second law hold for any weights.
F = E [l·x + ½ xᵀMx + v·h(x)] of the scaled features x of all classes. h is convex; M_εε is positive
definite; M_αα may be concave by less than the mixing entropy is convex, whose Hessian in the
independent fractions is at least 2θ(I + 11ᵀ) for each population; M_εα is free. So f is convex in α
at fixed ε for any weights, and not necessarily in both together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .internal_variables import InternalVariables, Jumps
from .networks.convex import (
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
from .networks.mlp import uniform
from .networks.tied import averaged, class_orbits, dense, repeated
from .networks.tied_networks import ConvexLayers, TiedTanhNetwork
from .potentials import Linearised, LinearisedFunction, Potentials, RateFunction
from .rates import Rates

EMPTY = 1e-300
"""Fraction of an empty state in logarithms; those of binned microstates may be a little below 0."""
FIRST_BARRIER = 5.0
"""Initial b of :func:`saturation`, in 2 k_BT."""
SILENT = -4.0
"""Free parameter of the output weights of the convex layers at the start: 0.02."""
LARGEST_CONCAVITY = 0.95
"""Of the smooth part, in units of the least convexity of the mixing entropy."""
FORCE_UNIT = 10.0
"""G_ij/θ in the input of the network of ln k is divided by this: wells are some ten k_BT apart."""


class Prepared(NamedTuple):
    """Weights as functions of z = (ε, α), computed once for many states.

    Attributes:
        energy: Of F, energy scale included.
        rate: Weights and biases of the network of ln k; its inputs are z and G_ij/θ of all pairs.
        context: Those of the network of the means' dissipation, of inputs z.
        ridge: Ridges of the means of one class, in scaled forces.
    """

    energy: EnergyWeights
    rate: tuple[list[Tensor], list[Tensor]]
    barrier: Tensor
    context: tuple[list[Tensor], list[Tensor]]
    ridge: RidgeWeights


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
    mean_time_scale: Tensor
    basis: Tensor
    orbits: Tensor
    bound: Tensor
    unit: Tensor
    middle: Tensor
    fraction_matrix: Tensor
    fraction_offset: Tensor
    diagonal: Tensor
    places: Tensor

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
        self.variables, self.ridges = variables, ridges
        n, q = variables.per_class, strain_basis.shape[1]
        pairs, kinds = int(orbits.max()) + 1, int(class_orbits(orbits).max()) + 1
        for name, value in (
            ("strain_centre", torch.zeros(strain_size, dtype=torch.float64)),
            ("strain_scale", torch.ones(strain_size, dtype=torch.float64)),
            ("energy_scale", torch.ones((), dtype=torch.float64)),
            ("thermal_energy", torch.ones((), dtype=torch.float64)),
            ("time_scale", torch.ones((), dtype=torch.float64)),
            ("mean_time_scale", torch.ones((), dtype=torch.float64)),
            ("basis", strain_basis.to(torch.float64)),
        ):
            self.register_buffer(name, value)
        for name, value in (
            ("orbits", orbits),
            ("bound", _mixing_bound(variables)),
            *zip(("unit", "middle"), _units(variables), strict=True),
            *zip(("fraction_matrix", "fraction_offset"), variables.fractions(), strict=True),
            *zip(("diagonal", "places"), triangle_places(max(variables.means, 1)), strict=True),
        ):
            self.register_buffer(name, value, persistent=False)
        for name, value in variables.jumps()._asdict().items():
            self.register_buffer(f"jump_{name}", value, persistent=False)
        self.linear = nn.Parameter(torch.zeros(kinds, q + n, dtype=torch.float64))
        self.strain_root = nn.Parameter(_near_identity(orbits, pairs, q, generator))
        self.internal_root = nn.Parameter(_near_identity(orbits, pairs, n, generator))
        self.coupling = nn.Parameter(uniform((pairs, q, n), 0.1, generator))
        self.concavity = nn.Parameter(
            torch.full((len(variables.populations),), -3.0, dtype=torch.float64)
        )
        self.layers = ConvexLayers(orbits, q + n, widths, generator=generator, output_scale=0.1)
        self.rate_net = TiedTanhNetwork(
            orbits,
            q + n + variables.pairs_per_class,
            rate_widths,
            variables.pairs_per_class,
            generator=generator,
            last_gain=0.3,
        )
        self.barrier = nn.Parameter(
            torch.full((kinds, variables.pairs_per_class), FIRST_BARRIER, dtype=torch.float64)
        )
        if variables.means:
            m = variables.means
            self.context_net = TiedTanhNetwork(
                orbits, q + n, rate_widths, m * (m + 1) // 2 + ridges, generator=generator
            )
            self.ridge_weight = nn.Parameter(uniform((ridges, m), 1.5, generator))
            self.ridge_bias = nn.Parameter(uniform((ridges,), 1.5, generator))

    @property
    def jumps(self) -> Jumps:
        """Pairs of states between which elements jump."""
        return Jumps(*(getattr(self, f"jump_{name}") for name in Jumps._fields))

    @torch.no_grad()
    def start_from_stress(self, strain: Tensor, internal: Tensor, stress: Tensor) -> None:
        """Start the quadratic part of F from a linear fit σ = K ε + C α + s.

        M_αα starts at M_αε M_εε⁻¹ M_εα, that of elements which carry their force in series with
        what their state adds to the strain: f does not change where both change together.

        Args:
            strain: ε of states of the data, shape ``(n, n_ε)``.
            internal: Their α, shape ``(n, n_α)``.
            stress: Their σ, shape ``(n, n_ε)``.
        """
        m, (features, offset) = self.strain_size, self.feature_map()
        x = torch.cat([strain, internal], 1) @ features.T + offset
        design = torch.cat([x, torch.ones_like(x[:, :1])], 1)
        # σ = E Zεᵀ (M x + l): the fit is for the force conjugate to the strain features.
        classes, q, _ = self.basis.shape
        n = self.variables.per_class
        order = torch.arange(classes * (q + n), device=x.device).reshape(classes, q + n)
        of_strain, of_internal = order[:, :q].flatten(), order[:, q:].flatten()
        conjugate = stress / self.energy_scale @ torch.linalg.pinv(features[of_strain, :m].T).T
        fit = torch.linalg.lstsq(design, conjugate).solution
        stiffness = fit[of_strain].T
        root, vectors = torch.linalg.eigh(0.5 * (stiffness + stiffness.T))
        root = root.clamp(min=1e-3 * float(root.abs().max()))
        coupling = fit[of_internal].T
        relaxed = coupling.T @ (vectors / root) @ vectors.T @ coupling
        values, axes = torch.linalg.eigh(relaxed)
        values = values.clamp(min=1e-3 * float(values.max().clamp(min=1e-6)))
        self.strain_root.copy_(_shared((vectors * root.sqrt()) @ vectors.T, self.orbits, q, q))
        self.coupling.copy_(_shared(coupling, self.orbits, q, n))
        self.internal_root.copy_(_shared((axes * values.sqrt()) @ axes.T, self.orbits, n, n))
        kinds = class_orbits(self.orbits)
        constant = fit[-1].reshape(classes, q)
        for kind in range(len(self.linear)):
            self.linear[kind, :q] = constant[kinds == kind].mean(0)
        self.layers.output_raw.fill_(SILENT)

    def feature_map(self) -> tuple[Tensor, Tensor]:
        """Return Z and x_0 of the features x = Z z + x_0 of all classes.

        Classes that a permutation maps on each other share scale and centre.
        """
        classes, q, _ = self.basis.shape
        n, m = self.variables.per_class, self.strain_size
        size = averaged(self.basis.abs() @ self.strain_scale, self.orbits).clamp(min=1e-300)
        strain = self.basis / size.unsqueeze(-1)
        rows = self.basis.new_zeros(classes, q + n, m + self.internal_size)
        offset = self.basis.new_zeros(classes, q + n)
        rows[:, :q, :m] = strain
        offset[:, :q] = -averaged(strain @ self.strain_centre, self.orbits)
        for a in range(classes):
            own = torch.arange(n)
            rows[a, q + own, m + a * n + own] = self.unit[a * n : (a + 1) * n]
        offset[:, q:] = -(self.unit * self.middle).reshape(classes, n)
        return rows.flatten(0, 1), offset.flatten()

    def quadratic(self) -> Tensor:
        """Return M, shape ``(d, d)`` in the features of all classes."""
        classes, q, _ = self.basis.shape
        n = self.variables.per_class
        strain, internal = (dense(r, self.orbits) for r in (self.strain_root, self.internal_root))
        share = LARGEST_CONCAVITY * torch.sigmoid(self.concavity)
        per_component = self.concavity.new_zeros(n)
        first = 0
        for number, states in enumerate(self.variables.populations):
            per_component[first : first + states - 1] = share[number]
            first += states - 1
        concave = self.bound * per_component.repeat(classes)
        scaled = concave / (self.unit * self.unit[:, None])
        curvature = internal @ internal.T - self.thermal_energy / self.energy_scale * scaled
        order = torch.arange(classes * (q + n)).reshape(classes, q + n)
        of_strain, of_internal = order[:, :q].flatten(), order[:, q:].flatten()
        matrix = strain.new_zeros(classes * (q + n), classes * (q + n))
        coupling = dense(self.coupling, self.orbits)
        matrix[of_strain[:, None], of_strain] = strain @ strain.T
        matrix[of_strain[:, None], of_internal] = coupling
        matrix[of_internal[:, None], of_strain] = coupling.T
        matrix[of_internal[:, None], of_internal] = curvature
        return matrix

    def prepared(self) -> Prepared:
        """Return the weights as functions of z."""
        scale, (features, offset) = self.energy_scale, self.feature_map()
        matrix, (skip, bias, hidden, output) = self.quadratic(), self.layers.weights()
        linear = repeated(self.linear, self.orbits) + matrix @ offset
        if skip:
            bias = [b + s @ offset for s, b in zip(skip, bias, strict=True)]
            skip = [s @ features for s in skip]
        energy = EnergyWeights(
            scale * (linear @ features),
            scale * (features.T @ matrix @ features),
            skip,
            bias,
            hidden,
            scale * output,
        )
        context: tuple[list[Tensor], list[Tensor]] = ([], [])
        ridge = RidgeWeights(*(self.linear.new_zeros(0, 1), self.linear.new_zeros(0)), 0, 1)
        if self.variables.means:
            weights, biases = self.context_net.weights()
            context = (
                [weights[0] @ features, *weights[1:]],
                [
                    biases[0] + weights[0] @ offset,
                    *biases[1:],
                ],
            )
            ridge = RidgeWeights(
                self.ridge_weight, self.ridge_bias, self.ridges, self.variables.means
            )
        barrier = repeated(softplus(self.barrier), self.orbits)
        return Prepared(energy, self._prepared_rate(features, offset), barrier, context, ridge)

    def _prepared_rate(self, features: Tensor, offset: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Return the network of ln k with inputs z, then G_ij/θ of all pairs."""
        classes, k = len(self.basis), self.variables.pairs_per_class
        weights, biases = self.rate_net.weights()
        columns = torch.arange(weights[0].shape[1]).reshape(classes, -1)
        state, pairs = columns[:, :-k].flatten(), columns[:, -k:].flatten()
        first = torch.cat([weights[0][:, state] @ features, weights[0][:, pairs] / FORCE_UNIT], 1)
        start = biases[0] + weights[0][:, state] @ offset
        last = biases[-1] - torch.log(self.time_scale)
        return [first, *weights[1:]], [start, *biases[1:-1], last]

    def forward(self, strain: Tensor, internal: Tensor) -> Rates[Tensor]:
        """Return f, σ, g, α̇; g is infinite where a state is empty."""
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

    def rates_function(self) -> RateFunction:
        """Return (ε, α) ↦ (σ, α̇) with the weights prepared once, for roll-outs."""
        weights, m = self.prepared(), self.strain_size

        def rates(strain: Tensor, internal: Tensor) -> tuple[Tensor, Tensor]:
            z = torch.cat([strain, internal], -1)
            gradient = energy_gradient(z, weights.energy, energy_arguments(z, weights.energy))
            return gradient[..., :m], self._rate(weights, z, -gradient[..., m:], internal)

        return rates

    def linearised_function(self) -> LinearisedFunction:
        """Return (ε, α) ↦ σ, α̇ and their derivatives, for implicit steps."""
        weights, m, jumps = self.prepared(), self.strain_size, self.jumps
        means = list(self.variables.mean_components)

        def linearised(strain: Tensor, internal: Tensor) -> Linearised:
            z = torch.cat([strain, internal], -1)
            arguments = energy_arguments(z, weights.energy)
            gradient, hessian = energy_gradient_and_hessian(z, weights.energy, arguments)
            smooth = -gradient[..., m:]
            forward, backward, first, second = self._jump_rates(weights, z, smooth, internal)
            rate = (forward * second - backward * first) @ jumps.incidence
            leaving = forward.unsqueeze(-1) * jumps.second - backward.unsqueeze(-1) * jumps.first
            response = (forward * second + backward * first) / (2.0 * self.thermal_energy)
            mobility = jumps.incidence.T @ (response.unsqueeze(-1) * jumps.incidence)
            by_internal = jumps.incidence.T @ leaving
            if means:
                coefficients = self._mean_coefficients(weights, z)
                rate = rate + self._mean_rate(weights, coefficients, smooth)
                mobility = mobility + self._mean_mobility(weights, coefficients, smooth)
            return Linearised(
                stress=gradient[..., :m],
                rate=rate,
                stiffness=hessian[..., :m, :m],
                coupling=hessian[..., :m, m:],
                rate_by_strain=-mobility @ hessian[..., m:, :m],
                rate_by_internal=by_internal - mobility @ hessian[..., m:, m:],
            )

        return linearised

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
        weights, prefactor, half = self._activated(driving_force, strain, internal)
        value = (2.0 * self.thermal_energy * prefactor * (torch.cosh(half) - 1.0)).sum(-1)
        if self.variables.means:
            g = driving_force[..., list(self.variables.mean_components)]
            z = torch.cat([strain, internal], -1)
            scaled = self._by_class(g / self.energy_scale)
            of_class = ridge_value(scaled, *self._mean_coefficients(weights, z), weights.ridge)
            scale = self.energy_scale / self.mean_time_scale
            value = value + scale * of_class.sum((-2, -1))
        return value

    def mobility(self, driving_force: Tensor, strain: Tensor, internal: Tensor) -> Tensor:
        """Return ∂²φ/∂g², shape ``(..., n_α, n_α)``."""
        weights, prefactor, half = self._activated(driving_force, strain, internal)
        incidence = self.jumps.incidence
        response = prefactor * torch.cosh(half) / (2.0 * self.thermal_energy)
        matrix = incidence.T @ (response.unsqueeze(-1) * incidence)
        if self.variables.means:
            z = torch.cat([strain, internal], -1)
            coefficients = self._mean_coefficients(weights, z)
            matrix = matrix + self._mean_mobility(weights, coefficients, driving_force)
        return matrix

    def _activated(
        self, driving_force: Tensor, strain: Tensor, internal: Tensor
    ) -> tuple[Prepared, Tensor, Tensor]:
        """Return the weights, 2 k_ij √(p_i p_j) and g_ij/2θ of all pairs."""
        weights, m, jumps = self.prepared(), self.strain_size, self.jumps
        z = torch.cat([strain, internal], -1)
        gradient = energy_gradient(z, weights.energy, energy_arguments(z, weights.energy))
        log_rate = self._log_rate(weights, z, -gradient[..., m:])
        first = internal @ jumps.first.T + jumps.first_offset
        second = internal @ jumps.second.T + jumps.second_offset
        half = driving_force @ jumps.incidence.T / (2.0 * self.thermal_energy)
        return weights, 2.0 * torch.exp(log_rate) * torch.sqrt(first * second), half

    def _log_rate(self, weights: Prepared, z: Tensor, smooth: Tensor) -> Tensor:
        pairs = smooth @ self.jumps.incidence.T / self.thermal_energy
        log_rate = tanh_layers(torch.cat([z, pairs], -1), *weights.rate)
        return log_rate - saturation(0.5 * pairs, weights.barrier)

    def _jump_rates(
        self, weights: Prepared, z: Tensor, smooth: Tensor, internal: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return rates into and out of the first state of each pair, and the two fractions."""
        jumps = self.jumps
        pairs = smooth @ jumps.incidence.T / self.thermal_energy
        log_rate = tanh_layers(torch.cat([z, pairs], -1), *weights.rate)
        half = 0.5 * pairs
        log_rate = log_rate - saturation(half, weights.barrier)
        first = internal @ jumps.first.T + jumps.first_offset
        second = internal @ jumps.second.T + jumps.second_offset
        return torch.exp(log_rate + half), torch.exp(log_rate - half), first, second

    def _rate(self, weights: Prepared, z: Tensor, smooth: Tensor, internal: Tensor) -> Tensor:
        forward, backward, first, second = self._jump_rates(weights, z, smooth, internal)
        rate = (forward * second - backward * first) @ self.jumps.incidence
        if self.variables.means:
            rate = rate + self._mean_rate(weights, self._mean_coefficients(weights, z), smooth)
        return rate

    def _mean_coefficients(self, weights: Prepared, z: Tensor) -> tuple[Tensor, Tensor]:
        output = tanh_layers(z, *weights.context)
        output = output.reshape(*output.shape[:-1], self.variables.classes, -1)
        return ridge_coefficients(output, self.diagonal, self.places, self.variables.means)

    def _mean_rate(
        self, weights: Prepared, coefficients: tuple[Tensor, Tensor], force: Tensor
    ) -> Tensor:
        own = list(self.variables.mean_components)
        scaled = self._by_class(force[..., own] / self.energy_scale)
        rate = ridge_gradient(scaled, *coefficients, weights.ridge) / self.mean_time_scale
        return force.new_zeros(force.shape).index_copy(
            -1, torch.tensor(own, device=force.device), rate.flatten(-2)
        )

    def _mean_mobility(
        self, weights: Prepared, coefficients: tuple[Tensor, Tensor], force: Tensor
    ) -> Tensor:
        own = self.variables.mean_components
        scaled = self._by_class(force[..., list(own)] / self.energy_scale)
        blocks = ridge_hessian(scaled, *coefficients, weights.ridge)
        blocks = blocks / (self.energy_scale * self.mean_time_scale)
        matrix = force.new_zeros(*force.shape, self.internal_size)
        m = self.variables.means
        for a in range(self.variables.classes):
            part = list(own[a * m : (a + 1) * m])
            matrix[..., part[0] : part[-1] + 1, part[0] : part[-1] + 1] = blocks[..., a, :, :]
        return matrix

    def _by_class(self, of_means: Tensor) -> Tensor:
        return of_means.reshape(*of_means.shape[:-1], self.variables.classes, self.variables.means)


def saturation(half: Tensor, barrier: Tensor) -> Tensor:
    """Return what is taken off ln k where G_ij/2θ exceeds the barrier b on either side.

    s(y − b) + s(−y − b): the faster of the two rates grows no further once the force has removed
    the barrier, as that of a particle that slides down a slope.
    """
    return softplus(half - barrier) + softplus(-half - barrier)


def _mixing_bound(variables: InternalVariables) -> Tensor:
    """Return the least Hessian of Σ p ln p in α: 2 (I + 11ᵀ) for each population."""
    matrix = torch.zeros(variables.size, variables.size, dtype=torch.float64)
    for first, states in variables.groups:
        own = slice(first, first + states - 1)
        matrix[own, own] = 2.0 * (torch.eye(states - 1, dtype=torch.float64) + 1.0)
    return matrix


def _units(variables: InternalVariables) -> tuple[Tensor, Tensor]:
    """Return factors and middles that bring α to [−1, 1]: fractions; means are so already."""
    unit = torch.ones(variables.size, dtype=torch.float64)
    middle = torch.zeros(variables.size, dtype=torch.float64)
    for first, states in variables.groups:
        unit[first : first + states - 1] = 2.0
        middle[first : first + states - 1] = 0.5
    return unit, middle


def _shared(matrix: Tensor, orbits: Tensor, rows: int, columns: int) -> Tensor:
    """Return the blocks of the orbits of pairs of which a matrix is made, averaged over them."""
    classes = len(orbits)
    blocks = matrix.reshape(classes, rows, classes, columns).transpose(1, 2)
    count = int(orbits.max()) + 1
    return torch.stack([blocks[orbits == number].mean(0) for number in range(count)])


def _near_identity(orbits: Tensor, pairs: int, size: int, generator: torch.Generator) -> Tensor:
    shared = uniform((pairs, size, size), 0.1, generator)
    own = torch.unique(torch.diagonal(orbits))
    shared[own] += 0.7 * torch.eye(size, dtype=torch.float64)
    return shared
