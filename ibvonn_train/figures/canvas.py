"""Figures as files; backend and resolution are defined here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
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

    It uses neither pyplot nor a display, so no global state changes.
    """
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False, **options)
    yield figure, axes
    with replacing(path) as stream:
        figure.savefig(stream, format=_format_of(path), dpi=150)


def require_drawable(path: Path) -> None:
    """Draw a single digit as the file would be drawn, before hours of work.

    Raises:
        ValueError: If there is no way to draw figures with the ending of the file.
    """
    figure = Figure(figsize=(1.0, 1.0))
    FigureCanvasAgg(figure)
    figure.text(0.5, 0.5, "1")
    try:
        figure.savefig(BytesIO(), format=_format_of(path))
    except (ValueError, RuntimeError, ImportError) as error:  # the latter two for want of programs
        raise ValueError(
            f"{path}: must have an ending in which figures can be drawn; {error}. End it in .png."
        ) from None


def _format_of(path: Path) -> str:
    return path.suffix[1:] or "png"


def unit_of(units: Mapping[str, str], quantity: str) -> str:
    """Return the unit of a quantity for the label of an axis; a dash where it is dimensionless."""
    unit = units.get(quantity, "1")
    return "–" if unit == "1" else unit


def shades(count: int) -> Any:
    """Return ``count`` colours from dark to light."""
    return mpl.colormaps["viridis"](np.linspace(0, 0.85, count))
