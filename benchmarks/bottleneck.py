"""Show what the likelihood of the decoder does to ψ: one training with it, one without.

    python benchmarks/bottleneck.py [STUDY ...] [--json FILE]

Both trainings have the same data and seed; the second leaves −⟨ln q⟩ out of the loss that shapes ψ
(`likelihood = 0` in [training.expert]) and trains the decoder afterwards, as both do. The table has
−⟨ln q⟩ and the errors of roll-outs on the validation protocols, in per cent.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from machine import describe_machine
from records import ROOT, write

from ibvonn_train.simulation.simulation_config import SimulationConfig
from ibvonn_train.simulation.study import run_set
from ibvonn_train.studies.tables import text_table
from ibvonn_train.training import TrainingConfig, train
from ibvonn_train.training.dataset import prepare
from ibvonn_train.training.validation import decoder_negative_log_likelihood, rollout_errors

STUDIES = ("trap", "unfolding_cell")


def compared(study: str) -> list[dict[str, Any]]:
    """Return the record of both trainings of a study."""
    toml = ROOT / "configs" / f"{study}.toml"
    simulation = SimulationConfig.from_toml(toml)
    data = [
        run_set(simulation, chosen, folder=toml.parent, progress=False)
        for chosen in simulation.sets
        if chosen.name.startswith("train")
    ]
    config = TrainingConfig.from_toml(toml)
    records = []
    for weight in (1.0, 0.0):
        expert = dataclasses.replace(config.expert, likelihood=weight)
        chosen = dataclasses.replace(config, expert=expert)
        with tempfile.TemporaryDirectory() as folder:
            model = train(chosen, data, folder, progress=False, tensorboard=False)
        held_out = model.record["provenance"]["validation"]
        blocks = prepare(
            data, torch.device("cpu"), config.seed, nodes=expert.nodes, validation=held_out
        ).validation
        nats = [decoder_negative_log_likelihood(model.law, block) for block in blocks]
        errors = [rollout_errors(model.law, block) for block in blocks]
        records.append(
            {
                "study": study,
                "likelihood": weight,
                "negative_log_likelihood": sum(nats) / len(nats),
                **{key: 100.0 * max(each[key] for each in errors) for key in errors[0]},
            }
        )
    return records


def main() -> None:
    """Train, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("studies", nargs="*", default=STUDIES, metavar="STUDY")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    records = [record for study in arguments.studies for record in compared(study)]
    for study in arguments.studies:
        rows = [record for record in records if record["study"] == study]
        print(text_table(list(rows[0]), [list(row.values()) for row in rows]), end="\n\n")
    if arguments.json:
        write(arguments.json, {"machine": describe_machine(), "bottleneck": records})


if __name__ == "__main__":
    main()
