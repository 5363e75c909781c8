"""Independent repetitions of an ensemble from its own first microstates.

Given the first microstates, the mean over the noise is what a perfect law would predict, and the
deviation of a finite ensemble from it is the sampling error. The noise-free reference of a chain is
therefore an ensemble of many times the replicas that starts from the same microstates.
"""

from __future__ import annotations

import numpy as np
from scipy.interpolate import CubicHermiteSpline, make_interp_spline

from ..data.ensemble import TrajectoryEnsemble
from .protocols import FloatArray, Protocol
from .simulate_ensemble import simulate
from .systems.registry import system_of
from .systems.system import MicroscopicSystem


def protocols_of(data: TrajectoryEnsemble) -> list[Protocol]:
    """Return the recorded protocols: exact at the stored instants, cubic between them.

    Straight lines join the instants of a record without rates.
    """
    control, rates = data.drive.path(data.strain)
    return [
        _recorded(f"recorded {case}", data.time, λ, None if rates is None else rates[case])
        for case, λ in enumerate(control)
    ]


def _recorded(name: str, time: FloatArray, λ: FloatArray, rate: FloatArray | None) -> Protocol:
    origin = time - time[0]
    spline = (
        make_interp_spline(origin, λ, k=1) if rate is None else CubicHermiteSpline(origin, λ, rate)
    )
    return Protocol(name, spline, spline.derivative())


def repeat_from_first(
    data: TrajectoryEnsemble,
    *,
    factor: int = 10,
    seed: int,
    system: MicroscopicSystem | None = None,
    progress: bool = True,
) -> TrajectoryEnsemble:
    """Simulate the protocols of an ensemble again from its first microstates.

    The result takes ``factor`` times the memory; :meth:`TrajectoryEnsemble.select` gives the
    protocols in parts, each of which then wants a seed of its own.

    Args:
        data: The ensemble; its stored instants must be evenly spaced.
        factor: Repetitions of each first microstate.
        seed: Other than that of ``data``.
        system: The system; by default that of :func:`system_of`.
        progress: As in :func:`simulate`.

    Raises:
        ValueError: If the seed is that of the data or the instants are uneven.
    """
    if seed == data.seed:
        raise ValueError(
            f"repeat_from_first: the seed must differ from that of the data; found {seed} in both."
        )
    intervals = np.diff(data.time)
    stride = round(float(intervals[0]) / data.time_step)
    if not np.allclose(intervals, stride * data.time_step, rtol=1e-6, atol=0):
        raise ValueError(
            f"repeat_from_first: stored instants must be evenly spaced by a multiple of time_step "
            f"{data.time_step:g}; found intervals from {intervals.min():g} to {intervals.max():g}."
        )
    first = np.asarray(data.samples[:, 0])
    return simulate(
        system or system_of(data),
        protocols_of(data),
        duration=float(data.time[-1] - data.time[0]),
        time_step=data.time_step,
        replicas=factor * data.replicas,
        seed=seed,
        stride=stride,
        first_microstate=first,
        record="samples",
        progress=progress,
    )
