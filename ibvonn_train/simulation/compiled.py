"""Simulation by compiled libraries: protocols one by one, on some threads."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import torch

from .compiled_chains import CompiledCells, CompiledChains
from .compiled_lattices import CompiledLattices
from .compiled_replicas import CompiledReplicas
from .plan import Plan
from .recorder import Sink
from .systems.chain_cell import ChainCell
from .systems.periodic_lattice import PeriodicLattice
from .systems.spring_chain import SpringChain
from .systems.system import MicroscopicSystem
from .systems.tethered_particle import TetheredParticle

ENGINES: dict[type[MicroscopicSystem], Callable[..., CompiledReplicas]] = {
    ChainCell: CompiledCells,
    PeriodicLattice: CompiledLattices,
    SpringChain: CompiledChains,
    TetheredParticle: CompiledChains,
}
CALL_SIZE = 2**27
"""Moves of single beads in one call of the library: between calls one may interrupt."""
RECORD_SIZE = 2**22
"""Positions recorded by one call."""


class Interrupted(Exception):
    """Another protocol of the same simulation has failed or was interrupted."""


def can_compile(system: MicroscopicSystem) -> bool:
    """Return whether a library knows the forces of a system; a subclass may have changed them."""
    return type(system) in ENGINES


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
    replicas = ENGINES[type(plan.system)](plan, case, generator)
    λ = plan.control[case]
    size = replicas.degrees * plan.replicas
    block = max(1, CALL_SIZE // size)

    def report(count: int) -> None:
        advance(count)
        if stop.is_set():
            raise Interrupted

    for stage in plan.stages:
        replicas.begin()
        for start in range(0, stage.steps, block):
            count = min(block, stage.steps - start)
            replicas.advance(λ[:1], count, stage.time_step, stage.noise_factor)
            report(count)
    replicas.begin()
    here = slice(case, case + 1)
    recorder.take(here, slice(0, 1), torch.from_numpy(replicas.positions())[None])
    instants = max(1, min(block // plan.stride, RECORD_SIZE // size))
    total = (len(λ) - 1) // plan.stride
    for start in range(0, total, instants):
        stop_at = min(start + instants, total)
        steps = λ[start * plan.stride : stop_at * plan.stride]
        record = replicas.follow(steps, plan.time_step, plan.stride)
        recorder.take(here, slice(start + 1, stop_at + 1), torch.from_numpy(record))
        report(len(steps))
