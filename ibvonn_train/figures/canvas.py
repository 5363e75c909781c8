"""Figures as files: one place that knows the backend and the resolution."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ..files.plain_files import replacing


@contextmanager
def canvas(
    path: Path, rows: int = 1, columns: int = 1, *, size: tuple[float, float], **options: Any
) -> Iterator[tuple[Figure, Any]]:
    """Yield a figure and its axes, an array ``(rows, columns)``; write the PNG at the end.

    No pyplot and no display: nothing global is changed.
    """
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False, **options)
    yield figure, axes
    with replacing(path) as stream:
        figure.savefig(stream, format=path.suffix[1:] or "png", dpi=150)


def shades(count: int) -> Any:
    """Return ``count`` colours from dark to light."""
    return mpl.colormaps["viridis"](np.linspace(0, 0.85, count))
