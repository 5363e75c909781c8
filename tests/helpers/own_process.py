"""Functions of libraries that must not share a process with torch."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import pictures


def painted_with_pyvista(*arguments: Any) -> Any:
    """Draw with pyvista in a new process.

    After VTK has drawn without a window, a training with torch in the same process ended with a
    segmentation fault.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_paint, *arguments).result(timeout=120.0)


def _paint(*arguments: Any) -> Any:
    return pictures._with_pyvista(*arguments)
