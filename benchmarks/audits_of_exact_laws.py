"""Print what exact laws score in every audit, beside the shipped laws, on unseen data.

    python benchmarks/audits_of_exact_laws.py [NAME ...] [--slow-rates] [--json FILE]

The ensembles are simulated here with protocols and seeds of the unseen sets in ``configs/``. Where
the exact law fails an audit of f, the audit is wrong: the ranges in
``ibvonn_train/audits/acceptance_ranges.py`` follow from these numbers. *exact* is the trap in
closed form, or the closed form of two-well springs with one fitted friction. Its kinetics are
approximate: where it fails the Markov residual, its variable does not fix its rate. *decoder of
data* is the same law with the data's own density of x − ε at a given open fraction as decoder. A
minute and a half; with --slow-rates the slow sets too, five more.
"""

import argparse
import json
import time
from pathlib import Path

from ibvonn_train.evaluation import open_law
from ibvonn_train.simulation.simulation_config import SimulationConfig
from ibvonn_train.simulation.study import run_set
from ibvonn_train.studies.exact_laws import (
    certificates,
    exact_laws_of_chain,
    scores_record,
    scores_table,
)

ROOT = Path(__file__).parents[1]
MODELS = ROOT / "exported_models"
STUDIES = {
    "trap": ("trap_rich.toml", "unseen_fast", "unseen_slow"),
    "unfolding_chain": ("unfolding_chain.toml", "unseen_fast", "unseen_slow"),
    "double_well_chain": ("double_well_chain.toml", "unseen_fast", "unseen_slow"),
    "chain_paper": ("chain.toml", "sinusoidal", "test"),
}
"""Shipped model → its configuration and the sets of unseen data, the quicker first."""


def simulated(study, name):
    """Return a set of a study."""
    return run_set(study, study.pick(name), folder=ROOT / "configs", progress=False)


FRICTION = {"unfolding_chain": 0.294, "double_well_chain": 0.157, "chain_paper": 0.245}
"""Of the closed forms, fitted to the strains of the quicker set (`fitted_reference`)."""


def scores(name, chosen):
    """Return the certificates of the exact laws and of the shipped one on a set of unseen data."""
    study = SimulationConfig.from_toml(ROOT / "configs" / STUDIES[name][0])
    data = simulated(study, chosen)
    learned = {f"shipped {name}": open_law(MODELS / name)}
    if name == "trap":
        return certificates(
            {"exact": open_law(MODELS / "exact_trap"), **learned}, data, simulated(study, "slow")
        )
    exact, decoder_of_data = exact_laws_of_chain(data, FRICTION[name])
    return certificates({"exact": exact, "decoder of data": decoder_of_data, **learned}, data)


def main():
    """Print a table for each set."""
    parser = argparse.ArgumentParser(description="What exact laws score in every audit.")
    parser.add_argument("names", metavar="NAME", nargs="*", help=f"some of {', '.join(STUDIES)}")
    parser.add_argument("--slow-rates", action="store_true", help="the slow sets too")
    parser.add_argument("--json", type=Path, help="write the certificates")
    options = parser.parse_args()
    record = {}
    for name in options.names or STUDIES:
        for chosen in STUDIES[name][1 : 3 if options.slow_rates else 2]:
            start = time.perf_counter()
            made = scores(name, chosen)
            print(f"\n{name}, {chosen} ({time.perf_counter() - start:.0f} s)\n")
            print(scores_table(made), flush=True)
            record[f"{name}/{chosen}"] = scores_record(made)
    if options.json is not None:
        options.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
