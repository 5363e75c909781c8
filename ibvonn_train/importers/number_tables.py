"""Tables of one row for each instant: ``fix ave/time``, StateDataReporter, any CSV.

References:
    https://docs.lammps.org/fix_ave_time.html; OpenMM's class StateDataReporter.
"""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..files.plain_files import read_text
from .frames import FloatArray

LARGEST = 2**30
"""Largest table that is read [bytes]; it is held in memory."""
STEP_NAMES = ("step", "timestep")
TIME_NAMES = ("time", "t")


class NumberTable:
    """Columns of numbers by names that expressions can use.

    Args:
        path: Of the file, for messages.
        columns: Name → values, all of one length.
        titles: Name → what stands in the file.
        words: Name of a column that is left out as not all of it are numbers → one that is none.
    """

    def __init__(
        self,
        path: Path,
        columns: Mapping[str, FloatArray],
        titles: Mapping[str, str] | None = None,
        words: Mapping[str, str] | None = None,
    ) -> None:
        self.path, self.columns = path, dict(columns)
        self.titles, self.words = dict(titles or {}), dict(words or {})
        self.steps = self._first(STEP_NAMES)
        self.times = self._first(TIME_NAMES)

    def _first(self, names: tuple[str, ...]) -> FloatArray | None:
        return next((self.columns[name] for name in names if name in self.columns), None)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns that are no step and no time."""
        return tuple(n for n in self.columns if n not in (*STEP_NAMES, *TIME_NAMES))

    def require_numbers(self, used: Collection[str]) -> None:
        """Raise :class:`ValueError` where a column that is used is not made of numbers."""
        for name, word in self.words.items():
            if name in used:
                raise ValueError(
                    f"{self.path}: all entries of {name} must be numbers; found {word!r}. Correct "
                    "it, or use another column."
                )

    def rows_at(self, steps: FloatArray | None, times: FloatArray, interval: float) -> Any:
        """Return the rows of some instants, by their steps or else by their times.

        Raises:
            ValueError: If an instant has no row.
        """
        by_step = steps is not None and self.steps is not None
        own = self.steps if by_step else self.times
        if own is None:
            if len(next(iter(self.columns.values()))) == len(times):
                return np.arange(len(times))
            raise ValueError(
                f"{self.path}: must have a column of steps or times ({', '.join(STEP_NAMES)}, "
                f"{', '.join(TIME_NAMES)}); it has {', '.join(self.columns)}, and "
                f"{len(next(iter(self.columns.values())))} rows for {len(times)} instants."
            )
        targets = steps if by_step else times
        assert targets is not None  # noqa: S101 (there is a time of each instant)
        order = np.argsort(own, kind="stable")
        at = np.clip(np.searchsorted(own[order], targets), 1, len(own) - 1) if len(own) > 1 else 0
        at = np.broadcast_to(at, np.shape(targets))
        near = order[np.maximum(at - 1, 0)], order[at]
        closer = np.abs(own[near[0]] - targets) <= np.abs(own[near[1]] - targets)
        rows = np.where(closer, *near)
        tolerance = 0.5 if by_step else 1e-3 * interval
        off = np.abs(own[rows] - targets) > tolerance
        if off.any():
            name = "step" if by_step else "time"
            raise ValueError(
                f"{self.path}: must have a row for every stored instant; {int(off.sum())} of "
                f"{len(targets)} have none, the first is {name} {targets[int(np.argmax(off))]:g}. "
                "Write the table at every instant of the trajectory (fix ave/time N 1 N for dumps "
                "every N steps)."
            )
        return rows


def read_table_file(path: Path) -> NumberTable:
    """Read a table of numbers.

    Columns are named by the last comment above the numbers, or by the first row of a CSV. Units in
    brackets are left out, capitals become small, and what cannot stand in a name becomes ``_``:
    ``"Potential Energy (kJ/mole)"`` is ``potential_energy``, ``c_1[2]`` is ``c_1_2``. Columns with
    words are left out, such as the progress and the remaining time of OpenMM's StateDataReporter.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no table of numbers.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such table. Correct `table` in the description.")
    titles, lines = titles_and_rows(path, iter(read_text(path, LARGEST).splitlines()))
    rows = list(lines)
    names = names_of(path, titles)
    columns: dict[str, FloatArray] = {}
    words: dict[str, str] = {}
    for name, entries in zip(names, zip(*rows, strict=True), strict=True):
        try:
            columns[name] = np.array(entries, dtype=np.float64)
        except ValueError:
            words[name] = next(entry for entry in entries if not _is_number(entry))
    table = NumberTable(path, columns, dict(zip(names, titles, strict=True)), words)
    table.require_numbers([*STEP_NAMES, *TIME_NAMES, *(() if columns else names)])
    return table


def titles_and_rows(path: Path, lines: Iterator[str]) -> tuple[list[str], Iterator[list[str]]]:
    """Return what stands above the columns of a table, and its rows as they are asked for.

    Args:
        path: Of the file, for messages.
        lines: Of the file.

    Raises:
        ValueError: If there are no names or no numbers, or a row has other columns.
    """
    header, commented, first, separator = "", False, "", None
    for line in lines:
        text = line.strip()
        if text.startswith("#"):
            if text.strip("# \"'"):
                header, commented = text.lstrip("#"), True
        elif text:
            separator = "," if "," in text else "\t" if "\t" in text else None
            if _is_row(text, separator, whole=not commented) or (header and not commented):
                first = text
                break
            header, commented = text, False
    if not header or not first:
        raise ValueError(
            f"{path}: must be a table whose columns have names above the numbers; found "
            f"{'no rows' if not first else 'rows'} and {'no names' if not header else 'names'}. "
            "Write a header."
        )
    titles = _split(header, separator)

    def rows() -> Iterator[list[str]]:
        texts = (line.strip() for line in itertools.chain([first], lines))
        used = (text for text in texts if text and not text.startswith("#"))
        for number, text in enumerate(used, 1):
            row = _split(text, separator)
            if len(row) != len(titles):
                raise ValueError(
                    f"{path}: every row must have the {len(titles)} columns of its header; row "
                    f"{number} has {len(row)}. Columns are separated by commas, tabs or blanks, "
                    "all alike."
                )
            yield row

    return titles, rows()


def names_of(path: Path, titles: Sequence[str]) -> list[str]:
    """Return the names of columns as expressions use them.

    Raises:
        ValueError: If two are the same.
    """
    names = [as_name(title) for title in titles]
    if len(set(names)) < len(names):
        raise ValueError(
            f"{path}: columns must have different names; found {', '.join(names)}. Rename one."
        )
    return names


def as_name(title: str) -> str:
    """Return the name of a column as expressions use it."""
    text = re.sub(r"\(.*?\)", "", title.strip().strip("\"'#")).strip().lower()
    text = re.sub(r"\W+", "_", text).strip("_")
    return f"_{text}" if text[:1].isdigit() or not text else text


def _split(line: str, separator: str | None) -> list[str]:
    if separator is None:
        return line.split()
    return next(csv.reader([line.strip()], delimiter=separator, skipinitialspace=True))


def _is_row(line: str, separator: str | None, *, whole: bool) -> bool:
    """Return whether a line is no header: all of it are numbers, or one at least."""
    numbers = [_is_number(word) for word in _split(line, separator)]
    return all(numbers) if whole else any(numbers)


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
