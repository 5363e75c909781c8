"""Reading and writing files where a stranger may have put something else in their place.

This file stands in both packages, which do not import each other; a test keeps the two alike.
What is written appears whole or not at all, and never through a link. What is read is a regular
file of bounded size, opened once, so that what is checked is what is used.
"""

from __future__ import annotations

import io
import json
import os
import secrets
import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

LARGEST_FILE = 2**30
"""Bytes of the largest file that is read whole."""

LARGEST_DEPTH = 64
"""Levels of nesting of a JSON document."""


def require_plain(path: Path) -> None:
    """Raise unless ``path`` is absent or a regular file: no link, pipe, device or folder.

    Raises:
        FileExistsError: If something else stands there.
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISREG(mode):
        raise FileExistsError(
            f"{path}: must be a regular file or absent, to be written; it is {_kind(mode)}. "
            "Remove it, or choose another name."
        )


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a new empty file beside ``path`` that takes its place when the block ends well.

    When the block raises, ``path`` is as it was. A file that is replaced keeps its mode.

    Raises:
        FileExistsError: If something that is not a regular file stands there.
    """
    path = Path(path)
    require_plain(path)
    part = path.with_name(f".{path.stem}.{secrets.token_hex(6)}.part{path.suffix}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
    os.close(os.open(part, flags, 0o666))
    try:
        with suppress(FileNotFoundError):
            part.chmod(stat.S_IMODE(path.stat().st_mode))
        yield part
        with part.open("rb+") as stream:
            os.fsync(stream.fileno())
        require_plain(path)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_file(path: str | Path, content: str | bytes) -> None:
    """Write a file whole or not at all; text in UTF-8, its line ends as they are.

    Raises:
        FileExistsError: If something that is not a regular file stands there.
    """
    with replacing(path) as part:
        part.write_bytes(content.encode() if isinstance(content, str) else content)


def read_file(path: str | Path, largest: int = LARGEST_FILE, size: int | None = None) -> bytes:
    """Read a regular file whole.

    Args:
        path: Which file; a link is refused.
        largest: Most bytes that are read.
        size: Bytes that it must have, looked at before anything is read.

    Raises:
        FileNotFoundError: If there is none.
        OSError: If it cannot be read.
        ValueError: If it is not a regular file, or not of that size.
    """
    path = Path(path)
    # Without O_NONBLOCK the opening of a pipe waits for a writer; without O_NOFOLLOW the file may
    # be exchanged for a link after it was looked at.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0)
    if not stat.S_ISREG(mode := path.lstat().st_mode):
        raise ValueError(f"{path}: must be a regular file; it is {_kind(mode)}.")
    with os.fdopen(os.open(path, flags), "rb") as stream:
        found = os.fstat(stream.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise ValueError(f"{path}: must be a regular file; it is {_kind(found.st_mode)}.")
        if size is not None and found.st_size != size:
            raise ValueError(f"{path}: must have {size} bytes; it has {found.st_size}.")
        if found.st_size > largest:
            raise ValueError(f"{path}: may have at most {largest} bytes; it has {found.st_size}.")
        return stream.read(found.st_size)


def _kind(mode: int) -> str:
    names = {
        stat.S_IFLNK: "a symbolic link",
        stat.S_IFDIR: "a directory",
        stat.S_IFIFO: "a pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }
    return names.get(stat.S_IFMT(mode), "something else")


@contextmanager
def locked(directory: str | Path) -> Iterator[None]:
    """Hold an advisory lock on a folder; processes that ask for it too come one after the other.

    Where the file system has no locks this does nothing.
    """
    handle = os.open(directory, os.O_RDONLY)
    try:
        with suppress(ImportError, OSError):
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def parse_json(content: bytes) -> Any:
    """Read JSON strictly: UTF-8, no NaN or infinity, no key twice, bounded depth.

    Raises:
        ValueError: If it is not such a document; the message is half a sentence.
    """

    def constant(name: str) -> None:
        raise ValueError(f"{name} is not a number of JSON")

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        document = dict(found)
        if len(document) < len(found):
            names = [key for key, _ in found]
            twice = next(key for key in names if names.count(key) > 1)
            raise ValueError(f"the key {twice!r} stands twice in one object")
        return document

    try:
        document = json.loads(content.decode(), parse_constant=constant, object_pairs_hook=pairs)
    except RecursionError:
        raise ValueError(f"it is nested deeper than {LARGEST_DEPTH} levels") from None
    level = [document]
    for _ in range(LARGEST_DEPTH):
        level = [
            child
            for node in level
            if isinstance(node, dict | list)
            for child in (node.values() if isinstance(node, dict) else node)
        ]
    if level:
        raise ValueError(f"it is nested deeper than {LARGEST_DEPTH} levels")
    return document


def parse_arrays(content: bytes, largest: int = LARGEST_FILE) -> dict[str, npt.NDArray[Any]]:
    """Read an ``.npz`` of plain number arrays; ``largest`` bounds the bytes of all arrays.

    Numbers are read from bytes that are really there: neither the sizes in the archive's directory
    nor the shapes in the arrays' headers are trusted with memory.

    Raises:
        ValueError: If it is not such an archive.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
            total = sum(entry.file_size for entry in entries)
            if total > largest:
                raise ValueError(f"it unpacks to {total} bytes, at most {largest} are allowed")
            names = [entry.filename.removesuffix(".npy") for entry in entries]
            if len(set(names)) < len(names):
                raise ValueError("an array stands in it twice")
            return {
                name: _array(name, archive.read(entry))
                for name, entry in zip(names, entries, strict=True)
            }
    except (zipfile.BadZipFile, zipfile.LargeZipFile, OSError, EOFError) as error:
        raise ValueError(str(error)) from error
    except (NotImplementedError, RuntimeError) as error:  # other compressions; a password
        raise ValueError(str(error)) from error


def _array(name: str, content: bytes) -> npt.NDArray[Any]:
    stream = io.BytesIO(content)
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"{name} is an array in version {version}")
    header = (
        np.lib.format.read_array_header_1_0
        if version == (1, 0)
        else np.lib.format.read_array_header_2_0
    )
    shape, by_columns, dtype = header(stream)
    if dtype.kind not in "fiub":
        raise ValueError(f"{name} holds {dtype}, not numbers")
    # Python's integers: a shape of many large numbers has no overflow.
    count = 1
    for length in shape:
        count *= int(length)
    rest = content[stream.tell() :]
    if len(rest) != count * dtype.itemsize:
        raise ValueError(f"{name} says shape {shape} and has {len(rest)} bytes of numbers")
    return np.frombuffer(rest, dtype).reshape(shape, order="F" if by_columns else "C").copy()
