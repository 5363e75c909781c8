"""Results as JSON: what `ibvonn evaluate` and `reproduce` write, and `ibvonn card` reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from ..evaluation.interface import FloatArray
from ..files.plain_files import read_text, write_file

MOST_BYTES = 2**28


def read_results(path: Path) -> dict[str, Any]:
    """Return what `ibvonn evaluate` or `reproduce` wrote with --json."""
    text = read_text(path, MOST_BYTES)
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict) or not {"runs", "ensembles"} & set(record):
        raise ValueError(
            f"{path}: must be what `ibvonn evaluate --json` or `ibvonn reproduce --json` wrote."
        )
    return record


def write_json(path: Path, record: dict[str, Any]) -> None:
    """Write numbers for a machine; NaN and infinities become null."""
    text = json.dumps(_finite(record), indent=1, ensure_ascii=False, allow_nan=False)
    write_file(path, text + "\n")


def six_digits(numbers: FloatArray) -> Any:
    """Return nested lists of six digits each: figures of a roll-out are not known to more."""
    return np.vectorize(lambda value: float(f"{value:.6g}"))(numbers).tolist()


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
