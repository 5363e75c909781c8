"""Reading JSON and arrays from bytes that a stranger may have written.

This file stands in both packages, which do not import each other; a test keeps the two alike.
Neither depth nor size nor the numbers in a header are trusted.
"""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import numpy as np
import numpy.typing as npt

LARGEST_ARCHIVE = 2**30
"""Bytes of all arrays of an archive together."""

LARGEST_DEPTH = 64
"""Levels of nesting of a JSON document."""


def parse_json(content: bytes) -> Any:
    """Read JSON strictly: UTF-8, no NaN or infinity, no key twice, bounded depth.

    Raises:
        ValueError: If it is not such a document; the message is half a sentence.
    """

    def constant(name: str) -> None:
        raise ValueError(f"{name} is not a number of JSON")

    def pairs(members: list[tuple[str, Any]]) -> dict[str, Any]:
        document = dict(members)
        if len(document) < len(members):
            names = [key for key, _ in members]
            duplicate = next(key for key in names if names.count(key) > 1)
            raise ValueError(f"the key {duplicate!r} stands twice in one object")
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


def parse_arrays(content: bytes, largest: int = LARGEST_ARCHIVE) -> dict[str, npt.NDArray[Any]]:
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
