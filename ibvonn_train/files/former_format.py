"""Manifests of format 1, read as those of format 2 with what they do not say at its default.

This file stands in both packages, which do not import each other; a test keeps the two alike. A
converted manifest keeps its number: what was added is left out again where its hash is compared
with that of the graphs, which were written without it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from .state_bounds import means

ADDED: dict[str, tuple[str, ...]] = {
    "": ("classes", "symmetry", "inputs"),
    "strain": ("order",),
    "internal": ("variables",),
}
"""Place in the manifest, the top or a table of it → entries that format 1 does not have."""

ONE_CLASS = "element"
"""Name of the class of elements where there is only one."""

MANDEL = {
    6: ("xx", "yy", "zz", "xy", "xz", "yz"),
    4: ("xx", "yy", "zz", "xy"),
    3: ("xx", "yy", "xy"),
}
"""Components of the Mandel order by their number: space, plane strain, the plane."""

_AXES = re.compile(r"(?:^|[^A-Za-z0-9])([xyz]{2}|[123]{2})$", re.IGNORECASE)
_LETTERS = str.maketrans("123", "xyz")
_ENGINEERING = re.compile(r"gamma|γ|engineering", re.IGNORECASE)


def novelties(document: Mapping[str, Any]) -> Iterator[str]:
    """What stands in a manifest of format 1 that only later formats have."""
    for place, names in ADDED.items():
        table = document.get(place, {}) if place else document
        yield from (f"{place}/{name}".lstrip("/") for name in names if name in table)
    if document.get("family") == "populations":
        yield "family populations"


def as_format_2(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a sound manifest with the entries of format 2; one that has them stays as it is.

    One class of elements, no symmetry but the identity, and means: format 1 knows no populations.
    """
    if document["format"] != 1:
        return dict(document)
    strain, internal = document["strain"], document["internal"]
    size = len(strain["components"])
    return {
        **document,
        "classes": one_class(size),
        "symmetry": identity(size),
        "strain": {**strain, "order": order_of(strain["components"], strain["measure"])},
        "internal": {**internal, "variables": means(internal["components"], ONE_CLASS)},
    }


def as_written(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a manifest as its file has it: of format 1 without what reading has added."""
    if document.get("format") != 1:
        return dict(document)
    result = {key: value for key, value in document.items() if key not in ADDED[""]}
    for place in ("strain", "internal"):
        table = document.get(place)
        if isinstance(table, Mapping):
            result[place] = {k: v for k, v in table.items() if k not in ADDED[place]}
    return result


def one_class(size: int) -> list[dict[str, Any]]:
    """Entry ``classes`` where all elements are alike and see the strain itself."""
    return [{"name": ONE_CLASS, "strain_basis": np.eye(size).tolist()}]


def identity(size: int, classes: int = 1) -> list[dict[str, Any]]:
    """Entry ``symmetry`` of a law without any."""
    return [{"classes": list(range(classes)), "strain": np.eye(size).tolist()}]


def order_of(components: Sequence[str], measure: str) -> str:
    """Entry ``strain.order``, from the names where these show it.

    "scalar" for one component, "mandel" where the names are those of the Mandel order and nothing
    speaks of an engineering shear strain, else "other".
    """
    if len(components) == 1:
        return "scalar"
    engineering = any(names_engineering_strain(text) for text in (*components, measure))
    axes = tuple(axes_of(name) for name in components)
    return "mandel" if axes == MANDEL.get(len(components)) and not engineering else "other"


def axes_of(name: str) -> str:
    """Axes in the name of a strain component, such as "xy" of ``strain_21``; empty without any."""
    match = _AXES.search(name)
    return "".join(sorted(match[1].lower().translate(_LETTERS))) if match else ""


def names_engineering_strain(text: str) -> bool:
    """Whether a name or a description speaks of engineering shear strains."""
    return _ENGINEERING.search(text) is not None
