"""What the verbs of ``ibvonn`` do; each returns the exit code."""

from __future__ import annotations

import argparse
import dataclasses
import logging
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import torch

from ..audits import Audit
from ..data.ensemble import TrajectoryEnsemble, open_ensemble
from ..data.same_system import require_alike
from ..evaluation import Evaluation, ExportedLaw
from ..export import manifest as manifests
from ..export.from_training import export_trained
from ..export.manifest import CARD
from ..export.runtimes import agreement
from ..files.model_directory import read_document
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
from ..studies.results import read_results, six_digits, write_json
from ..studies.tables import (
    certificate_table,
    errors_entry,
    errors_table,
    require_one_training,
    seeds_entry,
)
from ..training import TrainedModel, TrainingConfig
from ..training import train as train_law
from ..training.trainer import CHECKPOINT, MODEL, REPORT
from ..training.validation import ROLLOUTS, conclusion
from .error_field_verb import error_field as error_field
from .evaluation_options import audits_of, evaluations, normalisation_of, opened
from .evaluation_options import ensembles as named_ensembles
from .microstates_verb import microstates as microstates
from .on_demand_verb import learn_on_demand as learn_on_demand
from .spot_check_verb import spot_check as spot_check
from .training_options import internal_of, training_config, training_sources

logger = logging.getLogger(__name__)

TEMPLATES = {
    "trap": ("trap.toml",),
    "chain": ("chain.toml",),
    "own": ("own.toml", "own_system.py"),
}


def _say(options: argparse.Namespace, text: str) -> None:
    """Write to standard output: the only place that does."""
    if not options.quiet:
        sys.stdout.write(text + "\n")


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
        _say(options, f"wrote {folder / name}")
    _say(options, f"next: ibvonn simulate {folder / names[0]}")
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
        _say(options, f"{path}: {data.system}, {data.describe()}{replaced}")
    return 0


def bring(options: argparse.Namespace) -> int:
    """Import the trajectories of another simulator."""
    study = StudyDescription.from_toml(options.describe)
    for line in import_trajectories(options.trajectories, study, options.out):
        _say(options, line)
    _say(options, f"wrote {options.out}")
    _say(options, f"next: ibvonn train {options.out}")
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
    _say(options, f"{options.out / 'model.pt'}: trained in {seconds:.0f} s of CPU time")
    from ..figures import training_figures  # matplotlib is slow to import and not always wanted

    drawn = training_figures(options.out, options.out / REPORT, options.out / "log.csv")
    _say(options, f"figures: {', '.join(path.name for path in drawn)}")
    verdict = model.record["rollouts"]
    failed: bool = verdict["verdict"] == "fail"
    if not failed:  # the training itself has warned
        _say(options, conclusion(verdict))
    _say(options, f"next: ibvonn evaluate {options.out} --ensemble UNSEEN.h5")
    return 1 if failed and options.strict else 0


