"""Instants of frames in files that ParaView reads: finite, and one after the other."""

from __future__ import annotations

import math
from pathlib import Path


def frame_instant(path: Path, time: float, last: float, *, closed: bool) -> float:
    """Return the instant of the next frame: ``time``, or the next greater number after ``last``.

    Programs order frames by time, and after a jump of the loads two frames have one instant.

    Args:
        path: File, for messages.
        time: Instant of the frame.
        last: That of the frame before; −∞ for the first.
        closed: Whether the file takes no more frames.

    Raises:
        ValueError: If the instant is not finite or before the last one, or the file is closed.
    """
    if closed:
        raise ValueError(
            f"{path}: no frame can be added after close(). Keep the writer open, or "
            "write into a new file."
        )
    if not (math.isfinite(time) and time >= last):
        after = f" after {last:.6g}" if math.isfinite(last) else ""
        raise ValueError(
            f"{path}: the instants of frames must be finite and not decrease; found "
            f"{time:.6g}{after}. Write another history into a new file."
        )
    return math.nextafter(time, math.inf) if time == last else float(time)
