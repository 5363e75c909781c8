"""Derive the acceptance ranges from exact laws, then judge exact and shipped laws with them.

    python benchmarks/audits_of_exact_laws.py [NAME ...] [--exact-only] [--json FILE]

First every exact law is audited on its calibration ensembles, simulated here from ``configs/`` with
three fresh seeds for each set of unseen data; a table shows the largest score in each audit, the
range that follows by the rule of ``ibvonn_train/audits/acceptance_ranges.py``, the range that
stands there, and what a law scores that is a fifth wrong. Then the exact laws, and the shipped ones
unless ``--exact-only``, are judged on one more seed of the quicker set. All systems take a quarter
of an hour.
"""

import argparse
import json
from pathlib import Path

from ibvonn_train.evaluation import open_law
from ibvonn_train.studies.calibration import (
    calibration_table,
    exact_scores,
    perturbed_scores,
    sampling_errors,
)
from ibvonn_train.studies.exact_ensembles import CALIBRATION, JUDGED, SYSTEMS, cases
from ibvonn_train.studies.exact_laws import certificates, scores_record, scores_table

ROOT = Path(__file__).parents[1]
MODELS = ROOT / "exported_models"


def calibrate(names, trap):
    """Return scores of exact laws, sampling errors, and scores of laws that are a fifth wrong."""
    exact, sampling, perturbed = [], [], []
    for name in names:
        for chosen in SYSTEMS[name].sets:
            for case in cases(name, chosen, CALIBRATION, ROOT / "configs", trap):
                exact += exact_scores(case)
                sampling += sampling_errors(case)
                if case.seed == CALIBRATION[0]:
                    perturbed += perturbed_scores(case)
    return exact, sampling, perturbed


def judge(name, trap, *, with_shipped):
    """Return the certificates of exact and shipped laws on an ensemble of another seed."""
    (case,) = cases(name, SYSTEMS[name].sets[0], JUDGED, ROOT / "configs", trap)
    laws = {"exact": case.exact}
    if case.best_decoder is not None:
        laws["best decoder of α"] = case.best_decoder
    if with_shipped and (MODELS / name).is_dir():
        laws[f"shipped {name}"] = open_law(MODELS / name)
    return certificates(laws, case.evidence)


def main():
    """Print the table of the ranges, then one for each system."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", metavar="NAME", nargs="*", help=f"some of {', '.join(SYSTEMS)}")
    parser.add_argument("--exact-only", action="store_true", help="leave the shipped laws out")
    parser.add_argument("--json", type=Path, help="write the certificates")
    options = parser.parse_args()
    trap, names = open_law(MODELS / "exact_trap"), options.names or list(SYSTEMS)
    print(calibration_table(*calibrate(names, trap)), flush=True)
    record = {}
    for name in names:
        made = judge(name, trap, with_shipped=not options.exact_only)
        print(f"\n{name}, {SYSTEMS[name].sets[0]}\n\n{scores_table(made)}", flush=True)
        record[name] = scores_record(made)
    if options.json is not None:
        options.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
