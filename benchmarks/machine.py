"""What a benchmark ran on, and when."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ibvonn_fem.files.c_compiler import FAST_FLAGS, find_compiler

PACKAGES = ("numpy", "torch", "onnxruntime", "jax", "torchsde", "fenics-dolfinx")


def describe_machine() -> dict[str, Any]:
    """Processor, compiler, flags, versions, date and load (of one minute, at the start)."""
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    values = dict(
        (part.strip() for part in line.split(":", 1)) for line in info.splitlines() if ":" in line
    )
    flags = values.get("flags", "").split()
    compiler = subprocess.run(
        [find_compiler(), "--version"], capture_output=True, text=True, check=True
    )
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "load": round(os.getloadavg()[0], 2),
        "cores": os.cpu_count(),
        "processor": values.get("model name", platform.processor()),
        "vector_units": [f for f in ("avx2", "fma", "avx512f", "avx512dq") if f in flags],
        "compiler": compiler.stdout.splitlines()[0],
        "flags": " ".join(FAST_FLAGS),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
