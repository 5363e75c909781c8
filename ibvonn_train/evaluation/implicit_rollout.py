"""Roll-outs under a given strain by the implicit update that finite-element codes take.

The update is stable for any step; its error is of first order. Every interval between stored
instants is cut into n, 2n, 4n … steps, results with n and 2n steps are extrapolated, and that ends
where extrapolated results change no more.
"""

from __future__ import annotations

import logging
from typing import Protocol, runtime_checkable

import numpy as np

from .encoded_records import within_bounds_of
from .interface import FloatArray, Law

logger = logging.getLogger(__name__)

CHANGE = 1e-3
"""Change of α between two numbers of steps, over its standard deviation, that counts as none."""
MOST = 64
"""Steps in each interval at most."""


@runtime_checkable
class Implicit(Law, Protocol):
    """A law with the update of finite-element codes."""

    def update(
        self, strain: FloatArray, strain_old: FloatArray, internal: FloatArray, dt: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Return σ and α after a step: ε, its old value and α in rows, Δt ``(n,)``."""


def implicit(
    law: Implicit, time: FloatArray, strain: FloatArray, internal: FloatArray
) -> FloatArray:
    """Return α(t), shape ``(n_protocol, n_time, n_point, n_α)``.

    Args:
        law: The law.
        time: Instants, ``(n_time,)``.
        strain: ε at them, ``(n_protocol, n_time, n_point, n_ε)``, linear in between.
        internal: α at the first, ``(n_protocol, n_point, n_α)``.
    """
    coarse = _steps(law, time, strain, internal, 1)
    states = None
    count = 2
    while True:
        fine = _steps(law, time, strain, internal, count)
        before, states = states, within_bounds_of(law, 2.0 * fine - coarse)
        if before is not None and _change(before, states) < CHANGE:
            return states
        if count >= MOST:
            logger.warning(
                "%s: α of its roll-outs still changes by %.2g of its standard deviation with %d "
                "steps between stored instants: store the states more often.",
                law.name, _change(before if before is not None else coarse, states), count,
            )  # fmt: skip
            return states
        coarse, count = fine, 2 * count


def _steps(
    law: Implicit, time: FloatArray, strain: FloatArray, internal: FloatArray, count: int
) -> FloatArray:
    rows = internal.reshape(-1, law.internal_size)
    path = np.moveaxis(strain, 1, 0).reshape(len(time), -1, law.strain_size)
    states = [rows]
    for number, dt in enumerate(np.diff(time)):
        step = np.full(len(rows), dt / count)
        for part in range(count):
            old, new = (
                path[number] + (part + end) / count * (path[number + 1] - path[number])
                for end in (0, 1)
            )
            rows = law.update(new, old, rows, step)[1]
        states.append(rows)
    shape = (len(time), *internal.shape)
    return np.moveaxis(np.stack(states).reshape(shape), 0, 1)


def _change(before: FloatArray, after: FloatArray) -> float:
    """Return the root mean square change over the standard deviation, largest of all components."""
    axes = tuple(range(after.ndim - 1))
    spread = np.maximum(after.std(axes), 1e-12)
    return float(np.max(np.sqrt(((after - before) ** 2).mean(axes)) / spread, initial=0.0))
