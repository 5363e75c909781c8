"""``manifest.json``: what a finite-element code must know of a law besides its numbers.

Whoever writes it here writes the model card too, so that the two never disagree.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np

from .card import markdown
from .law import Law

FORMAT = 1
"""Format of the directories that this package writes."""

CARD, RESPONSE = "README.md", "response.png"
"""The model card and its figure."""

DERIVED = ("constitutive.c", "constitutive.h", "constitutive.f90", CARD, RESPONSE)
"""Files that may come later or be written again, so that no manifest lists them: those of
``ibvonn-fem emit-c``, and the model card, which is made of the manifest."""

REFERENCE_TOLERANCE = 1e-10
"""Largest relative difference between two runtimes inside the envelope."""


@dataclass(frozen=True)
class Description:
    """What the numbers of a law mean; the words of its manifest.

    Attributes:
        name: Name of the model: letters, digits, ``_``, ``-``, ``.``.
        text: One or two sentences on what it is.
        strain_kind: ``"controlled"`` or ``"averaged"``.
        strain: Names of the strain components in array order.
        strain_measure: What the strain is, in words.
        stress: Names of the stress components.
        stress_measure: What the stress is, in words.
        internal: Names of the internal variables.
        internal_meaning: What they are, in words.
        units: Unit of ``length``, ``force``, ``time``, ``energy`` and ``stress``.
        strain_rate: Range of each strain rate in training, ``(n_ε, 2)``.
        time_step: Range of the time steps in training, two numbers.
        licence: Licence of the model.
        microscopic: Microscopic system, or None: ``system``, ``thermal_energy``,
            ``effective_thermal_energy``, ``time_step``, ``parameters``.
        certificate: Audits, or None: a list of ``audit``, ``value``, ``band``, ``verdict``,
            ``detail``.
        errors: Errors of roll-outs in per cent, or None: a list of ``ensemble``, ``quantity``,
            ``error``, ``floor``.
        config: Resolved configuration of the run.
        seed: Seed of the run.
        data_sha256: Checksum of the training data, or one per file.
    """

    name: str
    text: str
    strain_kind: str
    strain: Sequence[str]
    strain_measure: str
    stress: Sequence[str]
    stress_measure: str
    internal: Sequence[str]
    internal_meaning: str
    units: dict[str, str]
    strain_rate: Sequence[Sequence[float]]
    time_step: Sequence[float]
    licence: str = "MIT"
    microscopic: dict[str, Any] | None = None
    certificate: list[dict[str, Any]] | None = None
    errors: list[dict[str, Any]] | None = None
    config: dict[str, Any] | None = None
    seed: int | None = None
    data_sha256: str | dict[str, str] | None = None
    versions: dict[str, str] = field(default_factory=lambda: package_versions())


def package_versions() -> dict[str, str]:
    """Versions of Python and of the packages that decide the numbers of an export."""
    names = ("ibvonn", "torch", "nflows", "numpy", "onnx", "onnxruntime")
    found = {"python": platform.python_version()}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def build(law: Law, about: Description) -> dict[str, Any]:
    """Compose the manifest without its ``files``.

    Raises:
        ValueError: If the names do not match the sizes of the law.
    """
    m, n = law.strain_size, law.internal_size
    for label, names, size in (
        ("strain", about.strain, m),
        ("stress", about.stress, m),
        ("strain_rate", about.strain_rate, m),
        ("internal", about.internal, n),
    ):
        if len(names) != size:
            raise ValueError(
                f"Description: {label} must have {size} entries, one per component of the law; got "
                f"{list(names)}."
            )
    stress, energy = law.equilibrium()
    ranges = np.asarray(law.envelope).tolist()
    return {
        "format": FORMAT,
        "name": about.name,
        "description": about.text,
        "licence": about.licence,
        "family": law.family,
        "strain": {
            "kind": about.strain_kind,
            "components": list(about.strain),
            "measure": about.strain_measure,
        },
        "stress": {"components": list(about.stress), "measure": about.stress_measure},
        "internal": {
            "components": list(about.internal),
            "scale": law.internal_scale.tolist(),
            "meaning": about.internal_meaning,
        },
        "units": dict(about.units),
        "initial_state": {
            "strain": [0.0] * m,
            "statev": [0.0] * n,
            "stress": stress.tolist(),
            "energy": energy,
        },
        "envelope": {
            "strain": ranges[:m],
            "statev": ranges[m:],
            "strain_rate": np.asarray(about.strain_rate, dtype=np.float64).tolist(),
            "time_step": np.asarray(about.time_step, dtype=np.float64).tolist(),
        },
        "tolerances": {"residual": law.residual_tolerance, "reference": REFERENCE_TOLERANCE},
        "microscopic": about.microscopic,
        "certificate": about.certificate,
        **({} if about.errors is None else {"errors": about.errors}),
        "provenance": {
            "created": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "config": about.config,
            "seed": about.seed,
            "data_sha256": about.data_sha256,
            "versions": dict(about.versions),
        },
    }


@cache
def schema() -> dict[str, Any]:
    """JSON Schema of the manifest, shipped with the package."""
    text = files(__package__).joinpath("manifest.schema.json").read_text(encoding="utf-8")
    document: dict[str, Any] = json.loads(text)
    return document


def check(manifest: dict[str, Any]) -> None:
    """Compare a manifest with the schema.

    Raises:
        ValueError: If it does not follow the schema.
    """
    errors = jsonschema.Draft202012Validator(schema()).iter_errors(manifest)
    error = jsonschema.exceptions.best_match(errors)
    if error is not None:
        place = "/".join(str(part) for part in error.absolute_path) or "top level"
        raise ValueError(f"manifest: at {place}: {error.message}.")


def text(manifest: dict[str, Any]) -> str:
    """Return the manifest as JSON; NaN and infinities, which JSON has not, are refused."""
    return json.dumps(manifest, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def read(directory: Path) -> dict[str, Any]:
    """Read ``manifest.json`` of an exported model.

    Raises:
        ValueError: If there is none, or it does not follow the schema.
    """
    try:
        content = (directory / "manifest.json").read_text(encoding="utf-8")
    except OSError as error:
        raise ValueError(
            f"{directory}: not an exported model, no manifest.json ({error})."
        ) from None
    manifest: dict[str, Any] = json.loads(content)
    check(manifest)
    return manifest


def write(manifest: dict[str, Any], directory: Path) -> None:
    """Write ``manifest.json`` with the checksum of every other file in the directory.

    It appears whole: a reader finds the old one or the new one.
    """
    listed = {}
    for path in sorted(directory.iterdir()):
        if path.name not in ("manifest.json", *DERIVED):
            content = path.read_bytes()
            digest = hashlib.sha256(content).hexdigest()
            listed[path.name] = {"sha256": digest, "bytes": len(content)}
    replace({**manifest, "files": listed}, directory)


def replace(document: dict[str, Any], directory: Path) -> None:
    """Write a complete manifest in place of the one that is there, and the model card after it.

    Raises:
        ValueError: If it does not follow the schema.
    """
    check(document)
    card = markdown(document, RESPONSE if (directory / RESPONSE).is_file() else None)
    partial = directory / ".manifest.json.part"
    partial.write_text(text(document), encoding="utf-8")
    partial.replace(directory / "manifest.json")
    (directory / CARD).write_text(card, encoding="utf-8")
