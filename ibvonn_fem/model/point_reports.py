"""Reports on a batch of local solves: inputs, convergence, range of the training data.

A kernel never raises; it gives a residual and an excursion for every point. The reports here are
one sentence with the count and the worst point. Comparisons are written so that NaN fails.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from ..errors import LocalSolveError
from ..files.state_bounds import ROUND_OFF, missing
from ..kernels.base import LONGEST_STEP, FloatArray, LocalUpdate
from .manifest import Manifest


@dataclass(frozen=True)
class FailureReport:
    """Points of a batch whose update did not converge.

    Attributes:
        failed: Number of points that did not converge.
        total: Number of all points.
        worst: Index of the worst point (-1 if none failed).
        residual: Scaled residual of the worst point.
        strain: Strain ε⁺ of the worst point.
        location: Words for the message that say where it is; may be empty.
    """

    failed: int
    total: int
    worst: int = -1
    residual: float = 0.0
    strain: tuple[float, ...] = ()
    location: str = ""

    @property
    def badness(self) -> float:
        """The residual, with NaN as infinity: larger is worse."""
        return math.inf if math.isnan(self.residual) else self.residual

    @staticmethod
    def merge(reports: Iterable[FailureReport]) -> FailureReport:
        """One report on several batches (blocks, MPI ranks) that keeps the worst point."""
        reports = list(reports)
        failing = [report for report in reports if report.failed]
        worst = max(failing, key=lambda report: report.badness, default=FailureReport(0, 0))
        return replace(
            worst,
            failed=sum(report.failed for report in failing),
            total=sum(report.total for report in reports),
        )

    def error(self, tolerance: float, dt: float) -> LocalSolveError:
        """The exception with the numbers of this report in its message."""
        strain = ", ".join(f"{value:.6g}" for value in self.strain)
        return LocalSolveError(
            f"backward_euler: {self.failed} of {self.total} points did not converge; worst is "
            f"point {self.worst}{self.location} with scaled residual {self.residual:.3g} > "
            f"{tolerance:.1e} at strain ({strain}), dt = {dt:.6g}. Reduce the time increment.",
            failed=self.failed,
            total=self.total,
            residual=self.residual,
        )


@dataclass(frozen=True)
class RangeReport:
    """Points of a batch that left the box of the training data.

    Attributes:
        outside: Number of points outside.
        total: Number of all points.
        excursion: Largest excursion in half widths of the box.
        variable: Name of the component with the largest excursion.
        value: Value of that component.
    """

    outside: int
    total: int
    excursion: float = 0.0
    variable: str = ""
    value: float = 0.0

    @staticmethod
    def merge(reports: Iterable[RangeReport]) -> RangeReport:
        """One report on several batches that keeps the largest excursion."""
        reports = list(reports)
        worst = max(reports, key=lambda report: report.excursion, default=RangeReport(0, 0))
        return replace(
            worst,
            outside=sum(report.outside for report in reports),
            total=sum(report.total for report in reports),
        )

    def sentence(self, name: str) -> str:
        """One sentence with the fraction of points and the worst variable."""
        return (
            f"{name}: {self.outside} of {self.total} points "
            f"({100.0 * self.outside / max(self.total, 1):.3g} %) are outside the range of the "
            f"training data; worst is {self.variable} = {self.value:.6g}, "
            f"{self.excursion:.3g} half widths beyond it. The law extrapolates there."
        )


def find_failures(
    update: LocalUpdate, strain: FloatArray, tolerance: float, first: int = 0
) -> FailureReport:
    """Report the points where ``residual <= tolerance`` does not hold (NaN included).

    Args:
        update: Result of a kernel.
        strain: ε⁺ of the update, shape ``(n, n_ε)``.
        tolerance: Largest scaled residual of a converged point.
        first: Number of the first point, for the message.
    """
    failed = ~(update.residual <= tolerance)
    count = int(np.count_nonzero(failed))
    if count == 0:
        return FailureReport(0, len(failed))
    # NaN is worse than infinity, infinity worse than any number
    badness = np.where(np.isnan(update.residual), np.inf, update.residual)
    worst = int(np.flatnonzero(failed)[np.argmax(badness[failed])])
    return FailureReport(
        failed=count,
        total=len(failed),
        worst=first + worst,
        residual=float(update.residual[worst]),
        strain=tuple(float(value) for value in strain[worst]),
    )


def watch_time(
    update: LocalUpdate,
    strain: FloatArray,
    strain_old: FloatArray,
    dt: float | FloatArray,
    manifest: Manifest,
) -> None:
    """Raise ``validity`` where strain rate or time step is beyond those of the training data.

    A kernel compares ε⁺ and α⁺ alone. Shorter steps than those of the training only resolve the law
    better, so the range of Δt starts at 0; elastic steps (Δt = 0) have no rate.
    """
    if np.ndim(dt) == 0 and _all_slow(strain - strain_old, float(dt), manifest):
        return
    excursion = _time_excursions(strain, strain_old, dt, manifest).max(axis=1)
    beyond = np.where(excursion > _ROUND_OFF, excursion, 0.0)
    np.maximum(update.validity, beyond, out=update.validity)


_ROUND_OFF = 1e-9  # half widths: time steps are differences of instants


def _all_slow(increment: FloatArray, dt: float, manifest: Manifest) -> bool:
    """Whether no rate and no Δt is out of range, compared without a division: the usual case."""
    if not dt > 0.0:
        return True
    longest = manifest.envelope.time_step[1]
    low, high = dt * manifest.envelope.strain_rate.T
    inside: bool = (longest <= 0.0 or dt <= longest) and bool(  # not so of NaN
        ((low <= increment) & (increment <= high)).all()
    )
    return inside


def _time_excursions(
    strain: FloatArray, strain_old: FloatArray, dt: float | FloatArray, manifest: Manifest
) -> FloatArray:
    """Excursions of the strain rates and of Δt in half widths, shape ``(n, n_ε + 1)``."""
    increment = np.broadcast_to(np.asarray(dt, dtype=np.float64), (len(strain),))[:, np.newaxis]
    rates, longest = manifest.envelope.strain_rate, manifest.envelope.time_step[1:]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        rate = (strain - strain_old) / increment
    excursions = [_excursion(rate, rates), np.zeros_like(increment)]
    if longest > 0.0:
        excursions[1] = _excursion(increment, np.array([[0.0, longest[0]]]))
    return np.where(increment > 0.0, np.concatenate(excursions, axis=1), 0.0)


def _excursion(values: FloatArray, box: FloatArray) -> FloatArray:
    """How far each component is outside its range, in half widths; negative inside."""
    half_width = np.maximum(0.5 * (box[:, 1] - box[:, 0]), np.finfo(np.float64).tiny)
    excursion: FloatArray = np.maximum(box[:, 0] - values, values - box[:, 1]) / half_width
    return excursion


def find_excursions(
    update: LocalUpdate,
    strain: FloatArray,
    strain_old: FloatArray,
    dt: float | FloatArray,
    manifest: Manifest,
) -> RangeReport:
    """Report the points with ``validity > 0`` and the component with the largest excursion.

    Args:
        update: Result of a kernel, after :func:`watch_time`.
        strain: ε⁺, shape ``(n, n_ε)``.
        strain_old: ε_n, shape ``(n, n_ε)``.
        dt: Δt, one number or shape ``(n,)``.
        manifest: Gives the ranges and the names.
    """
    outside = ~(update.validity <= 0.0)
    count = int(np.count_nonzero(outside))
    if count == 0:
        return RangeReport(0, len(outside))
    worst = int(np.argmax(update.validity))
    here = slice(worst, worst + 1)
    increment = np.broadcast_to(np.asarray(dt, dtype=np.float64), (len(strain),))[here]
    box = np.concatenate([manifest.envelope.strain, manifest.envelope.statev])
    state = np.concatenate([strain[worst], update.statev_new[worst]])
    excursions = np.concatenate(
        [
            _excursion(state, box),
            _time_excursions(strain[here], strain_old[here], increment, manifest)[0],
        ]
    )
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        rate = (strain[worst] - strain_old[worst]) / increment
    names = manifest.strain_components + manifest.internal_components
    names += (*(f"rate of {name}" for name in manifest.strain_components), "time step")
    values = np.concatenate([state, rate, increment])
    index = int(np.argmax(excursions))
    return RangeReport(
        count, len(outside), float(update.validity[worst]), names[index], float(values[index])
    )


def check_inputs(
    strain: object, strain_old: object, statev: object, dt: object, manifest: Manifest
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Turn arguments of a point-level call into float64 arrays of matching shapes.

    Args:
        strain: ε⁺, shape ``(n, n_ε)``.
        strain_old: ε_n, shape ``(n, n_ε)``.
        statev: α_n, shape ``(n, n_α)``.
        dt: Δt ≥ 0, one number or shape ``(n,)``.
        manifest: Gives n_ε and n_α.

    Raises:
        ValueError: If a shape does not fit, a value is not finite, a fraction is outside its
            bounds, or Δt is not in [0, 1e100].
    """
    checked = check_points(strain, "strain", manifest.strain_size)
    n_points = len(checked)
    old = check_points(strain_old, "strain_old", manifest.strain_size, n_points)
    state = check_states(statev, manifest, n_points)
    increment = np.asarray(dt, dtype=np.float64)
    if increment.ndim > 1 or (increment.ndim == 1 and len(increment) != n_points):
        raise ValueError(
            f"update: dt must be one number or have shape ({n_points},); found {increment.shape}."
        )
    bad = np.flatnonzero(~((increment >= 0.0) & (increment <= LONGEST_STEP)))
    if bad.size:
        raise ValueError(
            f"update: dt must be from 0 (an elastic step) to {LONGEST_STEP:g}; found "
            f"{increment.reshape(-1)[bad[0]]} at point {bad[0]}. For the equilibrium at held "
            "strain use microstates.equilibrium_state."
        )
    return checked, old, state, increment


