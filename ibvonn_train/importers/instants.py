"""The time of the frames of a file, from what the file says and what the description adds."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from ..files.toml_tables import ConfigError
from .description import StoredTimes
from .frames import FloatArray, Frame


class FileClock:
    """Gives frames their times, and says which are taken.

    Args:
        path: Of the file, for messages.
        rule: Of the description.
        counted: Step of the first frame and steps between frames as the file says them, where its
            frames say none; the first is used where the others are those of the description.

    Attributes:
        offset: What was subtracted from the time of the file.
        source: Where the time comes from, in words.
    """

    def __init__(self, path: Path, rule: StoredTimes, counted: tuple[int, int] = (0, 0)) -> None:
        self._path, self._rule = path, rule
        # OpenMM stores its first frame after the first interval, and not at the start.
        self._first = counted[0] if counted[1] == rule.every else 0
        self._number = -1
        self._times: list[float] = []
        self._steps: list[float] = []
        self.offset = 0.0
        self.source = ""

    def next(self, frame: Frame) -> tuple[float | None, float, bool]:
        """Return t (None of frames that are skipped), the step (or NaN), and whether it is taken.

        Raises:
            ConfigError: If neither file nor description says when the frame was stored.
        """
        self._number += 1
        number = self._number - self._rule.skip
        time, step = self._read(frame, self._number)
        if number < 0:
            return None, math.nan, False
        if not self._times and self._rule.zero == "first":
            self.offset = time
        self._times.append(time - self.offset)
        self._steps.append(math.nan if step is None else float(step))
        return self._times[-1], self._steps[-1], number % self._rule.thin == 0

    def _read(self, frame: Frame, number: int) -> tuple[float, int | None]:
        rule, step = self._rule, frame.step
        if step is None and rule.every:
            step = self._first + rule.every * number
        if frame.time is not None and math.isfinite(frame.time):
            self.source = "times of the file"
            return frame.time, step
        if step is not None and rule.time_step > 0:
            self.source = f"steps times the time step {rule.time_step:g}"
            if self._first:
                self.source += f", the first frame is of step {self._first}"
            return step * rule.time_step, step
        missing = "time_step" if step is not None else "every and time_step"
        raise ConfigError(
            f"[import.time]: {missing} must be given, as {self._path} holds no "
            f"{'times' if step is not None else 'times and no steps'}."
        )

    def seen(self) -> FloatArray:
        """Return the times of all frames but those that are skipped."""
        return np.array(self._times)

    def interval(self) -> float:
        """Return the time between frames."""
        return float(np.median(np.diff(self._times))) if len(self._times) > 1 else 1.0

    def time_step(self) -> float | None:
        """Return the integrator's step: as described, or from times and steps; None if unknown.

        Raises:
            ValueError: If the description contradicts the file.
        """
        given = self._rule.time_step
        times, steps = self.seen(), np.array(self._steps)
        counted = len(steps) > 1 and not np.isnan(steps).any() and steps[-1] > steps[0]
        if not counted:
            return given or None
        derived = float((times[-1] - times[0]) / (steps[-1] - steps[0]))
        if given and abs(derived - given) > 1e-3 * given:
            raise ValueError(
                f"{self._path}: time_step must be that of its times and steps, {derived:.6g}; the "
                f"description says {given:g}. Correct it, or the unit of time."
            )
        return given or float(f"{derived:.6g}")
