"""A body of a lattice, simulated whole on rank 0 and kept in a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mpi4py import MPI

import lattice_bodies as bodies
import numpy as np

from ibvonn_fem.kernels.base import FloatArray
from ibvonn_train.files.c_compiler import CompilerError
from ibvonn_train.simulation.simulate_body import simulate_body

CORNERS = np.array([0.0, 0.35, 0.55, 0.85, 1.0])
"""Ends of load, hold, unload and rest, as fractions of T."""
SEED = 1
WINDOW = 0.25
"""Reactions of the lattice are means over this part of the interval between two instants."""


@dataclass(frozen=True)
class Size:
    """How large the bodies are and how finely all is resolved.

    Attributes:
        columns: Nodes in a row, and rows.
        radius: Of the hole.
        depth: Of the notch.
        patches: Along each side.
        instants: Stored, without the first; whole twentieths of T.
        steps: Of the finite elements between two instants.
    """

    columns: int = 60
    radius: float = 8.0
    depth: float = 12.0
    patches: int = 8
    instants: int = 100
    steps: int = 1


SHORT = Size(columns=20, radius=3.0, depth=5.0, patches=3, instants=20, steps=1)


@dataclass(frozen=True, eq=False)
class Reference:
    """Results of the full lattice for one duration.

    Attributes:
        duration: T.
        time: Stored instants.
        felt: By the grips, of each replica, ``(n_time, n_replica)``.
        opened: Fraction of the replicas in which each bond is open at the end of the hold, of two
            halves of the replicas, ``(2, n_bond)``.
        displacements: Mean of the nodes then, ``(n_node, d)``.
        node_steps: Nodes × replicas × steps.
        seconds: Of processor time.
    """

    duration: float
    time: FloatArray
    felt: FloatArray
    opened: FloatArray
    displacements: FloatArray
    node_steps: int
    seconds: float

    @property
    def mean(self) -> FloatArray:
        """What the grips feel, the mean over the replicas."""
        return np.asarray(self.felt.mean(1))


def amplitude_of(experiment: bodies.Experiment, duration: float) -> Callable[[Any], Any]:
    """Amplitude c as a function of time."""
    levels = experiment.strain * np.array([0.0, 1.0, 1.0, 0.0, 0.0])
    return lambda t: np.interp(t, CORNERS * duration, levels)


def shown_instant(size: Size) -> int:
    """Number of the instant at the end of the hold."""
    return round(CORNERS[2] * size.instants)


def simulate_lattice(
    experiment: bodies.Experiment,
    duration: float,
    size: Size,
    replicas: int,
    threads: int,
    folder: Path,
) -> Reference:
    """Simulate all replicas on rank 0, or read what an equal call has simulated. Collective.

    Raises:
        SystemExit: On every rank, if the simulation fails on rank 0.
    """
    outcome: Reference | str | None = None
    asked = f"{experiment.name}, {size}, {replicas} replicas, T = {duration:g}, seed {SEED}"
    kept = folder / f"lattice_{experiment.kind}_{duration:g}.npz"
    if MPI.COMM_WORLD.rank == 0:
        outcome = read_lattice(kept, asked)
    if MPI.COMM_WORLD.rank == 0 and outcome is None:
        amplitude = amplitude_of(experiment, duration)
        try:
            record = simulate_body(
                experiment.lattice,
                lambda t: amplitude(t)[:, None],
                np.linspace(0.0, duration, size.instants + 1),
                replicas=replicas,
                window=WINDOW * duration / size.instants,
                seed=SEED,
                threads=threads,
            )
            shown = shown_instant(size)
            outcome = Reference(
                duration=duration,
                time=record.time,
                felt=experiment.felt(record.reactions),
                opened=record.opened[:, shown],
                displacements=experiment.turned(record.displacements[shown]),
                node_steps=record.node_steps,
                seconds=record.cpu_seconds,
            )
            np.savez(kept, asked=asked, **vars(outcome))
        except (CompilerError, ValueError, MemoryError) as error:
            outcome = f"the lattice could not be simulated: {error}"
    outcome = MPI.COMM_WORLD.bcast(outcome)
    if isinstance(outcome, str):
        raise SystemExit(outcome)
    assert outcome is not None
    return outcome


def read_lattice(path: Path, asked: str) -> Reference | None:
    """What a file of :func:`simulate_lattice` holds, if it answers the same question."""
    if not path.exists():
        return None
    with np.load(path) as file:
        values = dict(file)
    if str(values.pop("asked")) != asked:
        return None
    scalars = {name: value.item() for name, value in values.items() if value.ndim == 0}
    return Reference(**{**values, **scalars})
