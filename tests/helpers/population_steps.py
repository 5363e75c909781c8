"""Random steps of laws with populations, with fractions at and near their bounds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ibvonn_train.export.population_parameters import PopulationParameters

Array = NDArray[np.float64]


def population_steps(
    law: PopulationParameters,
    n_points: int,
    *,
    reach: float = 1.0,
    decades: tuple[float, float] = (-4.0, 2.0),
    seed: int = 0,
) -> tuple[Array, Array, Array, Array]:
    """Return strain, strain_old, statev and dt of steps whose fractions are often nearly 0 or 1.

    Args:
        law: The law.
        n_points: Number of steps.
        reach: Largest magnitude of strains and means.
        decades: Exponents of the shortest and the longest time step; every eighth has no length.
        seed: Of the random numbers.
    """
    rng = np.random.default_rng(seed)
    fractions = [rng.dirichlet(np.full(m, 0.3), n_points)[:, 1:] for _, m in law.groups]
    means = reach * rng.uniform(-1.0, 1.0, (n_points, law.mean_size))
    strain, old = reach * rng.uniform(-1.0, 1.0, (2, n_points, law.strain_size))
    dt = 10.0 ** rng.uniform(*decades, n_points)
    dt[::8] = 0.0
    return strain, old, np.concatenate([*fractions, means], 1) - law.rest, dt


def states_at_the_ends(law: PopulationParameters, statev: Array, seed: int = 0) -> Array:
    """Put fractions of two-state populations at 0, 1, 1e-300 and beside them."""
    rng = np.random.default_rng(seed)
    ends = np.array([0.0, 1.0, 1e-300, 1e-17, 1.0 - 1e-16])
    return rng.choice(ends, statev.shape) - law.rest
