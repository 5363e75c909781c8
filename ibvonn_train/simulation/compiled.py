"""Compiled Langevin dynamics of the trap, of two-well chains and of cells: langevin.c by cffi."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from .compiler import library
from .plan import Plan
from .protocols import FloatArray
from .recorder import Sink
from .systems.chain_cell import ChainCell
from .systems.spring_chain import SpringChain
from .systems.system import MicroscopicSystem
from .systems.tethered_particle import TetheredParticle

CALL_SIZE = 2**27
"""Moves of single beads in one call of the library: between calls one may interrupt."""
RECORD_SIZE = 2**22
"""Positions recorded by one call."""


class Interrupted(Exception):
    """Another protocol of the same simulation has failed or was interrupted."""


def can_compile(system: MicroscopicSystem) -> bool:
    """Return whether the library knows the forces of a system; a subclass may have changed them."""
    return type(system) in (ChainCell, SpringChain, TetheredParticle)


def run_compiled(
    plan: Plan, recorder: Sink, advance: Callable[[int], object], threads: int
) -> None:
    """Simulate every protocol by itself, ``threads`` of them at a time.

    Args:
        plan: What to simulate.
        recorder: Where to put it.
        advance: Told of the steps taken, of any protocol and from any thread.
        threads: Protocols at a time; the numbers do not depend on it.
    """
    cases = range(len(plan.control))
    stop = Event()
    if min(threads, len(cases)) < 2:
        for case in cases:
            _run_case(plan, case, recorder, advance, stop)
        return
    with ThreadPoolExecutor(min(threads, len(cases))) as pool:
        tasks = [pool.submit(_run_case, plan, case, recorder, advance, stop) for case in cases]
        try:
            for task in tasks:
                task.result()
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise


def _run_case(
    plan: Plan, case: int, recorder: Sink, advance: Callable[[int], object], stop: Event
) -> None:
    generator = plan.generator(case)
    engine = CompiledCells if isinstance(plan.system, ChainCell) else CompiledChains
    chains = engine(plan, case, generator)
    λ = plan.control[case, :, 0]
    size = chains.beads * plan.replicas
    block = max(1, CALL_SIZE // size)

    def told(count: int) -> None:
        advance(count)
        if stop.is_set():
            raise Interrupted

    for stage in plan.stages:
        chains.begin()
        for start in range(0, stage.steps, block):
            count = min(block, stage.steps - start)
            chains.advance(λ[:1], count, stage.time_step, stage.noise_factor)
            told(count)
    chains.begin()
    here = slice(case, case + 1)
    recorder.take(here, slice(0, 1), torch.from_numpy(chains.positions())[None])
    instants = max(1, min(block // plan.stride, RECORD_SIZE // size))
    total = (len(λ) - 1) // plan.stride
    for start in range(0, total, instants):
        stop_at = min(start + instants, total)
        steps = λ[start * plan.stride : stop_at * plan.stride]
        record = chains.follow(steps, plan.time_step, plan.stride)
        recorder.take(here, slice(start + 1, stop_at + 1), torch.from_numpy(record))
        told(len(steps))


class CompiledChains:
    """Replicas of one protocol in the layout of the library, with their random generators.

    The trap is a chain of one bead between two springs of no length and one well.

    Args:
        plan: What to simulate.
        case: Index of the protocol.
        generator: Source of the start; the noise has a stream of its own from the same seed.
    """

    def __init__(self, plan: Plan, case: int, generator: torch.Generator) -> None:
        self._ffi, self._library = library()
        system = plan.system
        self.friction, self.thermal_energy = system.friction, system.thermal_energy
        self._chain = self._ffi.new("struct chain *", _chain(system))
        self._real = "double" if plan.dtype == torch.float64 else "float"
        self._advance = getattr(self._library, f"langevin_advance_{self._real}")
        x = plan.start(case, generator).numpy()
        self.beads, self.replicas = x.shape
        lanes = int(self._library.langevin_lanes())
        self.blocks = -(-self.replicas // lanes)
        # Idle lanes of the last block repeat replicas, so that they stay finite.
        fill = np.arange(self.blocks * lanes) % self.replicas
        by_block = x[:, fill].reshape(self.beads, self.blocks, lanes).swapaxes(0, 1)
        self._positions = np.ascontiguousarray(by_block)
        self._state = np.empty((self.blocks, 4, lanes), np.uint32)
        self._library.langevin_seed(
            plan.stream(case), self.blocks, self._pointer(self._state, "uint32_t")
        )

    def begin(self) -> None:
        """Begin a stage: nothing of the steps before it is used again."""

    def positions(self) -> npt.NDArray[Any]:
        """Return positions, shape ``(n_degree, n_replica)``."""
        return self._positions.swapaxes(0, 1).reshape(self.beads, -1)[:, : self.replicas]

    def advance(
        self, control: FloatArray, steps: int, time_step: float, noise_factor: float
    ) -> None:
        """Take ``steps`` steps at a held control of shape ``(1,)``."""
        self._call(control, steps, time_step, noise_factor, steps, None)

    def follow(self, control: FloatArray, time_step: float, stride: int) -> npt.NDArray[Any]:
        """Take one step for each value of the control.

        Returns:
            Positions after every ``stride`` steps, ``(n_step / stride, n_degree, n_replica)``.
        """
        shape = (len(control) // stride, self.beads, self.replicas)
        record = np.empty(shape, self._positions.dtype)
        self._call(control, len(control), time_step, 1.0, stride, record)
        return record

    def _call(
        self,
        control: FloatArray,
        steps: int,
        time_step: float,
        noise_factor: float,
        stride: int,
        record: npt.NDArray[Any] | None,
    ) -> None:
        amplitude = self._amplitude(time_step, noise_factor)
        control = np.ascontiguousarray(control)
        refused = self._advance(
            self._pointer(self._positions, self._real),
            self.beads,
            self.blocks,
            self._chain,
            self._pointer(control, "double"),
            int(record is None),
            steps,
            time_step / self.friction,
            amplitude,
            self._pointer(self._state, "uint32_t"),
            stride,
            self.replicas,
            self._ffi.NULL if record is None else self._pointer(record, self._real),
        )
        if refused:
            raise ValueError(
                f"simulate: the compiled engine runs up to 128 beads; found {self.beads}. "
                "Use engine='torch'."
            )

    def _amplitude(self, time_step: float, noise_factor: float) -> float:
        return noise_factor * math.sqrt(2 * self.thermal_energy * time_step / self.friction)

    def _pointer(self, array: npt.NDArray[Any], kind: str) -> Any:
        return self._ffi.cast(f"{kind} *", self._ffi.from_buffer(array))


class CompiledCells(CompiledChains):
    """Replicas of a periodic chain: positions are those relative to the affine motion.

    Arguments as of :class:`CompiledChains`.
    """

    def __init__(self, plan: Plan, case: int, generator: torch.Generator) -> None:
        super().__init__(plan, case, generator)
        self._advance = getattr(self._library, f"langevin_advance_cell_{self._real}")
        self._kept = np.empty(self._positions.shape, np.float32)
        self._fresh = True

    def begin(self) -> None:
        """Begin a stage: its first step draws noise that no step before it has used."""
        self._fresh = True

    def _call(
        self,
        control: FloatArray,
        steps: int,
        time_step: float,
        noise_factor: float,
        stride: int,
        record: npt.NDArray[Any] | None,
    ) -> None:
        amplitude = self._amplitude(time_step, noise_factor)
        control = np.ascontiguousarray(control)
        self._advance(
            self._pointer(self._positions, self._real),
            self.beads,
            self.blocks,
            self._chain,
            self._pointer(control, "double"),
            int(record is None),
            steps,
            time_step / self.friction,
            amplitude,
            self._pointer(self._state, "uint32_t"),
            self._pointer(self._kept, "float"),
            int(self._fresh),
            stride,
            self.replicas,
            self._ffi.NULL if record is None else self._pointer(record, self._real),
        )
        self._fresh = False


def _chain(system: MicroscopicSystem) -> dict[str, float]:
    if isinstance(system, SpringChain | ChainCell):
        spring = system.spring
        return {
            "free_end": int(system.drive == "force"),
            "length": system.reference_length,
            "stiffness": spring.stiffness,
            "well": spring.well_distance,
            "crossing": spring.crossing,
        }
    if isinstance(system, TetheredParticle):
        one_well = {"well": 0.0, "crossing": math.inf}
        return {"free_end": 0, "length": 0.0, "stiffness": system.stiffness, **one_well}
    raise TypeError(f"simulate: the compiled engine cannot run a {type(system).__name__}.")
