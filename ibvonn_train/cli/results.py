"""Results as JSON: what `ibvonn evaluate` and `reproduce` write, and `ibvonn card` reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from ..evaluation.law import FloatArray


def read_results(path: Path) -> dict[str, Any]:
    """Return what `ibvonn evaluate` or `reproduce` wrote with --json."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        found = None
    if not isinstance(found, dict) or not {"runs", "ensembles"} & set(found):
        raise ValueError(
            f"{path}: must be what `ibvonn evaluate --json` or `ibvonn reproduce --json` wrote."
        )
    return found


def write_json(path: Path, record: dict[str, Any]) -> None:
    """Write numbers for a machine; NaN and infinities become null."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(_finite(record), indent=1, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


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
