"""Simulation of a finite lattice: forces of its grips, open fractions and displacements."""

from __future__ import annotations

import time as clock
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .compiled_bodies import CompiledBody
from .protocols import FloatArray
from .systems.finite_lattice import FiniteLattice

HALVES = 2


@dataclass(frozen=True, eq=False)
class BodyRecord:
    """What a simulation of a finite lattice measured.

    Attributes:
        time: Stored instants, ``(n_time,)``.
        reactions: For each grip the force that it exerts on the body and its moment about the
            origin, of every replica: means over a window of time about each instant. In the plane
            (x, y) and one moment, ``(n_time, n_grip, 3, n_replica)``; in space three of both,
            ``(n_time, n_grip, 6, n_replica)``.
        opened: Fraction of the replicas in which a bond is open, of two halves of the replicas,
            ``(2, n_time, n_bond)``.
        displacements: Mean displacement of the nodes, ``(n_time, n_node, d)``.
        replicas: Number of replicas.
        node_steps: Number of nodes × replicas × steps that were computed.
        cpu_seconds: That they took, of all threads together.
    """

    time: FloatArray
    reactions: FloatArray
    opened: FloatArray
    displacements: FloatArray
    replicas: int
    node_steps: int
    cpu_seconds: float


@dataclass(frozen=True)
class _Course:
    """Steps of a simulation: stored ones, windows, amplitudes."""

    stored: npt.NDArray[np.int64]
    half_window: int
    time_step: float
    amplitudes: Callable[[FloatArray], FloatArray]

    def rows(self, first: int, last: int) -> FloatArray:
        """Return c at the steps ``first`` to ``last`` − 1."""
        return self.amplitudes(np.arange(first, last, dtype=np.float64) * self.time_step)

    @property
    def instants(self) -> FloatArray:
        """The stored instants."""
        instants: FloatArray = self.stored.astype(np.float64) * self.time_step
        return instants


