"""``manifest.json``: what a finite-element code must know of a law besides its numbers.

Whoever writes it here writes the model card too, so that the two never disagree.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..files.former_format import ONE_CLASS, as_written, identity, order_of
from ..files.model_directory import (
    FORMAT,
    MANIFEST,
    METADATA,
    STAMP,
    manifest_hash,
    problem_of,
    read_arrays,
    read_document,
    require_consistent,
    require_unaltered,
)
from ..files.plain_files import locked, read_file, require_plain, write_file
from ..files.state_bounds import means, population
from .constitutive_law import ConstitutiveLaw
from .model_card import markdown

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
        strain_reference: Strain of the data, in their own measure, that the law calls zero; by
            default zero.
        strain_order: "mandel" for a symmetric tensor in Mandel order, "other" for anything else;
            by default as the names of the components show it.
        classes: Names of the classes of elements.
        strain_basis: A of every class, e = A ε being the strain that its elements see, ``(C, q,
            n_ε)``; by default the identity.
        symmetry: Permutations of the classes, each with the matrix that acts on ε beside it: list
            of ``classes`` and ``strain``; by default the identity alone.
        internal_classes: Class of every population and mean, as its place in ``classes``; by
            default the classes one after the other have equally many.
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
        certificate: Audits, or None: a list of ``audit``, ``value``, ``acceptance_range``,
            ``verdict``, ``detail``.
        errors: Errors of roll-outs in per cent, or None: a list of ``ensemble``, ``quantity``,
            ``error``, ``sampling_error``.
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
    strain_reference: Sequence[float] | None = None
    strain_order: str | None = None
    classes: Sequence[str] = (ONE_CLASS,)
    strain_basis: npt.ArrayLike | None = None
    symmetry: Sequence[dict[str, Any]] | None = None
    internal_classes: Sequence[int] | None = None
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
    versions = {"python": platform.python_version()}
    for name in names:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def build(law: ConstitutiveLaw, about: Description) -> dict[str, Any]:
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
    reference = [0.0] * m if about.strain_reference is None else about.strain_reference
    if len(reference) != m:
        raise ValueError(
            f"Description: strain_reference must have {m} entries, one per component of the law; "
            f"got {list(reference)}."
        )
    order = order_of(about.strain, about.strain_measure)
    if about.strain_order is not None and order != "scalar":
        order = about.strain_order
    stress, energy = law.equilibrium()
    ranges = np.asarray(law.envelope).tolist()
    return {
        "format": FORMAT,
        "name": about.name,
        "description": about.text,
        "licence": about.licence,
        "family": law.family,
        "classes": _classes(about, m),
        "symmetry": identity(m, len(about.classes))
        if about.symmetry is None
        else [
            {
                "classes": [int(k) for k in element["classes"]],
                "strain": np.asarray(element["strain"], dtype=np.float64).tolist(),
            }
            for element in about.symmetry
        ],
        "strain": {
            "kind": about.strain_kind,
            "components": list(about.strain),
            "measure": about.strain_measure,
            "order": order,
            "reference": [float(value) for value in reference],
        },
        "stress": {"components": list(about.stress), "measure": about.stress_measure},
        "internal": {
            "components": list(about.internal),
            "scale": law.internal_scale.tolist(),
            "meaning": about.internal_meaning,
            "variables": _variables(law, about),
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


def _classes(about: Description, size: int) -> list[dict[str, Any]]:
    if about.strain_basis is None:
        basis = np.tile(np.eye(size), (len(about.classes), 1, 1))
    else:
        basis = np.asarray(about.strain_basis, dtype=np.float64)
    if basis.ndim != 3 or len(basis) != len(about.classes) or basis.shape[2] != size:
        raise ValueError(
            f"Description: strain_basis must have shape ({len(about.classes)}, q, {size}), a "
            f"matrix for each class; got {basis.shape}."
        )
    return [
        {"name": name, "strain_basis": matrix.tolist()}
        for name, matrix in zip(about.classes, basis, strict=True)
    ]


def _variables(law: ConstitutiveLaw, about: Description) -> list[dict[str, Any]]:
    """The internal variables in the order of α: populations as the law has them, and means."""
    groups = {} if law.kinetics is None else dict(law.kinetics.populations.groups)
    sizes, at = [], 0
    while at < law.internal_size:
        sizes.append(groups.get(at, 2) - 1)
        at += sizes[-1]
    classes = about.internal_classes
    if classes is None:
        classes = [i * len(about.classes) // len(sizes) for i in range(len(sizes))]
    if len(classes) != len(sizes):
        raise ValueError(
            f"Description: internal_classes must have {len(sizes)} entries, one for each "
            f"population and mean; got {list(classes)}."
        )
    variables, at = [], 0
    for size, number in zip(sizes, classes, strict=True):
        names, of_class = list(about.internal[at : at + size]), about.classes[number]
        if at in groups and law.kinetics is not None:
            rest = -law.kinetics.populations.bounds[at : at + size, 0]
            variables.append(population(names, of_class, rest.tolist()))
        else:
            variables += means(names, of_class)
        at += size
    return variables


def check(manifest: dict[str, Any]) -> None:
    """Compare a manifest with the schema, and its entries with each other.

    Raises:
        ValueError: If something is wrong.
    """
    problem = problem_of(as_written(manifest))
    if problem is not None:
        raise ValueError(f"manifest: {problem}.")


def text(manifest: dict[str, Any]) -> str:
    """Return the manifest as JSON; NaN and infinities, which JSON has not, are refused."""
    return json.dumps(manifest, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def read(directory: Path) -> dict[str, Any]:
    """Read ``manifest.json`` of an exported model, after checking every file that it lists.

    Raises:
        ExportedModelError: If the directory is not a complete, unaltered model.
    """
    manifest = read_document(directory)
    require_unaltered(directory, manifest)
    if "parameters.npz" in manifest["files"]:
        require_consistent(directory, manifest, read_arrays(directory, manifest, "parameters.npz"))
    return manifest


def metadata(manifest: dict[str, Any]) -> dict[str, str]:
    """What every graph carries of its manifest: the text for a person, the hash for a reader."""
    return {METADATA: text(manifest), STAMP: manifest_hash(manifest)}


def write(manifest: dict[str, Any], directory: Path, names: Iterable[str]) -> None:
    """Write ``manifest.json`` with size and checksum of the named files, and the model card.

    It appears whole: a reader finds the old one or the new one.
    """
    listed = {}
    for name in sorted(names):
        content = read_file(directory / name)
        digest = hashlib.sha256(content).hexdigest()
        listed[name] = {"sha256": digest, "bytes": len(content)}
    others = {key: value for key, value in manifest.items() if key != "files"}
    _replace({**others, "files": listed}, directory)


def add(directory: Path, **entries: Any) -> None:
    """Add to the manifest of a model what was measured of it, and write its card again.

    Two processes that add to one model come one after the other: neither loses what the other
    wrote.

    Args:
        directory: The model.
        **entries: Entries that no graph knows: ``runtime_agreement``, ``seeds``.

    Raises:
        ValueError: If the directory is not an unaltered model, or an entry does not follow the
            schema.
    """
    with locked(directory):
        manifest = read(directory)
        listed = manifest.pop("files")
        _replace({**manifest, **entries, "files": listed}, directory)


def _replace(document: dict[str, Any], directory: Path) -> None:
    """Write a complete manifest in place of the one that is there, and the model card after it."""
    check(document)
    shown, document = document, as_written(document)
    for name in (MANIFEST, CARD, RESPONSE):
        require_plain(directory / name)
    card = markdown(shown, RESPONSE if (directory / RESPONSE).is_file() else None)
    write_file(directory / MANIFEST, text(document))
    write_file(directory / CARD, card)
