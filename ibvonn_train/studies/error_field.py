"""From re-runs at some points of an analysis to the stress error everywhere, with error bars.

The points are chosen to fill the strains and states of the whole analysis
(:mod:`.space_filling`), a spot check simulates them again, and a Gaussian process
(:mod:`.gaussian_process`) takes the error of their windows to any strain, state and strain rate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..data.point_histories import PointHistories
from ..files.error_estimate import ErrorEstimate
from ..files.model_directory import manifest_hash
from ..simulation.systems.system import MicroscopicSystem
from .followed_histories import CheckedLaw, require_followable
from .gaussian_process import HALF_WIDTH, Fitted, fit
from .space_filling import space_filling
from .spot_check import WINDOWS, SpotCheck, spot_check

FloatArray = npt.NDArray[np.float64]

PARTS = 10
"""Instants of a window over which its state is averaged."""


@dataclass(frozen=True, eq=False)
class ErrorField:
    """An estimate and what it is made of.

    Attributes:
        estimate: Of the stress error at any state.
        points: Numbers of the points that were simulated again.
        check: Their spot check.
        fitted: The Gaussian process.
    """

    estimate: ErrorEstimate
    points: tuple[int, ...]
    check: SpotCheck
    fitted: Fitted


def error_field(
    law: CheckedLaw,
    histories: PointHistories,
    system: MicroscopicSystem,
    *,
    points: int,
    include: Sequence[int] = (),
    replicas: int = 32,
    tolerance: float | None = None,
    seed: int = 0,
    time_step: float | None = None,
    progress: bool = True,
) -> ErrorField:
    """Estimate the stress error of a law over all states that an analysis has visited.

    Args:
        law: The law.
        histories: Of all points of the analysis, or of many.
        system: Its microscopic system.
        points: Number of points that are simulated again, at least 2, no more than were recorded.
        include: Places in the histories of points that are among them in any case.
        replicas: Of each, at least 8.
        tolerance: Of the verdicts of the check.
        seed: Of the simulation.
        time_step: Of the integrator at most.
        progress: Show a progress bar.

    Raises:
        ValueError: If the histories have fewer points, or the system cannot follow them.
    """
    recorded = len(histories.point)
    if not 2 <= points <= recorded:
        raise ValueError(
            f"error-field: points must be at least 2 and at most the {recorded} that were "
            f"recorded; found {points}. Give another number, or record more points."
        )
    require_followable("error-field", law, histories, system)
    states = states_of(histories)
    base = scales_of(states, law.strain_size, law.internal_size)
    chosen = space_filling(states / base, points, include)
    check = spot_check(
        law,
        histories.select([int(histories.point[place]) for place in chosen]),
        system,
        replicas=replicas,
        seed=seed,
        tolerance=tolerance,
        time_step=time_step,
        progress=progress,
    )
    rows = states[chosen].reshape(-1, states.shape[-1])
    errors = check.window_errors.reshape(len(rows), -1)
    noise = check.window_standard_errors.reshape(len(rows), -1)
    groups = groups_of_inputs(law.strain_size, law.internal_size)
    fitted = fit(rows / base, groups, np.repeat(np.arange(points), WINDOWS), errors, noise)
    scales = base * fitted.lengths[groups]
    estimate = ErrorEstimate(
        law=np.frombuffer(manifest_hash(law.manifest).encode("ascii"), dtype=np.uint8),
        sizes=np.array([law.strain_size, law.internal_size]),
        scales=scales,
        inputs=rows / scales,
        weights=fitted.weights,
        precision=fitted.precision,
        amplitudes=fitted.amplitudes,
        calibration=np.array(fitted.calibration),
    )
    return ErrorField(estimate, tuple(int(histories.point[p]) for p in chosen), check, fitted)


def states_of(histories: PointHistories) -> FloatArray:
    """Return the mean (ε, α, ε̇) of each window, ``(n_point, WINDOWS, 2 n_ε + n_α)``."""
    time = histories.time
    grid = np.linspace(time[0], time[-1], WINDOWS * PARTS + 1)
    # Of an instant that occurs twice the later row counts, towards which the strain has jumped.
    later = np.append(np.diff(time) > 0.0, True)
    knots = time[later]
    windows = []
    for strain, internal in zip(histories.strain[:, later], histories.internal[:, later],
                                strict=True):  # fmt: skip
        rows = np.concatenate([strain, internal], 1)
        at = np.stack([np.interp(grid, knots, column) for column in rows.T], -1)
        middle = 0.5 * (at[1:] + at[:-1])
        mean = middle.reshape(WINDOWS, PARTS, -1).mean(1)
        ends = at[::PARTS, : strain.shape[1]]
        rate = np.diff(ends, axis=0) / (grid[PARTS] - grid[0])
        windows.append(np.concatenate([mean, rate], 1))
    return np.stack(windows)


def groups_of_inputs(strain_size: int, internal_size: int) -> npt.NDArray[np.int64]:
    """Return the group of each input: 0 of ε, 1 of α, 2 of ε̇, which share scale and length."""
    return np.repeat([0, 1, 2], [strain_size, internal_size, strain_size])


def scales_of(states: FloatArray, strain_size: int, internal_size: int) -> FloatArray:
    """Return the root mean square of each group of inputs, at each input; 1 where it is zero."""
    groups = groups_of_inputs(strain_size, internal_size)
    roots = np.array([np.sqrt((states[..., groups == g] ** 2).mean()) for g in range(3)])
    return np.where(roots > 0.0, roots, 1.0)[groups]


def estimated(estimate: ErrorEstimate, histories: PointHistories) -> tuple[FloatArray, FloatArray]:
    """Return expected errors of all windows and standard deviations, ``(n_point, WINDOWS, n_ε)``.

    Args:
        estimate: Of the law of the histories.
        histories: Of any points.
    """
    states = states_of(histories)
    strains, internals = (int(size) for size in estimate.sizes)
    flat = states.reshape(-1, states.shape[-1])
    parts = np.split(flat, [strains, strains + internals], axis=1)
    mean, deviation = estimate.at(*parts)
    shape = (len(states), WINDOWS, strains)
    return mean.reshape(shape), deviation.reshape(shape)


def largest_error(estimate: ErrorEstimate, histories: PointHistories) -> FloatArray:
    """Return the largest expected error of each point, the norm over components, ``(n_point,)``."""
    mean, _ = estimated(estimate, histories)
    largest: FloatArray = np.linalg.norm(mean, axis=-1).max(1)
    return largest


def intervals(
    expected: FloatArray, deviation: FloatArray, noise: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return the ends of the 90 % intervals of errors that re-runs with this noise would find."""
    half = HALF_WIDTH * np.sqrt(deviation**2 + noise**2)
    return expected - half, expected + half
