"""How the law of a lattice depends on the size of its periodic cell.

    python benchmarks/cell_size.py [--geometry triangular | fcc] [--json FILE] [--quick]

Cells of L nodes along each edge, as many replicas as give all sizes alike many bonds. Stresses
along paths of loading, holding and unloading (duration 3000), and relaxed stresses by Metropolis
sampling, are compared with those of the largest cell: relative L2 differences in per cent, beside
the sampling error of the difference.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import numpy.typing as npt
from machine import describe_machine
from records import write

from ibvonn_train.simulation import PeriodicLattice, simulate
from ibvonn_train.simulation.strain_paths import load_hold_unload
from ibvonn_train.studies.tables import text_table

SIZES = {"triangular": (4, 6, 12, 24), "fcc": (4, 5, 6, 8)}
BONDS = {"triangular": 3 * 24**2 * 32, "fcc": 6 * 8**3 * 64}
"""Of all replicas."""
DURATION, TIME_STEP, INSTANTS = 3000.0, 0.1, 50
TARGETS = {
    "triangular": [[0.17, 0.0, 0.0], [0.12, 0.12, 0.0], [-0.05, 0.12, 0.0], [0.0, 0.0, 0.12]],
    "fcc": [
        [0.16, 0.0, 0.0, 0.0, 0.0, 0.0],
        [0.1, 0.1, 0.0, 0.0, 0.0, 0.0],
        [0.1, -0.05, 0.03, 0.0, 0.05, 0.0],
        [0.0, 0.0, 0.0, 0.13, 0.0, 0.0],
    ],
}

Series = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]


def replicas_of(cell: PeriodicLattice, bonds: int) -> int:
    """Return how many replicas of a cell have about so many bonds."""
    return max(4, bonds // (len(cell.lattice.bonds) * cell.nodes))


def driven(cell: PeriodicLattice, bonds: int) -> Series:
    """Return stresses along the paths and their standard errors."""
    replicas = replicas_of(cell, bonds)
    data = simulate(
        cell,
        load_hold_unload(DURATION, TARGETS[cell.geometry]),
        duration=DURATION,
        time_step=TIME_STEP,
        stride=round(DURATION / TIME_STEP) // INSTANTS,
        replicas=replicas,
        record="histogram",
        seed=cell.cells,
        progress=False,
    )
    assert data.stress_variance is not None
    return data.stress, np.sqrt(data.stress_variance / replicas)


def relaxed(cell: PeriodicLattice, bonds: int) -> Series:
    """Return relaxed stresses at the targets and their standard errors."""
    targets = np.array(TARGETS[cell.geometry])
    replicas = replicas_of(cell, bonds)
    _, stress, error = cell.spins().relaxed(targets, replicas=replicas, sweeps=60, seed=cell.cells)
    return stress, error


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--geometry", choices=list(SIZES), default="triangular")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--quick", action="store_true", help="a tenth of the replicas")
    arguments = parser.parse_args()
    geometry = arguments.geometry
    sizes, bonds = SIZES[geometry], BONDS[geometry] // (10 if arguments.quick else 1)
    record: dict[str, Any] = {"machine": describe_machine(), "geometry": geometry}
    rows = []
    series = {}
    for size in sizes:
        cell = PeriodicLattice(geometry=geometry, cells=size)
        series[size] = driven(cell, bonds), relaxed(cell, bonds // 2)
    for size in sizes[:-1]:
        row: list[str] = [str(size)]
        for number, name in enumerate(("driven", "relaxed")):
            (stress, error), (largest, own) = series[size][number], series[sizes[-1]][number]
            norm = np.linalg.norm(largest)
            difference = 100 * float(np.linalg.norm(stress - largest) / norm)
            noise = 100 * float(np.sqrt(np.square(error).sum() + np.square(own).sum()) / norm)
            record[f"{name} {size}"] = {"difference": difference, "sampling_error": noise}
            row.append(f"{difference:.2f} ({noise:.2f})")
        rows.append(row)
    print(f"stress of cells of L nodes against L = {sizes[-1]}: % (sampling error of it)")
    print(text_table(["L", "driven", "relaxed"], rows))
    if arguments.json:
        write(arguments.json, record)


if __name__ == "__main__":
    main()
