"""Processes that compile one kernel at once into an empty cache: each gets a whole library."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

PROCESSES = 4


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder, "empty cache")
        environment = {**os.environ, "IBVONN_CACHE": str(cache)}
        children = [
            subprocess.Popen([sys.executable, "-m", __spec__.name, "use"], env=environment)
            for _ in range(PROCESSES)
        ]
        assert [child.wait() for child in children] == [0] * PROCESSES
        result = sorted(path.name.split("-")[0] for path in cache.iterdir())
        assert result == ["langevin", "law", "lock"], result
    print(f"{PROCESSES} processes: one library each of the law and of the integrator")


def use() -> None:
    """Compile and call both libraries."""
    from ibvonn_fem import load_model
    from ibvonn_train.simulation import TetheredParticle, simulate
    from ibvonn_train.simulation.protocols import ramp

    from .bodies import MODEL

    simulate(
        TetheredParticle(), [ramp(1.0)], duration=0.1, time_step=0.01, replicas=4, seed=1,
        engine="compiled", progress=False,
    )  # fmt: skip
    load_model(MODEL, "c")  # checked against its reference states


if __name__ == "__main__":
    use() if sys.argv[1:] == ["use"] else main()
