"""The axes of a record from arrays that leave out what is one, and what follows from them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .ensemble_fields import STEPS_OF_UNKNOWN
from .hdf5 import StoredMicrostate

FloatArray = npt.NDArray[np.float64]
Microstates = npt.NDArray[np.floating[Any]]


def series(name: str, array: npt.ArrayLike) -> FloatArray:
    """Return a series with all its axes, ``(n_protocol, n_time, n_point, n_component)``.

    Args:
        name: For the message.
        array: ``(n_protocol, n_time)`` of one point and component, ``(n_protocol, n_time,
            n_component)`` of one point, or with all axes.

    Raises:
        ValueError: If it has other axes.
    """
    values: FloatArray = np.asarray(array, np.float64)
    if values.ndim == 2:
        return values[:, :, None, None]
    if values.ndim == 3:
        return values[:, :, None]
    if values.ndim == 4:
        return values
    raise ValueError(
        f"{name} must have the axes (protocol, time), (protocol, time, component) or (protocol, "
        f"time, point, component); found shape {values.shape}. Give one protocol as array[None]."
    )


def samples(array: Any) -> Microstates | StoredMicrostate:
    """Return microstates with all their axes, ``(n_protocol, n_time, n_site, n_sample, n_x)``.

    Args:
        array: ``(n_protocol, n_time, n_sample)`` of one site and component, ``(n_protocol, n_time,
            n_sample, n_x)`` of one site, or with all axes. Whole numbers become float64; what is
            still in a file stays there.

    Raises:
        ValueError: If it has other axes.
    """
    if isinstance(array, StoredMicrostate):
        return array
    values = np.asarray(array)
    if values.dtype.kind in "iub":
        values = values.astype(np.float64)
    if values.ndim == 3:
        return values[:, :, None, :, None]
    if values.ndim == 4:
        return values[:, :, None]
    if values.ndim == 5:
        return values
    raise ValueError(
        "microstate must have the axes (protocol, time, sample), (protocol, time, sample, x) or "
        f"(protocol, time, site, sample, x); found shape {values.shape}. Give one protocol as "
        "array[None]."
    )


def steps_and_seed(
    time: FloatArray, time_step: float | None, seed: int | None
) -> tuple[float, int, tuple[str, ...]]:
    """Return time step, seed, and the names of those that were not given and are stood in for."""
    lacking = tuple(
        name for name, value in (("seed", seed), ("time_step", time_step)) if value is None
    )
    if time_step is None:
        intervals = np.diff(time)
        shortest = float(intervals.min()) if intervals.size else 1.0
        time_step = shortest / STEPS_OF_UNKNOWN
    return time_step, 0 if seed is None else seed, lacking
