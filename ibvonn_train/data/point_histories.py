"""Histories of quadrature points that a finite-element analysis has recorded (CONVENTIONS.md)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from .hdf5 import reading, require_finite

FORMAT = 1
"""Format of the file, in its attribute ``ibvonn_histories``."""

SERIES = ("strain", "stress", "internal", "validity")
"""What was recorded over time."""

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class PointHistories:
    """What some quadrature points have seen, in the units and measures of the exported law.

    Attributes:
        model: Name of the law.
        manifest_sha256: Hash of its manifest; empty of a law that was made in Python.
        point: Numbers of the points, ``(n_point,)``.
        chosen_for: Why each was recorded.
        time: Instants, ``(n_time,)``; an instant occurs twice where loads jump.
        strain: ε, ``(n_point, n_time, n_ε)``.
        stress: σ of the analysis, same shape.
        internal: α, ``(n_point, n_time, n_α)``.
        validity: Excursion from the training range in half widths, ``(n_point, n_time)``.
        strain_names: Of the components.
    """

    model: str
    manifest_sha256: str
    point: npt.NDArray[np.int64]
    chosen_for: tuple[str, ...]
    time: FloatArray
    strain: FloatArray
    stress: FloatArray
    internal: FloatArray
    validity: FloatArray
    strain_names: tuple[str, ...]

    def select(self, numbers: Sequence[int]) -> PointHistories:
        """Return the histories of some points, in the order of their numbers here.

        Raises:
            ValueError: If a point was not recorded.
        """
        places = {int(number): place for place, number in enumerate(self.point)}
        absent = [number for number in numbers if number not in places]
        if absent:
            shown = ", ".join(str(number) for number in self.point[:8])
            raise ValueError(
                f"histories of {self.model!r}: points must be among the {len(self.point)} that "
                f"were recorded ({shown}{', …' if len(self.point) > 8 else ''}); found {absent[0]}."
            )
        rows = [places[number] for number in numbers]
        return replace(
            self,
            point=self.point[rows],
            chosen_for=tuple(self.chosen_for[row] for row in rows),
            **{name: getattr(self, name)[rows] for name in SERIES},
        )

    def until(self, time: float) -> PointHistories:
        """Return the histories up to an instant; between two rows, straight lines lead to it.

        Raises:
            ValueError: If the instant does not lie behind the first and up to the last.
        """
        first, last = float(self.time[0]), float(self.time[-1])
        if not first < time <= last:
            raise ValueError(
                f"histories of {self.model!r}: the time must lie behind {first:.6g} and not behind "
                f"{last:.6g}, which was recorded; found {time:.6g}."
            )
        rows = int(np.searchsorted(self.time, time, side="right"))
        kept = {name: getattr(self, name)[:, :rows] for name in SERIES}
        instants = self.time[:rows]
        if instants[-1] < time:
            part = (time - instants[-1]) / (self.time[rows] - instants[-1])
            for name, values in kept.items():
                here, there = values[:, -1], getattr(self, name)[:, rows]
                end = (here + part * (there - here))[:, None]
                kept[name] = np.concatenate([values, end], 1)
            instants = np.append(instants, time)
        return replace(self, time=instants, **kept)


def read_point_histories(path: str | Path) -> PointHistories:
    """Read a file of histories, and undo the scales of a law in physical units.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a complete file of histories of a format that is known here.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file of histories.")
    with reading(path), h5py.File(path, "r") as file:
        attributes = dict(file.attrs)
        if attributes.get("ibvonn_histories") != FORMAT:
            raise ValueError(
                f"{path}: must be a file of histories of format {FORMAT}; found "
                f"{attributes.get('ibvonn_histories', 'none')}. Record one with "
                "TimeStepping(record=Histories(…))."
            )
        arrays = {name: np.asarray(file[name][()]) for name in ("point", "time", *SERIES)}
        try:
            texts = {
                name: json.loads(attributes[name])
                for name in ("chosen_for", "scales", "strain_names")
            }
        except ValueError as error:
            raise ValueError(f"{path}: its attributes must be JSON; {error}.") from error
    _require_shapes(path, arrays)
    scales: Mapping[str, float] = texts["scales"]
    return PointHistories(
        str(attributes["model"]),
        str(attributes["manifest_sha256"]),
        arrays["point"],
        tuple(texts["chosen_for"]),
        arrays["time"] / scales["time"],
        arrays["strain"] / scales["strain"],
        arrays["stress"] / scales["stress"],
        arrays["internal"],
        arrays["validity"],
        tuple(texts["strain_names"]),
    )


def _require_shapes(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    shape = len(arrays["point"]), len(arrays["time"])
    if any(arrays[name].shape[:2] != shape for name in SERIES) or min(shape) < 1 or shape[1] < 2:
        raise ValueError(
            f"{path}: must hold the same points and instants in every dataset, at least one point "
            f"and two instants; found {shape[0]} points and {shape[1]} instants. Record the "
            "analysis again."
        )
    for name in ("time", *SERIES):
        require_finite(f"{path}: {name}", arrays[name])
    if (np.diff(arrays["time"]) < 0.0).any():
        raise ValueError(f"{path}: its instants must not decrease. Record the analysis again.")
