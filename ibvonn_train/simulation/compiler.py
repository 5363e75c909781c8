"""Compiling langevin.c once per machine into the user's cache folder.

The name of the library holds a hash of sources, flags, compiler and processor.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shlex
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

from ..files.library_cache import cached_library

SOURCE = Path(__file__).with_name("langevin.c")
INCLUDED = Path(__file__).with_name("langevin_steps.h")
FAST_FLAGS = ("-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math")
PLAIN_FLAGS = ("-O2",)

_STEPS = """
int langevin_advance_{real}({real} *x, int beads, int64_t blocks, const struct chain *c,
    const double *control, int held, int64_t steps, double drift, double amplitude,
    uint32_t *state, int64_t stride, int64_t replicas, {real} *record);
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


class CompilerError(Exception):
    """The C source cannot be compiled or loaded here; the message says why."""


def find_compiler() -> str:
    """Return the path of the C compiler: ``$CC``, else ``cc``, ``gcc`` or ``clang``.

    Raises:
        CompilerError: If there is none.
    """
    named = shlex.split(os.environ.get("CC", ""))
    candidates = named[:1] or ["cc", "gcc", "clang"]
    for candidate in candidates:
        path = shutil.which(candidate)
        if path:
            return path
    raise CompilerError(f"no C compiler ({', '.join(candidates)}) was found")


@cache
def library() -> tuple[Any, Any]:
    """Return cffi's interface and the library, compiled now if this machine has not yet.

    Raises:
        CompilerError: If there is no cffi or compiler, it fails, or its product cannot be loaded.
    """
    try:
        from cffi import FFI
    except ImportError as error:
        raise CompilerError(f"the package cffi cannot be imported ({error})") from error
    compiler = find_compiler()
    try:
        path = _compiled(compiler, FAST_FLAGS)
    except CompilerError:
        path = _compiled(compiler, PLAIN_FLAGS)
    ffi = FFI()
    ffi.cdef(_DECLARATIONS)
    try:
        return ffi, ffi.dlopen(str(path))
    except OSError as error:
        raise CompilerError(f"{path} cannot be loaded ({error})") from error


def _compiled(compiler: str, flags: tuple[str, ...]) -> Path:
    version = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=False)
    parts = [SOURCE.read_text(), INCLUDED.read_text(), *flags, compiler, version.stdout]
    key = hashlib.sha256("\0".join([*parts, _processor()]).encode()).hexdigest()[:16]
    return cached_library(f"langevin-{key}.so", lambda built: _compile([compiler, *flags], built))


def _processor() -> str:
    """Return what decides the meaning of -march=native."""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="ignore").splitlines()
    except OSError:
        lines = []
    features = (line for line in lines if line.startswith(("flags", "Features")))
    return platform.machine() + next(features, platform.processor())


def _compile(command: list[str], built: Path) -> None:
    whole = [*command, "-shared", "-fPIC", "-o", str(built), str(SOURCE), "-lm"]
    result = subprocess.run(whole, capture_output=True, text=True, check=False)
    if result.returncode:
        lines = [line for line in result.stderr.splitlines() if line.strip()] or ["no message"]
        raise CompilerError(f"`{shlex.join(command)}` failed with: {lines[0]}")
