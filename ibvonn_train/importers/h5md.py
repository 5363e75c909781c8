"""Trajectories in H5MD 1.0 and 1.1 files, read with h5py alone.

References:
    P. de Buyl, P. H. Colberg & F. Höfling (2014), Comput. Phys. Commun. 185, 1546; version 1.1 of
    the specification: https://www.nongnu.org/h5md/h5md.html.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ..data.hdf5 import reading
from .frames import FloatArray, Frame, IdOrder, SimulationBox, require_columns

_VECTORS = {
    "position": ("x", "y", "z"),
    "velocity": ("vx", "vy", "vz"),
    "force": ("fx", "fy", "fz"),
    "image": ("ix", "iy", "iz"),
}
_SCALARS = {"mass": "mass", "species": "type", "charge": "q"}
BLOCK_BYTES = 2**25
"""Of an element that are read at a time."""


class H5mdTrajectory:
    """A group of particles of an H5MD file, and the scalar observables beside it.

    Args:
        path: Of the file.
        group: Name of the group under ``particles``, needed where there are several.

    Raises:
        ValueError: If the file is not H5MD, or has no such group with positions.
    """

    kind = "H5MD"

    def __init__(self, path: Path, group: str = "") -> None:
        self.path = path
        with reading(path), h5py.File(path, "r") as file:
            if "h5md" not in file or "particles" not in file:
                raise ValueError(
                    f"{path}: must be H5MD, with the groups h5md and particles; its entries are "
                    f"{sorted(file)}. Other HDF5 files are converted with NumPy "
                    "(TrajectoryEnsemble.from_arrays)."
                )
            groups = sorted(file["particles"])
            if not group and len(groups) != 1:
                raise ValueError(
                    f"{path}: holds the groups {groups} of particles. Say which one with "
                    "`group` in [import.layout]."
                )
            self._group = group or groups[0]
            if self._group not in groups:
                raise ValueError(
                    f"{path}: has no group {self._group!r} of particles; it has {groups}."
                )
            part = file["particles"][self._group]
            if "position" not in part:
                raise ValueError(
                    f"{path}: {self._group} must hold positions; it has {sorted(part)}."
                )
            names: list[str] = []
            for element, letters in _VECTORS.items():
                if _is_moving(part.get(element)):
                    names += letters[: part[element]["value"].shape[2]]
            names += [name for element, name in _SCALARS.items() if element in part]
            if "image" in part and "box" in part:
                names += [f"{letter}u" for letter in "xyz" if letter in names]
            self.columns = tuple(names)
            observables = file.get("observables", {})
            self._observed = {
                name: (
                    _steps(observables[name]),
                    np.asarray(observables[name]["value"], np.float64),
                )
                for name in observables
                if _is_moving(observables[name]) and observables[name]["value"].ndim == 1
            }
            self.observables = tuple(self._observed)
            width = part["position"]["value"].dtype.itemsize
            self.precision = "float32" if width < 8 else "float64"

    def frames(self, names: Sequence[str]) -> Iterator[Frame]:
        """Yield the instants one after the other, see :class:`.frames.Trajectory`."""
        require_columns(self.path, names, self.columns)
        with reading(self.path), h5py.File(self.path, "r") as file:
            part = file["particles"][self._group]
            position = part["position"]
            count, particles = position["value"].shape[:2]
            steps, times = _steps(position), _times(position)
            in_order = IdOrder(self.path)
            block = max(1, BLOCK_BYTES // (24 * particles))
            for start in range(0, count, block):
                rows = slice(start, min(start + block, count))
                columns = {name: self._column(part, name, rows, particles) for name in names}
                ids = self._ids(part, rows, particles)
                for at in range(rows.start, rows.stop):
                    values = np.stack([columns[name][at - start] for name in names], 1)
                    here = ids[at - start]
                    kept = here >= 0  # the specification fills up with −1
                    place = f"step {steps[at]}"
                    yield Frame(
                        in_order(place, here[kept], values[kept]),
                        int(steps[at]),
                        None if times is None else float(times[at]),
                        _box(part.get("box"), at),
                        self._beside(int(steps[at])),
                    )

    def _ids(self, part: h5py.Group, rows: slice, particles: int) -> FloatArray:
        shape = (rows.stop - rows.start, particles)
        if "id" not in part:
            return np.broadcast_to(np.arange(particles, dtype=np.float64), shape)
        return _element(part["id"], rows, shape)

    def _column(self, part: h5py.Group, name: str, rows: slice, particles: int) -> FloatArray:
        shape = (rows.stop - rows.start, particles)
        for element, letters in _VECTORS.items():
            if name in letters:
                stored = part[element]
                if stored["value"].shape[0] != part["position"]["value"].shape[0]:
                    raise ValueError(
                        f"{self.path}: {element} must be stored at the instants of position; found "
                        f"{stored['value'].shape[0]} and {part['position']['value'].shape[0]}."
                    )
                values: FloatArray = np.asarray(
                    stored["value"][rows, :, letters.index(name)], np.float64
                )
                return values
        for element, own in _SCALARS.items():
            if name == own:
                return _element(part[element], rows, shape)
        letter = name[0]  # unwrapped
        axis = "xyz".index(letter)
        lengths = np.array(
            [
                (box.high - box.low)[axis]
                for at in range(rows.start, rows.stop)
                if (box := _box(part.get("box"), at)) is not None
            ]
        )
        images: FloatArray = self._column(part, f"i{letter}", rows, particles) * lengths[:, None]
        return self._column(part, letter, rows, particles) + images

    def _beside(self, step: int) -> dict[str, float]:
        numbers = {}
        for name, (steps, values) in self._observed.items():
            at = int(np.searchsorted(steps, step))
            if at < len(steps) and steps[at] == step:
                numbers[name] = float(values[at])
        return numbers


def _is_moving(element: Any) -> bool:
    return isinstance(element, h5py.Group) and "value" in element and "step" in element


def _element(element: Any, rows: slice, shape: tuple[int, ...]) -> FloatArray:
    """Return an element that moves or is fixed, one number for each particle."""
    if isinstance(element, h5py.Group):
        return np.asarray(element["value"][rows], np.float64)
    return np.broadcast_to(np.asarray(element[()], np.float64), shape)


def _grid(element: h5py.Group, name: str) -> Any:
    """Return steps or times: stored, or multiples of one number (version 1.1)."""
    stored = element[name]
    if stored.shape:
        return np.asarray(stored[()])
    offset = stored.attrs.get("offset", 0)
    return offset + stored[()] * np.arange(element["value"].shape[0])


def _steps(element: h5py.Group) -> Any:
    return _grid(element, "step")


def _times(element: h5py.Group) -> Any:
    return _grid(element, "time") if "time" in element else None


def _box(box: Any, at: int) -> SimulationBox | None:
    """Return an upright box; ``offset`` is what LAMMPS writes beside the specification."""
    if not isinstance(box, h5py.Group) or "edges" not in box:
        return None
    edges = _box_part(box["edges"], at)
    if edges.ndim == 2:
        if np.any(edges - np.diag(np.diag(edges))):
            return None
        edges = np.diag(edges)
    low = _box_part(box["offset"], at) if "offset" in box else np.zeros(len(edges))
    flags = [_text(flag) == "periodic" for flag in box.attrs.get("boundary", [])]
    filled = np.zeros((2, 3))
    filled[0, : len(low)], filled[1, : len(edges)] = low, low + edges
    periodic = (flags + [True] * 3)[:3]
    return SimulationBox(filled[0], filled[1], (periodic[0], periodic[1], periodic[2]))


def _box_part(stored: Any, at: int) -> FloatArray:
    if isinstance(stored, h5py.Group):
        return np.asarray(stored["value"][min(at, len(stored["value"]) - 1)], np.float64)
    return np.asarray(stored[()], np.float64)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
