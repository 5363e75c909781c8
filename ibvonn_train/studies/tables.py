"""Tables of results: as text for a person, as entries of the manifest for the model card."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from tabulate import tabulate

from ..audits import Audit
from ..audits.audit import OPEN
from ..evaluation import Evaluation
from ..evaluation.errors import spread

Cell = str | float | int | None


def text_table(header: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """Return aligned columns: words to the left, numbers to the right, None as a dash."""
    text: str = tabulate(rows, header, floatfmt=".4g", missingval="-", numalign="right")
    return text


QUANTITIES = {
    "force": "external force",
    "last_force": "force of the last spring",
    "stress": "spring force",
    "strain": "strain",
    "internal": "internal variables",
    "mean_position": "mean position",
    "open_fraction": "open fraction",
}


def errors_table(evaluations: Mapping[str, Evaluation]) -> str:
    """Return the errors in per cent on several ensembles.

    Columns: error against the ensemble, sampling error of the ensemble, error against the
    noise-free reference.

    Args:
        evaluations: Name of the ensemble → evaluation.
    """
    rows: list[list[Cell]] = []
    for name, evaluation in evaluations.items():
        sampling, noise_free = evaluation.sampling_error, evaluation.noise_free
        rows += [
            [name, _label(key), error, sampling.get(key), noise_free.get(key)]
            for key, error in evaluation.errors.items()
        ]
        rows += [
            [name, _label(key), None, None, error] for key, error in evaluation.potentials.items()
        ]
        density = evaluation.density
        if density:
            sampled = density.get("sampling_error")
            rows.append([name, "density of microstates", density["error"], sampled, None])
    header = ["ensemble", "quantity", "error in %", "sampling error", "error to noise-free"]
    return text_table(header, rows)


def _label(key: str) -> str:
    """Return words for a key of `Evaluation`: "DRIVE/QUANTITY", or the name of a potential."""
    if "/" not in key:
        return f"{key.replace('_', ' ')}, along the data"
    drive, quantity = key.split("/")
    if drive == "controlled":
        return "stress" if quantity == "stress" else QUANTITIES[quantity]
    return f"{QUANTITIES[quantity]}, {drive}-driven"


def errors_entry(evaluations: Mapping[str, Evaluation]) -> list[dict[str, Any]]:
    """Return the manifest's ``errors`` of all quantities, in per cent.

    Args:
        evaluations: Name of the ensemble → evaluation.
    """
    return [
        {
            "ensemble": name,
            "quantity": _label(key),
            "error": float(error),
            "sampling_error": evaluation.sampling_error.get(key),
        }
        for name, evaluation in evaluations.items()
        for key, error in {**evaluation.errors, **evaluation.potentials}.items()
    ]


def require_one_training(records: Sequence[Mapping[str, Any]], manifest: Mapping[str, Any]) -> None:
    """Require results of laws that were trained like a model, from different seeds.

    Args:
        records: Files of ``ibvonn evaluate --json`` or ``ibvonn reproduce --json``.
        manifest: Manifest of the model whose card receives the results.

    Raises:
        ValueError: If the results are of another model or of other ensembles under the same names,
            or if one law occurs twice.
    """
    provenance = manifest["provenance"]
    names = {manifest["name"], (provenance["config"] or {}).get("name", manifest["name"])}
    trained_on = {"training_data_sha256": provenance["data_sha256"]}
    for record in records:
        name = str(record.get("name", record.get("example")))
        if name not in names and not ("runs" in record and _starts(names, name)):
            raise ValueError(
                f"seeds: results must be of {' or '.join(sorted(names))}; found those of {name}."
            )
        for key, expected in trained_on.items():
            if record.get(key, expected) != expected:
                raise ValueError(
                    f"seeds: the results of {record.get('model', name)} are of a law trained on "
                    f"other data than {manifest['name']} (sha256 {str(record[key])[:12]}… and "
                    f"{str(expected)[:12]}…). Give results of laws trained on the same data."
                )
    _require_one_value(records)
    seeds = [record["seed"] for record in records if record.get("seed") is not None]
    runs = [
        json.dumps(run, sort_keys=True)
        for record in records
        for run in (record["runs"] if "runs" in record else [record["ensembles"]])
    ]
    for label, values in (("seed", seeds), ("result", runs)):
        if len(set(values)) < len(values):
            duplicate = next(value for value in values if values.count(value) > 1)
            raise ValueError(
                f"seeds: every law must be given once; one {label} was given "
                f"{values.count(duplicate)} times"
                f"{f' ({duplicate})' if label == 'seed' else ''}. Remove the repeated files."
            )
    own = provenance["seed"]
    if own is not None and len(seeds) == len(records) and own not in seeds:
        raise ValueError(
            f"seeds: {manifest['name']} (seed {own}) must be one of the laws; found "
            f"the seeds {sorted(seeds)}."
        )


def _starts(names: Iterable[str], example: str) -> bool:
    return any(name.startswith(example) for name in names)


def _require_one_value(records: Sequence[Mapping[str, Any]]) -> None:
    """Require that ensembles of one name have one content."""
    digests: dict[str, str] = {}
    for record in records:
        for name, result in record.get("ensembles", {}).items():
            digest = result.get("sha256")
            if digest is not None and digests.setdefault(name, digest) != digest:
                raise ValueError(
                    f"seeds: the laws must be evaluated on the same ensembles; {name} has sha256 "
                    f"{digests[name][:12]}… in one file and {digest[:12]}… in another. Evaluate "
                    "all laws on one file."
                )


def seeds_entry(records: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the manifest's ``seeds``: the errors of several laws that were trained alike.

    The spread of a stress is the standard deviation of the prediction over the laws, root mean
    square over protocols, times and sites and in per cent of the mean: the uncertainty of the law
    itself, which no error against one ensemble shows.

    Args:
        records: Files of ``ibvonn evaluate --json``, one for each law, or of ``ibvonn reproduce
            --json``.

    Raises:
        ValueError: If there are fewer than two laws, or they were evaluated on different ensembles.
    """
    runs: list[Mapping[str, Any]] = []
    for record in records:
        runs += record["runs"] if "runs" in record else [record["ensembles"]]
    if len(runs) < 2:
        raise ValueError(f"seeds: needs the results of at least 2 laws; found {len(runs)}.")
    errors = [
        {
            (name, key): float(error)
            for name, result in run.items()
            for key, error in {**result["errors_percent"], **result["potentials_percent"]}.items()
        }
        for run in runs
    ]
    if any(set(of_law) != set(errors[0]) for of_law in errors):
        names = [sorted(run) for run in runs]
        raise ValueError(
            f"seeds: the laws must be evaluated on the same ensembles, and have the same "
            f"quantities; found {names}."
        )
    recorded = records[0].get("stress_spread_percent") if len(records) == 1 else None
    spreads = stress_spread(runs) if recorded is None else recorded
    return [
        {
            "ensemble": name,
            "quantity": _label(key),
            "seeds": len(runs),
            "median": float(np.median(values)),
            "lowest": min(values),
            "highest": max(values),
            "spread": spreads.get(name, {}).get(key),
        }
        for (name, key) in errors[0]
        for values in [[of_law[name, key] for of_law in errors]]
    ]


def stress_spread(runs: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Return ensemble → "DRIVE/QUANTITY" → spread of the recorded predicted stresses.

    The result is empty for one law, and for none.

    Args:
        runs: For each law, ensemble → record with ``predicted_stress``, see `Evaluation.stresses`.
    """
    return {
        name: {
            key: spread([np.array(run[name]["predicted_stress"][key]) for run in runs])
            for key in first["predicted_stress"]
        }
        for of_first in runs[:1]
        for name, first in of_first.items()
        if len(runs) > 1 and all("predicted_stress" in run[name] for run in runs)
    }


def certificate_table(audits: Sequence[Audit]) -> str:
    """Return the audits: verdict, name, value, acceptance range, what was measured."""
    rows: list[list[Cell]] = [
        [audit.verdict, audit.audit, audit.value, _range(audit), audit.detail] for audit in audits
    ]
    return text_table(["verdict", "audit", "value", "acceptance range", "what was measured"], rows)


def _range(audit: Audit) -> str | None:
    if audit.acceptance_range == OPEN:
        return None
    low, high = ("…" if end is None else f"{end:g}" for end in audit.acceptance_range)
    return f"{low} to {high}"
