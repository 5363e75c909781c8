"""Laws with random weights: nothing but the structure that guarantees their physics.

What holds for them holds by construction, not by training; tests and benchmarks use them.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import torch

from ..export.constitutive_law import ConstitutiveLaw
from ..export.graphs.network_potentials import NetworkEnergy
from ..export.parameters import LawParameters
from ..export.population_parameters import PopulationParameters


def untrained_law(
    n_strain: int,
    n_internal: int,
    *,
    widths: tuple[int, ...] = (20, 20),
    ridges: int = 8,
    context: tuple[int, ...] = (10,),
    seed: int = 0,
) -> LawParameters:
    """Draw a law; weights that convexity needs are nonnegative, all others have any sign.

    The linear part of f is shifted so that the law is at rest at zero strain and internal
    variables, as every exported law is.

    Args:
        n_strain: n_ε.
        n_internal: n_α.
        widths: Widths of the hidden layers of f; none gives a quadratic f.
        ridges: Number of ridge functions of φ.
        context: Widths of the hidden layers of the context network.
        seed: Seed of the weights.
    """
    rng = np.random.default_rng(seed)
    d = n_strain + n_internal
    root = rng.normal(size=(d, d)) / np.sqrt(d)
    columns = (d, *context, n_internal * (n_internal + 1) // 2 + ridges)
    law = LawParameters(
        strain_size=n_strain,
        internal_size=n_internal,
        energy_constant=-0.3,
        energy_linear=0.1 * rng.normal(size=d),
        energy_quadratic=root @ root.T,
        energy_skip=tuple(rng.normal(size=(w, d)) for w in widths),
        energy_bias=tuple(rng.normal(size=w) for w in widths),
        energy_hidden=tuple(np.abs(rng.normal(size=(b, a))) / a for a, b in pairwise(widths)),
        energy_output=np.abs(rng.normal(size=widths[-1])) / widths[-1] if widths else np.zeros(0),
        ridge_weight=rng.normal(size=(ridges, n_internal)),
        ridge_bias=rng.normal(size=ridges),
        context_weight=tuple(0.5 * rng.normal(size=(b, a)) for a, b in pairwise(columns)),
        context_bias=tuple(0.5 * rng.normal(size=b) for b in columns[1:]),
        internal_scale=rng.uniform(0.5, 2.0, size=n_internal),
        envelope=np.tile([-1.0, 1.0], (d, 1)),
    )
    zero = [torch.zeros(1, size, dtype=torch.float64) for size in (n_strain, n_internal)]
    with torch.no_grad():
        gradient = NetworkEnergy(law).gradient(*zero)[1].numpy()[0]
    shift = np.where(np.arange(d) < n_strain, 0.0, gradient)
    return replace(law, energy_linear=law.energy_linear - shift)


def untrained_populations(
    n_strain: int,
    states: tuple[int, ...] = (2,),
    n_means: int = 0,
    *,
    thermal_energy: float = 0.2,
    concave: float = 0.9,
    widths: tuple[int, ...] = (12, 12),
    ridges: int = 6,
    hidden: tuple[int, ...] = (10,),
    seed: int = 0,
) -> PopulationParameters:
    """Draw a law with populations, the means after them; only what guarantees need has a sign.

    Args:
        n_strain: n_ε.
        states: Number of states of each population.
        n_means: Number of means.
        thermal_energy: θ.
        concave: Share of the mixing entropy's least curvature by which F is concave in α.
        widths: Widths of the hidden layers of F.
        ridges: Number of ridge functions of φ of the means.
        hidden: Widths of the hidden layers of the networks of ln k' and of the means' context.
        seed: Seed of the weights.
    """
    rng = np.random.default_rng(seed)
    sizes = [count - 1 for count in states]
    n, d = sum(sizes) + n_means, n_strain + sum(sizes) + n_means
    groups = np.stack([np.cumsum([0, *sizes[:-1]]), states], 1)
    drawn = [rng.dirichlet(np.full(count, 2.0)) for count in states]
    rest = np.concatenate([*(fractions[1:] for fractions in drawn), np.zeros(n_means)])
    # A law of means of the same sizes has a smooth energy and ridges to start from.
    smooth = untrained_law(n_strain, n, widths=widths, context=hidden, seed=seed)
    pairs = sum(count * (count - 1) // 2 for count in states)
    columns, rows = (d + pairs, *hidden, pairs), n_means * (n_means + 1) // 2 + ridges
    context = (d, *hidden, rows) if n_means else ()
    coupled = rng.normal(size=(n_strain, n)) * np.sqrt(thermal_energy)
    quadratic = np.block(
        [[smooth.energy_quadratic[:n_strain, :n_strain], coupled], [coupled.T, np.zeros((n, n))]]
    )
    common = {
        "strain_size": n_strain,
        "internal_size": n,
        "energy_constant": smooth.energy_constant,
        "energy_linear": smooth.energy_linear,
        "energy_skip": smooth.energy_skip,
        "energy_bias": smooth.energy_bias,
        "energy_hidden": smooth.energy_hidden,
        "energy_output": smooth.energy_output,
        "ridge_weight": rng.normal(size=(ridges if n_means else 0, n_means)),
        "ridge_bias": rng.normal(size=ridges if n_means else 0),
        "context_weight": tuple(0.5 * rng.normal(size=(b, a)) for a, b in pairwise(context)),
        "context_bias": tuple(0.5 * rng.normal(size=b) for b in context[1:]),
        "internal_scale": np.full(n, 0.3),
        "envelope": np.concatenate(
            [
                np.tile([-1.0, 1.0], (n_strain, 1)),
                np.stack([-rest, np.where(rest > 0.0, 1.0 - rest, 1.0)], 1)
                - np.where(rest > 0.0, 0.0, 1.0)[:, None] * np.array([1.0, 0.0]),
            ]
        ),
        "thermal_energy": thermal_energy,
        "groups": groups,
        "rest": rest,
        "rate_weight": tuple(0.5 * rng.normal(size=(b, a)) for a, b in pairwise(columns)),
        "rate_bias": tuple(0.5 * rng.normal(size=b) for b in columns[1:]),
        "rate_barrier": rng.uniform(1.0, 10.0, size=pairs),
    }
    flat = PopulationParameters(energy_quadratic=quadratic, **common)  # type: ignore[arg-type]
    quadratic[n_strain:, n_strain:] = -concave * flat.entropy_bound()
    quadratic[d - n_means :, d - n_means :] += np.eye(n_means)
    law = replace(flat, energy_quadratic=quadratic)
    zero = [torch.zeros(1, size, dtype=torch.float64) for size in (n_strain, n)]
    with torch.no_grad():
        gradient = ConstitutiveLaw.of(law).energy.gradient(*zero)[1].numpy()[0]
    shift = np.where(np.arange(d) < n_strain, 0.0, gradient)
    return replace(law, energy_linear=law.energy_linear - shift)
