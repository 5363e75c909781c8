r"""Spot check: the microscopic system of a law along strain histories of an analysis.

The path of every point is a straight line between recorded strains. On the same path go the
microscopic system, in replicas of which there are B independent batches, and the law, with steps so
short that they do not matter. The path is cut into windows of equal length; in each window w the
mean stress of both is compared, component by component c:

.. math::
    d_{wc} = \bar\sigma^{law}_{wc} - \frac1B \sum_b \bar\sigma^{b}_{wc}, \qquad
    h_{wc} = t_{B-1}\bigl(1 - \tfrac{\alpha}{2n}\bigr) \, s_{wc} / \sqrt B,

s being the standard deviation over the batches and n the number of all points, windows and
components. All intervals d ± h hold together with probability 1 − α at least (Bonferroni). The
error of a point is max |d|, and lies between max (|d| − h) and max (|d| + h).

An error that changes its sign within a window is not seen. A sudden change of the strain is a ramp
over one step of the integrator.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.stats import t as student

from ..data.ensemble import TrajectoryEnsemble
from ..data.point_histories import PointHistories
from ..evaluation.encoded_records import encode_distributions
from ..files.model_directory import manifest_hash
from ..rollouts.converged_path import converged_path
from ..simulation.simulate_ensemble import simulate
from ..simulation.systems.system import MicroscopicSystem
from .energy_of_histories import StepEnergies, energies_of_law, step_energies
from .followed_histories import (
    CheckedLaw,
    between,
    protocols_of,
    require_followable,
    stepped_path,
    time_step_or_default,
    warn_of_shorter_steps,
)

FloatArray = npt.NDArray[np.float64]
Verdict = Literal["within", "off", "undecided"]

WINDOWS = 8
MOST_BATCHES = 32
DEFAULT_TOLERANCE = 2.0
"""In % of the largest stress, of a law whose manifest has no error of its stress."""

POINTS_AT_ONCE = 10
"""Points that are simulated together: the records of a hundred lattices do not fit into memory."""

LAW_STEPS = 2e-4
"""Change of the law's stress by shorter steps that is allowed, over the largest stress."""


@dataclass(frozen=True)
class PointCheck:
    """Outcome at one point; errors in % of the largest stress of all points.

    Attributes:
        point: Its number.
        chosen_for: Why it was recorded.
        validity: Largest excursion from the training range.
        error: Largest error of the mean stress of a window.
        low, high: Ends of its confidence interval.
        time_error: Largest difference of the stress of the analysis from the converged law; None
            where the analysis used another law.
        law_populations, populations: Fractions at the end by the law and by the microscopic system;
            empty of a law without populations.
        energies: What the law stores and dissipates, and the work on law and system.
        verdict: "off" if the interval lies beyond the tolerance, "within" if it lies below.
    """

    point: int
    chosen_for: str
    validity: float
    error: float
    low: float
    high: float
    time_error: float | None
    law_populations: tuple[float, ...]
    populations: tuple[float, ...]
    energies: StepEnergies
    verdict: Verdict


@dataclass(frozen=True)
class SpotCheck:
    """Outcome of all points, and the series that a figure needs.

    Attributes:
        points: Outcome of each point.
        tolerance: In % of the largest stress.
        confidence: 1 − α, of all intervals together.
        replicas: Of every point.
        largest_stress: Largest norm of the recorded stress.
        law_change: Change of the law's stress by the last doubling of its steps, in %.
        time: Instants, ``(n_time,)``; from the first recorded one on.
        law_stress, stress: Of law and microscopic system, ``(n_point, n_time, n_ε)``.
        standard_error: Of ``stress``, same shape.
        window_errors: Law minus system, mean of each window, ``(n_point, WINDOWS, n_ε)`` [stress].
        window_standard_errors: Of these, same shape.
    """

    points: tuple[PointCheck, ...]
    tolerance: float
    confidence: float
    replicas: int
    largest_stress: float
    law_change: float
    time: FloatArray
    law_stress: FloatArray
    stress: FloatArray
    standard_error: FloatArray
    window_errors: FloatArray
    window_standard_errors: FloatArray


