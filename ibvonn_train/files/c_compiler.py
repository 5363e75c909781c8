"""Compiling C sources once per machine into the user's cache.

This file stands in both packages, which do not import each other; a test keeps the two alike. The
name of a library contains a hash of all that it depends on, so a home directory may be shared by
unlike machines; `library_cache` decides which libraries are trusted.
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
from functools import cache, partial
from pathlib import Path

from .library_cache import cached_library

FAST_FLAGS = ("-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math")
PLAIN_FLAGS = ("-O2",)


class CompilerError(Exception):
    """A C source cannot be compiled or loaded here; the message says why."""


def find_compiler() -> str:
    """Path of the C compiler: ``$CC``, else ``cc``, ``gcc`` or ``clang``.

    Raises:
        CompilerError: If there is none.
    """
    candidates = shlex.split(os.environ.get("CC", ""))[:1] or ["cc", "gcc", "clang"]
    for candidate in candidates:
        path = shutil.which(candidate)
        if path:
            return path
    raise CompilerError(
        f"needs a C compiler; found none of {', '.join(candidates)} on PATH. Install gcc or clang, "
        "or set CC."
    )


def compile_library(compiler: str, source: Path, flags: Sequence[str], output: Path) -> None:
    """Compile a C file into a shared library.

    Raises:
        CompilerError: If the compiler fails.
    """
    command = [compiler, *flags, "-shared", "-fPIC", "-o", str(output), str(source), "-lm"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode != 0:
        lines = [line for line in run.stderr.splitlines() if line.strip()] or ["no message"]
        raise CompilerError(
            f"{source.name} must compile; `{shlex.join(command[: 1 + len(flags)])}` failed with: "
            f"{lines[0]}. Set CC to another compiler."
        )


def compiled_library(name: str, sources: Sequence[Path], choices: Sequence[Sequence[str]]) -> Path:
    """Path of a shared library, compiled now if the cache holds no sound one.

    Args:
        name: First part of its file name.
        sources: The C file that is compiled, then the files that it includes.
        choices: Flags; those that follow are used where the compiler refuses the first ones.

    Raises:
        CompilerError: If there is no compiler, or it fails with all flags.
    """
    compiler = find_compiler()
    for flags in choices[:-1]:
        with contextlib.suppress(CompilerError):
            return _cached(name, sources, compiler, flags)
    return _cached(name, sources, compiler, choices[-1])


def _cached(name: str, sources: Sequence[Path], compiler: str, flags: Sequence[str]) -> Path:
    file_name = f"{name}-{library_key(sources, compiler, flags)}.so"
    return cached_library(file_name, partial(compile_library, compiler, sources[0], flags))


def library_key(sources: Sequence[Path], compiler: str, flags: Sequence[str]) -> str:
    """Hash of all that a library depends on: sources, flags, compiler and processor."""
    digest = hashlib.sha256()
    for source in sources:
        digest.update(source.read_bytes() + b"\0")
    for text in (*flags, compiler, _version(compiler), _processor()):
        digest.update(text.encode() + b"\0")
    return digest.hexdigest()[:20]


@cache
def _version(compiler: str) -> str:
    run = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=False)
    return run.stdout


@cache
def _processor() -> str:
    """What decides the meaning of ``-march=native``."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="ascii", errors="ignore").splitlines():
            if line.startswith(("flags", "Features")):
                return platform.machine() + line
    return platform.machine() + platform.processor()
