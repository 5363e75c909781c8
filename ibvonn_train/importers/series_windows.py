"""Series of all files of an import, cut into windows: repetitions of the protocols."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..data.control_rates import require_rate
from .frames import FloatArray

_AGREE = 1e-6
"""Relative difference of series that should be equal, such as the strains of all replicas."""


@dataclass(eq=False)
class FileSeries:
    """What one file gives: blocks along its instants.

    Attributes:
        time: The instants.
        blocks: The blocks of each series by its name.
    """

    time: list[FloatArray] = field(default_factory=list)
    blocks: dict[str, list[FloatArray]] = field(default_factory=dict)

    def add(self, time: FloatArray, series: Mapping[str, FloatArray | None]) -> None:
        """Append a block of instants; a series that is None is not known."""
        self.time.append(time)
        for name, block in series.items():
            if block is not None:
                self.blocks.setdefault(name, []).append(block)


class SeriesWindows:
    """The windows of all files, which have the same instants.

    Args:
        protocols: Number of protocols.
        window: Instants of a window, 0 where a file is one window.
        averaged: Whether the strain is averaged: that of a replica is then its own.

    Attributes:
        time: Instants of a window.
        count: Number of windows of a file.
        left_over: Instants at the end of a file that make no window.
    """

    def __init__(self, protocols: int, window: int, *, averaged: bool) -> None:
        self._window, self._averaged = window, averaged
        self._parts: list[list[dict[str, FloatArray]]] = [[] for _ in range(protocols)]
        self.time: FloatArray = np.empty(0)
        self.count, self.left_over = 1, 0

    def add(self, path: Path, protocol: int, series: FileSeries) -> None:
        """Cut the series of a file into windows and compare them with those of other files.

        Raises:
            ValueError: If the file holds no window, or has other instants or another load.
        """
        time = np.concatenate(series.time)
        window = self._window or len(time)
        count, left_over = divmod(len(time), window)
        if not count:
            raise ValueError(
                f"{path}: must hold a window of {window} instants; it has {len(time)}. Correct "
                "window in [import.layout]."
            )
        if not self._parts[0]:
            self.count, self.left_over = count, left_over
            self.time = time[:window]
        if count != self.count or window != len(self.time):
            raise ValueError(
                f"{path}: all files must have as many instants as the first, {len(self.time)} in "
                f"{self.count} windows; found {len(time)}. Import runs of different "
                "durations into files of their own."
            )
        arrays = {name: np.concatenate(blocks) for name, blocks in series.blocks.items()}
        for number in range(count):
            rows = slice(number * window, (number + 1) * window)
            self._require_same_instants(path, time[rows])
            part = {name: array[rows] for name, array in arrays.items()}
            self._require_same_load(path, protocol, part)
            self._parts[protocol].append(part)

    def _require_same_instants(self, path: Path, time: FloatArray) -> None:
        """Refuse a window whose instants are not those of the first."""
        if self.count > 1:
            time = time - time[0] + self.time[0]
        off = float(np.abs(time - self.time).max())
        if off > 1e-3 * float(np.median(np.diff(self.time))):
            raise ValueError(
                f"{path}: all files must have the instants of the first; they differ by up to "
                f'{off:.3g}. Write `zero = "first"` in [import.time] where runs begin at '
                "different times, or import them into files of their own."
            )

    def _require_same_load(self, path: Path, protocol: int, part: dict[str, FloatArray]) -> None:
        """Refuse replicas of one protocol that were loaded differently."""
        if "rate" in part and not self._averaged:
            for i in range(part["rate"].shape[1]):
                place = f"{path}: strain_rate, component {i + 1},"
                require_rate(place, self.time, part["strain"][:, i], part["rate"][:, i])
        if not self._parts[protocol]:
            return
        first = self._parts[protocol][0]
        for name in ("strain", "control"):
            if name not in part:
                continue
            off = float(np.abs(part[name] - first[name]).max())
            if off > _AGREE * max(float(np.abs(first[name]).max()), np.finfo(np.float64).tiny):
                raise ValueError(
                    f"{path}: all replicas of protocol {protocol + 1} must have the same {name}; "
                    f"they differ by up to {off:.3g}. Correct files or window in [import.layout]: "
                    "each protocol has its own files, and a window is a whole repetition."
                )

    def mean(self, name: str) -> FloatArray | None:
        """Return a series of all protocols, the mean over their windows; None if not known."""
        if name not in self._parts[0][0]:
            return None
        return np.stack([np.mean([part[name] for part in parts], axis=0) for parts in self._parts])