def check_states(values: object, manifest: Manifest, n_points: int | None = None) -> FloatArray:
    """Turn ``values`` into internal variables, shape ``(n_points, n_α)``, within their bounds.

    Raises:
        ValueError: If a shape does not fit, a value is not finite, or a fraction of a population is
            negative by more than round-off.
    """
    state = check_points(values, "statev", manifest.internal_size, n_points)
    beyond = missing(manifest.variables, state)
    if np.max(beyond, initial=0.0) > ROUND_OFF:
        point = int(np.argmax(beyond))
        names = ", ".join(manifest.internal_components)
        low, high = manifest.bounds.T.tolist()
        raise ValueError(
            f"update: statev ({names}) must leave every fraction between 0 and 1, so be from {low} "
            f"to {high} with fractions of one population that add up to 1 at most; found "
            f"{state[point].tolist()} at point {point}."
        )
    return state


def check_points(values: object, name: str, size: int, n_points: int | None = None) -> FloatArray:
    """Turn ``values`` into a finite float64 array of shape ``(n_points, size)``."""
    array = np.ascontiguousarray(values, dtype=np.float64)
    expected = f"({'n' if n_points is None else n_points}, {size})"
    if (
        array.ndim != 2
        or array.shape[1] != size
        or (n_points is not None and len(array) != n_points)
    ):
        raise ValueError(f"update: {name} must have shape {expected}; found {array.shape}.")
    bad = np.argwhere(~np.isfinite(array))
    if bad.size:
        point, component = bad[0]
        raise ValueError(
            f"update: {name} must be finite; found {array[point, component]} at point {point}, "
            f"component {component}."
        )
    return array
