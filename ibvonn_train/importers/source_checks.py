"""What a trajectory must be: no gap, an origin that rests, digits that resolve the spread."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .frames import FloatArray, SimulationBox

RESOLUTION = 1e-3
"""Coarsest resolution of the coordinates, over the spread of the microstates."""
ENOUGH_VALUES = 5000
"""Values of one decade from which the resolution is found."""
FEW_VALUES = 300
"""Values of one decade in which steps of :data:`RESOLUTION` of the spread cannot be chance."""
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


class WrapWatch:
    """Looks for particles that leave a periodic box on one side and enter it on the other.

    Args:
        path: Of the file, for messages.
        coordinates: Columns that make the microstates.
    """

    def __init__(self, path: Path, coordinates: Sequence[str]) -> None:
        self._path = path
        self._axes = {name: "xyz".index(name) for name in coordinates if name in ("x", "y", "z")}
        self._last: dict[str, FloatArray] = {}

    def __call__(self, time: float, box: SimulationBox | None, name: str, x: FloatArray) -> None:
        """Look at one coordinate of the particles at one instant.

        Raises:
            ValueError: If one of them moves by more than half the box, in which all of them lie.
        """
        if name not in self._axes:
            return
        last, self._last[name] = self._last.get(name), x
        axis = self._axes[name]
        if last is None or box is None or not box.periodic[axis] or last.shape != x.shape:
            return
        length = box.high[axis] - box.low[axis]
        jump = np.abs(x - last)
        both = np.concatenate([x, last])
        if jump.max(initial=0.0) <= length / 2 or np.ptp(both) > (1 + 1e-6) * length:
            return
        raise ValueError(
            f"{self._path}: {name} must be unwrapped; until t = {time:g} a particle moves by "
            f"{jump.max():.4g} in a periodic box of length {length:g}: it left on one side and "
            f"entered on the other. Store unwrapped coordinates, or images beside {name}, and use "
            f"{name}u (LAMMPS: `dump … custom … id {name}u`; OpenMM: enforcePeriodicBox=False)."
        )


class ResolutionGauge:
    """Finds the step of the digits in which the coordinates were written.

    Large values have the coarsest digits, and they may come late. So values are kept by decades.
    """

    def __init__(self) -> None:
        self._kept: dict[int, list[FloatArray]] = {}
        self._seen: dict[int, int] = {}

    def add(self, values: FloatArray) -> None:
        """Take raw values of one column at one instant."""
        values = np.ravel(values)[:ENOUGH_VALUES]
        size = np.maximum(np.abs(values), np.finfo(np.float64).tiny)
        decades = np.floor(np.log10(size)).astype(int)
        for decade in np.unique(decades):
            part = values[decades == decade]
            seen = self._seen.get(decade, 0)
            if seen < ENOUGH_VALUES:
                self._kept.setdefault(decade, []).append(part[: ENOUGH_VALUES - seen].copy())
            self._seen[decade] = seen + part.size

    def resolution(self) -> float | None:
        """Return the coarsest step, or None where values are too few to tell it from chance.

        Decades are looked at that hold :data:`FEW_VALUES`, or a quarter of all values.
        """
        total = sum(self._seen.values())
        parts = [
            np.concatenate(self._kept[decade])
            for decade, seen in self._seen.items()
            if seen >= min(FEW_VALUES, total / 4)
        ]
        if not parts:
            parts = [np.concatenate([part for kept in self._kept.values() for part in kept])]
        steps = [step for part in parts if (step := _step_of_digits(part)) is not None]
        return max(steps, default=None)


def _step_of_digits(values: FloatArray) -> float | None:
    """Return the smallest distance of values, 0 where it may be chance, None of equal values."""
    size = float(np.abs(values).max(initial=0.0))
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
