"""Results of benchmarks as JSON: written whole or not at all, missed with one clear sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"


def write(path: Path, document: dict[str, Any]) -> None:
    """Write JSON; a reader sees the old file or the new one, never half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    part.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    part.replace(path)


def read(folder: Path, name: str) -> dict[str, Any]:
    """Read the result of one benchmark.

    Raises:
        FileNotFoundError: If it has not been measured.
    """
    path = folder / f"{name}.json"
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: this benchmark has not been run. "
            f"Run it with `python benchmarks/overview.py --only {name}`."
        )
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document
