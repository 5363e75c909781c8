"""A block of a lattice with a hole, pulled and sheared in turn: full lattice and finite elements.

The upper grip is pulled, and then sheared to one side and the other while it is let down: strains
at the hole turn, and no point stays on the line on which it began. The medium around the block
moves with the grips.

    python benchmarks/hole_of_lattice.py MODEL HISTORIES FOLDER

analyses the block with the law of MODEL in finite elements, the triangles of the lattice, writes
the histories of all points, and FOLDER/reaction.json with the force of the grips.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mpi4py import MPI

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "demos"))
sys.path.insert(0, str(Path(__file__).parent))
import lattice_bodies
import records
from dolfinx import fem
from lattice_elements import Elements
from lattice_meshes import own_triangles

import ibvonn_fem
from ibvonn_fem.stepping import EveryPoint, Histories
from ibvonn_fem.stepping.history_file import PointRows, read_histories, write_histories
from ibvonn_train.simulation import PeriodicLattice
from ibvonn_train.simulation.simulate_body import simulate_body
from ibvonn_train.simulation.systems.finite_lattice import FiniteLattice


@dataclass(frozen=True)
class Case:
    """Nodes in a row, radius of the hole, duration T, and steps of the finite elements."""

    columns: int = 24
    radius: float = 4.0
    duration: float = 3000.0
    instants: int = 100

    @property
    def block(self) -> lattice_bodies.Experiment:
        """The block with its hole."""
        return lattice_bodies.with_hole(self.columns, self.radius)

    @property
    def time(self) -> np.ndarray:
        """Instants."""
        return np.linspace(0.0, self.duration, self.instants + 1)

    def amplitudes(self, time: Any) -> np.ndarray:
        """Pull and shear at instants, ``(n, 2)``."""
        part = np.asarray(time) / self.duration
        return np.stack([np.interp(part, KNOTS, PULLED), np.interp(part, KNOTS, SHEARED)], -1)


FULL, TINY = Case(), Case(columns=8, radius=1.5, duration=60.0, instants=12)
STRAIN = 0.08
KNOTS = np.array([0.0, 0.25, 0.45, 0.75, 1.0])
PULLED = STRAIN * np.array([0.0, 1.0, 1.0, 0.6, 0.0])
SHEARED = STRAIN * np.array([0.0, 0.0, 0.9, -0.9, 0.0])
WINDOW = 0.5
"""Of the interval between two instants, over which reactions of the lattice are averaged."""


def pulled(x: np.ndarray) -> np.ndarray:
    return np.stack([np.zeros(len(x)), x[:, 1]], 1)


def sheared(x: np.ndarray) -> np.ndarray:
    return np.stack([x[:, 1], np.zeros(len(x))], 1)


def felt_by_lattice(case: Case, replicas: int, seed: int = 1) -> np.ndarray:
    """Force of the upper grip minus that of the lower one, halved, ``(n_time, 2)``."""
    experiment = case.block
    nodes = experiment.body.nodes
    lattice = FiniteLattice(
        experiment.body, np.stack([pulled(nodes), sheared(nodes)]), PeriodicLattice()
    )
    found = simulate_body(
        lattice, case.amplitudes, case.time, replicas=replicas,
        window=WINDOW * case.duration / case.instants, seed=seed,
    )  # fmt: skip
    forces = found.reactions[:, :, :2].mean(-1)
    half: np.ndarray = 0.5 * (forces[:, 1] - forces[:, 0])
    return half


class Turned(Elements):
    """Finite elements whose grips and medium are pulled and sheared."""

    def __init__(self, model: ibvonn_fem.ExportedModel, case: Case) -> None:
        experiment, self.case = case.block, case
        super().__init__(model, experiment, own_triangles(experiment.body))
        space = self.u.function_space
        self.motions = [fem.Function(space) for _ in range(2)]
        for motion, field in zip(self.motions, (pulled, sheared), strict=True):
            motion.interpolate(lambda x, field=field: field(x[:2].T).T)

    def move(self, time: float) -> None:
        """Set medium and grips; the first guess goes on as in the last step."""
        parts = self.case.amplitudes(time)
        self.medium.x.array[:] = sum(
            part * motion.x.array for part, motion in zip(parts, self.motions, strict=True)
        )
        committed = self.problem.committed()
        self.u.x.array[:] = 2.0 * committed["u"] - committed["u_before"]

    def forces(self) -> list[float]:
        """Force of the upper grip minus that of the lower one, halved. On one rank."""
        problem = self.problem
        force = problem.internal_force.x.array - problem.external_force.x.array
        if problem.drag is not None:
            force = force + problem.drag.force.x.array
        sums = []
        for grip in self.grips:
            nodes = np.unique(grip.dof_indices()[0] // 2)
            sums.append(force.reshape(-1, 2)[nodes].sum(0))
        half: list[float] = (0.5 * (sums[1] - sums[0])).tolist()
        return half


def analyse(model: Path, histories: Path, folder: Path, case: Case = FULL) -> None:
    """Run the analysis; the histories of the laws of all kinds of triangles go to one file."""
    body = Turned(ibvonn_fem.load_model(model), case)
    parts = [histories.with_name(f"{histories.stem}_{n}.h5") for n in range(len(body.laws))]
    record = [
        Histories(path, EveryPoint(), law=law) for path, law in zip(parts, body.laws, strict=True)
    ]
    felt: list[list[float]] = []
    stepping = ibvonn_fem.TimeStepping(body.problem, body.move, record=record)
    stepping.run(case.time.tolist(), callback=lambda _: felt.append(body.forces()))
    records.write(folder / "reaction.json", {"force": felt})
    joined(parts, histories)


def joined(parts: list[Path], path: Path) -> None:
    """Write the histories of several files, which share their instants and their law, as one."""
    read = [read_histories(part) for part in parts]
    rows = [each for _, each in read]
    order = np.argsort(np.concatenate([each.point for each in rows]))
    reasons = [reason for each in rows for reason in each.chosen_for]
    attributes = {k: v.item() if isinstance(v, np.generic) else v for k, v in read[0][0].items()}
    attributes.pop("ibvonn_histories")
    whole = PointRows(
        np.concatenate([each.point for each in rows])[order],
        tuple(reasons[place] for place in order),
        np.concatenate([each.position for each in rows])[order],
        rows[0].time,
        {k: np.concatenate([each.series[k] for each in rows])[order] for k in rows[0].series},
    )
    write_histories(path, attributes, whole)
    for part in parts:
        part.unlink()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("histories", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tiny", action="store_true", help="a small block for a short time")
    options = parser.parse_args()
    if MPI.COMM_WORLD.size > 1:
        parser.error("runs on one rank")
    case = TINY if options.tiny else FULL
    analyse(options.model, options.histories, options.folder, case)


if __name__ == "__main__":
    main()
