"""Files of frames that ParaView reads: their instants are finite, and one after the other."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Self


class FrameFile(ABC):
    """A file to which frames are appended, and which a ``with`` block closes.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._last = -math.inf
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Take no more frames."""
        self._closed = True

    def write(self, time: float) -> None:
        """Append the committed values as the frame of instant ``time``. Collective.

        Args:
            time: Not before that of the last frame. A second frame of one instant, as after a
                jump of the loads, gets the next greater number: programs order frames by time.

        Raises:
            ValueError: If the instant is not finite or before that of the last frame, or the
                writer is closed.
            OSError: On all ranks, if the frame cannot be written.
        """
        instant = self._next_instant(time)
        self._write_frame(time, instant, f"the frame of time {time:.6g} cannot be written")
        self._last = instant

    def _next_instant(self, time: float) -> float:
        """Return ``time``, or the next greater number where the last frame has that instant."""
        if self._closed:
            raise ValueError(
                f"{self._path}: no frame can be added after close(). Keep the writer open, or "
                "write into a new file."
            )
        if not (math.isfinite(time) and time >= self._last):
            after = f" after {self._last:.6g}" if math.isfinite(self._last) else ""
            raise ValueError(
                f"{self._path}: the instants of frames must be finite and not decrease; found "
                f"{time:.6g}{after}. Write another history into a new file."
            )
        return math.nextafter(time, math.inf) if time == self._last else float(time)

    @abstractmethod
    def _write_frame(self, time: float, instant: float, failure: str) -> None:
        """Append a frame.

        Args:
            time: Of the analysis.
            instant: Of the frame.
            failure: What an error says first.
        """

    def _refuse(self, failure: str, reason: str) -> None:
        """Raise :class:`OSError` where there is a reason for a failure; none is empty."""
        if reason:
            raise OSError(
                f"{self._path}: {failure} ({reason}). Check that its folder exists, is writable "
                "and has space, and write into a new file."
            )
