"""Measure the training time on the trap to the published error: error against CPU seconds.

    python benchmarks/training_time.py [--json FILE] [--quick] [--folder FOLDER]

The shipped configuration (``configs/trap.toml``) trains in a process of its own, on one core; each
of its checkpoints is kept together with the CPU seconds that it records. Then every law is
integrated on the test protocols from the encoded first state, which gives the relative L2 error of
F_ex, as published. The simulation of the data and its preparation do not count; writing the
checkpoints does. With ``--folder`` the checkpoints are kept; if the folder holds some already, they
are evaluated without a new training.
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
from ibvonn_train.evaluation.noise_free import exact_trap_moments, exact_trap_of
from ibvonn_train.law.learned_law import LearnedLaw
from ibvonn_train.rollouts.material_point import controlled
from ibvonn_train.simulation import TetheredParticle, simulate, trap_of_paper
from ibvonn_train.statistical_mechanics.microscopic_energy import physics_of
from ibvonn_train.studies.published import TRAP
from ibvonn_train.studies.tables import text_table
from ibvonn_train.training import TrainingConfig, checkpoint, train
from ibvonn_train.training.dataset import prepare
from ibvonn_train.training.stage import Material
from ibvonn_train.training.trainer import CHECKPOINT, MODEL, new_law

CONFIG = ROOT / "configs" / "trap.toml"
EVERY = 5
"""Optimiser steps between checkpoints (one step of L-BFGS is ten iterations)."""

EVALUATED = 50
"""Largest number of checkpoints that are evaluated, evenly spaced in CPU time."""

PUBLISHED_SECONDS = 40_000 * 3.45
"""Epochs times seconds per epoch, on one core of another machine."""


def configuration(quick: bool) -> TrainingConfig:
    """Return the shipped training; quick: 60 steps of *identify* alone."""
    config = TrainingConfig.from_toml(CONFIG)
    if quick:
        short = dataclasses.replace(
            config.expert, identify_steps=60, polish_steps=0, density_steps=0
        )
        config = dataclasses.replace(config, expert=short)
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
    """Train in another process and keep every checkpoint that appears."""
    command = [sys.executable, __file__, "--train", str(folder), *(["--quick"] if quick else [])]
    training = subprocess.Popen(command)
    folder.mkdir(parents=True, exist_ok=True)
    copies: list[Path] = []
    last = 0
    while True:
        ended = training.poll() is not None
        path = folder / CHECKPOINT
        if path.is_file() and path.stat().st_mtime_ns != last:
            last = path.stat().st_mtime_ns
            copies.append(folder / f"{len(copies):04d}.pt")
            shutil.copy(path, copies[-1])  # an open file stays whole while another takes its name
        if ended:
            break
        time.sleep(0.05)
    if training.returncode:
        raise subprocess.CalledProcessError(training.returncode, command)
    return copies


def thinned(paths: list[Path]) -> list[Path]:
    """Return at most ``EVALUATED`` of the paths, the last one among them."""
    seconds = [float(checkpoint.load(path)["seconds"]) for path in paths]
    interval = seconds[-1] / (EVALUATED - 1)
    chosen = [len(paths) - 1]
    for index in range(len(paths) - 2, -1, -1):
        if seconds[index] <= seconds[chosen[-1]] - interval:
            chosen.append(index)
    return [paths[index] for index in reversed(chosen)]


def force_error(law: LearnedLaw, data: TrajectoryEnsemble) -> float:
    """Relative L2 error of F_ex, in per cent, of roll-outs from the encoded first states."""
    with torch.no_grad():
        internal = law.encoder(torch.from_numpy(data.microstate[:, 0, 0]).double())
        strain = torch.from_numpy(data.strain[:, :, 0])
        run = controlled(
            law.potentials.rates_function(), torch.from_numpy(data.time), strain, internal
        )
    return relative_error(run.stress.numpy()[..., 0], data.stress[..., 0, 0])


def sampling_error(data: TrajectoryEnsemble) -> float:
    """Error of the exact mean, in per cent: that of a perfect law."""
    exact = exact_trap_of(data)
    assert exact is not None
    mean, _ = exact_trap_moments(data)
    return relative_error(exact.stress(data.strain[..., 0, 0], mean), data.stress[..., 0, 0])


def evaluate_all(
    paths: list[Path],
    config: TrainingConfig,
    training: TrajectoryEnsemble,
    test: TrajectoryEnsemble,
) -> list[dict[str, Any]]:
    """CPU seconds, stage and error of each checkpoint."""
    held_out = checkpoint.load(paths[0])["validation"]
    nodes = config.expert.nodes
    data = prepare([training], torch.device("cpu"), config.seed, nodes=nodes, validation=held_out)
    physics = physics_of(str(training.system), dict(training.parameters))
    law, _, features = new_law(config, [training], data, physics, held_out)
    material = Material.of(law, data, physics, config.expert, features.slowest)
    names = ["identify", "polish", "density"]
    history = []
    for path in paths:
        state = checkpoint.load(path)
        law.load_state_dict(state["law"])
        # Within a stage the normalisation of α follows the encoder and is not stored.
        with torch.no_grad():
            law.encoder.store(material.normalisation())
        history.append(
            {
                "cpu_s": state["seconds"],
                "stage": names[min(state["stage"], len(names) - 1)],
                "steps": state["total"],
                "error_percent": force_error(law, test),
            }
        )
    return history


def first_below(history: list[dict[str, Any]], bound: float) -> dict[str, float | None]:
    """CPU seconds at which the error first is below the bound, and after which it stays there."""
    below = [row["error_percent"] < bound for row in history]
    seconds = [row["cpu_s"] for row in history]
    lasting = len(below) - below[::-1].index(False) if False in below else 0
    return {
        "first_cpu_s": seconds[below.index(True)] if True in below else None,
        "lasting_cpu_s": seconds[lasting] if lasting < len(seconds) else None,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, default=RESULTS / "training_time.json")
    parser.add_argument("--quick", action="store_true", help="the first seconds alone")
    parser.add_argument("--folder", type=Path, help="folder of the checkpoints, to keep them")
    parser.add_argument("--train", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    config = configuration(arguments.quick)
    training, test = ensembles()
    if arguments.train is not None:
        train(
            config, training, arguments.train, checkpoint_every=EVERY, progress=False,
            tensorboard=False,
        )  # fmt: skip
        return
    torch.set_num_threads(1)
    machine = describe_machine()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        copies = sorted(folder.glob("[0-9]*.pt")) or follow(folder, arguments.quick)
        history = evaluate_all(thinned(copies), config, training, test)
        finished = (folder / MODEL).is_file()
    published = TRAP["force/test"]
    document = {
        "machine": machine,
        "configuration": CONFIG.relative_to(ROOT).as_posix(),
        "quantity": "F_ex on the test protocols, relative L2, per cent",
        "published_percent": published,
        "published_cpu_s": PUBLISHED_SECONDS,
        "sampling_error_percent": sampling_error(test),
        "passes_published": first_below(history, published),
        "finished": finished,
        "training_cpu_s": history[-1]["cpu_s"],
        "history": history,
    }
    rows = [[row["cpu_s"], row["error_percent"], row["stage"]] for row in history]
    print(text_table(["CPU s", "error in %", "stage"], rows))
    print(
        f"sampling error {document['sampling_error_percent']:.4f} %; the error is below the "
        f"published {published} % at {document['passes_published']}"
    )
    write(arguments.json, document)


if __name__ == "__main__":
    main()