def default_tolerance(manifest: dict[str, Any]) -> tuple[float, str]:
    """Return the tolerance in % and where it comes from: the card's largest error of the stress."""
    errors = [
        float(entry["error"])
        for entry in manifest.get("errors") or ()
        if entry["quantity"] == "stress"
    ]
    if errors:
        return max(errors), "largest error of the stress in the manifest"
    return DEFAULT_TOLERANCE, "the manifest has no error of the stress"


def spot_check(
    law: CheckedLaw,
    histories: PointHistories,
    system: MicroscopicSystem,
    *,
    replicas: int = 64,
    seed: int = 0,
    tolerance: float | None = None,
    time_step: float | None = None,
    confidence: float = 0.95,
    progress: bool = True,
) -> SpotCheck:
    """Simulate the microscopic system along histories and compare law and analysis with it.

    Args:
        law: The law.
        histories: What the points have seen.
        system: Its microscopic system.
        replicas: Of each point, at least 8; rounded up to equal batches.
        seed: Of the simulation.
        tolerance: In % of the largest stress; by default :func:`default_tolerance`.
        time_step: Of the integrator at most; by default that of the training. Steps are never
            longer than the stored intervals, 10 to 50 in each window; a warning says so.
        confidence: Of all intervals together.
        progress: Show a progress bar.

    Raises:
        ValueError: If an argument is out of range, the histories are of another kind of law, or
            do not begin at rest, or the strain of the system is not imposed.
        ArithmeticError: If a step of the law has no finite value.
    """
    _require(law, histories, system, replicas, confidence)
    limit = default_tolerance(law.manifest)[0] if tolerance is None else tolerance
    if not limit >= 0.0:
        raise ValueError(f"spot-check: tolerance must not be negative; found {limit}.")
    step = time_step_or_default("spot-check", law.manifest, time_step)
    parts = _instants_of_window(histories.time)
    count = WINDOWS * parts
    path = stepped_path(histories.time, step, count)
    if time_step is not None:
        warn_of_shorter_steps("spot-check", path, time_step)
    grid = np.linspace(0.0, path.time_step * path.steps, count + 1)
    instants = np.unique(np.concatenate([grid, path.knots]))
    at_grid, at_knots = np.searchsorted(instants, grid), np.searchsorted(instants, path.knots)
    largest = float(np.linalg.norm(histories.stress, axis=-1).max())
    if largest == 0.0:
        raise ValueError("spot-check: the histories have no stress; errors are relative to it.")

    strain = np.stack([between(path.knots, rows, instants) for rows in histories.strain])
    rolled = converged_path(law, instants, strain, histories.internal[:, 0], LAW_STEPS * largest)
    batches = min(MOST_BATCHES, replicas // 2)
    of_batch = -(-replicas // batches)
    groups = _groups(len(histories.point))
    seeds = [seed, *np.random.SeedSequence(seed).generate_state(len(groups) - 1).tolist()]
    micro = np.empty((len(histories.point), batches, count + 1, law.strain_size))
    ends: list[FloatArray] = []
    for group, own_seed in zip(groups, seeds, strict=True):
        data = simulate(
            system,
            protocols_of(law, histories.select(histories.point[group].tolist()), path, batches),
            duration=path.time_step * path.steps,
            time_step=path.time_step,
            replicas=of_batch,
            seed=own_seed,
            stride=path.steps // count,
            progress=progress,
        )
        micro[group] = data.stress[:, :, 0].reshape(-1, *micro.shape[1:])
        ends.append(_encoded_at_end(law, data, batches))

    law_stress = rolled.stress[:, at_grid]
    differences = law_stress[:, None] - micro
    whole = len(micro), batches, WINDOWS, parts, law.strain_size
    windows = differences[:, :, 1:].reshape(whole).mean(3)
    error, spread = np.abs(windows.mean(1)), windows.std(1, ddof=1)
    probability = 1.0 - (1.0 - confidence) / (2.0 * error.size)
    half = student.ppf(probability, batches - 1) * spread / np.sqrt(batches)
    percent = 100.0 / largest
    flat = (len(histories.point), -1)
    low = np.maximum(error - half, 0.0).reshape(flat).max(1) * percent
    high = (error + half).reshape(flat).max(1) * percent
    own = manifest_hash(law.manifest) == histories.manifest_sha256
    late = np.abs(rolled.stress[:, at_knots] - histories.stress).reshape(flat).max(1) * percent
    populations = _populations(law, rolled.internal[:, -1], np.concatenate(ends))
    of_law = energies_of_law(law, instants, strain, rolled.internal)
    energies = step_energies(of_law, strain[:, at_grid], law_stress, micro)
    points = tuple(
        PointCheck(
            int(number),
            histories.chosen_for[p],
            float(histories.validity[p].max()),
            float(error[p].max() * percent),
            float(low[p]),
            float(high[p]),
            float(late[p]) if own else None,
            *populations[p],
            energies[p],
            "off" if low[p] > limit else "within" if high[p] <= limit else "undecided",
        )
        for p, number in enumerate(histories.point)
    )
    return SpotCheck(
        points,
        limit,
        confidence,
        batches * of_batch,
        largest,
        rolled.change * percent,
        histories.time[0] + grid,
        law_stress,
        micro.mean(1),
        micro.std(1, ddof=1) / np.sqrt(batches),
        windows.mean(1),
        spread / np.sqrt(batches),
    )


def _require(
    law: CheckedLaw,
    histories: PointHistories,
    system: MicroscopicSystem,
    replicas: int,
    confidence: float,
) -> None:
    if replicas < 8:
        raise ValueError(f"spot-check: needs at least 8 replicas; found {replicas}.")
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"spot-check: confidence must lie between 0 and 1; found {confidence}.")
    require_followable("spot-check", law, histories, system)


def _instants_of_window(time: FloatArray) -> int:
    """Return how many stored instants a window has: as many as steps of the analysis, 10 to 50."""
    interval = np.diff(time)
    typical = float(np.median(interval[interval > 0.0]))
    return int(np.clip(np.ceil((time[-1] - time[0]) / typical / WINDOWS), 10, 50))


def _groups(count: int) -> list[npt.NDArray[np.int64]]:
    """Return the places of the points that are simulated together."""
    return np.array_split(np.arange(count), -(-count // POINTS_AT_ONCE))


def _populations(
    law: CheckedLaw, internal: FloatArray, encoded: FloatArray
) -> list[tuple[tuple[float, ...], tuple[float, ...]]]:
    """Return the fractions at the end by law and by microscopic system, point by point."""
    shift, fractions = _fractions_at_rest(law)
    if not fractions.any():
        return [((), ())] * len(internal)
    return [
        (
            tuple((of_law + shift)[fractions].tolist()),
            tuple((of_system + shift)[fractions].tolist()),
        )
        for of_law, of_system in zip(internal, encoded, strict=True)
    ]


def _fractions_at_rest(law: CheckedLaw) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    """Return the fraction at rest of each component of α, and which components are fractions."""
    rests: list[float] = []
    for variable in law.manifest["internal"]["variables"]:
        rests += variable["rest"] if variable["kind"] == "population" else [np.nan]
    shift = np.array(rests)
    return shift, np.isfinite(shift)


def _encoded_at_end(law: CheckedLaw, data: TrajectoryEnsemble, batches: int) -> FloatArray:
    """Return α of the last instant, mean of the batches of a point, ``(n_point, n_α)``.

    Only populations are encoded, whose α is a mean; of another law nothing is, ``(n_point, 0)``.
    """
    if not _fractions_at_rest(law)[1].any():
        return np.empty((len(data.stress) // batches, 0))
    alpha: FloatArray = _encoded(law, data).reshape(-1, batches, law.internal_size).mean(1)
    return alpha


def _encoded(law: CheckedLaw, data: TrajectoryEnsemble) -> FloatArray:
    """Return α of the last instant, ``(n_protocol, n_α)``."""
    classes = len(data.classes)
    if data.histogram is not None:
        weights = data.histogram.weights[:, -1]
        shape = (len(weights), classes, weights.shape[-1])
        return encode_distributions(law, data.histogram.nodes, weights.reshape(shape))
    samples = data.samples[:, -1].astype(np.float64)
    if classes == 1:
        return law.encode(samples[:, 0])[1]
    return law.encode(samples)[1]
