"""What a law does between stored instants, begun anew at each encoded state."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..evaluation.interface import FloatArray, Law
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


def over_intervals(law: Law, evidence: Evidence) -> Intervals:
    """Integrate α̇ = ∂φ/∂g over each stored interval from the encoded state at its start.

    The steps are those of the data's integrator (forward Euler, old time) and ε is interpolated
    linearly. A record that holds every step gives Δt α̇ and Δt g·α̇ at the encoded states. In a
    coarser one α relaxes within the intervals: rates at their ends times their length would count
    a fast event several times, or miss it. For the same reason the steps are halved where the law
    relaxes faster than the integrator steps, until that changes the dissipation no more.
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

    coarse = integrated(data.stride)
    for halving in range(1, HALVINGS + 1):
        finer = integrated(data.stride * 2**halving)
        total, change = finer.dissipation.sum(), (finer.dissipation - coarse.dissipation).sum()
        if abs(change) <= SETTLED * abs(total):
            break
        coarse = finer
    return coarse
