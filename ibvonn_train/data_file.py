"""Microscopic data as HDF5: atomic writing, and reading in parts (CONVENTIONS.md)."""

from __future__ import annotations

import io
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from .tables import shown

FORMAT = 1
REQUIRED_DATASETS = ("time", "control", "control_rate", "microstate", "force")
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
CHUNK_BYTES = 2**20


class StoredMicrostate:
    """Microstates that stay in their file until they are indexed.

    Looks like the array as far as shapes, indexing by the first axes and conversion to NumPy go.
    What is read is checked to be finite.

    Args:
        dataset: Of the open file.
        path: Of the file, for messages.
    """

    def __init__(self, dataset: h5py.Dataset, path: Path) -> None:
        self._dataset, self._path = dataset, path
        self.shape: tuple[int, ...] = dataset.shape
        self.ndim = len(self.shape)
        self.dtype: np.dtype[Any] = dataset.dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> npt.NDArray[Any]:
        if isinstance(key, list):  # HDF5 itself wants increasing lists
            return np.stack([self[index] for index in key])
        values = np.asarray(self._dataset[key])
        require_finite(f"{self._path}: microstate", values)
        return values

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return np.asarray(self[:], dtype)

    def mean(self, axis: int, dtype: Any = np.float64) -> npt.NDArray[Any]:
        """Return the mean over one axis but the first, protocol by protocol."""
        rows = [np.asarray(row).mean(axis=axis - 1, dtype=dtype) for row in self]
        return np.stack(rows)

    def __iter__(self) -> Iterator[npt.NDArray[Any]]:
        return (self[index] for index in range(len(self)))


def require_finite(place: str, values: npt.NDArray[Any]) -> None:
    """Raise :class:`ValueError` naming the first value that is not finite."""
    # A sum is finite only where every term is (or overflows, which is as bad).
    with np.errstate(over="ignore", invalid="ignore"):
        total = values.sum(dtype=np.float64)
    if not np.isfinite(total):
        bad = np.argwhere(~np.isfinite(values))
        where = tuple(int(i) for i in bad[0]) if len(bad) else "its sum"
        raise ValueError(f"{place} must be finite; found {len(bad)} bad values, first at {where}.")


class _Disk(io.FileIO):
    """A file that HDF5 can close in peace even if its disk is full: else it crashes at exit.

    After a failed write nothing more reaches the disk, and :meth:`check` and :meth:`close` raise
    its error.
    """

    error: OSError | None = None

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        written = 0
        try:
            while self.error is None and written < len(view):
                written += super().write(view[written:])
        except OSError as error:
            self.error = error
        return len(view)

    def check(self) -> None:
        """Raise the error of an earlier write."""
        if self.error is not None:
            raise self.error

    def close(self) -> None:
        super().close()
        self.check()


def write_file(
    path: str | Path, datasets: Mapping[str, Any], attributes: Mapping[str, Any]
) -> None:
    """Write a file under a temporary name and rename it; a failure leaves the old file as it was.

    Args:
        path: Of the file; its folder is made.
        datasets: Name → array; ``microstate`` is written protocol by protocol and compressed.
        attributes: Of the file.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        with _Disk(temporary, "x+b") as disk, h5py.File(disk, "w") as file:
            for name, array in datasets.items():
                if name == "microstate":
                    _write_microstate(file, array)
                else:
                    file.create_dataset(name, data=array)
                disk.check()
            file.attrs.update(attributes)
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _write_microstate(file: h5py.File, array: Any) -> None:
    instant = int(np.prod(array.shape[2:])) * array.dtype.itemsize
    instants = max(1, min(array.shape[1], CHUNK_BYTES // max(1, instant)))
    stored = file.create_dataset(
        "microstate",
        shape=array.shape,
        dtype=array.dtype,
        chunks=(1, instants, *array.shape[2:]),
        shuffle=True,
        compression="lzf",
    )
    for case in range(array.shape[0]):
        stored[case] = array[case]


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
    with _unreadable(source):
        file = h5py.File(source, "r")
    with file:
        try:
            with _unreadable(source):
                fields = _fields(file, group, source)
        except ValueError as error:
            raise located(source, error) from error
        yield fields


def located(path: str | Path, error: ValueError) -> ValueError:
    """Return the error with the file's name in front, unless it is there already."""
    text = str(error)
    return error if text.startswith(f"{path}: ") else ValueError(f"{path}: {text}")


@contextmanager
def _unreadable(path: Path) -> Iterator[None]:
    """Turn what HDF5 says of a broken file into a sentence."""
    try:
        yield
    except (OSError, RuntimeError) as error:  # h5py has both for damaged files
        raise ValueError(
            f"{path}: must be a readable HDF5 file; it is not, perhaps it is truncated ({error}). "
            "Write it again."
        ) from error


def _fields(file: h5py.File, group: str, path: Path) -> dict[str, Any]:
    if group not in file or not isinstance(file[group], h5py.Group):
        raise ValueError(f"has no group {group!r}; its entries are {sorted(file)}.")
    part = file[group]
    missing = [key for key in REQUIRED_ATTRIBUTES if key not in part.attrs]
    if missing:
        groups = [name for name in part if isinstance(part[name], h5py.Group)]
        hint = f" Name one of the groups {groups}." if groups else ""
        raise ValueError(
            f"must have the attributes {', '.join(REQUIRED_ATTRIBUTES)}; missing: {missing}.{hint}"
        )
    if _number(part, "format", int) > FORMAT:
        raise ValueError(
            f"written in format {int(part.attrs['format'])}, this version reads up to {FORMAT}. "
            "Update the package."
        )
    absent = [key for key in REQUIRED_DATASETS if not isinstance(part.get(key), h5py.Dataset)]
    if absent:
        raise ValueError(
            f"must have the datasets {', '.join(REQUIRED_DATASETS)}; missing: {absent}."
        )
    names = [*REQUIRED_DATASETS, *(["site_force"] if "site_force" in part else [])]
    for name in names:
        if part[name].dtype.kind not in "fiu":
            raise ValueError(f"{name} must hold numbers; found the type {part[name].dtype}.")
        if part[name].shape is None:
            raise ValueError(f"{name} must hold numbers; found an empty dataset.")
    arrays = {
        name: np.asarray(part[name][()], np.float64) for name in names if name != "microstate"
    }
    return {
        "site_force": None,
        **arrays,
        "microstate": StoredMicrostate(part["microstate"], path),
        "system": _text(part, "system"),
        "drive": _text(part, "drive"),
        "strain_kind": _text(part, "strain_kind"),
        "parameters": _json(part, "parameters"),
        "time_step": _number(part, "time_step", float),
        "seed": _number(part, "seed", int),
        "units": _json(part, "units"),
    }


def _text(part: h5py.Group, name: str) -> str:
    value = part.attrs[name]
    return value.decode() if isinstance(value, bytes) else str(value)


def _number(part: h5py.Group, name: str, kind: type[int] | type[float]) -> Any:
    found = part.attrs[name]
    values = np.asarray(found)  # some programs write a number as an array of one
    if values.dtype.kind not in "fiu" or values.size != 1 or not np.isfinite(values).all():
        raise ValueError(f"attribute {name} must be a number; found {shown(found)}.")
    return kind(values.item())


def _json(part: h5py.Group, name: str) -> dict[str, Any]:
    try:
        value = json.loads(_text(part, name))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"attribute {name} must be a JSON object ({error}).") from error
    if not isinstance(value, dict):
        raise ValueError(f"attribute {name} must be a JSON object; found {shown(value)}.")
    return value
