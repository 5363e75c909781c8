"""Files of format 1: records of one strain component, of a controlled strain or of a chain.

They are read and converted; nothing writes them. The hash of a record that format 1 can hold stays
the one of format 1, because the manifests of exported models name their training data by it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from .drive_records import CHAIN_DATASETS, ChainDriven, StrainDriven, drive_named
from .ensemble_fields import EnsembleFields

DATASETS = ("time", "control", "control_rate", "microstate", "force")
KINDS = ("controlled", "averaged")


def converted(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of an ensemble from those of a file of format 1.

    Controlled strain: ε = control, σ = force. Averaged strain: ε = ⟨x⟩, σ = site_force, and the
    record is that of a chain.

    Args:
        fields: time, control, control_rate, microstate, force and, of averaged strain, site_force,
            with the attributes of the file.

    Raises:
        ValueError: If the shapes are not those of format 1.
    """
    common = ("time", "microstate", "system", "strain_kind", "parameters", "time_step", "seed")
    known = {key: fields[key] for key in (*common, "units")}
    _require_shapes(fields)
    if fields["drive"] not in ("end", "force"):
        raise ValueError(f"drive must be one of ('end', 'force'); found {fields['drive']!r}.")
    if fields["strain_kind"] == "controlled":
        if fields["microstate"].shape[2] > 1:
            raise ValueError(
                "microstate of controlled strain must have one site in format 1; found "
                f"{fields['microstate'].shape[2]}. Write the sites as replicas if they are alike, "
                "else as classes of format 2."
            )
        strain, rate, stress = (
            np.asarray(fields[name])[:, :, None, None]
            for name in ("control", "control_rate", "force")
        )
        return {**known, "strain": strain, "stress": stress, "drive": StrainDriven(rate)}
    if fields.get("site_force") is None:
        raise ValueError(
            f"{fields['system']}: averaged strain needs site_force for the stress; found none."
        )
    strain = np.asarray(fields["microstate"].mean(axis=3, dtype=np.float64))
    drive = drive_named(fields["drive"], {name: fields[name] for name in CHAIN_DATASETS})
    stress = np.asarray(fields["site_force"])[..., None]
    return {**known, "strain": strain, "stress": stress, "drive": drive}


def _require_shapes(fields: Mapping[str, Any]) -> None:
    shape = fields["microstate"].shape
    if len(shape) != 5 or 0 in shape:
        raise ValueError(
            "microstate must have the axes (protocol, time, site, replica, x), none of them empty; "
            f"found shape {shape}."
        )
    if fields["strain_kind"] not in KINDS:
        raise ValueError(f"strain_kind must be one of {KINDS}; found {fields['strain_kind']!r}.")
    shapes = {"time": shape[1:2], **dict.fromkeys(CHAIN_DATASETS, shape[:2])}
    shapes["site_force"] = shape[:3]
    for name, expected in shapes.items():
        if fields.get(name) is not None and fields[name].shape != expected:
            raise ValueError(
                f"{name} must have shape {expected} to match microstate; found "
                f"{fields[name].shape}."
            )


def holds(data: EnsembleFields) -> bool:
    """Return whether format 1 can hold a record: samples, one class, one component of strain.

    Energy and variance of the stress follow from the samples.
    """
    plain = data.histogram is None and len(data.classes) == 1 and data.samples_per_replica == 1
    if not plain or data.strain.shape[-1] != 1:
        return False
    if isinstance(data.drive, ChainDriven):
        return data.strain_kind == "averaged"
    has_rate = data.drive.strain_rate is not None
    return data.strain_kind == "controlled" and has_rate and data.points == 1


def sha256(data: EnsembleFields) -> str:
    """Return the hash of format 1 of a record that it can hold."""
    attributes = {
        "format": 1,
        "system": data.system,
        "drive": "end" if isinstance(data.drive, StrainDriven) else data.drive.kind,
        "strain_kind": data.strain_kind,
        "parameters": json.dumps(data.parameters, sort_keys=True),
        "time_step": data.time_step,
        "seed": data.seed,
        "units": json.dumps(data.units, sort_keys=True),
    }
    if isinstance(data.drive, ChainDriven):
        drive, site_force = data.drive.datasets(), {"site_force": data.stress[..., 0]}
    else:
        assert data.drive.strain_rate is not None  # noqa: S101 (`holds` has looked)
        parts = (data.strain, data.drive.strain_rate, data.stress)
        names = CHAIN_DATASETS
        drive = {name: part[:, :, 0, 0] for name, part in zip(names, parts, strict=True)}
        site_force = {}
    arrays = {"time": data.time, **drive, "microstate": data.microstate}
    order = [*DATASETS, *site_force]
    return digest(attributes, {name: {**arrays, **site_force}[name] for name in order})


def digest(attributes: Mapping[str, Any], arrays: Mapping[str, Any]) -> str:
    """Return a hash of attributes and arrays, independent of file and compression."""
    total = hashlib.sha256(json.dumps(dict(attributes), sort_keys=True).encode())
    for name, array in arrays.items():
        total.update(f"{name} {array.dtype.str} {array.shape}".encode())
        for index in range(len(array)):  # row by row: it may be larger than memory
            total.update(np.ascontiguousarray(array[index]).tobytes())
    return total.hexdigest()
