"""The C file of an exported law as runtimes of the parity table, compiled here and now.

The file comes from ``ibvonn-fem emit-c``, to this package a program like any other.
"""

from __future__ import annotations

import ctypes
import importlib.util
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ...files.c_compiler import FAST_FLAGS, CompilerError, compile_library, find_compiler
from ..graphs.interfaces import INPUTS, OUTPUTS
from ..reference_points import Arrays

FLAGS = {
    "-O2": ("-std=c99", "-O2"),
    "-O3 native": FAST_FLAGS,
}
"""Name in the table → flags: the plain standard, and those that the file itself recommends, with
which the compiler contracts a*b + c. Never -ffast-math: it switches the process to flush-to-zero.
"""


def emit_c(directory: Path, folder: Path) -> Path | None:
    """Have ``ibvonn-fem`` write the C file of a model; None where it is not installed.

    It runs in a process of its own: this package imports nothing of the finite-element side.

    Raises:
        ValueError: If it is installed and fails.
    """
    if importlib.util.find_spec("ibvonn_fem") is None:
        return None
    command = [
        sys.executable,
        "-m",
        "ibvonn_fem",
        "emit-c",
        str(directory),
        "--output",
        str(folder),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ValueError(f"ibvonn-fem emit-c {directory}: failed ({done.stderr.strip()}).")
    return folder / "constitutive.c"


def c_runtimes(source: Path, folder: Path) -> dict[str, Callable[[Arrays], Arrays]]:
    """Compile a C file with each set of flags; batched and scalar entry points of each.

    Args:
        source: ``constitutive.c``, its header beside it.
        folder: Where the libraries are written; they must outlive the runtimes.

    Returns:
        Runtimes by name; none where there is no C compiler.

    Raises:
        ValueError: If the file does not compile, or has no entry points.
    """
    header = source.with_suffix(".h")
    declaration = re.search(r"\b(\w+)_update\(int64_t n_points", header.read_text(encoding="utf-8"))
    if declaration is None:
        raise ValueError(f"{header}: declares no NAME_update; write it with ibvonn-fem emit-c.")
    try:
        compiler = find_compiler()
    except CompilerError:
        return {}
    runtimes: dict[str, Callable[[Arrays], Arrays]] = {}
    for i, (label, flags) in enumerate(FLAGS.items()):
        library = folder / f"law{i}.so"
        try:
            compile_library(compiler, source, flags, library)
        except CompilerError as error:
            raise ValueError(f"{source.parent}: {error}") from error
        opened = ctypes.CDLL(str(library))
        runtimes[f"c {label}"] = _batched(getattr(opened, f"{declaration[1]}_update"))
        runtimes[f"c scalar {label}"] = _scalar(getattr(opened, f"{declaration[1]}_update_point"))
    return runtimes


def _buffers(inputs: Arrays) -> tuple[Arrays, Arrays]:
    feed = {key: np.ascontiguousarray(inputs[key], dtype=np.float64) for key in INPUTS}
    n, m = feed["strain"].shape
    shapes = {"stress": (n, m), "statev_new": feed["statev"].shape, "tangent": (n, m, m)}
    return feed, {key: np.empty(shapes.get(key, (n, 1))) for key in OUTPUTS}


def _batched(function: Callable[..., int]) -> Callable[[Arrays], Arrays]:
    def run(inputs: Arrays) -> Arrays:
        feed, out = _buffers(inputs)
        arrays = [*feed.values(), *out.values()]
        points = ctypes.c_int64(len(feed["dt"]))
        _require_accepted(function(points, *(ctypes.c_void_p(a.ctypes.data) for a in arrays)))
        return out

    return run


def _scalar(function: Callable[..., int]) -> Callable[[Arrays], Arrays]:
    def run(inputs: Arrays) -> Arrays:
        feed, out = _buffers(inputs)
        arrays = [*feed.values(), *out.values()]
        place = list(feed).index("dt")
        starts = [array.ctypes.data for array in arrays]
        strides = [array.strides[0] for array in arrays]
        for i, dt in enumerate(feed["dt"][:, 0]):
            arguments: list[ctypes.c_void_p | ctypes.c_double] = [
                ctypes.c_void_p(start + i * stride)
                for start, stride in zip(starts, strides, strict=True)
            ]
            arguments[place] = ctypes.c_double(dt)
            _require_accepted(function(*arguments))
        return out

    return run


def _require_accepted(code: int) -> None:
    if code < 0:
        raise ValueError(f"constitutive.c: refused its arguments with code {code}.")
