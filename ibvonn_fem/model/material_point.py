"""One material point driven through a strain history, without a mesh."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..files.plain_files import replacing
from ..kernels.base import FloatArray
from .exported_model import ExportedModel
from .point_reports import check_points


@dataclass(frozen=True)
class PointHistory:
    """Answer of a material point at ``n`` instants.

    Attributes:
        time: Instants, shape ``(n,)`` [time of the model].
        strain: ε, shape ``(n, n_ε)``.
        stress: σ, shape ``(n, n_ε)``.
        statev: Internal variables α, shape ``(n, n_α)``.
        energy: f, shape ``(n,)``.
        dissipated: Dissipation since the start, shape ``(n,)``; never decreases.
        validity: Excursion from the training range in half widths, shape ``(n,)``.
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


def run_point(model: ExportedModel, time: object, strain: object) -> PointHistory:
    """Drive a material point from the declared equilibrium through a strain history.

    The first instant is an elastic jump (Δt = 0) from the equilibrium strain to ``strain[0]``; then
    time starts, with one backward Euler step per interval.

    Args:
        model: The law.
        time: Increasing instants, shape ``(n,)`` [time of the model].
        strain: Strain at these instants, shape ``(n, n_ε)`` (or ``(n,)`` for one component).

    Raises:
        ValueError: If a shape does not fit, a value is not finite or time does not increase.
        LocalSolveError: If a step did not converge.
    """
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
        place = int(bad[0]) if bad.size else 0
        raise ValueError(
            "run_point: time must be finite and strictly increasing; "
            f"found {instants[place : place + 2].tolist()} at row {place}."
        )
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
    for i, dt in enumerate(np.diff(instants, prepend=instants[0])):
        update = model.update(values[i : i + 1], strain_old, statev, float(dt))
        strain_old, statev = values[i : i + 1], update.statev_new
        dissipated += float(update.dissipation[0])
        history.stress[i] = update.stress[0]
        history.statev[i] = update.statev_new[0]
        history.energy[i] = update.energy[0]
        history.dissipated[i] = dissipated
        history.validity[i] = update.validity[0]
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
    with replacing(path) as part:
        np.savetxt(part, values, fmt="%.17g", delimiter=",", header=",".join(names), comments="")


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
        axis.set_ylabel(label)
        axis.legend(loc="best", fontsize="small")
    axes[2].set_xlabel(f"time [{manifest.units.get('time', 'model units')}]")
    figure.suptitle(manifest.name)
    with replacing(path) as part:
        figure.savefig(part, dpi=120)
