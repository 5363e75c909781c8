"""The model card: the README of an exported directory, made of its manifest and nothing else.

Its text is in ``model_card.md.jinja``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined, Template

from ..simulation.systems.registry import SYSTEMS

TEMPLATE = Path(__file__).with_name("model_card.md.jinja")


def markdown(manifest: Mapping[str, Any], figure: str | None = None) -> str:
    """Return the card of a model.

    Args:
        manifest: ``manifest.json`` of format 2, with or without its optional entries.
        figure: Name of the figure of the response in the same directory, or None.

    Returns:
        Text in GitHub's Markdown, ending with a newline.
    """
    optional: dict[str, Any] = {
        "errors": None,
        "seeds": None,
        "runtime_agreement": None,
        "files": {},
    }
    system = _sentence(manifest["microscopic"])
    more = {"figure": figure, "system": system, "solid": _is_solid(manifest)}
    return _template().render({**optional, **manifest, **more})


@cache
def _template() -> Template:
    environment = Environment(
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # Markdown; a manifest is data here and never a template
    )
    environment.filters |= {
        "cell": _cell,
        "counts": _counts,
        "interval": _interval,
        "number": _number,
        "text": _text,
        "units": _units,
        "vector": _vector,
    }
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8"))


def _is_solid(manifest: Mapping[str, Any]) -> bool:
    """Whether the C file of the law has a UMAT: 1, 4 or 6 strains and a symmetric tangent."""
    states = [variable.get("states", 2) for variable in manifest["internal"]["variables"]]
    strain = manifest["strain"]
    return (
        len(strain["components"]) in (1, 4, 6)
        and strain["order"] in ("scalar", "mandel")
        and max(states) <= 2
    )


def _sentence(microscopic: Mapping[str, Any] | None) -> str:
    if microscopic is None:
        return ""
    entry = SYSTEMS.get(microscopic["system"])
    return (entry and entry.kind.sentence) or f"the system `{microscopic['system']}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if math.isfinite(value) else str(value)


def _text(value: Any) -> str:
    return _number(value) if value is None or isinstance(value, float) else str(value)


def _interval(ends: Sequence[float | None]) -> str:
    if all(end is None for end in ends):
        return "-"
    low, high = ("…" if end is None else f"{end:g}" for end in ends)
    return f"{low} to {high}"


def _vector(values: Sequence[float]) -> str:
    return _number(values[0]) if len(values) == 1 else f"({', '.join(map(_number, values))})"


def _units(units: Mapping[str, str]) -> str:
    named = ", ".join(f"{quantity} {unit}" for quantity, unit in units.items() if unit != "1")
    if "1" not in units.values():
        return named
    return f"{named}; the others are dimensionless" if named else "all are dimensionless"


def _counts(verdicts: Iterable[str]) -> str:
    every = list(verdicts)
    return ", ".join(f"{every.count(verdict)} {verdict}" for verdict in dict.fromkeys(every))
