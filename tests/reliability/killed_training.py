"""A training that is killed with SIGKILL and resumed, several times, equals one left alone."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from ibvonn_train.simulation import TetheredParticle, simulate, trap_of_paper
from ibvonn_train.training import TrainedModel, TrainingConfig, train

CONFIG = TrainingConfig.from_dict(
    {
        "checkpoint_every": 3,
        "data": {"nodes": 64},
        "model": {"encoder_widths": [4], "energy_widths": [5], "context_widths": [4]},
        "stages": [
            {"name": "adam", "optimiser": "adam", "steps": 60, "states": 16, "trajectories": 2},
            {"name": "lbfgs", "optimiser": "lbfgs", "steps": 40, "train": ["energy"]},
        ],
    }
)
KILLS = 4


def run(out: Path) -> TrainedModel:
    data = simulate(
        TetheredParticle(), trap_of_paper().train[:3], duration=3.0, time_step=0.01, stride=2,
        replicas=100, seed=1, progress=False,
    )  # fmt: skip
    return train(CONFIG, data, out, resume=True, progress=False, tensorboard=False)


def written(out: Path) -> int:
    """When the checkpoint was last written."""
    path = out / "checkpoint.pt"
    return path.stat().st_mtime_ns if path.exists() else 0


def kill_after_checkpoints(out: Path, delay: float) -> bool:
    """Start a run and kill it some time after a new checkpoint; False if it ended before."""
    before = written(out)
    child = subprocess.Popen([sys.executable, "-m", __spec__.name, str(out)])
    while written(out) == before and child.poll() is None:
        time.sleep(0.01)
    time.sleep(delay)
    killed = child.poll() is None
    child.kill()
    child.wait()
    return killed


def main() -> None:
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        out, other = Path(folder, "killed"), Path(folder, "whole")
        kills = sum(kill_after_checkpoints(out, rng.uniform(0.0, 0.05)) for _ in range(KILLS))
        assert kills >= 2, "the run was too short to be killed"
        assert not (out / "model.pt").exists()
        resumed, whole = run(out).law.state_dict(), run(other).law.state_dict()
        assert all(torch.equal(resumed[name], value) for name, value in whole.items())
        assert (out / "log.csv").read_bytes() == (other / "log.csv").read_bytes()
        assert not list(out.glob("*.part*"))
    print(f"killed {kills} times: weights and log equal bit by bit")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        run(Path(sys.argv[1]))
    else:
        main()
