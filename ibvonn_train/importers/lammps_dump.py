"""Text dumps of LAMMPS (``dump … custom``), read frame by frame.

Coordinates are those of the file: the corner of the box is not moved to the origin. Scaled and
wrapped coordinates give ``x``, ``y``, ``z`` and ``xu``, ``yu``, ``zu`` by box and image flags.

References:
    https://docs.lammps.org/dump.html
"""

from __future__ import annotations

import gzip
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from .frames import FloatArray, Frame, IdOrder, SimulationBox, require_columns

SIGN = "ITEM: "


class _Header(NamedTuple):
    step: int
    time: float | None
    box: SimulationBox | None
    triclinic: bool
    particles: int
    columns: tuple[str, ...]


def is_lammps_dump(path: Path) -> bool:
    """Return whether a file begins as a text dump does."""
    try:
        with _opened(path) as stream:
            return stream.read(len(SIGN)) == SIGN
    except (UnicodeDecodeError, OSError, EOFError):
        return False


class LammpsDump:
    """A text dump, plain or packed by gzip.

    Args:
        path: Of the file.

    Raises:
        ValueError: If the file has no frame, or its columns are not numbers.
    """

    kind = "LAMMPS dump"
    observables: tuple[str, ...] = ()
    precision = "text"

    def __init__(self, path: Path) -> None:
        self.path = path
        with _opened(path) as stream:
            header = _header(path, stream)
        if header is None:
            raise ValueError(f"{path}: must hold frames of a LAMMPS dump; it is empty.")
        self._stored = header.columns
        self.columns = tuple(dict.fromkeys([*self._stored, *_derivable(self._stored)]))

    def frames(self, names: Sequence[str]) -> Iterator[Frame]:
        """Yield the instants one after the other, see :class:`.frames.Trajectory`."""
        require_columns(self.path, names, self.columns)
        if "id" not in self._stored:
            raise ValueError(
                f"{self.path}: must have the column id, by which particles are told apart; it has "
                f"{', '.join(self._stored)}. Write `dump … custom … id x …`."
            )
        in_order = IdOrder(self.path)
        with _opened(self.path) as stream:
            while (header := _header(self.path, stream)) is not None:
                place = f"step {header.step}"
                if header.columns != self._stored:
                    raise ValueError(
                        f"{self.path}: all frames must have the columns of the first, "
                        f"{' '.join(self._stored)}; at {place} they are "
                        f"{' '.join(header.columns)}. Cut the file there."
                    )
                rows = self._rows(stream, header, place)
                values = np.stack([self._column(name, rows, header, place) for name in names], 1)
                ids = rows[:, self._stored.index("id")]
                yield Frame(in_order(place, ids, values), header.step, header.time, header.box)

    def _rows(self, stream: IO[str], header: _Header, place: str) -> FloatArray:
        text = "".join(itertools.islice(stream, header.particles))
        width = len(header.columns)
        numbers = _numbers(text)
        if numbers is None:
            numbers = _without_words([line.split() for line in text.splitlines()])
        if numbers.size != header.particles * width:
            raise ValueError(
                f"{self.path}: every frame must be whole; at {place} it has {numbers.size} numbers "
                f"for {header.particles} particles of {width} columns. The file ends within a "
                "frame, or a column is missing: cut it after its last whole frame."
            )
        return numbers.reshape(header.particles, width)

    def _column(self, name: str, rows: FloatArray, header: _Header, place: str) -> FloatArray:
        stored = self._stored
        if name in stored:
            values: FloatArray = rows[:, stored.index(name)]
            if np.isnan(values).any():
                raise ValueError(
                    f"{self.path}: {name} must be numbers; at {place} it is not. Take another "
                    "column, or repeat the simulation if it has gone to infinity."
                )
            return values
        if header.box is None or header.triclinic:
            raise ValueError(
                f"{self.path}: {name} must be dumped itself in a box that is not upright; it is "
                f"not, and at {place} the box is tilted. Dump {name}."
            )
        axis = "xyz".index(name[0])
        low, length = header.box.low[axis], header.box.high[axis] - header.box.low[axis]
        letter = name[0]
        if name == letter:  # wrapped
            scaled: FloatArray = low + length * rows[:, stored.index(f"{letter}s")]
            return scaled
        if f"{letter}su" in stored:
            unwrapped: FloatArray = low + length * rows[:, stored.index(f"{letter}su")]
            return unwrapped
        images: FloatArray = rows[:, stored.index(f"i{letter}")] * length
        return self._column(letter, rows, header, place) + images


