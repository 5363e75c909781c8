"""What a law does between stored instants, begun anew at each encoded state."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch

from ..evaluation.interface import FloatArray, Law
from ..rollouts.relaxation import relaxed_increment
from .audit_data import Evidence


class Intervals(NamedTuple):
    """Of every stored interval, one fewer than instants.

    Attributes:
        dissipation: ∫ g·α̇ dt, ``(n_protocol, n_time − 1, n_site)`` [energy per unit length].
        increment: ∫ α̇ dt, ``(n_protocol, n_time − 1, n_site, n_α)``.
    """

    dissipation: FloatArray
    increment: FloatArray


SETTLED = 0.01
"""Change of the total dissipation by halving the steps that is none."""
HALVINGS = 5
DIFFERENCE = 1e-6
"""Change of α by which its rate is differentiated, in units of the scale of α."""


def over_intervals(law: Law, evidence: Evidence) -> Intervals:
    """Integrate α̇ = ∂φ/∂g over each stored interval from the encoded state at its start.

    The steps are those of the data's integrator (forward Euler, old time) and ε is interpolated
    linearly. A record that holds every step gives Δt α̇ and Δt g·α̇ at the encoded states. In a
    coarser one α relaxes within the intervals: rates at their ends times their length would count
    a fast event several times, or miss it. For the same reason the steps are halved where the law
    relaxes faster than the integrator steps, until that changes the dissipation no more. States
    that relax at once would need more steps than that: where it still changes, exponential steps
    follow, stable whatever their length, with ∂α̇/∂α by differences and ∫ g·dα by the trapezoidal
    rule.
    """
    data, measured = evidence.data, evidence.measured
    shape = measured.strain[:, :-1].shape[:3]
    before, after = (
        part.reshape(-1, law.strain_size)
        for part in (measured.strain[:, :-1], measured.strain[:, 1:])
    )
    start = measured.internal[:, :-1].reshape(-1, law.internal_size)
    length = np.broadcast_to(np.diff(data.time)[:, None], shape).reshape(-1, 1)

    def integrated(steps: int) -> Intervals:
        internal, dissipation, dt = start, np.zeros(len(start)), length / steps
        for part in range(steps):
            rates = law.rates(before + part / steps * (after - before), internal)
            dissipation = dissipation + dt[:, 0] * (rates.driving_force * rates.rate).sum(-1)
            internal = internal + dt * rates.rate
        return Intervals(dissipation.reshape(shape), (internal - start).reshape(*shape, -1))

    def relaxed(steps: int) -> Intervals:
        internal, dissipation, dt = start, np.zeros(len(start)), length / steps
        for part in range(steps):
            strain = before + (part + 0.5) / steps * (after - before)
            there = law.rates(strain, internal)
            slope = dt[..., None] * _slope(law, strain, internal, there.rate)
            arrays = (torch.from_numpy(array) for array in (dt * there.rate, slope))
            change = relaxed_increment(*arrays).numpy()
            force = there.driving_force + law.rates(strain, internal + change).driving_force
            dissipation = dissipation + 0.5 * (force * change).sum(-1)
            internal = internal + change
        return Intervals(dissipation.reshape(shape), (internal - start).reshape(*shape, -1))

    return _settled(integrated, data.stride) or _settled(relaxed, 1) or relaxed(2**HALVINGS)


def _settled(integrated: Callable[[int], Intervals], first: int) -> Intervals | None:
    """Return integrals that half of the steps would not change, None where there are none."""
    with np.errstate(over="ignore", invalid="ignore"):  # steps that are too long may run away
        coarse = integrated(first)
        for halving in range(1, HALVINGS + 1):
            finer = integrated(first * 2**halving)
            total, change = finer.dissipation.sum(), (finer.dissipation - coarse.dissipation).sum()
            if np.isfinite(total) and abs(change) <= SETTLED * abs(total):
                return coarse
            coarse = finer
    return None


def _slope(law: Law, strain: FloatArray, internal: FloatArray, rate: FloatArray) -> FloatArray:
    """Return ∂α̇/∂α, ``(n, n_α, n_α)``."""
    columns = []
    for component, scale in enumerate(law.internal_scale):
        moved = internal.copy()
        moved[:, component] += DIFFERENCE * scale
        columns.append((law.rates(strain, moved).rate - rate) / (DIFFERENCE * scale))
    return np.stack(columns, -1)
