"""The C sources of the kernel, and their compiled library."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..errors import KernelUnavailableError
from ..files import c_compiler
from ..files.c_compiler import FAST_FLAGS, PLAIN_FLAGS, CompilerError

POPULATION_SOURCES = ("law_populations.h", "law_population_force.h", "law_population_step.h")
"""What only laws with populations need."""

DERIVATIVE_SOURCE = "law_derivatives.h"
"""What only derivatives of a step need; files for other hosts leave it out."""

SOURCES = (
    "law_lanes.h",
    "law_functions.h",
    "law_data.h",
    "law_potentials.h",
    "law_newton.h",
    "law_outputs.h",
    *POPULATION_SOURCES,
    "law_directions.h",
    DERIVATIVE_SOURCE,
    "law.c",
)
"""The kernel; the last one includes the others."""

KERNEL_FLAGS = ("-ffp-contract=fast", "-Wno-psabi")


def source_directory() -> Path:
    """Folder of the C sources."""
    return Path(__file__).parent / "c"


def compiled_library(flags: Sequence[str] | None = None) -> Path:
    """Path of the kernel's shared library, compiled now if the cache does not hold it.

    Args:
        flags: Optimisation flags; by default :data:`FAST_FLAGS`, or :data:`PLAIN_FLAGS` where the
            compiler refuses those.

    Raises:
        KernelUnavailableError: If there is no compiler, or it fails.
    """
    choices = [flags] if flags is not None else [FAST_FLAGS, PLAIN_FLAGS]
    try:
        return c_compiler.compiled_library(
            "law",
            [source_directory() / name for name in reversed(SOURCES)],
            [(*choice, *KERNEL_FLAGS) for choice in choices],
        )
    except CompilerError as error:
        raise KernelUnavailableError(f"c kernel: {error} Or use kernel='onnx'.") from error