def _derivable(stored: Sequence[str]) -> list[str]:
    """Return columns that follow from others, the box and the image flags."""
    names = []
    for letter in "xyz":
        wrapped = letter in stored or f"{letter}s" in stored
        if f"{letter}s" in stored:
            names.append(letter)
        if f"{letter}su" in stored or (wrapped and f"i{letter}" in stored):
            names.append(f"{letter}u")
    return names


def _numbers(text: str) -> FloatArray | None:
    """Return the numbers of a text, None where there are words among them."""
    try:
        return np.array(text.split(), dtype=np.float64)
    except ValueError:
        return None


def _without_words(rows: list[list[str]]) -> FloatArray:
    """Return a table whose words, such as the names of elements, count as no numbers."""

    def number(word: str) -> float:
        try:
            return float(word)
        except ValueError:
            return float("nan")

    return np.array([number(word) for row in rows for word in row])


def _header(path: Path, stream: IO[str]) -> _Header | None:
    """Read up to the atoms of the next frame; None at the end of the file."""
    step = time = count = box = None
    triclinic = False
    while line := stream.readline():
        if not line.strip():
            continue
        if not line.startswith(SIGN):
            raise ValueError(
                f"{path}: must be a LAMMPS dump, whose sections begin with {SIGN!r}; found "
                f"{line.strip()[:60]!r}. Frames have more particles than they say, or the file is "
                "damaged."
            )
        name = line[len(SIGN) :].strip()
        try:
            if name == "TIMESTEP":
                step = int(stream.readline())
            elif name == "TIME":
                time = float(stream.readline())
            elif name.startswith("NUMBER OF ATOMS"):
                count = int(stream.readline())
            elif name.startswith("BOX BOUNDS"):
                box, triclinic = _box(name, [stream.readline() for _ in range(3)])
            elif name.startswith("ATOMS"):
                if step is None or count is None:
                    raise ValueError("no step or number of atoms")
                return _Header(step, time, box, triclinic, count, tuple(name.split()[1:]))
            elif name.startswith("UNITS"):
                stream.readline()
        except (ValueError, IndexError) as error:
            raise ValueError(
                f"{path}: must be a whole LAMMPS dump; the section {name!r} cannot be read "
                f"({error}). Cut the file after its last whole frame."
            ) from error
    if step is not None:
        raise ValueError(
            f"{path}: every frame must be whole; that of step {step} ends before its atoms. Cut "
            "the file after its last whole frame."
        )
    return None


def _box(name: str, lines: Sequence[str]) -> tuple[SimulationBox, bool]:
    """Return the box, and whether it is tilted."""
    words = name.split()[2:]
    bounds = np.array([[float(word) for word in line.split()] for line in lines])
    flags = [word for word in words if len(word) == 2 and word[0] in "pfsm"]
    periodic = [flag[0] == "p" for flag in flags] if len(flags) == 3 else [True] * 3
    tilts = bounds[:, 2] if bounds.shape[1] > 2 else np.zeros(3)
    xy, xz, yz = tilts
    low, high = bounds[:, 0].copy(), bounds[:, 1].copy()
    low[0] -= min(0.0, xy, xz, xy + xz)
    high[0] -= max(0.0, xy, xz, xy + xz)
    low[1] -= min(0.0, yz)
    high[1] -= max(0.0, yz)
    box = SimulationBox(low, high, (periodic[0], periodic[1], periodic[2]))
    return box, bool(np.any(tilts))


def _opened(path: Path) -> IO[str]:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8")
    return path.open(encoding="utf-8")
