"""One material point driven through a strain history, without a mesh."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..errors import LocalSolveError, StepError
from ..files.plain_files import replacing
from ..kernels.base import FloatArray
from .exported_model import ExportedModel
from .point_reports import check_points


@dataclass(frozen=True)
class PointHistory:
    """Response of a material point at ``n`` instants.

    Attributes:
        time: Instants, shape ``(n,)`` [time of the model].
        strain: ε, shape ``(n, n_ε)``.
        stress: σ, shape ``(n, n_ε)``.
        statev: Internal variables α, shape ``(n, n_α)``.
        energy: f, shape ``(n,)``.
        dissipated: Dissipation since the start, shape ``(n,)``; never decreases.
        validity: Largest excursion from the training range since the last instant, in half widths,
            shape ``(n,)``.
    """

    time: FloatArray
    strain: FloatArray
    stress: FloatArray
    statev: FloatArray
    energy: FloatArray
    dissipated: FloatArray
    validity: FloatArray

    def table(self, model: ExportedModel) -> tuple[list[str], FloatArray]:
        """Column names (those of the manifest) and values, shape ``(n, columns)``."""
        manifest = model.manifest
        names = [
            "time",
            *manifest.strain_components,
            *manifest.stress_components,
            *manifest.internal_components,
            "energy",
            "dissipated",
            "validity",
        ]
        columns = (
            self.time,
            self.strain,
            self.stress,
            self.statev,
            self.energy,
            self.dissipated,
            self.validity,
        )
        return names, np.column_stack(columns)


class Resolved(NamedTuple):
    """A history with the number of steps per interval, and the change when they were halved last.

    Attributes:
        history: Response at the instants.
        steps: Backward Euler steps per interval.
        change: Largest change of the stress at the instants from half as many steps, over the
            largest stress.
    """

    history: PointHistory
    steps: int
    change: float


TOLERANCE = 1e-3
"""Change of the stress, over its largest value, at which steps are short enough."""

MOST_STEPS = 2**14
"""Backward Euler steps per interval at which halving gives up."""


def run_point(
    model: ExportedModel, time: object, strain: object, *, steps: int = 1
) -> PointHistory:
    """Drive a material point from the declared equilibrium through a strain history.

    The first instant is an elastic jump (Δt = 0) from the equilibrium strain to ``strain[0]``; then
    time starts, with ``steps`` backward Euler steps per interval, of the same length and along a
    straight line of strain. :func:`resolve_point` chooses how many.

    Args:
        model: The law.
        time: Increasing instants, shape ``(n,)`` [time of the model].
        strain: Strain at these instants, shape ``(n, n_ε)`` (or ``(n,)`` for one component).
        steps: Backward Euler steps per interval.

    Raises:
        ValueError: If a shape does not fit, a value is not finite, time does not increase or there
            is less than one step.
        LocalSolveError: If a step did not converge.
    """
    if steps < 1:
        raise ValueError(f"run_point: steps must be at least 1; found {steps}.")
    instants = np.ascontiguousarray(time, dtype=np.float64)
    values = np.asarray(strain, dtype=np.float64)
    values = check_points(
        values[:, np.newaxis] if values.ndim == 1 else values, "strain", model.strain_size
    )
    if instants.shape != (len(values),) or instants.size == 0:
        raise ValueError(
            f"run_point: time must have one instant per strain, shape ({len(values)},), and not be "
            f"empty; found {instants.shape}."
        )
    bad = np.flatnonzero(~(np.diff(instants) > 0.0))
    if bad.size or not np.isfinite(instants).all():
        row = int(bad[0]) if bad.size else 0
        raise ValueError(
            "run_point: time must be finite and strictly increasing; "
            f"found {instants[row : row + 2].tolist()} at row {row}."
        )
    return _driven(model, instants, values, steps)


def resolve_point(
    model: ExportedModel, time: object, strain: object, *, tolerance: float = TOLERANCE
) -> Resolved:
    """Drive a material point with as many steps per interval as a tolerance needs.

    The strain is a straight line between the instants. The first attempt takes no longer steps than
    the training had. The number of backward Euler steps per interval is doubled until the stress at
    the instants changes by at most ``tolerance`` times the largest stress; the scheme is of first
    order, so the change estimates the remaining error.

    Args:
        model: The law.
        time: Increasing instants, shape ``(n,)`` [time of the model].
        strain: Strain at these instants, shape ``(n, n_ε)`` (or ``(n,)`` for one component).
        tolerance: Largest change of the stress over the largest stress; above zero.

    Raises:
        ValueError: As :func:`run_point`, or if the tolerance is not above zero.
        StepError: If the stress still changes by more with the most steps that are tried.
        LocalSolveError: If a step did not converge even then.
    """
    if not tolerance > 0.0:
        raise ValueError(
            f"resolve_point: tolerance must be above zero; found {tolerance}. Give the largest "
            f"change of the stress over the largest stress, such as {TOLERANCE:g}."
        )
    coarse: PointHistory | None = None
    change, steps = float("inf"), _fewest_steps(model, time)
    while steps <= MOST_STEPS:
        try:
            fine = run_point(model, time, strain, steps=steps)
        except LocalSolveError:
            if 2 * steps > MOST_STEPS:
                raise
            coarse, steps = None, 2 * steps
            continue
        if coarse is not None:
            largest = np.abs(fine.stress).max()
            difference = np.abs(fine.stress - coarse.stress).max()
            change = float(difference / largest) if largest > 0.0 else 0.0
            if change <= tolerance:
                return Resolved(fine, steps, change)
        coarse, steps = fine, 2 * steps
    raise StepError(
        f"resolve_point: the stress must change by at most {tolerance:g} of its largest value when "
        f"the steps are halved; with {MOST_STEPS} steps per interval it changes by {change:.2g}. "
        "Allow a larger change, or give more instants where the strain or the stress moves fast."
    )


def _fewest_steps(model: ExportedModel, time: object) -> int:
    """Steps per interval, a power of two, that are no longer than those of the training."""
    instants, longest = np.asarray(time, dtype=np.float64), model.manifest.envelope.time_step[1]
    interval = float(np.diff(instants).max()) if instants.ndim == 1 and instants.size > 1 else 0.0
    if not 0.0 < interval < np.inf or not longest > 0.0:
        return 1
    steps = 2 ** int(np.ceil(np.log2(max(interval / longest, 1.0))))
    return int(min(steps, MOST_STEPS // 2))


def _driven(
    model: ExportedModel, instants: FloatArray, values: FloatArray, steps: int
) -> PointHistory:
    """The history with ``steps`` backward Euler steps per interval; the arguments are checked."""
    n = len(instants)
    history = PointHistory(
        time=instants,
        strain=values,
        stress=np.empty((n, model.strain_size)),
        statev=np.empty((n, model.internal_size)),
        energy=np.empty(n),
        dissipated=np.empty(n),
        validity=np.empty(n),
    )
    strain_old = model.manifest.initial_state.strain[np.newaxis]
    statev, dissipated = model.initial_state(), 0.0
    for i, interval in enumerate(np.diff(instants, prepend=instants[0])):
        count = steps if i else 1  # the first row is one elastic jump
        ends = strain_old + np.linspace(0.0, 1.0, count + 1)[1:, np.newaxis] * (
            values[i] - strain_old
        )
        ends[-1] = values[i]
        excursion = 0.0
        for end in ends[:, np.newaxis]:
            update = model.update(end, strain_old, statev, float(interval) / count)
            strain_old, statev = end, update.statev_new
            dissipated += float(update.dissipation[0])
            excursion = max(excursion, float(update.validity[0]))
        history.stress[i] = update.stress[0]
        history.statev[i] = update.statev_new[0]
        history.energy[i] = update.energy[0]
        history.dissipated[i] = dissipated
        history.validity[i] = excursion
    return history


def read_strain_history(path: str | Path, strain_size: int) -> tuple[FloatArray, FloatArray]:
    """Read instants and strains from a text file: time, then one column per strain component.

    Columns are separated by commas or blanks; a first line of names and lines after ``#`` are
    skipped, and so is a byte-order mark.

    Returns:
        Time, shape ``(n,)``, and strain, shape ``(n, n_ε)``.

    Raises:
        ValueError: If the file is not such a table.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise ValueError(
            f"{path}: there is no such file. Give a text file of time and strain."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: cannot be read as text ({error}).") from error
    rows: list[list[float]] = []
    names = ""
    for number, line in enumerate(lines, start=1):
        line = line.split("#")[0]
        if "," in line and ";" in line:
            raise ValueError(
                f"{path}: line {number} must have one kind of separator; found commas and "
                f"semicolons in {line.strip()!r}. Write decimal points, not commas."
            )
        words = line.replace(",", " ").replace(";", " ").split()
        if not words:
            continue
        try:
            row = [float(word) for word in words]
        except ValueError:
            if not rows and not names and not any(map(_is_number, words)):
                names = line
                continue
            raise ValueError(
                f"{path}: line {number} must hold numbers, after at most one line of names; found "
                f"{line.strip()!r}. Write numbers as 0.1, or put # before a comment."
            ) from None
        if len(row) != 1 + strain_size:
            raise ValueError(
                f"{path}: line {number} must have {1 + strain_size} columns (time and "
                f"{strain_size} strain components); found {len(row)}."
            )
        if not np.isfinite(row).all():
            raise ValueError(
                f"{path}: line {number} must hold finite numbers; found {line.strip()!r}."
            )
        if rows and not row[0] > rows[-1][0]:
            raise ValueError(
                f"{path}: line {number}: time must be strictly increasing; found {row[0]:.6g} "
                f"after {rows[-1][0]:.6g}. Remove or correct this line."
            )
        rows.append(row)
    if not rows:
        raise ValueError(f"{path}: holds no rows of numbers (time, strain, …).")
    table = np.array(rows)
    return table[:, 0], table[:, 1:]


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def write_history(path: str | Path, model: ExportedModel, history: PointHistory) -> None:
    """Write a history as CSV with a line of column names."""
    names, values = history.table(model)
    with replacing(path) as stream:
        np.savetxt(stream, values, fmt="%.17g", delimiter=",", header=",".join(names), comments="")


def require_drawable(path: str | Path) -> None:
    """Refuse an ending in which no figure can be drawn.

    Raises:
        ValueError: If matplotlib does not know the ending of the file.
        ImportError: If there is no matplotlib.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    endings = FigureCanvasAgg(Figure()).get_supported_filetypes()
    if Path(path).suffix and Path(path).suffix[1:] not in endings:
        raise ValueError(
            f"{path}: must have an ending in which figures can be drawn, one of "
            f"{', '.join(sorted(endings))}. End it in .png."
        )


def draw_history(path: str | Path, model: ExportedModel, history: PointHistory) -> None:
    """Draw strain, stress and internal variables over time; needs matplotlib but no display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    manifest = model.manifest
    figure = Figure(figsize=(7.0, 7.0), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(3, 1, sharex=True)
    for axis, values, names, label in (
        (axes[0], history.strain, manifest.strain_components, "strain"),
        (axes[1], history.stress, manifest.stress_components, "stress"),
        (axes[2], history.statev, manifest.internal_components, "internal variables"),
    ):
        for column, name in zip(values.T, names, strict=True):
            axis.plot(history.time, column, label=name)
        outside = history.validity > 0.0
        if outside.any():
            axis.fill_between(
                history.time,
                0.0,
                1.0,
                where=outside,
                transform=axis.get_xaxis_transform(),
                color="0.85",
                label="outside the training range",
            )
        unit = manifest.units.get("stress", "1") if label == "stress" else "1"
        axis.set_ylabel(_with_unit(label, unit))
        axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize="small")
    axes[2].set_xlabel(_with_unit("time", manifest.units.get("time", "1")))
    figure.suptitle(manifest.name)
    with replacing(path) as stream:
        figure.savefig(stream, format=Path(path).suffix[1:] or "png", dpi=120)


def _with_unit(quantity: str, unit: str) -> str:
    """A label of an axis; quantities without a dimension have no unit to name."""
    return f"{quantity} [–]" if unit == "1" else f"{quantity} [{unit}]"
