"""The fields of a record from an HDF5 file, of format 2 or of format 1 (CONVENTIONS.md)."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from ..files.memory import require_memory
from ..files.plain_files import require_regular
from ..files.toml_tables import shown
from . import format_1, histogram
from .drive_records import CHAIN_DATASETS, STRAIN_DATASETS, drive_named
from .element_classes import ClassSymmetry
from .hdf5 import StoredMicrostate, located, reading

FORMAT = 2
REQUIRED_ATTRIBUTES = (
    "format",
    "system",
    "drive",
    "strain_kind",
    "parameters",
    "time_step",
    "seed",
    "units",
)
REQUIRED_DATASETS = ("time", "strain", "stress")
OPTIONAL_DATASETS = ("energy", "stress_variance", "strain_basis", *STRAIN_DATASETS, *CHAIN_DATASETS)
TEXT_BYTES = 2**20
"""Longest attribute that is read."""


@contextmanager
def open_fields(path: str | Path, group: str = "/") -> Iterator[dict[str, Any]]:
    """Open a file and give the fields of its ensemble, the microstates still in the file.

    Args:
        path: Of the file.
        group: Group of the file that holds the ensemble.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not such a file; the message names file and dataset.
    """
    source = Path(path)
    if not source.exists():
        raise FileNotFoundError(f"{source}: no such file. Write one with `ibvonn simulate`.")
    require_regular(source)
    with reading(source):
        file = h5py.File(source, "r")
    with file:
        try:
            with reading(source):
                fields = _fields(file, group, source)
        except ValueError as error:
            raise located(source, error) from error
        yield fields


def _fields(file: h5py.File, group: str, path: Path) -> dict[str, Any]:
    part = _group(file, group)
    missing = [key for key in REQUIRED_ATTRIBUTES if key not in part.attrs]
    if missing:
        groups = [name for name in part if isinstance(part[name], h5py.Group)]
        hint = f" Name one of the groups {groups}." if groups else ""
        raise ValueError(
            f"must have the attributes {', '.join(REQUIRED_ATTRIBUTES)}; missing: {missing}.{hint}"
        )
    version = _number(part, "format", int)
    if version > FORMAT:
        raise ValueError(
            f"written in format {version}, this version reads up to {FORMAT}. Update the package."
        )
    common = {
        "system": _text(part, "system"),
        "strain_kind": _text(part, "strain_kind"),
        "parameters": _json(part, "parameters", dict),
        "time_step": _number(part, "time_step", float),
        "seed": _number(part, "seed", int),
        "units": _json(part, "units", dict),
    }
    drive = _text(part, "drive")
    if version < 2:
        return format_1.converted({**common, "drive": drive, **_datasets_of_format_1(part, path)})
    return {**common, **_fields_of_format_2(part, path, drive)}


def _datasets_of_format_1(part: h5py.Group, path: Path) -> dict[str, Any]:
    stored = _present(part, format_1.DATASETS, ("site_force",))
    microstate = stored.pop("microstate")
    arrays = _read(part, stored, math.prod(microstate.shape[:3]), f"microstate {microstate.shape}")
    return {**arrays, "microstate": StoredMicrostate(microstate, path)}


def _fields_of_format_2(part: h5py.Group, path: Path, drive: str) -> dict[str, Any]:
    binned = part.get("weights", getlink=True) is not None
    states = ("nodes", "weights") if binned else ("microstate",)
    optional = (*OPTIONAL_DATASETS, *(histogram.DATASETS if binned else ()))
    stored = _present(part, (*REQUIRED_DATASETS, *states), optional)
    micro = stored.pop("microstate", None)
    weights = {name: stored.pop(name) for name in histogram.DATASETS if name in stored}
    size = stored["strain"].size
    arrays = _read(part, stored, size, f"strain {stored['strain'].shape}")
    of_drive = {name: arrays.pop(name, None) for name in (*STRAIN_DATASETS, *CHAIN_DATASETS)}
    samples = (
        _number(part, "samples_per_replica", int) if "samples_per_replica" in part.attrs else 1
    )
    fields: dict[str, Any] = {
        **arrays,
        "drive": drive_named(drive, of_drive),
        "microstate": None if micro is None else StoredMicrostate(micro, path),
        "samples_per_replica": samples,
    }
    if binned:
        for name, dataset in weights.items():
            require_memory(name, 8 * dataset.size, "Store fewer nodes or instants.")
        numbers = {name: np.asarray(dataset[()]) for name, dataset in weights.items()}
        replicas = _number(part, "replicas", int)
        fields["histogram"] = histogram.Histogram(
            **numbers, replicas=replicas, samples_per_replica=samples
        )
        fields["samples_per_replica"] = 1
    for name in ("strain_names", "stress_names", "classes", "not_recorded"):
        if name in part.attrs:
            fields[name] = tuple(map(str, _json(part, name, list)))
    if "strain_measure" in part.attrs:
        fields["strain_measure"] = _text(part, "strain_measure")
    if "reference_volume" in part.attrs:
        fields["reference_volume"] = _number(part, "reference_volume", float)
    if "symmetry" in part.attrs:
        fields["symmetry"] = _symmetry(_json(part, "symmetry", list))
    return fields


def _symmetry(elements: list[Any]) -> tuple[ClassSymmetry, ...]:
    try:
        return tuple(
            ClassSymmetry(
                tuple(int(c) for c in element["classes"]), np.array(element["strain"], np.float64)
            )
            for element in elements
        )
    except (TypeError, KeyError, ValueError, OverflowError) as error:
        raise ValueError(
            "attribute symmetry must be a list of objects with classes, a permutation, and strain, "
            f"a matrix ({type(error).__name__}: {error})."
        ) from error


def _present(
    part: h5py.Group, required: tuple[str, ...], optional: tuple[str, ...]
) -> dict[str, h5py.Dataset]:
    """Return the datasets of a record that are there.

    Raises:
        ValueError: If one that is required is missing.
    """
    names = [*required, *(name for name in optional if part.get(name, getlink=True))]
    stored = {name: _dataset(part, name) for name in dict.fromkeys(names)}
    absent = [name for name in required if stored[name] is None]
    if absent:
        raise ValueError(f"must have the datasets {', '.join(required)}; missing: {absent}.")
    return {name: dataset for name, dataset in stored.items() if dataset is not None}


def _read(
    part: h5py.Group, stored: dict[str, h5py.Dataset], largest: int, like: str
) -> dict[str, npt.NDArray[np.float64]]:
    """Read series, none of which is larger than what it goes with."""
    for name, dataset in stored.items():
        if dataset.size > max(largest, 1 if name != "strain_basis" else 2**16):  # before it is read
            raise ValueError(f"{name} must match {like}; found shape {dataset.shape}.")
        require_memory(name, 8 * dataset.size, "The shape of the dataset is wrong, or store less.")
    arrays = {name: np.asarray(dataset[()], np.float64) for name, dataset in stored.items()}
    if stored["time"].dtype.itemsize < 8 and stored["time"].dtype.kind == "f":
        arrays["time"] = _on_steps(arrays["time"], _number(part, "time_step", float))
    return arrays


def _group(file: h5py.File, name: str) -> h5py.Group:
    """Return a group of the file itself."""
    part: Any = file
    for step in name.strip("/").split("/") if name.strip("/") else []:
        part = _own(part, step) if isinstance(part, h5py.Group) else None
    if not isinstance(part, h5py.Group):
        raise ValueError(f"has no group {name!r}; its entries are {sorted(file)}.")
    return part


def _own(part: h5py.Group, name: str) -> Any:
    """Return an entry that lies in the file; links may lead into files that are not named."""
    link = part.get(name, getlink=True)
    if link is not None and not isinstance(link, h5py.HardLink):
        raise ValueError(
            f"{name} must lie in the file itself; found a link to {shown(link.path)}. Copy what it "
            "leads to into the file."
        )
    return None if link is None else part[name]


def _dataset(part: h5py.Group, name: str) -> h5py.Dataset | None:
    """Return a dataset of numbers that lies in the file, not read yet; None where it is missing."""
    item = _own(part, name)
    if not isinstance(item, h5py.Dataset):
        return None
    if item.is_virtual or item.external:
        raise ValueError(
            f"{name} must lie in the file itself; its values are in other files. Copy them into "
            "the file."
        )
    if item.dtype.kind not in "fiu" or item.dtype == np.float16:
        raise ValueError(
            f"{name} must hold numbers of at least single precision; found the type {item.dtype}."
        )
    if item.shape is None:
        raise ValueError(f"{name} must hold numbers; found an empty dataset.")
    packed = [key for key in ("scale_factor", "add_offset") if key in item.attrs]
    if packed:
        raise ValueError(
            f"{name} must hold the values themselves; its attributes {packed} say that they are "
            "packed. Write them unpacked."
        )
    return item


def _on_steps(time: npt.NDArray[np.float64], time_step: float) -> npt.NDArray[np.float64]:
    """Return instants of single precision as the whole numbers of steps that they stand for.

    Instants that are no such numbers within their rounding are returned as they are.
    """
    if not (np.isfinite(time).all() and time.size and time_step > 0):
        return time  # refused later, in words
    steps = np.round((time - time[0]) / time_step)
    exact: npt.NDArray[np.float64] = time[0] + steps * time_step
    rounding = np.finfo(np.float32).eps * np.abs(time).max()
    return exact if (np.abs(exact - time) <= rounding).all() else time


def _text(part: h5py.Group, name: str) -> str:
    value = part.attrs[name]
    if isinstance(value, str | bytes) and len(value) > TEXT_BYTES:
        raise ValueError(f"attribute {name} must be a short text; found {len(value)} characters.")
    return value.decode() if isinstance(value, bytes) else str(value)


def _number(part: h5py.Group, name: str, kind: type[int] | type[float]) -> Any:
    value = part.attrs[name]
    values = np.asarray(value)  # some programs write a number as an array of one
    if values.dtype.kind not in "fiu" or values.size != 1 or not np.isfinite(values).all():
        raise ValueError(f"attribute {name} must be a number; found {shown(value)}.")
    return kind(values.item())


def _json(part: h5py.Group, name: str, kind: type[dict[str, Any]] | type[list[Any]]) -> Any:
    word = "object" if kind is dict else "list"
    try:
        value = json.loads(_text(part, name))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"attribute {name} must be a JSON {word} ({error}).") from error
    if not isinstance(value, kind):
        raise ValueError(f"attribute {name} must be a JSON {word}; found {shown(value)}.")
    return value
