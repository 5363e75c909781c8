"""What the verbs of ``ibvonn`` do; each returns the exit code."""

from __future__ import annotations

import argparse
import dataclasses
import logging
import os
from collections.abc import Sequence
from contextlib import ExitStack
from importlib.resources import as_file, files
from pathlib import Path

import torch

from ..audits import Audit
from ..data.ensemble import TrajectoryEnsemble, open_ensemble
from ..data.same_system import require_alike
from ..evaluation import Evaluation, ExportedLaw
from ..files.plain_files import make_folder, remove_part, write_file
from ..files.toml_tables import has_table
from ..importers import StudyDescription, import_trajectories
from ..law.free_energy import MicroscopicEnergy
from ..simulation.simulation_config import SimulationConfig
from ..simulation.study import build_system, require_system, run_set
from ..statistical_mechanics.microscopic_energy import physics_of
from ..studies.number_of_variables import scan as scan_choices
from ..studies.number_of_variables import scan_table
from ..studies.reproduced import STUDIES
from ..studies.reproduction import reproduce as repeat_studies
from ..studies.reproduction import table as reproduction_table
from ..studies.results import six_digits, write_json
from ..studies.tables import (
    certificate_table,
    errors_table,
)
from ..training import TrainingConfig
from ..training import train as train_law
from ..training.trainer import CHECKPOINT, MODEL, REPORT
from ..training.validation import conclusion
from .error_field_verb import error_field as error_field
from .evaluation_options import audits_of, evaluations, normalisation_of, opened
from .evaluation_options import ensembles as named_ensembles
from .export_verbs import card as card
from .export_verbs import export as export
from .export_verbs import verify as verify
from .microstates_verb import microstates as microstates
from .on_demand_verb import learn_on_demand as learn_on_demand
from .spot_check_verb import spot_check as spot_check
from .standard_output import require_places, say
from .training_options import internal_of, training_config, training_sources

logger = logging.getLogger(__name__)

TEMPLATES = {
    "trap": ("trap.toml",),
    "chain": ("chain.toml",),
    "own": ("own.toml", "own_system.py"),
}


def init(options: argparse.Namespace) -> int:
    """Write the files of a study."""
    folder: Path = options.folder
    names = TEMPLATES[options.template]
    there = [name for name in names if os.path.lexists(folder / name)]
    if there:
        raise FileExistsError(
            f"init: {folder / there[0]} is there already; choose another folder. Nothing was "
            "written."
        )
    make_folder(folder)
    for name in names:
        write_file(folder / name, (files(__package__) / "templates" / name).read_bytes())
        say(options, f"wrote {folder / name}")
    say(options, f"next: ibvonn simulate {folder / names[0]}")
    return 0


def simulate(options: argparse.Namespace) -> int:
    """Simulate sets of protocols."""
    config = SimulationConfig.from_toml(options.config)
    chosen = [config.pick(name) for name in options.sets or [s.name for s in config.sets]]
    make_folder(options.out)
    for protocol_set in config.sets:
        remove_part(options.out / f"{protocol_set.name}.h5")
    for protocol_set in chosen:
        data = run_set(
            config,
            protocol_set,
            folder=options.config.parent,
            engine=options.engine,
            device=options.device,
            dtype=getattr(torch, options.dtype),
            progress=not options.quiet,
        )
        path = options.out / f"{protocol_set.name}.h5"
        replaced = ", replaced what was there" if path.exists() else ""
        data.save(path)
        say(options, f"{path}: {data.system}, {data.describe()}{replaced}")
    return 0


def bring(options: argparse.Namespace) -> int:
    """Import the trajectories of another simulator."""
    study = StudyDescription.from_toml(options.describe)
    if options.out.resolve() == options.describe.resolve():
        raise FileExistsError(f"{options.out}: is the description. Choose another --out.")
    for line in import_trajectories(options.trajectories, study, options.out):
        say(options, line)
    say(options, f"wrote {options.out}")
    say(options, f"next: ibvonn train {options.out}")
    return 0


def train(options: argparse.Namespace) -> int:
    """Train a law."""
    there = [name for name in (CHECKPOINT, MODEL) if (options.out / name).exists()]
    if there and not (options.resume or options.overwrite):
        raise FileExistsError(
            f"{options.out}: holds a training already ({', '.join(there)}). Go on from it with "
            "--resume, train anew with --overwrite, or choose another --out."
        )
    study, data = training_sources(options.sources, options.data)
    config = training_config(study, data[0], seed=options.seed, internal=options.internal)
    make_folder(options.out)
    with ExitStack() as files_of_data:
        ensembles = _opened(data, files_of_data)  # read one protocol at a time
        first = ensembles[0]
        energy = None if study is None else _energy_of_config(study, first)
        physics = physics_of(first.system, first.parameters, energy)
        model = train_law(
            config,
            ensembles,
            options.out,
            validation=options.validation,
            resume=options.resume,
            physics=physics,
            device=options.device,
            threads=options.threads,
            progress=not options.quiet,
        )
    seconds = model.record["provenance"]["cpu_seconds"]
    say(options, f"{options.out / 'model.pt'}: trained in {seconds:.0f} s of CPU time")
    from ..figures import training_figures  # matplotlib is slow to import and not always wanted

    drawn = training_figures(options.out, options.out / REPORT, options.out / "log.csv")
    say(options, f"figures: {', '.join(path.name for path in drawn)}")
    verdict = model.record["rollouts"]
    failed: bool = verdict["verdict"] == "fail"
    if not failed:  # the training itself has warned
        say(options, conclusion(verdict))
    say(options, f"next: ibvonn evaluate {options.out} --ensemble UNSEEN.h5")
    return 1 if failed and options.strict else 0


