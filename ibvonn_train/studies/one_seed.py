"""One seed of a study: simulate its own training data, train, evaluate on the common test data."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..audits import certify
from ..data.ensemble import TrajectoryEnsemble
from ..evaluation import ExportedLaw, Normalisation, evaluate, open_law
from ..evaluation.closed_form_reference import ClosedFormReference
from ..evaluation.law_rollouts import encoded
from ..evaluation.noise_free import exact_trap_of, noise_free_means
from ..files.plain_files import make_folder
from ..simulation import MicroscopicSystem
from ..simulation.simulation_config import SetConfig, SimulationConfig
from ..simulation.study import build_system, run_set
from ..statistical_mechanics.microscopic_energy import physics_of
from ..training import TrainingConfig, train
from ..training.trainer import MODEL
from .reproduced import Study
from .results import six_digits, write_json

SEEDS_APART = 1000
"""Between the seeds of the training data of two seeds of the study."""

RESULT = "result.json"


def training_sets(config: SimulationConfig, seed: int) -> list[SetConfig]:
    """Return the sets called train…, with new random numbers for every seed of the study."""
    return [
        dataclasses.replace(chosen, seed=chosen.seed + SEEDS_APART * seed)
        for chosen in config.sets
        if chosen.name.startswith("train")
    ]


def prepare_tests(study: Study, toml: Path, folder: Path) -> None:
    """Simulate the test sets that are not in the folder yet."""
    config = SimulationConfig.from_toml(toml)
    for name in (*study.tests, *([study.slow] if study.slow else [])):
        _simulated(config, config.pick(name), toml.parent, folder / "data")


def run_seed(study: Study, toml: Path, folder: Path, seed: int) -> dict[str, Any]:
    """Return the record of one seed, from the folder where it is there already.

    Args:
        study: What is compared.
        toml: Configuration of simulation and training.
        folder: Of the study; holds ``data`` (test sets) and ``seed_N`` (training data and law).
        seed: Of the training; the training data take theirs from it.

    Returns:
        For every test set the errors, stresses and sampling errors; audits; CPU time.
    """
    own = folder / f"seed_{seed}"
    result = own / RESULT
    if result.is_file():
        record: dict[str, Any] = json.loads(result.read_text())
        return record
    torch.set_num_threads(1)
    make_folder(own)
    config = SimulationConfig.from_toml(toml)
    system = build_system(config, toml.parent)
    energy = system.microscopic_energy if ":" in config.system else None
    training = [
        _simulated(config, chosen, toml.parent, own / "data")
        for chosen in training_sets(config, seed)
    ]
    chosen = dataclasses.replace(TrainingConfig.from_toml(toml), seed=seed)
    first = training[0]
    model = train(
        chosen,
        training,
        own / "run",
        resume=True,
        physics=physics_of(first.system, first.parameters, energy),
        progress=False,
        tensorboard=False,
    )
    law = open_law(own / "run" / MODEL, energy)
    tests = {name: TrajectoryEnsemble.load(folder / "data" / f"{name}.h5") for name in study.tests}
    slow = None if study.slow is None else TrajectoryEnsemble.load(_path(folder, study.slow))
    ensembles, audits = _evaluated(study, law, tests, slow, system if seed == 0 else None)
    record = {
        "seed": seed,
        "ensembles": ensembles,
        "certificate": audits,
        "internal_variables": law.manifest["internal"]["variables"],
        "training_verdict": model.record["rollouts"]["verdict"],
        "training_cpu_seconds": float(model.record["provenance"]["cpu_seconds"]),
    }
    if study.closed_form and seed == 0:
        record["closed_form"] = _closed_form(tests, training)
    write_json(result, record)
    return record


def _path(folder: Path, name: str) -> Path:
    return folder / "data" / f"{name}.h5"


def _simulated(
    config: SimulationConfig, chosen: SetConfig, base: Path, folder: Path
) -> TrajectoryEnsemble:
    """Return a set, from its file if it is there."""
    path = folder / f"{chosen.name}.h5"
    if not path.is_file():
        make_folder(folder)
        run_set(config, chosen, folder=base, progress=False).save(path)
    return TrajectoryEnsemble.load(path)


def _evaluated(
    study: Study,
    law: ExportedLaw,
    tests: Mapping[str, TrajectoryEnsemble],
    slow: TrajectoryEnsemble | None,
    system: MicroscopicSystem | None,
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the records of all test sets, and the certificate on the first of them.

    Where a system is given, sets of samples are simulated again for their sampling error.
    """
    ensembles: dict[str, Any] = {}
    audits: list[dict[str, Any]] = []
    for name, data in tests.items():
        reference = None
        repeatable = data.histogram is None and exact_trap_of(data) is None
        if system is not None and repeatable:
            reference = noise_free_means(
                [law],
                data,
                factor=study.repetitions,
                system=system,
                progress=False,
            )[0]
        evaluation = evaluate(law, data, noise_free=reference)
        stresses = {key: six_digits(value) for key, value in evaluation.stresses().items()}
        ensembles[name] = {**evaluation.record(), "predicted_stress": stresses}
        if not audits:
            audits = [audit.record() for audit in certify(law, data, evaluation, slow)]
    return ensembles, audits


def _closed_form(
    tests: Mapping[str, TrajectoryEnsemble], training: Sequence[TrajectoryEnsemble]
) -> dict[str, dict[str, float]]:
    """Return the errors of the closed-form law of two-well springs, by test set."""
    law = ClosedFormReference(training[0])
    states = [encoded(law, data).internal.reshape(-1, law.internal_size) for data in training]
    normalisation = Normalisation.of(np.concatenate(states))
    return {
        name: evaluate(law, data, normalisation=normalisation).errors
        for name, data in tests.items()
    }
