"""Random steps of random laws: every step must converge or be refused, and none may return NaN.

The laws are untrained, and convex by the signs of their weights alone. Stiffness, mobility and time
increments vary over eight decades; strains and states lie far outside the envelope::

    python benchmarks/robustness.py --points 1000000

Prints one line per kind of law and a total, and exits with 1 if any point returned NaN.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "helpers"))

from law_reference import random_parameters

from ibvonn_fem.kernels.c_library import CLibraryKernel

SIZES = ((1, 1), (1, 2), (6, 2), (6, 6))
FACTORS = (1e-4, 1.0, 1e4)
LAYERS = ((0, 1), (1, 3), (2, 1), (2, 3), (3, 3))


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


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    kinds = [
        (size, layers, stiffness, mobility)
        for size in SIZES
        for layers in LAYERS
        for stiffness in FACTORS
        for mobility in FACTORS
    ]
    share = -(-arguments.points // len(kinds))
    rng = np.random.default_rng(arguments.seed)
    names = ("points", "inside", "converged", "refused", "of these +inf", "refused inside", "NaN")
    total = dict.fromkeys(names, 0)
    print(f"{'sizes':>8} {'layers':>7} " + " ".join(f"{name:>14}" for name in names) + "  ns/point")
    for size in SIZES:
        for layers in LAYERS:
            count = dict.fromkeys(names, 0)
            spent = 0
            for _, _, stiffness, mobility in [k for k in kinds if k[:2] == (size, layers)]:
                seed = int(rng.integers(2**31))
                law = random_parameters(
                    *size, seed=seed, energy_layers=layers[0], context_layers=layers[1],
                    stiffness=stiffness, mobility=mobility,
                )  # fmt: skip
                kernel = CLibraryKernel(law)
                inputs = random_steps(rng, share, *size)
                start = time.thread_time_ns()
                result = kernel.update(*inputs)
                spent += time.thread_time_ns() - start
                converged = result.residual <= 1e-10
                inside = result.validity <= 0.0
                nan = np.isnan(result.residual) | np.isnan(result.energy)
                for values in (result.stress, result.statev_new, result.tangent):
                    nan |= np.isnan(values.reshape(share, -1)).any(axis=1)
                for name, flag in zip(
                    names[1:],
                    (inside, converged, ~converged, np.isinf(result.residual),
                     ~converged & inside, nan),
                    strict=True,
                ):  # fmt: skip
                    count[name] += int(np.count_nonzero(flag))
                count["points"] += share
            for name in names:
                total[name] += count[name]
            row = " ".join(f"{count[name]:>14}" for name in names)
            print(f"{size!s:>8} {layers!s:>7} {row}  {spent / count['points']:8.0f}", flush=True)
    print(f"{'total':>16} " + " ".join(f"{total[name]:>14}" for name in names))
    return 1 if total["NaN"] else 0


if __name__ == "__main__":
    sys.exit(main())
