"""Laws with random weights: nothing but the structure that guarantees their physics.

What holds for them holds by construction, not by training; tests and benchmarks use them.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import torch

from ..export.graphs.potentials import ConvexEnergy
from ..export.parameters import LawParameters


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
        gradient = ConvexEnergy(law).gradient(*zero)[1].numpy()[0]
    shift = np.where(np.arange(d) < n_strain, 0.0, gradient)
    return replace(law, energy_linear=law.energy_linear - shift)
