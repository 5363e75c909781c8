"""The file of recorded histories: HDF5, format 1 (CONVENTIONS.md)."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ..errors import HistoryError
from ..files.plain_files import replacing
from ..kernels.base import FloatArray

FORMAT = 1
"""Format of the file, in its attribute ``ibvonn_histories``."""

SERIES = ("strain", "stress", "internal", "dissipated", "validity")
"""Datasets of the axes (point, time), the first three with an axis of components behind them."""


@dataclass(frozen=True)
class PointRows:
    """Histories of some points.

    Attributes:
        point: Numbers of the points, increasing, shape ``(n_point,)``; each direction of a network
            is one of its own.
        chosen_for: Why each was chosen.
        position: In the undeformed body, shape ``(n_point, dimensions)`` [length].
        time: Instants that do not decrease, shape ``(n_time,)``; an instant occurs twice where
            loads jump.
        series: Name of :data:`SERIES` → values, shape ``(n_point, n_time, components)``.
    """

    point: NDArray[np.int64]
    chosen_for: tuple[str, ...]
    position: FloatArray
    time: FloatArray
    series: Mapping[str, FloatArray]


def write_histories(path: Path, attributes: Mapping[str, Any], rows: PointRows) -> None:
    """Write a file; an older one is replaced when the new one is complete.

    Args:
        path: The file.
        attributes: Numbers and texts; everything else is written as JSON.
        rows: The histories.

    Raises:
        OSError: If it cannot be written.
    """
    # HDF5 itself may crash where a disk is full: it writes to memory, and Python to the disk.
    memory = io.BytesIO()
    with h5py.File(memory, "w") as file:
        file.attrs["ibvonn_histories"] = FORMAT
        for name, value in attributes.items():
            plain = isinstance(value, str | int | float)
            file.attrs[name] = value if plain else json.dumps(value, ensure_ascii=False)
        file.attrs["chosen_for"] = json.dumps(rows.chosen_for)
        file["point"], file["position"], file["time"] = rows.point, rows.position, rows.time
        for name in SERIES:
            values = rows.series[name]
            values = values[..., 0] if name in ("dissipated", "validity") else values
            options = {"compression": "gzip", "shuffle": True} if values.size else {}
            file.create_dataset(name, data=values, **options)
    with replacing(path) as stream:
        stream.write(memory.getbuffer())


def read_histories(path: Path) -> tuple[dict[str, Any], PointRows]:
    """Return attributes, as they were written, and histories of a file.

    Raises:
        HistoryError: If it is not a complete file of histories.
    """
    try:
        with h5py.File(path, "r") as file:
            attributes = dict(file.attrs)
            if attributes.get("ibvonn_histories") != FORMAT:
                raise HistoryError(
                    f"{path}: must be a file of histories of format {FORMAT}; found "
                    f"{attributes.get('ibvonn_histories', 'none')}. Give a file of Histories."
                )
            arrays = {name: file[name][()] for name in ("point", "position", "time", *SERIES)}
            reasons = tuple(json.loads(attributes.pop("chosen_for")))
    except (OSError, KeyError, TypeError, RuntimeError) as error:
        raise HistoryError(
            f"{path}: is not a complete file of histories ({error}). Record the analysis again."
        ) from error
    shape = len(arrays["point"]), len(arrays["time"])
    if any(arrays[name].shape[:2] != shape for name in SERIES) or len(reasons) != shape[0]:
        raise HistoryError(
            f"{path}: must hold {shape[0]} points at {shape[1]} instants in every dataset; it does "
            "not. Record the analysis again."
        )
    series = {name: arrays[name].reshape(*shape, -1) for name in SERIES}
    rows = PointRows(arrays["point"], reasons, arrays["position"], arrays["time"], series)
    return attributes, rows
