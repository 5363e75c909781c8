"""Measure the errors of shipped laws at the rates of their training and beyond them.

    python benchmarks/rates_beyond.py [MODEL ...] [--replicas 500] [--json FILE]

The protocols are those of the sets unseen_fast and unseen_slow in the TOML of a model, at the same
rates, half a decade and a decade faster, and a decade slower, with other seeds. The table lists the
errors of ε and F_ex in %, the sampling error of F_ex, which is known for the trap alone, and the
fraction of the states outside the envelope. Where the explicit integration of a law diverges, the
errors are very large or NaN. The slowest set of unfolding_chain takes ten minutes: its roll-out
makes 750 000 steps.
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
RATES = (
    ("a decade slower", "unseen_slow", 10.0),
    ("slow, as trained", "unseen_slow", 1.0),
    ("fast, as trained", "unseen_fast", 1.0),
    ("half a decade faster", "unseen_fast", 10.0**-0.5),
    ("a decade faster", "unseen_fast", 0.1),
)
RECORDS = 200
"""Stored instants of a record, or as many as its integrator steps allow."""
FIRST_SEED = 9_100


def errors(name, number, replicas):
    """Return one row of the table: the errors of a model at one of :data:`RATES`."""
    study = SimulationConfig.from_toml(ROOT / "configs" / STUDIES[name])
    law = open_law(ROOT / "exported_models" / name)
    label, chosen, duration_ratio = RATES[number]
    base = study.pick(chosen)
    steps = round(duration_ratio * base.duration / study.time_step)
    stride = math.ceil(steps / RECORDS)
    scaled = replace(
        base,
        seed=FIRST_SEED + number,
        duration=steps // stride * stride * study.time_step,
        stride=stride,
    )
    study = replace(study, replicas=replicas)
    evaluation = evaluate(law, run_set(study, scaled, folder=ROOT, progress=False))
    strain, force = (
        f"{'end' if law.averaged else 'controlled'}/{quantity}" for quantity in ("strain", "force")
    )
    of_law = evaluation.errors.get(strain), evaluation.errors.get(force)
    return [name, label, *of_law, evaluation.sampling_error.get(force), 100 * evaluation.outside]


def main():
    """Print one line for each model and rate."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("models", nargs="*", metavar="MODEL", help=", ".join(STUDIES))
    parser.add_argument("--replicas", type=int, default=500)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.models) - STUDIES.keys())
    if unknown:
        parser.error(f"MODEL must be among {list(STUDIES)}; found {unknown}")
    torch.set_num_threads(1)
    header = ["model", "rate", "error of ε", "error of F_ex", "sampling error", "states outside"]
    sets = [(name, number) for name in arguments.models or STUDIES for number in range(len(RATES))]
    rows = [errors(*chosen, arguments.replicas) for chosen in tqdm(sets, desc="rates")]
    print("all numbers in per cent")
    print(text_table(header, rows))
    if arguments.json:
        numbers = [[None if _is_nan(cell) else cell for cell in row] for row in rows]
        record = {"header": header, "rows": numbers, "replicas": arguments.replicas}
        arguments.json.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")


def _is_nan(cell):
    return isinstance(cell, float) and not np.isfinite(cell)


if __name__ == "__main__":
    main()