def simulate_body(
    lattice: FiniteLattice,
    amplitudes: Callable[[FloatArray], FloatArray],
    instants: FloatArray,
    *,
    replicas: int = 64,
    time_step: float = 0.1,
    window: float = 0.0,
    seed: int = 0,
    threads: int = 1,
    precision: str = "float",
) -> BodyRecord:
    """Simulate replicas of a body while its medium and grips move.

    The start is the preparation of the bonds' lattice at c(0). Blocks of replicas have random
    numbers of their own, so that the result does not depend on the number of threads.

    Args:
        lattice: The body, its medium and its bonds.
        amplitudes: c(t): takes instants ``(n,)``, returns ``(n, n_field)``.
        instants: Stored instants from 0 on, whole numbers of steps [time].
        replicas: Number of replicas, a multiple of what the library moves at once.
        time_step: Δt of the integrator [time].
        window: Length of the windows over which reactions are averaged [time]; 0: one step.
        seed: Every random number follows from it.
        threads: Blocks at a time.
        precision: "float" or "double".

    Returns:
        Reactions, open fractions and displacements at the stored instants.

    Raises:
        ValueError: If an argument does not fit, or a replica left all bounds.
        CompilerError: If the C engine cannot be compiled here.
    """
    course = _course(amplitudes, instants, time_step, window)
    shape, count = course.rows(0, 2).shape, lattice.fields.shape[0]
    if shape != (2, count):
        raise ValueError(
            f"simulate_body: amplitudes must return an array (n, {count}) for n instants; found "
            f"the shape {shape} for 2."
        )
    if precision not in ("float", "double"):
        raise ValueError(
            f"simulate_body: precision must be 'float' or 'double'; found {precision!r}."
        )
    seeds = np.random.SeedSequence(seed)
    lanes = CompiledBody(lattice, seeds, precision).lanes
    if replicas < HALVES or replicas % lanes:
        raise ValueError(
            f"simulate_body: replicas must be a multiple of {lanes}, which are moved together; "
            f"found {replicas}."
        )
    blocks = np.random.SeedSequence(seed).spawn(replicas // lanes)

    def run(block: np.random.SeedSequence) -> tuple[Any, ...]:
        return _run_block(lattice, course, CompiledBody(lattice, block, precision))

    with ThreadPoolExecutor(max(threads, 1)) as pool:
        reactions, opened, displacements, seconds = zip(*pool.map(run, blocks), strict=True)
    together = np.concatenate(reactions, -1)
    if not np.isfinite(together).all():
        raise ValueError(
            f"simulate_body: a replica left all bounds. Take a shorter time_step than {time_step}."
        )
    preparation = sum(stage.steps for stage in lattice.bond.preparation)
    steps = int(course.stored[-1]) + course.half_window + preparation
    return BodyRecord(
        time=course.instants,
        reactions=together,
        opened=np.mean(opened, 0),
        displacements=np.mean(displacements, 0),
        replicas=replicas,
        node_steps=len(lattice.body.nodes) * replicas * steps,
        cpu_seconds=float(sum(seconds)),
    )


def _course(
    amplitudes: Callable[[FloatArray], FloatArray],
    instants: FloatArray,
    time_step: float,
    window: float,
) -> _Course:
    if not time_step > 0.0:
        raise ValueError(f"simulate_body: time_step must be positive; found {time_step}.")
    steps = np.asarray(instants, float) / time_step
    stored = np.rint(steps).astype(np.int64)
    if stored.ndim != 1 or not len(stored) or stored[0] != 0 or (np.diff(stored) <= 0).any():
        raise ValueError(
            f"simulate_body: instants must increase from 0 on; found {np.asarray(instants)[:4]}."
        )
    if np.abs(steps - stored).max() > 1e-6:
        raise ValueError(
            f"simulate_body: instants must be whole numbers of the time step {time_step} from 0; "
            f"found {instants[int(np.abs(steps - stored).argmax())]:g}."
        )
    half = max(1, round(0.5 * window / time_step))
    gap = int(np.diff(stored).min()) if len(stored) > 1 else 2 * half
    if 2 * half > gap:
        raise ValueError(
            f"simulate_body: windows must not overlap; found a window of {window:g} and instants "
            f"{gap * time_step:g} apart. Take a shorter window."
        )
    return _Course(stored, half, time_step, amplitudes)


def _run_block(lattice: FiniteLattice, course: _Course, block: CompiledBody) -> tuple[Any, ...]:
    """Return reactions, open fractions, displacements and seconds of one block."""
    body, bond = lattice.body, lattice.bond
    start_time = clock.thread_time()
    for stage in bond.preparation:
        block.begin()
        control = np.repeat(course.rows(0, 1), stage.steps, 0)
        block.advance(control, stage.time_step, stage.noise_factor)
    block.begin()
    groups = _grip_matrix(lattice)
    half, position = course.half_window, 0
    reactions, opened, displacements = [], [], []
    for step in course.stored:
        # The window of the first instant has its second half only.
        first = max(int(step) - half, 0)
        block.advance(course.rows(position, first), course.time_step)
        pulls = np.zeros((int(body.gripped.sum()), *block.w.shape[1:]), block.w.dtype)
        block.advance(course.rows(first, int(step)), course.time_step, 1.0, pulls)
        fractions = block.z > bond.crossing
        opened.append([fractions[:, k::HALVES].mean(1) for k in range(HALVES)])
        displacements.append(block.w.mean(-1, dtype=np.float64))
        position = int(step) + half
        block.advance(course.rows(int(step), position), course.time_step, 1.0, pulls)
        # The grips hold against the bonds.
        reactions.append(-np.einsum("ghmd,hdl->gml", groups, pulls) / (position - first))
    medium = np.tensordot(course.amplitudes(course.instants), lattice.fields, 1)
    seconds = clock.thread_time() - start_time
    return np.array(reactions), np.array(opened).swapaxes(0, 1), displacements + medium, seconds


def _grip_matrix(lattice: FiniteLattice) -> FloatArray:
    """Return what makes force and moment of each grip of forces on the gripped nodes.

    Shape ``(n_grip, n_gripped, 3, 2)`` in the plane, ``(n_grip, n_gripped, 6, 3)`` in space.
    """
    body = lattice.body
    gripped, size = np.flatnonzero(body.gripped), body.lattice.dimension
    turned = [(0, 1)] if size == 2 else [(1, 2), (2, 0), (0, 1)]
    matrix = np.zeros((len(body.grips), len(gripped), size + len(turned), size))
    for grip, nodes in enumerate(body.grips.values()):
        rows = np.searchsorted(gripped, nodes)
        matrix[grip, rows, :size] = np.eye(size)
        for axis, (first, second) in enumerate(turned, start=size):
            matrix[grip, rows, axis, first] = -body.nodes[nodes, second]
            matrix[grip, rows, axis, second] = body.nodes[nodes, first]
    return matrix
