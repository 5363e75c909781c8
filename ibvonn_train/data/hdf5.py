"""Microscopic data as HDF5: atomic writing, and reading in parts (CONVENTIONS.md)."""

from __future__ import annotations

import errno
import io
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from ..files.memory import require_memory
from ..files.plain_files import replacing

CHUNK_BYTES = 2**20
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
        """Return the size of what an index selects along protocols and instants."""
        first, *rest = key if isinstance(key, tuple) and key else (key,)
        rows = 1
        if isinstance(first, slice):
            rows = len(range(*first.indices(len(self))))
        elif first is Ellipsis or first == ():
            rows = len(self)
        instants = self.shape[1] if self.ndim > 1 else 1
        if rest and isinstance(rest[0], slice):
            instants = len(range(*rest[0].indices(instants)))
        elif rest and isinstance(rest[0], int):
            instants = 1
        return rows * instants * math.prod(self.shape[2:]) * self.dtype.itemsize

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
    path: str | Path,
    datasets: Mapping[str, Any],
    attributes: Mapping[str, Any],
    finish: Callable[[h5py.File], None] | None = None,
) -> None:
    """Write a file under a temporary name and rename it; a failure leaves the old file as it was.

    Args:
        path: Of the file; its folder is made.
        datasets: Name → array; large ones are written protocol by protocol and compressed.
        attributes: Of the file.
        finish: Adds what is small to the file at last.
    """
    with replacing(path) as stream:
        with _Disk(stream.fileno(), "r+b", closefd=False) as disk, h5py.File(disk, "w") as file:
            for name, array in datasets.items():
                if name == "microstate" or _is_large(array):
                    _write_compressed(file, name, array)
                else:
                    file.create_dataset(name, data=array)
                disk.check()
            file.attrs.update(attributes)
            if finish is not None:
                finish(file)


def _is_large(array: Any) -> bool:
    return np.ndim(array) > 2 and np.asarray(array).nbytes > CHUNK_BYTES


def _write_compressed(file: h5py.File, name: str, array: Any) -> None:
    instant = int(np.prod(array.shape[2:])) * array.dtype.itemsize
    instants = max(1, min(array.shape[1], CHUNK_BYTES // max(1, instant)))
    stored = file.create_dataset(
        name,
        shape=array.shape,
        dtype=array.dtype,
        chunks=(1, instants, *array.shape[2:]),
        shuffle=True,
        compression="lzf",
    )
    for case in range(array.shape[0]):
        if not isinstance(array, StoredMicrostate):
            stored[case] = array[case]
            continue
        for at in range(0, array.shape[1], instants):  # one protocol may be larger than memory
            part = slice(at, at + instants)
            stored[case, part] = array[case, part]


def located(path: str | Path, error: ValueError) -> ValueError:
    """Return the error with the file's name in front, unless it is there already."""
    text = str(error)
    return error if text.startswith(f"{path}: ") else ValueError(f"{path}: {text}")


@contextmanager
def reading(path: Path) -> Iterator[None]:
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
