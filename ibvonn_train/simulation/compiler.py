"""The C engine of simulations: langevin.c, compiled and opened through cffi."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from ..files.c_compiler import FAST_FLAGS, PLAIN_FLAGS, CompilerError, compiled_library

SOURCE = Path(__file__).with_name("langevin.c")
INCLUDED = Path(__file__).with_name("langevin_steps.h")
_STEPS = """
int langevin_advance_{real}({real} *x, int beads, int64_t blocks, const struct chain *c,
    const double *control, int held, int64_t steps, double drift, double amplitude,
    uint32_t *state, int64_t stride, int64_t replicas, {real} *record);
int langevin_advance_cell_{real}({real} *x, int beads, int64_t blocks, const struct chain *c,
    const double *control, int held, int64_t steps, double drift, double amplitude,
    uint32_t *state, float *kept, int fresh, int64_t stride, int64_t replicas, {real} *record);
"""
_DECLARATIONS = (
    """
struct chain {int free_end; double length, stiffness, well, crossing;};
int langevin_lanes(void);
void langevin_seed(uint64_t seed, int64_t blocks, uint32_t *state);
void langevin_normals(uint32_t *state, int64_t pairs, float *out);
"""
    + _STEPS.format(real="float")
    + _STEPS.format(real="double")
)


@cache
def library() -> tuple[Any, Any]:
    """Return cffi's interface and the library, compiled now if this machine has not yet.

    Raises:
        CompilerError: If there is no cffi or compiler, it fails, or its product cannot be loaded.
    """
    try:
        from cffi import FFI
    except ImportError as error:
        raise CompilerError(f"the package cffi cannot be imported ({error}).") from error
    path = compiled_library("langevin", [SOURCE, INCLUDED], [FAST_FLAGS, PLAIN_FLAGS])
    ffi = FFI()
    ffi.cdef(_DECLARATIONS)
    try:
        return ffi, ffi.dlopen(str(path))
    except OSError as error:
        raise CompilerError(f"{path} cannot be loaded ({error}).") from error
