"""Trajectories in NPZ and CSV files, read frame by frame."""

from __future__ import annotations

import itertools
import math
import zipfile
import zlib
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import IO, Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from ..files.memory import require_memory
from .frames import FloatArray, Frame, IdOrder, require_columns, require_count
from .number_tables import STEP_NAMES, TIME_NAMES, names_of, titles_and_rows

_VECTORS = ("position", "velocity", "force")
_LETTERS = {"position": "xyz", "velocity": ("vx", "vy", "vz"), "force": ("fx", "fy", "fz")}
LONGEST_NAME = 2**16
"""Characters of the description of an array at most."""


class _StoredArray(NamedTuple):
    """An array of an archive, whose numbers are read row by row."""

    member: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    by_columns: bool

    @classmethod
    def at(cls, path: Path, member: str, stream: IO[bytes]) -> Self:
        """Read what an array is; the stream stands at its numbers then.

        Raises:
            ValueError: If it is no array of numbers.
        """
        try:
            version = np.lib.format.read_magic(stream)
            read = np.lib.format.read_array_header_1_0
            if version != (1, 0):
                read = np.lib.format.read_array_header_2_0
            shape, by_columns, dtype = read(stream, max_header_size=LONGEST_NAME)
        except ValueError as error:
            raise ValueError(f"{path}: {member} must be an array of numbers ({error}).") from error
        if dtype.kind not in "fiub":
            raise ValueError(f"{path}: {member} must hold numbers; found {dtype}.")
        return cls(member, shape, dtype, by_columns and len(shape) > 1)

    def each(self, path: Path, stream: IO[bytes]) -> Iterator[npt.NDArray[Any]]:
        """Yield the rows one after the other; an array stored by columns is held in memory.

        Raises:
            EOFError: If they are not there.
        """
        if not self.by_columns:
            for _ in range(self.shape[0]):
                yield self.rows(stream, 1)[0]
            return
        size = float(math.prod(self.shape) * self.dtype.itemsize)
        require_memory(f"{path}: {self.member}", size, "Write np.ascontiguousarray of it.")
        turned = _StoredArray(self.member, self.shape[::-1], self.dtype, False)
        yield from turned.rows(stream, self.shape[-1]).T

    def rows(self, stream: IO[bytes], count: int) -> npt.NDArray[Any]:
        """Read some rows.

        Raises:
            EOFError: If they are not there.
        """
        size = count * math.prod(self.shape[1:]) * self.dtype.itemsize
        content = stream.read(size)
        if len(content) < size:
            raise EOFError(f"{self.member} ends before its last number")
        return np.frombuffer(content, self.dtype).reshape(count, *self.shape[1:])


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
        self._series: dict[str, npt.NDArray[Any]] = {}
        self._stored: dict[str, _StoredArray] = {}
        try:
            with zipfile.ZipFile(path) as archive:
                for member in archive.namelist():
                    with archive.open(member) as stream:
                        array = _StoredArray.at(path, member, stream)
                        name = member.removesuffix(".npy")
                        if len(array.shape) == 1:
                            self._series[name] = array.rows(stream, array.shape[0])
                        else:
                            self._stored[name] = array
        except (OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise ValueError(f"{path}: must be an NPZ of numbers ({error}).") from error
        except (NotImplementedError, RuntimeError) as error:  # other compressions; a password
            raise ValueError(f"{path}: must be an NPZ that numpy.savez wrote ({error}).") from error
        # Name of a column → the array that holds it, and its component there.
        self._places: dict[str, tuple[str, int | None]] = {}
        for name, array in self._stored.items():
            shape = array.shape
            if len(shape) == 2:
                self._places[name] = (name, None)
            elif len(shape) == 3 and name in _VECTORS and shape[2] <= 3:
                for axis in range(shape[2]):
                    self._places[_LETTERS[name][axis]] = (name, axis)
            else:
                raise ValueError(
                    f"{path}: {name} must have the shape (n_time,) or (n_time, n_particle), or be "
                    f"one of {', '.join(_VECTORS)} with components; found {shape}."
                )
        shapes = {array.shape[:2] for array in self._stored.values()}
        lengths = {len(array) for array in self._series.values()} | {shape[0] for shape in shapes}
        if len(shapes) != 1 or len(lengths) != 1:
            raise ValueError(
                f"{path}: all columns must have one shape (n_time, n_particle), and series its "
                f"length; found {sorted(shapes)} and lengths {sorted(lengths)}."
            )
        (self._instants,) = lengths
        self.columns = tuple(self._places)
        self.observables = tuple(n for n in self._series if n not in (*STEP_NAMES, *TIME_NAMES))
        widths = {array.dtype.itemsize for array in self._stored.values()}
        self.precision = "float32" if min(widths) < 8 else "float64"

    def frames(self, names: Sequence[str]) -> Iterator[Frame]:
        """Yield the instants one after the other, see :class:`.frames.Trajectory`."""
        require_columns(self.path, names, self.columns)
        steps = next((self._series[n] for n in STEP_NAMES if n in self._series), None)
        times = next((self._series[n] for n in TIME_NAMES if n in self._series), None)
        for at, row in enumerate(self._rows(names)):
            yield Frame(
                row,
                None if steps is None else int(steps[at]),
                None if times is None else float(times[at]),
                observables={name: float(self._series[name][at]) for name in self.observables},
            )

    def _rows(self, names: Sequence[str]) -> Iterator[FloatArray]:
        """Yield the columns of each instant, ``(n_particle, n_column)``."""
        places = [self._places[name] for name in names]
        with ExitStack() as opened:
            archive = opened.enter_context(zipfile.ZipFile(self.path))
            each: dict[str, Iterator[npt.NDArray[Any]]] = {}
            for holder, _ in places:
                if holder not in each:
                    member = self._stored[holder].member
                    stream = opened.enter_context(archive.open(member))
                    each[holder] = _StoredArray.at(self.path, member, stream).each(
                        self.path, stream
                    )
            for _ in range(self._instants):
                try:
                    row = {name: next(rows) for name, rows in each.items()}
                except (EOFError, zipfile.BadZipFile, zlib.error, OSError) as error:
                    raise ValueError(f"{self.path}: must be a whole NPZ ({error}).") from error
                yield np.stack(
                    [row[name] if axis is None else row[name][:, axis] for name, axis in places], 1
                ).astype(np.float64)


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
        with self._opened() as stream:
            titles, _ = titles_and_rows(path, stream)
        names = names_of(path, titles)
        self._at = {name: at for at, name in enumerate(names)}
        self._step = next((name for name in STEP_NAMES if name in names), None)
        self._time = next((name for name in TIME_NAMES if name in names), None)
        if self._step is None and self._time is None:
            raise ValueError(f"{path}: must have a column time or step; it has {', '.join(names)}.")
        values = [name for name in names if name not in (*STEP_NAMES, *TIME_NAMES)]
        self._wide: dict[str, list[str]] = {}
        if "id" in names:
            self.columns = tuple(name for name in values if name != "id")
            self.observables: tuple[str, ...] = ()
            return
        for name in values:
            head, _, number = name.rpartition("_")
            if head and number.isdecimal():
                self._wide.setdefault(head, []).append(name)
        for head, numbered in self._wide.items():
            numbered.sort(key=lambda name: int(name.rpartition("_")[2]))
            require_count(
                path, f"column {head!r}", len(numbered), len(next(iter(self._wide.values())))
            )
        if not self._wide:
            raise ValueError(
                f"{path}: must have a column id, or columns such as x_1, x_2, … of the particles; "
                f"it has {', '.join(names)}."
            )
        in_wide = {name for numbered in self._wide.values() for name in numbered}
        self.columns = tuple(self._wide)
        self.observables = tuple(name for name in values if name not in in_wide)

    def frames(self, names: Sequence[str]) -> Iterator[Frame]:
        """Yield the instants one after the other, see :class:`.frames.Trajectory`."""
        require_columns(self.path, names, self.columns)
        return self._of_wide(names) if self._wide else self._of_long(names)

    def _opened(self) -> IO[str]:
        return self.path.open(encoding="utf-8-sig", newline="")

    def _rows(self) -> Generator[FloatArray, None, None]:
        """Yield the numbers of each row."""
        with self._opened() as stream:
            for number, row in enumerate(titles_and_rows(self.path, stream)[1], 1):
                try:
                    yield np.array(row, dtype=np.float64)
                except ValueError as error:
                    raise ValueError(
                        f"{self.path}: all entries must be numbers; in row {number} {error}."
                    ) from error

    def _of_wide(self, names: Sequence[str]) -> Iterator[Frame]:
        columns = np.array([[self._at[n] for n in self._wide[name]] for name in names])
        with closing(self._rows()) as rows:
            for row in rows:
                beside = {name: float(row[self._at[name]]) for name in self.observables}
                yield Frame(row[columns].T, *self._instant(row), observables=beside)

    def _of_long(self, names: Sequence[str]) -> Iterator[Frame]:
        in_order, start = IdOrder(self.path), 1
        label = self._at[self._step or self._time or ""]
        columns = [self._at[name] for name in names]
        with closing(self._rows()) as each:
            for _, group in itertools.groupby(each, key=lambda row: float(row[label])):
                rows = np.array(list(group))
                values = in_order(f"row {start}", rows[:, self._at["id"]], rows[:, columns])
                yield Frame(values, *self._instant(rows[0]))
                start += len(rows)

    def _instant(self, row: FloatArray) -> tuple[int | None, float | None]:
        return (
            None if self._step is None else int(row[self._at[self._step]]),
            None if self._time is None else float(row[self._at[self._time]]),
        )
