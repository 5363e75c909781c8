"""Random steps of random laws: every step must converge or be refused, and none may return NaN.

The laws are untrained, and convex by the signs of their weights alone. Stiffness, mobility and time
increments vary over eight decades; strains and states lie far outside the envelope. Laws with
populations of two states, for each number of populations as many points again: a quarter of their
states lie at the ends, with fractions of 0, 1, 1e-300 and beside them, half near the ends; strains
reach 1e3 times the envelope, and no fraction may leave [0, 1]::

    python benchmarks/robustness.py --points 1000000

Prints one line per kind of law and a total, and exits with 1 if any point returned NaN or a
fraction outside.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "helpers"))

from law_reference import random_parameters

from ibvonn_fem.kernels.base import LocalUpdate
from ibvonn_fem.kernels.c_library import CLibraryKernel
from ibvonn_train.closed_form.random_law import untrained_populations
from ibvonn_train.export.population_parameters import PopulationParameters

SIZES = ((1, 1), (1, 2), (6, 2), (6, 6))
FACTORS = (1e-4, 1.0, 1e4)
LAYERS = ((0, 1), (1, 3), (2, 1), (2, 3), (3, 3))

POPULATIONS = (1, 3, 6)
THERMAL_ENERGIES = (0.02, 0.2, 2.0)
ENDS = np.array([0.0, 1.0, 1e-300, 1e-17, 1.0 - 2.0**-53])

NAMES = (
    "points", "inside", "converged", "refused", "of these +inf", "refused inside", "NaN",
    "no fraction",
)  # fmt: skip


def random_steps(
    rng: np.random.Generator, n_points: int, strain_size: int, internal_size: int
) -> tuple[np.ndarray, ...]:
    """Half of the states inside the training box of half width 1, half up to 1e3 times outside."""
    reach = np.where(rng.uniform(size=n_points) < 0.5, 1.0, 10.0 ** rng.uniform(0, 3, n_points))
    strain_old = reach[:, None] * rng.uniform(-1, 1, size=(n_points, strain_size))
    statev = reach[:, None] * rng.uniform(-1, 1, size=(n_points, internal_size))
    jump = 10.0 ** rng.uniform(-6, 0, size=n_points) * reach
    strain = strain_old + jump[:, None] * rng.normal(size=(n_points, strain_size))
    return strain, strain_old, statev, 10.0 ** rng.uniform(-5, 3, size=n_points)


def population_steps(
    rng: np.random.Generator, law: PopulationParameters, n_points: int
) -> tuple[np.ndarray, ...]:
    """States at, near and between the ends, strains up to 1e3 times those of the envelope."""
    n = len(law.groups)
    fractions = rng.uniform(size=(n_points, n))
    near = rng.uniform(size=n_points) < 0.67
    fractions[near] = rng.beta(0.05, 0.05, size=(np.count_nonzero(near), n))
    there = rng.uniform(size=n_points) < 0.25
    fractions[there] = rng.choice(ENDS, size=(np.count_nonzero(there), n))
    reach = np.where(rng.uniform(size=n_points) < 0.5, 1.0, 10.0 ** rng.uniform(0, 3, n_points))
    strain_old = reach[:, None] * rng.uniform(-1, 1, size=(n_points, n))
    jump = 10.0 ** rng.uniform(-6, 0, size=n_points) * reach
    strain = strain_old + jump[:, None] * rng.normal(size=(n_points, n))
    return strain, strain_old, fractions - law.rest, 10.0 ** rng.uniform(-5, 3, size=n_points)


def potentials(
    rng: np.random.Generator, points: int
) -> Iterator[tuple[str, str, CLibraryKernel, tuple[np.ndarray, ...]]]:
    """Kind of law, its layers, the law and its steps; ``points`` of all together."""
    share = -(-points // (len(SIZES) * len(LAYERS) * len(FACTORS) ** 2))
    for size in SIZES:
        for layers in LAYERS:
            for stiffness in FACTORS:
                for mobility in FACTORS:
                    seed = int(rng.integers(2**31))
                    law = random_parameters(
                        *size, seed=seed, energy_layers=layers[0], context_layers=layers[1],
                        stiffness=stiffness, mobility=mobility,
                    )  # fmt: skip
                    steps = random_steps(rng, share, *size)
                    yield str(size), str(layers), CLibraryKernel(law), steps


def populations(
    rng: np.random.Generator, points: int, laws: int = 8
) -> Iterator[tuple[str, str, CLibraryKernel, tuple[np.ndarray, ...], np.ndarray]]:
    """The same with the fractions at rest; ``points`` for each number of populations."""
    share = -(-points // (len(THERMAL_ENERGIES) * len(FACTORS) * laws))
    for n in POPULATIONS:
        for thermal_energy in THERMAL_ENERGIES:
            for mobility in FACTORS:
                for _ in range(laws):
                    law = untrained_populations(
                        n, (2,) * n, thermal_energy=thermal_energy, seed=int(rng.integers(2**31))
                    )
                    last = law.rate_bias[-1] + np.log(mobility)
                    law = replace(law, rate_bias=(*law.rate_bias[:-1], last))
                    kernel, steps = CLibraryKernel(law.arrays()), population_steps(rng, law, share)
                    yield f"p ({n}, {n})", str(thermal_energy), kernel, steps, law.rest


def counts(result: LocalUpdate, rest: np.ndarray | None = None) -> dict[str, int]:
    """How many points did what."""
    converged, inside = result.residual <= 1e-10, result.validity <= 0.0
    nan = np.isnan(result.residual) | np.isnan(result.energy)
    for values in (result.stress, result.statev_new, result.tangent):
        nan |= np.isnan(values.reshape(len(nan), -1)).any(axis=1)
    outside = np.zeros_like(nan)
    if rest is not None:
        p = result.statev_new + rest
        outside = converged & ((p < 0.0) | (p > 1.0 + 2.0**-52)).any(axis=1)
    flags = (np.ones_like(nan), inside, converged, ~converged, np.isinf(result.residual),
             ~converged & inside, nan, outside)  # fmt: skip
    return {name: int(np.count_nonzero(flag)) for name, flag in zip(NAMES, flags, strict=True)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=("potentials", "populations"))
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)
    print(f"{'sizes':>8} {'layers':>7} " + " ".join(f"{name:>14}" for name in NAMES) + "  ns/point")
    print("(populations, p: thermal energy in place of layers)")
    total, rows, spent = dict.fromkeys(NAMES, 0), {}, {}
    if arguments.only != "populations":
        for *kind, kernel, steps in potentials(rng, arguments.points):
            take(tuple(kind), kernel, steps, None, rows, spent)
    if arguments.only != "potentials":
        for *kind, kernel, steps, rest in populations(rng, arguments.points):
            take(tuple(kind), kernel, steps, rest, rows, spent)
    for kind, count in rows.items():
        for name in NAMES:
            total[name] += count[name]
        row = " ".join(f"{count[name]:>14}" for name in NAMES)
        print(f"{kind[0]:>8} {kind[1]:>7} {row}  {spent[kind] / count['points']:8.0f}", flush=True)
    print(f"{'total':>16} " + " ".join(f"{total[name]:>14}" for name in NAMES))
    return 1 if total["NaN"] or total["no fraction"] else 0


def take(
    kind: tuple[str, ...],
    kernel: CLibraryKernel,
    steps: tuple[np.ndarray, ...],
    rest: np.ndarray | None,
    rows: dict[tuple[str, ...], dict[str, int]],
    spent: dict[tuple[str, ...], int],
) -> None:
    """Take the steps of a law and add its counts and its time to those of its kind."""
    start = time.thread_time_ns()
    result = kernel.update(*steps)
    spent[kind] = spent.get(kind, 0) + time.thread_time_ns() - start
    row = rows.setdefault(kind, dict.fromkeys(NAMES, 0))
    for name, count in counts(result, rest).items():
        row[name] += count


if __name__ == "__main__":
    sys.exit(main())
