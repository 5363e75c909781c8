"""Trajectories in NPZ and CSV files, held in memory."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..files.memory import require_memory
from .frames import FloatArray, Frame, IdOrder, require_columns, require_count
from .number_tables import STEP_NAMES, TIME_NAMES, read_table_file

_VECTORS = ("position", "velocity", "force")
_LETTERS = {"position": "xyz", "velocity": ("vx", "vy", "vz"), "force": ("fx", "fy", "fz")}


class NpzTrajectory:
    """Arrays of ``numpy.savez``: ``time`` or ``step`` and columns of the particles.

    ``time``, ``step`` and observables have the shape ``(n_time,)``, columns ``(n_time,
    n_particle)``; ``position``, ``velocity`` and ``force`` may have a last axis of the components,
    which are x, y, z, vx, … then.

    Raises:
        ValueError: If the file holds no such arrays.
    """

    kind = "NPZ"

    def __init__(self, path: Path) -> None:
        self.path = path
        require_memory(f"{path}", 2.0 * path.stat().st_size, "Cut it into several files.")
        try:
            with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
        except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"{path}: must be an NPZ of numbers ({error}).") from error
        self._columns: dict[str, npt.NDArray[np.float64]] = {}
        self._series: dict[str, npt.NDArray[np.float64]] = {}
        for name, array in arrays.items():
            if array.dtype.kind not in "fiub":
                raise ValueError(f"{path}: {name} must hold numbers; found {array.dtype}.")
            if array.ndim == 1:
                self._series[name] = array
            elif array.ndim == 2:
                self._columns[name] = array
            elif array.ndim == 3 and name in _VECTORS and array.shape[2] <= 3:
                for axis in range(array.shape[2]):
                    self._columns[_LETTERS[name][axis]] = array[:, :, axis]
            else:
                raise ValueError(
                    f"{path}: {name} must have the shape (n_time,) or (n_time, n_particle), or be "
                    f"one of {', '.join(_VECTORS)} with components; found {array.shape}."
                )
        shapes = {array.shape for array in self._columns.values()}
        lengths = {len(array) for array in self._series.values()} | {shape[0] for shape in shapes}
        if len(shapes) != 1 or len(lengths) != 1:
            raise ValueError(
                f"{path}: all columns must have one shape (n_time, n_particle), and series its "
                f"length; found {sorted(shapes)} and lengths {sorted(lengths)}."
            )
        self.columns = tuple(self._columns)
        self.observables = tuple(n for n in self._series if n not in (*STEP_NAMES, *TIME_NAMES))
        widths = {array.dtype.itemsize for array in self._columns.values()}
        self.precision = "float32" if min(widths) < 8 else "float64"

    def frames(self, names: Sequence[str]) -> Iterator[Frame]:
        """Yield the instants one after the other, see :class:`.frames.Trajectory`."""
        require_columns(self.path, names, self.columns)
        steps = next((self._series[n] for n in STEP_NAMES if n in self._series), None)
        times = next((self._series[n] for n in TIME_NAMES if n in self._series), None)
        for at in range(len(next(iter(self._columns.values())))):
            values = np.stack([self._columns[name][at] for name in names], 1).astype(np.float64)
            yield Frame(
                values,
                None if steps is None else int(steps[at]),
                None if times is None else float(times[at]),
                observables={name: float(self._series[name][at]) for name in self.observables},
            )


class CsvTrajectory:
    """A CSV of one row for each particle and instant, with columns ``id`` and ``time`` or ``step``.

    Without a column ``id`` there is one row for each instant, and the columns ``x_1``, ``x_2``, …
    are the coordinate x of the particles 1, 2, …

    Raises:
        ValueError: If there is neither.
    """

    kind = "CSV"
    precision = "text"

    def __init__(self, path: Path) -> None:
        self.path = path
        self._table = read_table_file(path)
        table = self._table
        table.require_numbers(table.words)
        if table.steps is None and table.times is None:
            raise ValueError(
                f"{path}: must have a column time or step; it has {', '.join(table.columns)}."
            )
        self._wide: dict[str, list[str]] = {}
        if "id" in table.columns:
            self.columns = tuple(name for name in table.names if name != "id")
            self.observables: tuple[str, ...] = ()
            return
        for name in table.names:
            head, _, number = name.rpartition("_")
            if head and number.isdecimal():
                self._wide.setdefault(head, []).append(name)
        for head, names in self._wide.items():
            names.sort(key=lambda name: int(name.rpartition("_")[2]))
            require_count(
                path, f"column {head!r}", len(names), len(next(iter(self._wide.values())))
            )
        if not self._wide:
            raise ValueError(
                f"{path}: must have a column id, or columns such as x_1, x_2, … of the particles; "
                f"it has {', '.join(table.columns)}."
            )
        in_wide = {name for names in self._wide.values() for name in names}
        self.columns = tuple(self._wide)
        self.observables = tuple(name for name in table.names if name not in in_wide)

    def frames(self, names: Sequence[str]) -> Iterator[Frame]:
        """Yield the instants one after the other, see :class:`.frames.Trajectory`."""
        require_columns(self.path, names, self.columns)
        return self._of_wide(names) if self._wide else self._of_long(names)

    def _of_wide(self, names: Sequence[str]) -> Iterator[Frame]:
        table = self._table
        columns = [np.stack([table.columns[n] for n in self._wide[name]], 1) for name in names]
        values = np.stack(columns, 2)
        for at, frame in enumerate(values):
            beside = {name: float(table.columns[name][at]) for name in self.observables}
            yield Frame(frame, *self._instant(at), observables=beside)

    def _of_long(self, names: Sequence[str]) -> Iterator[Frame]:
        table, in_order = self._table, IdOrder(self.path)
        label = table.steps if table.steps is not None else table.times
        assert label is not None  # noqa: S101 (looked at when opened)
        starts = np.flatnonzero(np.diff(label, prepend=np.nan) != 0)
        values: FloatArray = np.stack([table.columns[name] for name in names], 1)
        for start, end in zip(starts, [*starts[1:], len(label)], strict=True):
            place, ids = f"row {start + 1}", table.columns["id"][start:end]
            yield Frame(in_order(place, ids, values[start:end]), *self._instant(int(start)))

    def _instant(self, row: int) -> tuple[int | None, float | None]:
        steps, times = self._table.steps, self._table.times
        return (
            None if steps is None else int(steps[row]),
            None if times is None else float(times[row]),
        )
