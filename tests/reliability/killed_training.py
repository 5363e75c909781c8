"""A training that is killed with SIGKILL and resumed, several times, equals one left alone."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import torch

from ibvonn_train.simulation import TetheredParticle, simulate, trap_of_paper
from ibvonn_train.training import TrainedModel, TrainingConfig, train

from .kill import kill_runs

CONFIG = TrainingConfig.from_dict(
    {
        "internal": {"means": 1},
        "expert": {
            "nodes": 64,
            "width": 8,
            "identify_steps": 60,
            "polish_steps": 40,
            "density_steps": 60,
        },
    }
)
KILLS = 4


def run(out: Path) -> TrainedModel:
    data = simulate(
        TetheredParticle(), trap_of_paper().train[:3], duration=3.0, time_step=0.01, stride=2,
        replicas=100, seed=1, progress=False,
    )  # fmt: skip
    return train(
        CONFIG, data, out, resume=True, checkpoint_every=3, progress=False, tensorboard=False
    )


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        out, other = Path(folder, "killed"), Path(folder, "whole")
        kills = kill_runs(__spec__.name, out, out / "checkpoint.pt", KILLS)
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
