"""The C engines of simulations (langevin.c, lattice.c, body.c), opened through cffi."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from ..files.c_compiler import FAST_FLAGS
from ..files.cffi_library import opened

FOLDER = Path(__file__).parent
LATTICE_PARTS = ("lattice_noise.h", "lattice_bonds.h")
"""What lattice.c and body.c include both."""
LATTICE_FLAGS = ("-O2", "-ftree-vectorize", *FAST_FLAGS[1:])
"""-O3 unrolls the loops over lanes before it could make vectors of them: five times slower."""
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


_LATTICE_STEPS = """
int lattice_advance_{real}({real} *x, int64_t blocks, const struct lattice *c, const int32_t *far,
    const double *means, int held, int64_t steps, uint32_t *state, float *kept, int fresh,
    int64_t stride, int64_t replicas, {real} *record);
"""
_LATTICE = """
struct lattice {int dimension, directions, nodes, series, true_lengths;
    double stiffness, well_stiffness, well, crossing;
    double drift, drift_inner, amplitude, amplitude_inner; double vectors[24], lengths[8];};
"""
_LATTICE_DECLARATIONS = (
    _LATTICE
    + """
int lattice_lanes(void);
void lattice_seed(uint64_t seed, int64_t blocks, uint32_t *state);
void lattice_normals(uint32_t *state, int64_t count, float *out);
"""
    + _LATTICE_STEPS.format(real="float")
    + _LATTICE_STEPS.format(real="double")
)

_BODY_STEPS = """
int body_advance_{real}({real} *x, int64_t blocks, const struct lattice *c, int64_t bonds,
    const int32_t *ends, const int32_t *kinds, int modes, const double *stretches,
    const double *amplitudes, int64_t steps, const uint8_t *gripped, uint32_t *state, float *kept,
    int fresh, {real} *pulls);
"""
_BODY_DECLARATIONS = (
    _LATTICE
    + """
int body_lanes(void);
void body_seed(uint64_t seed, int64_t blocks, uint32_t *state);
"""
    + _BODY_STEPS.format(real="float")
    + _BODY_STEPS.format(real="double")
)


@cache
def library() -> tuple[Any, Any]:
    """Return cffi's interface and the library of chains, compiled now if it has not been yet.

    Raises:
        CompilerError: If there is no cffi or compiler, it fails, or its product cannot be loaded.
    """
    return _opened("langevin", _DECLARATIONS, FAST_FLAGS)


@cache
def lattice_library() -> tuple[Any, Any]:
    """Return the same of lattices.

    Raises:
        CompilerError: Likewise.
    """
    return _opened("lattice", _LATTICE_DECLARATIONS, LATTICE_FLAGS, LATTICE_PARTS)


@cache
def body_library() -> tuple[Any, Any]:
    """Return the same of bodies that are cut out of a lattice.

    Raises:
        CompilerError: Likewise.
    """
    return _opened("body", _BODY_DECLARATIONS, LATTICE_FLAGS, LATTICE_PARTS)


def _opened(
    name: str, declarations: str, flags: tuple[str, ...], parts: tuple[str, ...] = ()
) -> tuple[Any, Any]:
    """Return the interface and the library of NAME.c, which includes NAME_steps.h and parts."""
    sources = [FOLDER / file for file in (f"{name}.c", f"{name}_steps.h", *parts)]
    return opened(name, sources, declarations, flags)
