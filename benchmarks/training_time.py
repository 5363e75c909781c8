"""How long the training on the trap takes to the published error: error against CPU seconds.

    python benchmarks/training_time.py [--json FILE] [--quick] [--folder FOLDER]

The shipped configuration (``configs/trap.toml``) trains in a process of its own, on one core; each
of its checkpoints is kept beside the CPU seconds that it records. Then every law is rolled out on
the test protocols, from the encoded first state, in the convention of the data: relative L2 error
of F_ex, as published. Neither the simulation of the data nor its preparation counts; writing the
checkpoints does. With ``--folder`` they are kept, and judged again without training where they are.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from machine import describe_machine
from records import RESULTS, ROOT, write

from ibvonn_train.data.ensemble import TrajectoryEnsemble
from ibvonn_train.evaluation.errors import relative_error
from ibvonn_train.evaluation.noise_free import exact_trap_of
from ibvonn_train.law.learned_law import LearnedLaw
from ibvonn_train.rollouts.material_point import controlled
from ibvonn_train.simulation import TetheredParticle, simulate, trap_of_paper
from ibvonn_train.statistical_mechanics.microscopic_energy import physics_of
from ibvonn_train.studies.published import TRAP
from ibvonn_train.training import TrainingConfig, checkpoint, train
from ibvonn_train.training.dataset import prepare
from ibvonn_train.training.stages import StageRun
from ibvonn_train.training.trainer import CHECKPOINT, MODEL, new_law

CONFIG = ROOT / "configs" / "trap.toml"
EVERY = 5
"""Optimiser steps between checkpoints (one step of L-BFGS is ten iterations)."""

JUDGED = 50
"""Checkpoints that are judged at most, evenly spread in CPU time over those that were kept."""

PUBLISHED_SECONDS = 40_000 * 3.45
"""Epochs times seconds of one, on one core of another machine; the error was reached within."""


def configuration(quick: bool) -> TrainingConfig:
    """Return the shipped training; quick: 60 steps of its first stage."""
    config = dataclasses.replace(TrainingConfig.from_toml(CONFIG), checkpoint_every=EVERY)
    if quick:
        config = dataclasses.replace(
            config, stages=(dataclasses.replace(config.stages[0], steps=60),)
        )
    return config


def ensembles() -> tuple[TrajectoryEnsemble, TrajectoryEnsemble]:
    """Training and test ensembles of ``configs/trap.toml``."""
    split = trap_of_paper()
    return tuple(  # type: ignore[return-value]
        simulate(
            TetheredParticle(), protocols, duration=3.0, time_step=0.01, replicas=4000, seed=seed,
            progress=False,
        )
        for seed, protocols in ((1, split.train), (2, split.test))
    )  # fmt: skip


def follow(folder: Path, quick: bool) -> list[Path]:
    """Train in another process and keep every checkpoint that is seen."""
    command = [sys.executable, __file__, "--train", str(folder), *(["--quick"] if quick else [])]
    training = subprocess.Popen(command)
    folder.mkdir(parents=True, exist_ok=True)
    kept: list[Path] = []
    last = 0
    while True:
        ended = training.poll() is not None
        path = folder / CHECKPOINT
        if path.is_file() and path.stat().st_mtime_ns != last:
            last = path.stat().st_mtime_ns
            kept.append(folder / f"{len(kept):04d}.pt")
            shutil.copy(path, kept[-1])  # an open file stays whole while another takes its name
        if ended:
            break
        time.sleep(0.05)
    if training.returncode:
        raise subprocess.CalledProcessError(training.returncode, command)
    return kept


def thinned(paths: list[Path]) -> list[Path]:
    """Return at most ``JUDGED`` of the paths, the last one among them."""
    seconds = [float(checkpoint.load(path)["seconds"]) for path in paths]
    interval = seconds[-1] / (JUDGED - 1)
    chosen = [len(paths) - 1]
    for index in range(len(paths) - 2, -1, -1):
        if seconds[index] <= seconds[chosen[-1]] - interval:
            chosen.append(index)
    return [paths[index] for index in reversed(chosen)]


def force_error(law: LearnedLaw, data: TrajectoryEnsemble) -> float:
    """Relative L2 error of F_ex, in per cent, of roll-outs from the encoded first states."""
    with torch.no_grad():
        internal = law.encoder(torch.from_numpy(data.microstate[:, 0, 0]).double())
        strain = torch.from_numpy(data.control)[:, :, None].transpose(0, 1)
        run = controlled(law.rates_function(), torch.from_numpy(data.time), strain, internal)
    return relative_error(run.force.T.numpy(), data.force)


def floor(data: TrajectoryEnsemble) -> float:
    """Error of the exact mean, in per cent: what a perfect law shows."""
    exact = exact_trap_of(data)
    assert exact is not None
    x = data.microstate[:, 0, 0, :, 0].astype(float)
    mean, _ = exact.discrete_moments(
        data.time, data.control, data.control_rate, data.time_step, x.mean(-1), x.var(-1)
    )
    return relative_error(exact.stress(data.control, mean), data.force)


def judge(
    paths: list[Path],
    config: TrainingConfig,
    training: TrajectoryEnsemble,
    test: TrajectoryEnsemble,
) -> list[dict[str, Any]]:
    """CPU seconds, stage and error of each checkpoint."""
    data = prepare([training], config.data, torch.device("cpu"), config.seed)
    physics = physics_of(str(training.system), dict(training.parameters))
    law = new_law(config, data)
    history = []
    for path in paths:
        found = checkpoint.load(path)
        law.load_state_dict(found["law"])
        stage = config.stages[min(found["stage"], len(config.stages) - 1)]
        if found["run"]:  # within a stage the gauge of α follows the encoder and is not stored
            StageRun(law, data, physics, stage, config.data, 0).finish()
        history.append(
            {
                "cpu_s": found["seconds"],
                "stage": stage.name,
                "steps": found["total"],
                "error_percent": force_error(law, test),
            }
        )
    return history


def first_below(history: list[dict[str, Any]], bound: float) -> dict[str, float | None]:
    """CPU seconds at which the error first is below the bound, and from which on it stays there."""
    below = [each["error_percent"] < bound for each in history]
    seconds = [each["cpu_s"] for each in history]
    lasting = len(below) - below[::-1].index(False) if False in below else 0
    return {
        "first_cpu_s": seconds[below.index(True)] if True in below else None,
        "lasting_cpu_s": seconds[lasting] if lasting < len(seconds) else None,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, default=RESULTS / "training_time.json")
    parser.add_argument("--quick", action="store_true", help="the first seconds alone")
    parser.add_argument("--folder", type=Path, help="of checkpoints to keep, or to judge again")
    parser.add_argument("--train", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    config = configuration(arguments.quick)
    training, test = ensembles()
    if arguments.train is not None:
        train(config, training, arguments.train, progress=False, tensorboard=False)
        return
    torch.set_num_threads(1)
    machine = describe_machine()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        kept = sorted(folder.glob("[0-9]*.pt")) or follow(folder, arguments.quick)
        history = judge(thinned(kept), config, training, test)
        finished = (folder / MODEL).is_file()
    published = TRAP["force/test"]
    document = {
        "machine": machine,
        "configuration": CONFIG.relative_to(ROOT).as_posix(),
        "quantity": "F_ex on the test protocols, relative L2, per cent",
        "published_percent": published,
        "published_cpu_s": PUBLISHED_SECONDS,
        "floor_percent": floor(test),
        "passes_published": first_below(history, published),
        "finished": finished,
        "training_cpu_s": history[-1]["cpu_s"],
        "history": history,
    }
    print(f"{'CPU s':>8} {'error %':>9}  stage")
    for each in history:
        print(f"{each['cpu_s']:8.1f} {each['error_percent']:9.4f}  {each['stage']}")
    print(
        f"floor {document['floor_percent']:.4f} %; published {published} %: "
        f"passed {document['passes_published']}"
    )
    write(arguments.json, document)


if __name__ == "__main__":
    main()
