"""What a benchmark ran on."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ibvonn_fem.kernels.compiler import FAST_FLAGS, find_compiler


def describe_machine() -> dict[str, Any]:
    """Processor, compiler, flags and versions."""
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    values = dict(
        (part.strip() for part in line.split(":", 1)) for line in info.splitlines() if ":" in line
    )
    flags = values.get("flags", "").split()
    compiler = subprocess.run(
        [find_compiler(), "--version"], capture_output=True, text=True, check=True
    )
    return {
        "processor": values.get("model name", platform.processor()),
        "vector_units": [f for f in ("avx2", "fma", "avx512f", "avx512dq") if f in flags],
        "compiler": compiler.stdout.splitlines()[0],
        "flags": " ".join(FAST_FLAGS),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in ("numpy", "torch", "onnxruntime")},
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
