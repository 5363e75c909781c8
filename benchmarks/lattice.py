"""Measure the speed of simulated lattices in node updates per second, on one core.

    python benchmarks/lattice.py [--json FILE] [--quick]

One update moves a node and the inner coordinates of its three bonds, of one replica. The fastest of
some repetitions counts, in CPU time; the torch engine runs the same cell.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from machine import describe_machine
from records import write

from ibvonn_train.simulation import PeriodicLattice
from ibvonn_train.simulation.compiled_lattices import CompiledLattices
from ibvonn_train.simulation.langevin import Integrator
from ibvonn_train.simulation.plan import Plan
from ibvonn_train.studies.tables import text_table

TIME_STEP = 0.1
REPLICAS = 64
REPETITIONS = 5


def plan_of(system: PeriodicLattice) -> Plan:
    """Return the plan of one protocol at rest."""
    rest = np.zeros((1, 2, 3))
    return Plan(system, rest, TIME_STEP, 1, REPLICAS, 0, None, torch.float32, "cpu")


def compiled_rate(system: PeriodicLattice, updates: float) -> float:
    """Return node updates per second of CPU time of the compiled engine."""
    plan = plan_of(system)
    engine = CompiledLattices(plan, 0, plan.generator(0))
    steps = max(1, round(updates / (REPLICAS * system.nodes)))
    times = []
    for _ in range(REPETITIONS):
        start_time = time.process_time()
        engine.advance(np.zeros((1, 3)), steps, TIME_STEP, 1.0)
        times.append(time.process_time() - start_time)
    return steps * REPLICAS * system.nodes / min(times)


def torch_rate(system: PeriodicLattice, updates: float) -> float:
    """Return those of the torch engine."""
    plan = plan_of(system)
    integrator = Integrator(system, plan.start(0, plan.generator(0))[None], [plan.generator(0)])
    control = torch.zeros(1, 3)
    steps = max(1, round(updates / (REPLICAS * system.nodes)))
    times = []
    for _ in range(REPETITIONS):
        start_time = time.process_time()
        for _ in range(steps):
            integrator.step(control, TIME_STEP)
        times.append(time.process_time() - start_time)
    return steps * REPLICAS * system.nodes / min(times)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    updates = 1e6 if arguments.quick else 5e7
    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = []
    for cells in (6, 12, 24, 48):
        for series in (True, False):
            system = PeriodicLattice(cells=cells, series=series, preparation=())
            rows.append(
                {
                    "bonds": "in series with a spring" if series else "plain",
                    "nodes": system.nodes,
                    "compiled (1e9/s)": compiled_rate(system, updates) / 1e9,
                    "torch (1e9/s)": torch_rate(system, updates / 50) / 1e9,
                }
            )
    print(text_table(list(rows[0]), [list(row.values()) for row in rows]))
    if arguments.json:
        write(arguments.json, {"machine": describe_machine(), "lattice": rows})


if __name__ == "__main__":
    main()
