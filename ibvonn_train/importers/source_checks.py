"""What a trajectory must be: no gap, an origin that rests, digits that resolve the spread."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .frames import FloatArray, SimulationBox

RESOLUTION = 1e-3
"""Coarsest resolution of the coordinates, over the spread of the microstates."""
ENOUGH_VALUES = 5000
"""Values from which the resolution is found."""
_ROUNDING = 16 * float(np.finfo(np.float64).eps)
_BY_CHANCE = 20.0
"""Smallest distance of n random values in units of what is expected, not exceeded by chance."""


def require_no_gap(path: Path, time: FloatArray, uneven: bool) -> None:
    """Raise :class:`ValueError` where an interval is not as the first one, or time runs back."""
    intervals = np.diff(time)
    if not intervals.size:
        raise ValueError(f"{path}: must hold at least 2 instants; found {len(time)}.")
    if not (intervals > 0).all():
        at = int(np.argmax(~(intervals > 0)))
        raise ValueError(
            f"{path}: time must increase; t = {time[at]:g} is followed by {time[at + 1]:g}. A run "
            "that was restarted writes instants twice: remove those."
        )
    usual = float(np.median(intervals))
    off = np.abs(intervals - usual) > 1e-3 * usual
    if off.any() and not uneven:
        at = int(np.argmax(off))
        raise ValueError(
            f"{path}: instants must be equally far apart; from t = {time[at]:g} to "
            f"{time[at + 1]:g} there is a gap of {intervals[at]:.6g} where others are {usual:.6g}. "
            "Frames are missing: cut the file there, or write `uneven = true` in [import.time] "
            "where this is meant."
        )


class OriginWatch:
    """Looks at the boxes of a file: along a periodic axis the corner or the centre must rest.

    Args:
        path: Of the file, for messages.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._first: SimulationBox | None = None

    def __call__(self, time: float, box: SimulationBox | None) -> None:
        """Look at one instant.

        Raises:
            ValueError: If the box moves as a whole.
        """
        if box is None:
            return
        if self._first is None:
            self._first = box
            return
        first = self._first
        length = np.maximum(first.high - first.low, np.finfo(np.float64).tiny)
        limit = 1e-6 * length + _ROUNDING * np.maximum(np.abs(first.low), np.abs(first.high))
        corner = np.abs(box.low - first.low) > limit
        centre = np.abs(box.low + box.high - first.low - first.high) > 2 * limit
        moved = corner & centre & np.asarray(box.periodic)
        if moved.any():
            axis = int(np.argmax(moved))
            raise ValueError(
                f"{self._path}: the box must keep its corner or its centre, so that coordinates "
                f"have an origin; along {'xyz'[axis]} its corner moves from {first.low[axis]:g} to "
                f"{box.low[axis]:g} by t = {time:g}, and its centre too. Keep the box in place, or "
                "subtract its motion before you import."
            )


class ResolutionGauge:
    """Finds the step of the digits in which the coordinates were written."""

    def __init__(self) -> None:
        self._values: list[FloatArray] = []
        self._count = 0

    def add(self, values: FloatArray) -> None:
        """Take raw values of one column; those beyond :data:`ENOUGH_VALUES` are not looked at."""
        if self._count < ENOUGH_VALUES:
            part = np.ravel(values)[: ENOUGH_VALUES - self._count]
            self._values.append(part.copy())
            self._count += part.size

    def resolution(self) -> float | None:
        """Return the step, or None where values are too few to tell it from chance.

        Large values have the coarsest digits: where a quarter of the values is of the decade of the
        largest, these alone are compared.
        """
        values = np.concatenate(self._values) if self._values else np.empty(0)
        size = float(np.abs(values).max(initial=0.0))
        decade = 10.0 ** np.floor(np.log10(size)) if size > 0 else 0.0
        large = values[np.abs(values) >= decade]
        if 4 * large.size >= values.size:
            values = large
        steps = np.diff(np.unique(values))
        steps = steps[steps > _ROUNDING * size]
        if not steps.size:
            return None
        step = float(steps.min())
        by_chance = float(np.ptp(values)) / (steps.size + 1) ** 2  # of n values, range over n²
        return step if step > _BY_CHANCE * by_chance else 0.0


def require_resolution(place: str, resolution: float | None, spread: float) -> None:
    """Raise :class:`ValueError` where digits are coarser than :data:`RESOLUTION` of the spread.

    Args:
        place: File and column.
        resolution: Step of the digits [length].
        spread: Standard deviation of the microstates [length].
    """
    if resolution is None or spread <= 0 or resolution <= RESOLUTION * spread:
        return
    raise ValueError(
        f"{place} must be written to {RESOLUTION:g} of the spread of the microstates, which is "
        f"{spread:.3g}; found steps of {resolution:.3g}, {resolution / spread:.2g} of it. Write "
        'more digits (LAMMPS: `dump_modify ID format float "%.12g"`, XTC: a higher precision).'
    )
