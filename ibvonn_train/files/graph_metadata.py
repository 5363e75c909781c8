"""What an ONNX or TorchScript file says of its manifest, read without running the graph.

This file stands in both packages, which do not import each other; a test keeps the two alike.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from typing import Any


def metadata_of(name: str, content: bytes, largest: int) -> dict[str, bytes] | None:
    """Return the texts beside a graph; None if the file is broken.

    Args:
        name: Name of the file, which ends with ``.onnx`` or ``.pt``.
        content: The file.
        largest: Bytes of the largest text that is read.
    """
    try:
        return (
            _onnx_metadata(content) if name.endswith(".onnx") else _torch_extras(content, largest)
        )
    except (ValueError, TypeError, IndexError, zipfile.BadZipFile, OSError, RuntimeError):
        return None  # whatever runs the graph says that it is broken


def _torch_extras(content: bytes, largest: int) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {
            entry.filename.rpartition("/extra/")[2]: archive.read(entry)
            for entry in archive.infolist()
            if "/extra/" in entry.filename and entry.file_size <= largest
        }


def _onnx_metadata(content: bytes) -> dict[str, bytes]:
    """The ``metadata_props`` of an ONNX file: field 14 of its protocol buffer, pairs of texts."""
    texts = {}
    for number, value in _fields(content):
        if number == 14 and isinstance(value, bytes):
            pair = dict(_fields(value))
            if isinstance(pair.get(1), bytes) and isinstance(pair.get(2), bytes):
                texts[pair[1].decode()] = pair[2]
    return texts


def _fields(content: bytes) -> Iterator[tuple[int, Any]]:
    """Numbers and values of the fields of a protocol buffer, one level deep."""
    at = 0
    while at < len(content):
        key, at = _varint(content, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(content, at)
            yield key >> 3, value
            continue
        if kind == 2:
            length, at = _varint(content, at)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise ValueError(f"a field of kind {kind}")
        if length > len(content) - at:
            raise ValueError("a field ends beyond the file")
        yield key >> 3, content[at : at + length]
        at += length


def _varint(content: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = content[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not byte & 0x80:
            return value, at
        if shift > 63:
            raise ValueError("a number of more than 64 bits")
