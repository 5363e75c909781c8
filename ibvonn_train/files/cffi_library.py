"""Compiled C libraries, opened through cffi."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .c_compiler import PLAIN_FLAGS, CompilerError, compiled_library


def opened(
    name: str, sources: Sequence[Path], declarations: str, flags: Sequence[str]
) -> tuple[Any, Any]:
    """Return cffi's interface and a library, compiled now if it has not been yet.

    Args:
        name: First part of its file name.
        sources: The C file that is compiled, then the files that it includes.
        declarations: Of its functions, as cffi reads them.
        flags: Of the compiler; plain ones are used where it refuses them.

    Raises:
        CompilerError: If there is no cffi or compiler, it fails, or its product cannot be loaded.
    """
    try:
        from cffi import FFI
    except ImportError as error:
        raise CompilerError(f"the package cffi cannot be imported ({error}).") from error
    path = compiled_library(name, sources, [flags, PLAIN_FLAGS])
    ffi = FFI()
    ffi.cdef(declarations)
    try:
        return ffi, ffi.dlopen(str(path))
    except OSError as error:
        raise CompilerError(f"{path} cannot be loaded ({error}).") from error
