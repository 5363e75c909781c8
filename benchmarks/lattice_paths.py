"""Error of a law of the lattice against the number of its training paths, with symmetry or without.

    python benchmarks/lattice_paths.py [--data FOLDER] [--runs FOLDER] [--json FILE] [--figure FILE]

Laws are trained on the first 5, 10, 20 and 40 paths of the training sets of configs/lattice.toml,
taken from the three durations in turn; every fifth is held out, as in any training. "Without" has
networks of the same sizes that know no permutation of the directions: weights of their own for
each pair of directions. The recipe is cut to the first fit (200 iterations of at most 1500) and 80
of the 600 steps of *identify*, so that the curve takes minutes of one core; the law that ships had
the whole recipe. Errors are relative L2 norms in per cent on the sets fast, middle and slow of
paths that nobody trained on: mean over the paths of stress, and in brackets of populations. What is
trained and evaluated already is not repeated.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from lattice_law import CONFIG, judged
from machine import describe_machine
from records import RESULTS, write

from ibvonn_train.data.element_classes import ClassSymmetry
from ibvonn_train.data.ensemble import TrajectoryEnsemble
from ibvonn_train.evaluation import open_law
from ibvonn_train.figures.canvas import canvas
from ibvonn_train.simulation.simulation_config import SimulationConfig
from ibvonn_train.simulation.study import run_set
from ibvonn_train.studies.tables import text_table
from ibvonn_train.training import TrainedModel, TrainingConfig, train
from ibvonn_train.training.training_config import ExpertConfig

PATHS = (5, 10, 20, 40)
BUDGET = ExpertConfig(identify_steps=80, polish_steps=0, density_steps=0)
TRAINING = ("train_fast", "train_middle", "train_slow")
UNSEEN = ("unseen_fast", "unseen_middle", "unseen_slow")
KINDS = {True: "with symmetry", False: "without"}


def loaded(folder: Path, name: str) -> TrajectoryEnsemble:
    """Return a set of the study, simulated where it is not there yet."""
    path = folder / f"{name}.h5"
    if not path.is_file():
        config = SimulationConfig.from_toml(CONFIG)
        folder.mkdir(parents=True, exist_ok=True)
        run_set(config, config.pick(name), folder=CONFIG.parent).save(path)
    return TrajectoryEnsemble.load(path)


def first_paths(sets: Sequence[TrajectoryEnsemble], count: int) -> list[TrajectoryEnsemble]:
    """Return the sets with the first ``count`` paths, taken from one set after the other."""
    turns = itertools.zip_longest(*([number] * data.protocols for number, data in enumerate(sets)))
    order = [number for turn in turns for number in turn if number is not None][:count]
    return [
        data.select(slice(0, order.count(number)), slice(None))
        for number, data in enumerate(sets)
        if number in order
    ]


def trained(sets: Sequence[TrajectoryEnsemble], run: Path, *, symmetric: bool) -> None:
    """Train a law into a folder that does not hold it yet."""
    if (run / "model.pt").is_file():
        return
    if not symmetric:
        sets = [
            dataclasses.replace(
                data,
                symmetry=(ClassSymmetry.identity(len(data.classes), data.strain.shape[-1]),),
            )
            for data in sets
        ]
    config = TrainingConfig(name="lattice", internal={"populations": 2}, expert=BUDGET)
    train(config, sets, run, resume=True, tensorboard=False)


def errors(run: Path, data: dict[str, TrajectoryEnsemble]) -> dict[str, Any]:
    """Return the errors of a law on every set."""
    law = open_law(run)
    of_sets = {}
    for name, unseen in data.items():
        result = judged(law, unseen)
        of_sets[name] = {
            "stress": float(np.mean(result["stress"])),
            "worst": float(np.max(result["stress"])),
            "populations": result["populations"],
        }
    return of_sets


def draw(record: dict[str, Any], path: Path) -> None:
    """Draw the errors of stress of every set over the number of paths."""
    with canvas(path, 1, len(UNSEEN), size=(9.0, 3.2), sharey=True) as (_, axes):
        for axis, name in zip(axes[0], UNSEEN, strict=True):
            for symmetric, kind in KINDS.items():
                runs = [record[f"{count} {kind}"]["errors"][name] for count in PATHS]
                line = "-o" if symmetric else "--s"
                axis.loglog(PATHS, [run["stress"] for run in runs], line, label=kind)
            axis.set_title(name.replace("_", ", "))
            axis.set_xlabel("training paths")
            axis.set_xticks(PATHS, [str(count) for count in PATHS], minor=False)
            axis.minorticks_off()
        axes[0, 0].set_ylabel("error of the stress [%]")
        axes[0, 0].legend()


def main() -> None:
    """Print the table and draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("build/lattice"))
    parser.add_argument("--runs", type=Path, default=Path("build/lattice/paths"))
    parser.add_argument("--json", type=Path, default=RESULTS / "lattice_paths.json")
    parser.add_argument("--figure", type=Path, default=RESULTS / "lattice_paths.png")
    arguments = parser.parse_args()
    steps = f"first fit and {BUDGET.identify_steps} steps of identify"
    record: dict[str, Any] = {"machine": describe_machine(), "budget": steps}
    if arguments.json.is_file():
        before = json.loads(arguments.json.read_text(encoding="utf-8"))
        record |= before if before["budget"] == steps else {}
    sets = [loaded(arguments.data, name) for name in TRAINING]
    runs = {}
    for count, (symmetric, kind) in itertools.product(PATHS, KINDS.items()):
        key = f"{count} {kind}"
        runs[key] = arguments.runs / f"{key} {steps}".replace(" ", "_").replace(",", "")
        trained(first_paths(sets, count), runs[key], symmetric=symmetric)
    unseen = {name: loaded(arguments.data, name) for name in UNSEEN}
    rows, total = [], 0.0
    for key, run in runs.items():
        seconds = TrainedModel.load(run).record["provenance"]["cpu_seconds"]
        if key not in record:
            record[key] = {"seconds": seconds, "errors": errors(run, unseen)}
            write(arguments.json, record)
        of_key = record[key]
        cells = [f"{e['stress']:.2f} ({e['populations']:.1f})" for e in of_key["errors"].values()]
        rows.append([*key.split(" ", 1), *cells, f"{seconds:.0f}"])
        total += seconds
    print(f"budget: {steps}; {total:.0f} s in all")
    print(text_table(["paths", "symmetry", *UNSEEN, "CPU s"], rows))
    draw(record, arguments.figure)


if __name__ == "__main__":
    main()
