"""Microscopic data as HDF5: atomic writing, and reading in parts (CONVENTIONS.md)."""

from __future__ import annotations

import errno
import io
import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from ..files.memory import require_memory
from ..files.plain_files import replacing, require_regular
from ..files.toml_tables import shown

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
TEXT_BYTES = 2**20
"""Longest attribute that is read."""
READABLE = (np.dtype(np.float32), np.dtype(np.float64))
"""Types of microstates, in either byte order; float16 has too few digits for the flow."""


class StoredMicrostate:
    """Microstates that stay in their file until they are indexed.

    Looks like the array as far as shapes, indexing by the first axes and conversion to NumPy go.
    What is read is checked to be finite, and to fit into memory; its byte order is the machine's.

    Args:
        dataset: Of the open file.
        path: Of the file, for messages.
    """

    def __init__(self, dataset: h5py.Dataset, path: Path) -> None:
        self._dataset, self._path = dataset, path
        self.shape: tuple[int, ...] = dataset.shape
        self.ndim = len(self.shape)
        self.dtype: np.dtype[Any] = dataset.dtype.newbyteorder("=")

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> npt.NDArray[Any]:
        if isinstance(key, list):  # HDF5 itself wants increasing lists
            return np.stack([self[index] for index in key])
        require_memory(
            f"{self._path}: microstate",
            self._bytes(key),
            "Read fewer protocols at a time, or keep fewer replicas in the file.",
        )
        values = np.asarray(self._dataset[key], self.dtype)
        require_finite(f"{self._path}: microstate", values)
        return values

    def _bytes(self, key: Any) -> int:
        """Return the size of what an index selects along the first axis; others are not counted."""
        first = key[0] if isinstance(key, tuple) and key else key
        rows = 1
        if isinstance(first, slice):
            rows = len(range(*first.indices(len(self))))
        elif first is Ellipsis or first == ():
            rows = len(self)
        return rows * math.prod(self.shape[1:]) * self.dtype.itemsize

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
    """A file that HDF5 can close without a crash even if its disk is full.

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
    with replacing(path) as stream:
        with _Disk(stream.fileno(), "r+b", closefd=False) as disk, h5py.File(disk, "w") as file:
            for name, array in datasets.items():
                if name == "microstate":
                    _write_microstate(file, array)
                else:
                    file.create_dataset(name, data=array)
                disk.check()
            file.attrs.update(attributes)


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
    require_regular(source)
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
    except (OSError, RuntimeError, KeyError) as error:  # h5py has all three for damaged files
        raise unreadable(path, error) from error


def unreadable(path: str | Path, error: Exception) -> ValueError:
    """Return in a sentence what HDF5 says of a file; nothing in it is a reason to replace the file.

    A file that is being written is locked, marked as open, or shorter than its own record of its
    length.
    """
    text = " ".join(str(error).split())
    busy = isinstance(error, OSError) and error.errno in (errno.EAGAIN, errno.EACCES)
    if (busy and "lock" in text) or "already open for" in text:
        return ValueError(
            f"{path}: must not be open for writing in another program, which it is ({text}). Read "
            "it when that program has closed it."
        )
    if isinstance(error, PermissionError):
        return ValueError(f"{path}: must be readable to you; it is not ({text}).")
    if "truncated" in text:
        return ValueError(
            f"{path}: must be complete; it is shorter than it says, truncated or still being "
            f"written ({text}). Wait for the program that writes it, or copy it again from where "
            "it is whole."
        )
    return ValueError(
        f"{path}: must be a readable HDF5 file; HDF5 says: {text}. Keep the file, and check that "
        "it is HDF5, that its copy is whole and that no program is writing it."
    )


def _fields(file: h5py.File, group: str, path: Path) -> dict[str, Any]:
    part = _group(file, group)
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
    names = [*REQUIRED_DATASETS, *(["site_force"] if part.get("site_force", getlink=True) else [])]
    stored = {name: _dataset(part, name) for name in names}
    absent = [name for name, found in stored.items() if found is None]
    if absent:
        raise ValueError(
            f"must have the datasets {', '.join(REQUIRED_DATASETS)}; missing: {absent}."
        )
    microstate: h5py.Dataset = stored["microstate"]
    small = {name: dataset for name, dataset in stored.items() if dataset and name != "microstate"}
    instants = math.prod(microstate.shape[:3])
    for name, dataset in small.items():
        if dataset.size > max(instants, 1):  # before it is read
            raise ValueError(
                f"{name} must match microstate of shape {microstate.shape}; found shape "
                f"{dataset.shape}."
            )
        require_memory(name, 8 * dataset.size, "The shape of the dataset is wrong, or store less.")
    arrays = {name: np.asarray(dataset[()], np.float64) for name, dataset in small.items()}
    time_step = _number(part, "time_step", float)
    if small["time"].dtype.itemsize < 8 and small["time"].dtype.kind == "f":
        arrays["time"] = _on_steps(arrays["time"], time_step)
    return {
        "site_force": None,
        **arrays,
        "microstate": StoredMicrostate(microstate, path),
        "system": _text(part, "system"),
        "drive": _text(part, "drive"),
        "strain_kind": _text(part, "strain_kind"),
        "parameters": _json(part, "parameters"),
        "time_step": time_step,
        "seed": _number(part, "seed", int),
        "units": _json(part, "units"),
    }


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


def _json(part: h5py.Group, name: str) -> dict[str, Any]:
    try:
        value = json.loads(_text(part, name))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"attribute {name} must be a JSON object ({error}).") from error
    if not isinstance(value, dict):
        raise ValueError(f"attribute {name} must be a JSON object; found {shown(value)}.")
    return value
