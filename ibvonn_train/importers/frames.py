"""Instants of a trajectory, whatever its file: particles in the order of their ids, and a box."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ..files.toml_tables import ConfigError

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SimulationBox:
    """Box of one instant.

    Attributes:
        low: Its lower corner, ``(3,)``.
        high: Its upper corner, ``(3,)``.
        periodic: Along each axis.
    """

    low: FloatArray
    high: FloatArray
    periodic: tuple[bool, bool, bool] = (True, True, True)


@dataclass(frozen=True, eq=False)
class Frame:
    """One stored instant.

    Attributes:
        values: Columns that were asked for, ``(n_particle, n_column)``, in the order of the ids.
        step: Number of the integrator's step, None where the file does not say it.
        time: Time [of the file], None where the file does not say it.
        box: Of the instant, None where there is none.
        observables: Numbers that the file holds beside the particles.
    """

    values: FloatArray
    step: int | None = None
    time: float | None = None
    box: SimulationBox | None = None
    observables: Mapping[str, float] = field(default_factory=dict)


class Trajectory(Protocol):
    """A file of frames.

    Attributes:
        path: Of the file.
        kind: What it is, in words.
        columns: Names of what it holds of each particle.
        observables: Names of what it holds beside the particles.
        precision: Of its numbers, in words.
    """

    path: Path
    kind: str
    columns: tuple[str, ...]
    observables: tuple[str, ...]
    precision: str

    def frames(self, names: Sequence[str]) -> Iterator[Frame]:
        """Yield the instants one after the other, with some of the columns.

        Raises:
            ValueError: If the file is not whole, or its particles change.
        """
        ...


def require_columns(path: Path, names: Sequence[str], columns: Sequence[str]) -> list[int]:
    """Return where columns stand in a file.

    Raises:
        ConfigError: If one is not there.
    """
    missing = [name for name in names if name not in columns]
    if missing:
        raise ConfigError(
            f"{path}: must have the columns {', '.join(names)} of each particle; missing: "
            f"{', '.join(missing)}. It has {', '.join(columns)}."
        )
    return [list(columns).index(name) for name in names]


class IdOrder:
    """Puts the particles of every frame into the order of their ids, which never change.

    Args:
        path: Of the file, for messages.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._first: FloatArray | None = None

    def __call__(self, place: str, ids: FloatArray, values: FloatArray) -> FloatArray:
        """Return the rows in the order of the ids.

        Raises:
            ValueError: If an id occurs twice, or the particles are not those of the first frame.
        """
        order = np.argsort(ids, kind="stable")
        ids = ids[order]
        duplicates = ids[1:][np.diff(ids) == 0]
        if duplicates.size:
            raise ValueError(
                f"{self._path}: each id must occur once in a frame; at {place} the id "
                f"{duplicates[0]:g} occurs more than once. Dump every particle once, from one run."
            )
        if self._first is None:
            self._first = ids
        require_count(self._path, place, len(ids), len(self._first))
        if not np.array_equal(ids, self._first):
            missing = np.setdiff1d(self._first, ids)
            raise ValueError(
                f"{self._path}: all frames must hold the same particles; at {place} the id "
                f"{missing[0]:g} of the first frame is missing. Dump a group whose particles "
                "neither leave nor are exchanged."
            )
        return values[order]


def require_count(path: Path, place: str, count: int, first: int) -> None:
    """Raise :class:`ValueError` where the number of particles changes."""
    if count != first:
        raise ValueError(
            f"{path}: the number of particles must not change; it is {first} in the first frame "
            f"and {count} at {place}. Dump a group of particles that stays, or cut the file."
        )
