"""Where shipped laws end: their errors at the rates of their training and beyond.

    python benchmarks/rates_beyond.py [MODEL ...] [--replicas 500] [--json FILE]

The protocols of the sets unseen_fast and unseen_slow of a model's TOML, as fast as there, half a
decade and a decade faster, and a decade slower, with seeds of their own. Errors of ε and F_ex in %
(the floor is known for the trap; absurd figures: the explicit roll-out leaves the numbers),
and the part of the states that lies outside the envelope. The slowest pace of unfolding_chain takes
ten minutes: its roll-out makes 750 000 steps.
"""

import argparse
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from ibvonn_train.evaluation import evaluate, open_law
from ibvonn_train.simulation.simulation_config import SimulationConfig
from ibvonn_train.simulation.study import run_set
from ibvonn_train.studies.tables import text_table

ROOT = Path(__file__).parents[1]
STUDIES = {
    "trap": "trap_rich.toml",
    "double_well_chain": "double_well_chain.toml",
    "unfolding_chain": "unfolding_chain.toml",
}
PACES = (
    ("a decade slower", "unseen_slow", 10.0),
    ("slow, as trained", "unseen_slow", 1.0),
    ("fast, as trained", "unseen_fast", 1.0),
    ("half a decade faster", "unseen_fast", 10.0**-0.5),
    ("a decade faster", "unseen_fast", 0.1),
)
RECORDS = 200
"""Stored instants of a record, or as many as its integrator steps allow."""
FIRST_SEED = 9_100


def judged(name, number, replicas):
    """Return one row: model, pace, errors of ε and F_ex, floor of F_ex, states outside in %."""
    study = SimulationConfig.from_toml(ROOT / "configs" / STUDIES[name])
    law = open_law(ROOT / "exported_models" / name)
    label, chosen, factor = PACES[number]
    base = study.pick(chosen)
    steps = round(factor * (base.duration or study.duration) / study.time_step)
    stride = math.ceil(steps / RECORDS)
    each = replace(
        base,
        seed=FIRST_SEED + number,
        duration=steps // stride * stride * study.time_step,
        stride=stride,
        replicas=replicas,
    )
    found = evaluate(law, run_set(study, each, folder=ROOT, progress=False))
    drive = "end" if law.averaged else "controlled"
    errors = [found.errors.get(f"{drive}/{quantity}") for quantity in ("strain", "force")]
    return [name, label, *errors, found.floor.get(f"{drive}/force"), 100 * found.outside]


def main():
    """Print one line for each model and pace."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("models", nargs="*", metavar="MODEL", help=", ".join(STUDIES))
    parser.add_argument("--replicas", type=int, default=500)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.models) - STUDIES.keys())
    if unknown:
        parser.error(f"MODEL must be among {list(STUDIES)}; found {unknown}")
    torch.set_num_threads(1)
    header = ["model", "pace", "ε", "F_ex", "floor of F_ex", "states outside"]
    names = [(name, number) for name in arguments.models or STUDIES for number in range(len(PACES))]
    rows = [judged(*each, arguments.replicas) for each in tqdm(names, desc="paces")]
    print(text_table(header, rows))
    if arguments.json:
        numbers = [[None if _is_nan(cell) else cell for cell in row] for row in rows]
        record = {"header": header, "rows": numbers, "replicas": arguments.replicas}
        arguments.json.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")


def _is_nan(cell):
    return isinstance(cell, float) and not np.isfinite(cell)


if __name__ == "__main__":
    main()
