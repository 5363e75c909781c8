"""Runs that are killed with SIGKILL some time after they wrote a checkpoint."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np


def _written(checkpoint: Path) -> int:
    """When the checkpoint was last written."""
    return checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0


def _kill_once(module: str, argument: Path, checkpoint: Path, delay: float) -> bool:
    before = _written(checkpoint)
    child = subprocess.Popen([sys.executable, "-m", module, str(argument)])
    while _written(checkpoint) == before and child.poll() is None:
        time.sleep(0.01)
    time.sleep(delay)
    killed = child.poll() is None
    child.kill()
    child.wait()
    return killed


def kill_runs(module: str, argument: Path, checkpoint: Path, times: int) -> int:
    """Start ``python -m module argument`` again and again; return how often it was killed."""
    rng = np.random.default_rng(0)
    kills = sum(
        _kill_once(module, argument, checkpoint, rng.uniform(0.0, 0.05)) for _ in range(times)
    )
    assert kills >= 2, "the run was too short to be killed"
    return kills
