"""CPU time of alternatives on one core of a machine that has other work too."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Hashable, Mapping
from typing import TypeVar

Name = TypeVar("Name", bound=Hashable)

BURST = 5_000_000
"""Nanoseconds for which a short call is repeated, so that the clock resolves it."""

LONG = 200_000_000
"""Nanoseconds from which on a first call is taken as the measure of the next ones."""


def pin(core: int | None = None) -> int:
    """Bind this process to one core (default: the last it may use) and return it."""
    chosen = max(os.sched_getaffinity(0)) if core is None else core
    os.sched_setaffinity(0, {chosen})
    return chosen


def interleaved(runs: Mapping[Name, Callable[[], object]], rounds: int) -> dict[Name, float]:
    """Median CPU nanoseconds of one call of each, all threads of the process counted.

    The alternatives take turns, so that a disturbance, or a clock that slows down, meets them all.
    """
    counts = {}
    for name, run in runs.items():
        spent = _burst(run, 1)
        if spent < LONG:  # the first call fills caches and may compile
            spent = _burst(run, 1)
        counts[name] = max(1, BURST // max(int(spent), 1))
    times: dict[Name, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            times[name].append(_burst(run, counts[name]))
    return {name: statistics.median(values) for name, values in times.items()}


def _burst(run: Callable[[], object], count: int) -> float:
    start = time.process_time_ns()
    for _ in range(count):
        run()
    return (time.process_time_ns() - start) / count
