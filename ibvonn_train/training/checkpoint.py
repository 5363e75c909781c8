"""Checkpoints: tensors and plain values only, written atomically, read without running code."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import torch

FORMAT = 1


class CheckpointError(ValueError):
    """A file that is not a checkpoint of ours, or not of this run."""


def save(path: Path, content: dict[str, Any]) -> None:
    """Write a checkpoint; a reader sees the old file or the new one, never half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")  # one name: what a killed run left is overwritten
    try:
        with part.open("wb") as stream:
            torch.save({"format": FORMAT, **content}, stream)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def load(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint to the CPU.

    Raises:
        CheckpointError: If the file is missing, broken, of a newer format, or holds anything but
            tensors and plain values.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(
            f"{path}: there is no such file. Train a model first: `ibvonn train`."
        )
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(f"{path}: is not a readable checkpoint: {reason}") from None
    found = content.get("format") if isinstance(content, dict) else None
    if not isinstance(found, int):
        raise CheckpointError(f"{path}: is not a checkpoint of this package: it has no format.")
    if found > FORMAT:
        raise CheckpointError(
            f"{path}: has format {found}; this version reads up to {FORMAT}. Update the package."
        )
    return content