def evaluate(options: argparse.Namespace) -> int:
    """Evaluate a law on unseen ensembles."""
    _require_place(options.json)
    data = named_ensembles(options.ensemble)
    law = opened(options.model, options, data)
    hashes = {name: ensemble.sha256() for name, ensemble in data.items()}
    seen = law.manifest["provenance"]["data_sha256"]
    for name in (name for name, sha256 in hashes.items() if sha256 == seen):
        logger.warning("evaluate: %s is what the law was trained on: not unseen data.", name)
    normalisation = normalisation_of(law, options.training)
    results = evaluations(law, data, normalisation, options)
    audits = [] if options.no_audits else audits_of(law, data, results, options)
    _say(options, errors_table(results))
    if audits:
        _say(options, "\n" + certificate_table(audits))
    record = {
        "model": str(options.model),
        "name": law.name,
        "seed": law.manifest["provenance"]["seed"],
        "training_data_sha256": seen,
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
        _say(options, f"wrote {options.json}")
    if options.figures is not None:
        _draw(law, data, results, audits, options)
    failed = [audit.audit for audit in audits if audit.verdict == "fail"]
    if failed:
        _say(options, f"audits that failed: {', '.join(failed)}")
    return 1 if failed and options.strict else 0


def scan(options: argparse.Namespace) -> int:
    """Train with several choices of internal variables."""
    _require_place(options.json)
    _require_place(options.figure)
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
    _say(options, scan_table(entries))
    if options.json is not None:
        write_json(options.json, {"entries": [dataclasses.asdict(entry) for entry in entries]})
    if options.figure is not None:
        from ..studies.variables_figure import scan_figure  # matplotlib is slow to import

        scan_figure(options.figure, entries)
    return 0


def export(options: argparse.Namespace) -> int:
    """Write an exported model, with its certificate where there are unseen data."""
    from ..figures import write_card  # matplotlib is slow to import and not always wanted

    _keep_certificate(options)
    model = TrainedModel.load(options.run)
    about: dict[str, Any] = {"name": options.name, "text": options.text}
    about["initial_strain"] = options.initial_strain
    about["derivatives"] = options.derivatives
    if options.ensemble is not None:
        data = named_ensembles(options.ensemble)
        law = opened(options.run, options, data)
        results = evaluations(law, data, None, options)
        audits = audits_of(law, data, results, options)
        _say(options, certificate_table(audits))
        about["certificate"] = [audit.record() for audit in audits]
        about["errors"] = errors_entry(results)
    path = export_trained(model, options.directory, **about)
    _say(options, f"wrote {path}")
    if options.verify and not _agree(path, options):
        return 1
    write_card(path)
    _say(options, f"next: ibvonn-fem check {options.directory}")
    return 0


def _keep_certificate(options: argparse.Namespace) -> None:
    """Refuse to replace a model that has a certificate by one that has none."""
    manifest = options.directory / "manifest.json"
    if options.ensemble is not None or not manifest.is_file():
        return
    audits = read_document(options.directory)["certificate"] or []
    if any(audit["audit"] != ROLLOUTS for audit in audits):  # that one the training itself gives
        raise FileExistsError(
            f"{options.directory}: carries a certificate, which this export would lose. Give "
            "unseen data with --ensemble, or choose another directory."
        )


def verify(options: argparse.Namespace) -> int:
    """Compare the runtimes of an exported model."""
    from ..figures import write_card  # matplotlib is slow to import and not always wanted

    _require_export(options.directory)
    agree = _agree(options.directory, options, options.points, keep=not options.no_store)
    if not options.no_store and (options.directory / CARD).is_file():
        write_card(options.directory)  # it shows the table
    return 0 if agree else 1


def card(options: argparse.Namespace) -> int:
    """Write the card of an exported model, after adding the spread over seeds to its manifest."""
    from ..figures import write_card  # matplotlib is slow to import and not always wanted

    _require_export(options.directory)
    seeds = None
    if options.seeds is not None:
        records = [read_results(path) for path in options.seeds]
        require_one_training(records, manifests.read(options.directory))
        seeds = seeds_entry(records)
    path = write_card(options.directory, seeds)
    _say(options, f"wrote {path}")
    return 0


def _require_export(directory: Path) -> None:
    if (directory / "manifest.json").is_file():
        return
    hint = "Export it first" if (directory / MODEL).is_file() else "Write one"
    raise FileNotFoundError(
        f"{directory}: not an exported model, it has no manifest.json. {hint}: "
        "`ibvonn export RUN DIRECTORY`."
    )


def _agree(
    path: Path, options: argparse.Namespace, n_points: int = 100_000, *, keep: bool = True
) -> bool:
    rows = agreement.verify_all(path, n_points=n_points)
    if keep:
        agreement.store(path, rows)
    _say(options, agreement.table(rows))
    return all(row.agrees for row in rows)


def reproduce(options: argparse.Namespace) -> int:
    """Repeat studies with several seeds."""
    _require_place(options.json)
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
    _say(options, reproduction_table(results))
    if options.json is not None:
        records = [result.record() for result in results]
        write_json(options.json, records[0] if len(records) == 1 else {"studies": records})
        _say(options, f"wrote {options.json}")
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
        _say(options, f"wrote {path}")


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
        twice = [former for former in paths[:number] if path.exists() and path.samefile(former)]
        if twice:
            raise ValueError(f"{path}: must be named once; it is the file {twice[0]} too.")
    ensembles = [stack.enter_context(open_ensemble(path)) for path in paths]
    require_alike(ensembles, [str(path) for path in paths])
    return ensembles


def _require_place(path: Path | None) -> None:
    """Refuse a place for results where nothing can be written, before hours of work."""
    if path is None:
        return
    if path.is_dir():
        raise IsADirectoryError(f"{path}: must be a file; it is a folder. Choose another name.")
    make_folder(path.parent)
