"""The sums of `lattice_bins` by compiled code, lattice_bins.c: fifty times as fast as by NumPy."""

from __future__ import annotations

import logging
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..files.c_compiler import FAST_FLAGS, CompilerError
from ..files.cffi_library import opened
from .bin_lattice import Lattice, Window

logger = logging.getLogger(__name__)
FloatArray = npt.NDArray[np.float64]

SOURCE = Path(__file__).with_suffix("").with_name("lattice_bins.c")
DECLARATIONS = """
struct grid {int axes; double origin[3], spacing[3]; int64_t low[3], shape[3];};
void bins_totals(const double *x, int64_t rows, int64_t samples, const struct grid *g, int order,
    int64_t size, double *total);
void bins_pairs(const double *before, const double *after, int64_t samples, const struct grid *g,
    int64_t size, double *both);
"""


@cache
def available() -> bool:
    """Return whether the library is there; it is compiled at the first call."""
    try:
        _library()
    except CompilerError as error:
        logger.info("histograms: binned by NumPy, since %s", error)
        return False
    return True


def totals(lattice: Lattice, window: Window, samples: FloatArray, order: int) -> FloatArray:
    """See :func:`ibvonn_train.data.lattice_bins.totals`."""
    ffi, library = _library()
    total = np.zeros((len(samples), window.size))
    library.bins_totals(
        ffi.from_buffer("double[]", samples),
        len(samples),
        samples.shape[1],
        _grid(ffi, lattice, window),
        order,
        window.size,
        ffi.from_buffer("double[]", total),
    )
    return total


def pair_totals(
    lattice: Lattice, window: Window, before: FloatArray, after: FloatArray
) -> FloatArray:
    """See :func:`ibvonn_train.data.lattice_bins.pair_totals`."""
    ffi, library = _library()
    both = np.zeros((window.size, window.size))
    library.bins_pairs(
        ffi.from_buffer("double[]", before),
        ffi.from_buffer("double[]", after),
        len(before),
        _grid(ffi, lattice, window),
        window.size,
        ffi.from_buffer("double[]", both),
    )
    return both


def _grid(ffi: Any, lattice: Lattice, window: Window) -> Any:
    grid = ffi.new("struct grid *")
    grid.axes = len(window.shape)
    for axis, size in enumerate(window.shape):
        grid.origin[axis], grid.spacing[axis] = lattice.origin[axis], lattice.spacing[axis]
        grid.low[axis], grid.shape[axis] = window.low[axis], size
    return grid


@cache
def _library() -> tuple[Any, Any]:
    """Return cffi's interface and the library.

    Raises:
        CompilerError: If it cannot be compiled or loaded.
    """
    return opened("lattice_bins", [SOURCE], DECLARATIONS, FAST_FLAGS)
