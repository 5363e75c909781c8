"""The verbs ``ibvonn export``, ``verify`` and ``card``: what becomes of an exported directory."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..export import manifest as manifests
from ..export.from_training import export_trained
from ..export.manifest import CARD
from ..export.runtimes import agreement
from ..files.model_directory import read_document
from ..studies.results import read_results
from ..studies.tables import (
    certificate_table,
    errors_entry,
    require_one_training,
    seeds_entry,
)
from ..training import TrainedModel
from ..training.trainer import MODEL
from ..training.validation import ROLLOUTS
from .evaluation_options import audits_of, evaluations, opened
from .evaluation_options import ensembles as named_ensembles
from .standard_output import say


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
        say(options, certificate_table(audits))
        about["certificate"] = [audit.record() for audit in audits]
        about["errors"] = errors_entry(results)
    path = export_trained(model, options.directory, **about)
    say(options, f"wrote {path}")
    if options.verify and not _agree(path, options):
        return 1
    write_card(path)
    say(options, f"next: ibvonn-fem check {options.directory}")
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
    say(options, f"wrote {path}")
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
    say(options, agreement.table(rows))
    return all(row.agrees for row in rows)
