"""Compiling the C sources once per machine into the user's cache.

The cache key holds the sources, the flags, the compiler and the processor, so a home directory that
is shared by unlike machines is safe; :mod:`ibvonn_fem.files.library_cache` has the rules by
which one is trusted.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from ..errors import KernelUnavailableError
from ..files.library_cache import cached_library

SOURCES = (
    "law_lanes.h",
    "law_functions.h",
    "law_data.h",
    "law_potentials.h",
    "law_newton.h",
    "law_directions.h",
    "law.c",
)
"""The kernel; the last one includes the others."""

FAST_FLAGS = ("-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math")
PLAIN_FLAGS = ("-O2",)
LIBRARY_FLAGS = ("-fPIC", "-shared", "-ffp-contract=fast", "-Wno-psabi")


def find_compiler() -> str:
    """Path of the C compiler: ``$CC``, else ``cc``, ``gcc`` or ``clang``.

    Raises:
        KernelUnavailableError: If there is none.
    """
    named = os.environ.get("CC", "").strip()
    candidates = [shlex.split(named)[0]] if named else ["cc", "gcc", "clang"]
    for candidate in candidates:
        path = shutil.which(candidate)
        if path:
            return path
    raise KernelUnavailableError(
        f"c kernel: needs a C compiler; found none of {', '.join(candidates)} on PATH. Install gcc "
        "or clang, or set CC."
    )


def source_directory() -> Path:
    """Folder of the C sources."""
    return Path(__file__).parent / "c"


@cache
def _compiler_version(compiler: str) -> str:
    run = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=False)
    return run.stdout.strip()


@cache
def _processor() -> str:
    """What decides the meaning of ``-march=native``."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="ascii", errors="ignore").splitlines():
            if line.startswith(("flags", "Features")):
                return platform.machine() + line
    return platform.machine() + platform.processor()


def library_key(compiler: str, flags: Sequence[str]) -> str:
    """Hash of everything that the compiled library depends on."""
    digest = hashlib.sha256()
    for name in SOURCES:
        digest.update((source_directory() / name).read_bytes() + b"\0")
    for text in (*flags, compiler, _compiler_version(compiler), _processor()):
        digest.update(text.encode() + b"\0")
    return digest.hexdigest()[:20]


def compiled_library(flags: Sequence[str] | None = None) -> Path:
    """Path of the kernel's shared library, compiled now if the cache does not hold it.

    Args:
        flags: Optimisation flags; by default :data:`FAST_FLAGS`, or :data:`PLAIN_FLAGS` where the
            compiler refuses those.

    Raises:
        KernelUnavailableError: If there is no compiler, or it fails.
    """
    compiler = find_compiler()
    choices = [tuple(flags)] if flags is not None else [FAST_FLAGS, PLAIN_FLAGS]
    for index, choice in enumerate(choices):
        try:
            return _cached(compiler, choice)
        except KernelUnavailableError:
            if index == len(choices) - 1:
                raise
    raise AssertionError  # pragma: no cover


def _cached(compiler: str, flags: Sequence[str]) -> Path:
    name = f"law-{library_key(compiler, flags)}.so"
    return cached_library(name, lambda built: _compile(compiler, flags, built))


def _compile(compiler: str, flags: Sequence[str], built: Path) -> None:
    source = source_directory() / SOURCES[-1]
    command = [compiler, *flags, *LIBRARY_FLAGS, "-o", str(built), str(source), "-lm"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode != 0:
        lines = [line for line in run.stderr.splitlines() if line.strip()] or ["no message"]
        raise KernelUnavailableError(
            f"c kernel: must compile; `{shlex.join(command[:-4])} …` failed with: {lines[0]}. "
            "Set CC to another compiler, or use kernel='onnx'."
        )
