"""Relaxed energy of a triangular lattice whose wells are equal, while it is cooled.

    python benchmarks/equal_wells.py [--json FILE] [--quick]

Rows of open bonds of any direction that cross rows of nodes along another one fit together, so
every strain with mean elongations between 0 and z_h in steps of z_h/L has states that cost nothing
(Cherkaev, Kouznetsov & Panchenko 2010). The sampled energy has to vanish there with k_BT, and to
tend to that of the elastic solid beyond: κ/2 of the excess squared. Energies per node and k_BT in
units of κ z_h²; *quenched* begins at each temperature with folded or open bonds instead of those
of the last one.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from machine import describe_machine
from records import write

from ibvonn_train.simulation import PeriodicLattice
from ibvonn_train.studies.tables import text_table

CELLS = 6
TEMPERATURES = (0.3, 0.1, 0.05, 0.035, 0.025, 0.02, 0.015, 0.01)
STRAINS = {
    "laminate": (1 / 2, 1 / 2, 0),
    "mixture": (1 / 2, 1 / 3, 1 / 6),
    "half open": (1 / 2, 1 / 2, 1 / 2),
    "beyond": (5 / 4, 1 / 2, 1 / 2),
}
"""Mean elongations of the three directions in units of z_h."""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--quick", action="store_true", help="a quarter of the sweeps")
    arguments = parser.parse_args()
    spins = PeriodicLattice(cells=CELLS, offset=0.0).spins()
    unit = spins.stiffness * spins.jump**2
    elongations = spins.jump * np.array(list(STRAINS.values()))
    strain = elongations @ np.linalg.inv(spins.strain_basis).T
    baths = [unit * temperature for temperature in TEMPERATURES]
    sweeps = 50 if arguments.quick else 200
    energy, error = spins.cooled(strain, baths, replicas=32, sweeps=sweeps, seed=0)
    quenched = [
        spins.cooled(strain, [bath], replicas=32, sweeps=sweeps, seed=1)[0][0, 0] for bath in baths
    ]
    per_node = unit * CELLS**2
    rows = [
        [f"{temperature:g}", *(f"{value:.4f}" for value in row), f"{first / per_node:.4f}"]
        for temperature, row, first in zip(TEMPERATURES, energy / per_node, quenched, strict=True)
    ]
    print(f"energy per node of a cell of {CELLS} × {CELLS} nodes, in units of κ z_h²")
    print(text_table(["k_BT", *STRAINS, "laminate, quenched"], rows))
    print(f"largest standard error {error.max() / per_node:.4f}; beyond: {0.25**2 / 2:.5f} at rest")
    if arguments.json:
        energies = {name: list(energy[:, n] / per_node) for n, name in enumerate(STRAINS)}
        record = {"machine": describe_machine(), "k_BT": TEMPERATURES, "energy": energies}
        write(arguments.json, record)


if __name__ == "__main__":
    main()
