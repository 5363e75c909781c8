"""Libraries of other formats, imported when a file of theirs is named."""

from __future__ import annotations

import importlib
import warnings
from pathlib import Path
from typing import Any


def gsd_hoomd(path: Path) -> Any:
    """Return the module gsd.hoomd."""
    return _imported("gsd.hoomd", "gsd", path)


def mdanalysis_reader(path: Path) -> Any:
    """Return the function of MDAnalysis that opens a trajectory."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own dependencies
        return _imported("MDAnalysis.coordinates.core", "MDAnalysis", path).reader


def _imported(module: str, package: str, path: Path) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"{path}: needs the package {package}, which is not installed ({error}). Install it "
            "with `pip install 'ibvonn[import]'`."
        ) from error
