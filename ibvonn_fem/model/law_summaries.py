"""What ``ibvonn-fem models`` says of a law, from its manifest alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from ..errors import ExportedModelError
from ..kernels.base import FloatArray
from .carried_laws import CARRIED_LAWS, carried_folder
from .manifest import Manifest, read_manifest


@dataclass(frozen=True)
class LawSummary:
    """A law in a few lines.

    Attributes:
        name: Name with which :func:`~ibvonn_fem.load_model` finds the law, or its path.
        description: What it is a law of.
        strains: Components of the strain, in array order, and its measure.
        variables: Internal variables by their kind, in array order.
        validity: Ranges of strain, strain rate and time step of the training data.
        folder: The exported directory.
    """

    name: str
    description: str
    strains: str
    variables: str
    validity: str
    folder: Path


def summaries_of(folder: str | Path | None = None) -> list[LawSummary]:
    """Summaries of the carried laws, or of every model in a folder.

    Args:
        folder: Folder whose subfolders are exported models (default: the carried laws).

    Raises:
        ExportedModelError: If the folder holds no model, or a manifest cannot be read.
    """
    if folder is None:
        return [_summary(name, read_manifest(carried_folder() / name)) for name in CARRIED_LAWS]
    paths = sorted(path.parent for path in Path(folder).glob("*/manifest.json"))
    if not paths:
        raise ExportedModelError(
            f"{folder}: has no subfolder with a manifest.json. Give a folder of exported models, "
            "or none to see the laws that the package carries."
        )
    return [_summary(str(path), read_manifest(path)) for path in paths]


def _summary(name: str, manifest: Manifest) -> LawSummary:
    measure = manifest.raw["strain"].get("measure")
    strains = ", ".join(manifest.strain_components)
    return LawSummary(
        name=name,
        description=manifest.description,
        strains=f"{strains} ({measure})" if measure else strains,
        variables="; ".join(_variables(manifest)),
        validity=_validity(manifest),
        folder=manifest.directory,
    )


def _variables(manifest: Manifest) -> Iterator[str]:
    """Components of the internal variables, those of one kind together."""
    for kind, alike in groupby(manifest.variables, key=_kind_of):
        variables = list(alike)
        components = [name for variable in variables for name in variable["components"]]
        kinds = kind if len(variables) == 1 else f"{kind} each"
        yield f"{', '.join(components)} ({kinds})"


def _kind_of(variable: Mapping[str, Any]) -> str:
    if variable["kind"] == "population":
        return f"population of {variable['states']} states"
    return str(variable["kind"])


def _validity(manifest: Manifest) -> str:
    envelope, unit = manifest.envelope, manifest.units["time"]
    low, high = envelope.time_step[0], envelope.time_step[1]
    time = "" if unit == "1" else f" {unit}"
    per_time = "" if unit == "1" else f" per {unit}"
    return (
        f"strain {_ranges(envelope.strain)}; "
        f"strain rate {_ranges(envelope.strain_rate)}{per_time}; "
        f"time step {low:.3g} to {high:.3g}{time}"
    )


def _ranges(bounds: FloatArray) -> str:
    """Range of each component, or the common one."""
    texts = [f"{low:.3g} to {high:.3g}" for low, high in bounds]
    if len(set(texts)) > 1:
        return ", ".join(texts)
    return texts[0] if len(texts) == 1 else f"{texts[0]} each"
