"""Trajectories in GSD files (HOOMD-blue), by the library gsd."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .frames import FloatArray, Frame, SimulationBox, require_columns, require_count
from .number_tables import as_name
from .optional_readers import gsd_hoomd

_VECTORS = {"position": "xyz", "velocity": ("vx", "vy", "vz"), "image": ("ix", "iy", "iz")}


class GsdTrajectory:
    """A GSD file: particles by their tags, steps, boxes around the origin, logged numbers.

    Raises:
        ImportError: If gsd is not installed.
        ValueError: If it is no GSD file.
    """

    kind = "GSD"
    precision = "float32"
    columns: tuple[str, ...] = (
        "x",
        "y",
        "z",
        "xu",
        "yu",
        "zu",
        "vx",
        "vy",
        "vz",
        "ix",
        "iy",
        "iz",
        "mass",
        "type",
    )

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._open() as file:
            if not len(file):
                raise ValueError(f"{path}: must hold frames; it has none.")
            self.observables = tuple(_logged(file[0]))

    def _open(self) -> Any:
        try:
            return gsd_hoomd(self.path).open(str(self.path), "r")
        except (RuntimeError, OSError, KeyError) as error:
            raise ValueError(f"{self.path}: must be a GSD file ({error}).") from error

    def frames(self, names: Sequence[str]) -> Iterator[Frame]:
        """Yield the instants one after the other, see :class:`.frames.Trajectory`."""
        require_columns(self.path, names, self.columns)
        with self._open() as file:
            first = None
            for frame in file:
                step, particles = int(frame.configuration.step), frame.particles
                first = particles.N if first is None else first
                require_count(self.path, f"step {step}", particles.N, first)
                lengths = np.asarray(frame.configuration.box[:3], np.float64)
                flat = lengths[2] == 0  # two dimensions
                box = SimulationBox(-lengths / 2, lengths / 2, (True, True, not flat))
                values = [_column(particles, name, lengths) for name in names]
                yield Frame(np.stack(values, 1), step, None, box, _logged(frame))


def _column(particles: Any, name: str, lengths: FloatArray) -> FloatArray:
    for element, letters in _VECTORS.items():
        if name in letters:
            column: FloatArray = np.asarray(
                getattr(particles, element)[:, list(letters).index(name)], np.float64
            )
            return column
    if name in ("mass", "type"):
        stored = particles.mass if name == "mass" else particles.typeid
        return np.asarray(stored, np.float64)
    letter = name[0]
    images: FloatArray = _column(particles, f"i{letter}", lengths) * lengths["xyz".index(letter)]
    return _column(particles, letter, lengths) + images


def _logged(frame: Any) -> dict[str, float]:
    """Return the logged numbers by names that expressions can use."""
    return {
        as_name(name.removeprefix("log/").split("/")[-1]): float(np.asarray(value).reshape(-1)[0])
        for name, value in (frame.log or {}).items()
        if np.size(value) == 1
    }
