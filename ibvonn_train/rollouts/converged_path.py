"""Roll-out of an exported law along straight lines between strains, until it does not change."""

from __future__ import annotations

import logging
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

logger = logging.getLogger(__name__)

MOST_SUBSTEPS = 256
"""Implicit steps in each interval at most."""


class Updating(Protocol):
    """A law that takes implicit steps."""

    def update(
        self, strain: FloatArray, strain_old: FloatArray, internal: FloatArray, dt: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Return σ ``(n, n_ε)`` and α ``(n, n_α)`` at the end of a step."""


class ConvergedPath(NamedTuple):
    """A roll-out.

    Attributes:
        stress: σ, ``(n_point, n_time, n_ε)``.
        internal: α, ``(n_point, n_time, n_α)``.
        change: Largest change of the stress by the last doubling of the steps.
    """

    stress: FloatArray
    internal: FloatArray
    change: float


def converged_path(
    law: Updating, time: FloatArray, strain: FloatArray, internal: FloatArray, tolerance: float
) -> ConvergedPath:
    """Integrate α̇ = ∂φ/∂g along straight lines between strains.

    Backward Euler with 1, 2, 4, … steps in each interval, of which Richardson's extrapolation
    2 σ_2n − σ_n is of second order; it ends when a doubling changes this by less than the
    tolerance.

    Args:
        law: The law.
        time: Instants, strictly increasing, ``(n_time,)``.
        strain: ε at these, ``(n_point, n_time, n_ε)``.
        internal: α at the first, ``(n_point, n_α)``.
        tolerance: Of a component of the stress [stress].

    Raises:
        ArithmeticError: If a step of the law has no finite value.
    """
    count, change = 1, np.inf
    coarse, former = _implicit(law, time, strain, internal, count), None
    while True:
        count *= 2
        fine = _implicit(law, time, strain, internal, count)
        stress = 2.0 * fine[0] - coarse[0]
        if former is not None:
            change = float(np.abs(stress - former).max())
        if change <= tolerance or count >= MOST_SUBSTEPS:
            break
        coarse, former = fine, stress
    if change > tolerance:
        logger.warning(
            "the law still changes by %.2g with %d steps in each interval; the check allows %.2g",
            change, count, tolerance,
        )  # fmt: skip
    return ConvergedPath(stress, fine[1], change)


def _implicit(
    law: Updating, time: FloatArray, strain: FloatArray, internal: FloatArray, count: int
) -> tuple[FloatArray, FloatArray]:
    """Return σ and α at all instants with ``count`` implicit steps in each interval."""
    first, state = law.update(strain[:, 0], strain[:, 0], internal, np.zeros(len(internal)))
    stresses, states = [first], [state]
    for step in range(len(time) - 1):
        begin, end = strain[:, step], strain[:, step + 1]
        dt = np.full(len(internal), (time[step + 1] - time[step]) / count)
        old = begin
        for part in range(1, count + 1):
            new = begin + (end - begin) * (part / count)
            stress, state = law.update(new, old, state, dt)
            old = new
        if not (np.isfinite(stress).all() and np.isfinite(state).all()):
            raise ArithmeticError(
                f"the law has no finite stress at t = {time[step + 1]:.6g} along the history of "
                f"point {int(np.argmin(np.isfinite(stress).all(1)))} of the file."
            )
        stresses.append(stress)
        states.append(state)
    return np.stack(stresses, 1), np.stack(states, 1)
