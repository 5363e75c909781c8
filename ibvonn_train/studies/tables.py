"""Tables of results: as text for a person, as entries of the manifest for the model card."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from tabulate import tabulate

from ..audits import Audit
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


def errors_table(
    found: Mapping[str, Evaluation], published: Mapping[str, float] | None = None
) -> str:
    """Return the errors in per cent on several ensembles.

    Args:
        found: Name of the ensemble → evaluation.
        published: "NAME DRIVE/QUANTITY" → published error, for a column to compare with.
    """
    rows: list[list[Cell]] = []
    for name, each in found.items():
        for key, error in each.errors.items():
            label = _label(key)
            rows.append(
                [
                    name,
                    label,
                    error,
                    each.floor.get(key),
                    each.noise_free.get(key),
                    (published or {}).get(f"{name} {key}"),
                ]
            )
        rows += [
            [name, _label(key), None, None, value, None] for key, value in each.potentials.items()
        ]
    header = [
        "ensemble",
        "error in %",
        "of ensemble",
        "sampling error",
        "of exact mean",
        "published",
    ]
    if published is None:
        header, rows = header[:-1], [row[:-1] for row in rows]
    return text_table(header, rows)


def _label(key: str) -> str:
    """Return words for a key of `Evaluation`: "DRIVE/QUANTITY", or the name of a potential."""
    if "/" not in key:
        return f"{key.replace('_', ' ')}, along the data"
    drive, quantity = key.split("/")
    return QUANTITIES[quantity] + ("" if drive == "controlled" else f", {drive}-driven")


def errors_entry(found: Mapping[str, Evaluation]) -> list[dict[str, Any]]:
    """Return the manifest's ``errors``: of all quantities, in per cent."""
    return [
        {
            "ensemble": name,
            "quantity": _label(key),
            "error": float(error),
            "sampling_error": each.floor.get(key),
        }
        for name, each in found.items()
        for key, error in {**each.errors, **each.potentials}.items()
    ]


def require_one_training(records: Sequence[Mapping[str, Any]], manifest: Mapping[str, Any]) -> None:
    """Check that results are those of laws trained like a model, each from a seed of its own.

    Args:
        records: What ``ibvonn evaluate --json`` or ``ibvonn reproduce --json`` wrote.
        manifest: Of the model to whose card they go.

    Raises:
        ValueError: If they are of another model, of other ensembles under the same names, or if
            one law is among them twice.
    """
    provenance = manifest["provenance"]
    names = {manifest["name"], (provenance["config"] or {}).get("name", manifest["name"])}
    trained_on = {"training_data_sha256": provenance["data_sha256"]}
    for record in records:
        found = str(record.get("name", record.get("example")))
        if found not in names and not ("runs" in record and _starts(names, found)):
            raise ValueError(
                f"seeds: results must be of {' or '.join(sorted(names))}; found those of {found}."
            )
        for key, expected in trained_on.items():
            if record.get(key, expected) != expected:
                raise ValueError(
                    f"seeds: the results of {record.get('model', found)} are of a law trained on "
                    f"other data than {manifest['name']} (sha256 {str(record[key])[:12]}… and "
                    f"{str(expected)[:12]}…). Give those of laws trained alike."
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
            twice = next(value for value in values if values.count(value) > 1)
            raise ValueError(
                f"seeds: each law counts once; one {label} was given {values.count(twice)} times"
                f"{f' ({twice})' if label == 'seed' else ''}. Give each file once."
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
    """Ensembles of one name have one content."""
    known: dict[str, str] = {}
    for record in records:
        for name, each in record.get("ensembles", {}).items():
            digest = each.get("sha256")
            if digest is not None and known.setdefault(name, digest) != digest:
                raise ValueError(
                    f"seeds: the laws were judged on different ensembles: {name} has sha256 "
                    f"{known[name][:12]}… in one file and {digest[:12]}… in another."
                )


def seeds_entry(records: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the manifest's ``seeds``: the errors of several laws that were trained alike.

    The spread of a stress is the standard deviation over the laws of what they predict, root mean
    square over protocols, times and sites and in per cent of the mean: the uncertainty of the law
    itself, which no error against one ensemble shows.

    Args:
        records: What ``ibvonn evaluate --json`` wrote of each law, or ``ibvonn reproduce --json``
            of all.

    Raises:
        ValueError: If there are fewer than two laws, or they were judged on different ensembles.
    """
    runs: list[Mapping[str, Any]] = []
    for record in records:
        runs += record["runs"] if "runs" in record else [record["ensembles"]]
    if len(runs) < 2:
        raise ValueError(f"seeds: needs the results of at least 2 laws; found {len(runs)}.")
    errors = [
        {
            (name, key): float(error)
            for name, each in run.items()
            for key, error in {**each["errors_percent"], **each["potentials_percent"]}.items()
        }
        for run in runs
    ]
    if any(set(each) != set(errors[0]) for each in errors):
        names = [sorted(run) for run in runs]
        raise ValueError(
            f"seeds: the laws were judged on different ensembles or quantities: {names}."
        )
    known = records[0].get("stress_spread_percent") if len(records) == 1 else None
    spreads = stress_spread(runs) if known is None else known
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
        for values in [[each[name, key] for each in errors]]
    ]


def stress_spread(runs: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Return ensemble → "DRIVE/QUANTITY" → spread of the predicted stresses that are on record.

    One law has none.

    Args:
        runs: For each law, ensemble → what has ``predicted_stress``, see `Evaluation.stresses`.
    """
    return {
        name: {
            key: spread([np.array(run[name]["predicted_stress"][key]) for run in runs])
            for key in first["predicted_stress"]
        }
        for name, first in runs[0].items()
        if len(runs) > 1 and all("predicted_stress" in run[name] for run in runs)
    }


def certificate_table(audits: Sequence[Audit]) -> str:
    """Return the audits: verdict, value, band, what was measured."""
    rows: list[list[Cell]] = [
        [each.verdict, each.audit, each.value, _band(each), each.detail] for each in audits
    ]
    return text_table(["verdict", "audit", "value", "acceptance range", "on what"], rows)


def _band(audit: Audit) -> str:
    low, high = ("…" if end is None else f"{end:g}" for end in audit.band)
    return f"[{low}, {high}]"
