"""Checkpoints: tensors and plain values only, written atomically, read without running code."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch

from ..files.plain_files import replacing, require_regular

FORMAT = 1


class CheckpointError(ValueError):
    """A file that is not a checkpoint of ours, or not of this run."""


def save(path: Path, content: dict[str, Any]) -> None:
    """Write a checkpoint; a reader sees the old file or the new one, never half of one."""
    with replacing(path) as stream:
        torch.save({"format": FORMAT, **content}, stream)


def load(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint to the CPU.

    Raises:
        CheckpointError: If the file is missing, broken, of a newer format, or holds anything but
            tensors and plain values.
    """
    path = Path(path)
    if not path.exists():
        raise CheckpointError(
            f"{path}: there is no such file. Train a model first: `ibvonn train`."
        )
    try:
        require_regular(path)
    except ValueError as error:
        raise CheckpointError(str(error)) from None
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(f"{path}: is not a readable checkpoint: {reason}") from None
    version = content.get("format") if isinstance(content, dict) else None
    if not isinstance(version, int):
        raise CheckpointError(f"{path}: is not a checkpoint of this package: it has no format.")
    if version > FORMAT:
        raise CheckpointError(
            f"{path}: has format {version}; this version reads up to {FORMAT}. Update the package."
        )
    return content