def evaluate(options: argparse.Namespace) -> int:
    """Evaluate a law on unseen ensembles."""
    require_places(options.json)
    data = named_ensembles(options.ensemble)
    law = opened(options.model, options, data)
    hashes = {name: ensemble.sha256() for name, ensemble in data.items()}
    training_hash = law.manifest["provenance"]["data_sha256"]
    for name in (name for name, sha256 in hashes.items() if sha256 == training_hash):
        logger.warning("evaluate: %s is what the law was trained on: not unseen data.", name)
    normalisation = normalisation_of(law, options.training)
    results = evaluations(law, data, normalisation, options)
    audits = [] if options.no_audits else audits_of(law, data, results, options)
    say(options, errors_table(results))
    if audits:
        say(options, "\n" + certificate_table(audits))
    record = {
        "model": str(options.model),
        "name": law.name,
        "seed": law.manifest["provenance"]["seed"],
        "training_data_sha256": training_hash,
        "normalisation_of_internal_variables": (
            "training set" if normalisation else "the ensemble itself"
        ),
        "ensembles": {
            name: {
                "sha256": hashes[name],
                **result.record(),
                "predicted_stress": {
                    key: six_digits(value) for key, value in result.stresses().items()
                },
            }
            for name, result in results.items()
        },
        "certificate": [audit.record() for audit in audits],
    }
    if options.json is not None:
        write_json(options.json, record)
        say(options, f"wrote {options.json}")
    if options.figures is not None:
        _draw(law, data, results, audits, options)
    failed = [audit.audit for audit in audits if audit.verdict == "fail"]
    if failed:
        say(options, f"audits that failed: {', '.join(failed)}")
    return 1 if failed and options.strict else 0


def scan(options: argparse.Namespace) -> int:
    """Train with several choices of internal variables."""
    require_places(options.json, figure=options.figure)
    with ExitStack() as files_of_data:
        *training, unseen = _opened([*options.data, options.ensemble], files_of_data)
        entries = scan_choices(
            TrainingConfig.from_toml(options.config),
            training,
            unseen.select(slice(None)),
            options.out,
            choices=[internal_of(text) for text in options.internal],
            progress=not options.quiet,
        )
    say(options, scan_table(entries))
    if options.json is not None:
        write_json(options.json, {"entries": [dataclasses.asdict(entry) for entry in entries]})
    if options.figure is not None:
        from ..studies.variables_figure import scan_figure  # matplotlib is slow to import

        scan_figure(options.figure, entries)
    return 0


def reproduce(options: argparse.Namespace) -> int:
    """Repeat studies with several seeds."""
    require_places(options.json)
    names = list(STUDIES) if "all" in options.studies else list(dict.fromkeys(options.studies))
    for label, number in (("seeds", options.seeds), ("jobs", options.jobs)):
        if number is not None and number < 1:
            raise ValueError(f"reproduce: {label} must be at least 1; got {number}.")
    if options.config is not None and len(names) > 1:
        raise ValueError(
            f"reproduce: --config must come with one study; found {', '.join(names)}. Name one."
        )
    with ExitStack() as packaged:
        configs = {
            name: options.config
            or packaged.enter_context(as_file(files(__package__) / "templates" / f"{name}.toml"))
            for name in names
        }
        results = repeat_studies(
            configs,
            options.out,
            seeds=options.seeds,
            jobs=options.jobs,
            progress=not options.quiet,
        )
    say(options, reproduction_table(results))
    if options.json is not None:
        records = [result.record() for result in results]
        write_json(options.json, records[0] if len(records) == 1 else {"studies": records})
        say(options, f"wrote {options.json}")
    return 1 if any(result.failures for result in results) else 0


def _draw(
    law: ExportedLaw,
    data: dict[str, TrajectoryEnsemble],
    results: dict[str, Evaluation],
    audits: list[Audit],
    options: argparse.Namespace,
) -> None:
    from .. import figures  # matplotlib is slow to import and not always wanted

    log = options.model / "log.csv"
    written = figures.report(
        options.figures, law, data, results, audits, training_log=log if log.is_file() else None
    )
    for path in written:
        say(options, f"wrote {path}")


def _energy_of_config(path: Path, data: TrajectoryEnsemble) -> MicroscopicEnergy | None:
    """Return e(x, ε) of a system of one's own that the [simulation] table names.

    Raises:
        ConfigError: If the table is wrong, or its system is not that of the data.
    """
    if not has_table(path, "simulation"):
        return None  # the data come from elsewhere
    config = SimulationConfig.from_toml(path)
    if ":" not in config.system:
        return None
    system = build_system(config, path.parent)
    require_system(system, data.system, data.parameters, f"{path}: simulation.system")
    return system.microscopic_energy


def _opened(paths: Sequence[Path], stack: ExitStack) -> list[TrajectoryEnsemble]:
    """Open data files that are used together.

    Raises:
        ValueError: If one is named twice, or they do not belong together.
    """
    for number, path in enumerate(paths):
        duplicates = [
            former for former in paths[:number] if path.exists() and path.samefile(former)
        ]
        if duplicates:
            raise ValueError(f"{path}: must be named once; it is the file {duplicates[0]} too.")
    ensembles = [stack.enter_context(open_ensemble(path)) for path in paths]
    require_alike(ensembles, [str(path) for path in paths])
    return ensembles
