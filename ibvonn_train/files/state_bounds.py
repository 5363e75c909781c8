"""The internal variables that a manifest lists: populations and means, and their bounds.

This file stands in both packages, which do not import each other; a test keeps the two alike. A
population of m states has m − 1 components p_s − rest_s in α; state 0 is what is left.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Variables = Sequence[Mapping[str, Any]]
"""``internal.variables`` of a manifest, in the order of α."""

ROUND_OFF = 1e-9
"""A state is refused whose fractions are negative by more than this."""


def bounds_of(variables: Variables) -> npt.NDArray[np.float64]:
    """Lowest and highest value of every component, ``(n_α, 2)``; infinite for means."""
    rows = [
        [-np.inf if low is None else low, np.inf if high is None else high]
        for variable in variables
        for low, high in variable["bounds"]
    ]
    return np.array(rows, dtype=np.float64).reshape(-1, 2)


def groups_of(variables: Variables) -> npt.NDArray[np.int64]:
    """Rows of the first component of each population and its number of states, ``(n, 2)``."""
    rows = [[block.start, len(rest) + 1] for block, rest in _populations(variables)]
    return np.array(rows, dtype=np.int64).reshape(-1, 2)


def within_bounds(
    variables: Variables, internal: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return states ``(n, n_α)`` that are none moved to the nearest inside: random ones, say.

    Negative fractions become 0; fractions with a sum S above one are divided by S², so that state 0
    is not left empty.
    """
    moved = internal.copy()
    for block, rest in _populations(variables):
        fractions = np.maximum(internal[:, block] + rest, 0.0)
        total = np.maximum(fractions.sum(1, keepdims=True), 1.0)
        moved[:, block] = fractions / total**2 - rest
    return moved


def missing(variables: Variables, internal: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """By how much the least fraction of each state ``(n, n_α)`` is negative, shape ``(n,)``."""
    worst = np.zeros(len(internal))
    for block, rest in _populations(variables):
        fractions = internal[:, block] + rest
        worst = np.maximum(worst, -fractions.min(1, initial=np.inf))
        worst = np.maximum(worst, fractions.sum(1) - 1.0)
    return worst


def _populations(variables: Variables) -> Iterator[tuple[slice, npt.NDArray[np.float64]]]:
    at = 0
    for variable in variables:
        size = len(variable["components"])
        if variable["kind"] == "population":
            yield slice(at, at + size), np.asarray(variable["rest"], dtype=np.float64)
        at += size


def means(components: Sequence[str], of_class: str) -> list[dict[str, Any]]:
    """Entries of ``internal.variables`` for means: unbounded, zero at rest."""
    return [
        {
            "kind": "mean",
            "class": of_class,
            "components": [name],
            "rest": [0.0],
            "bounds": [[None, None]],
        }
        for name in components
    ]


def population(components: Sequence[str], of_class: str, rest: Sequence[float]) -> dict[str, Any]:
    """Entry of ``internal.variables`` for one population, with the bounds of its components."""
    return {
        "kind": "population",
        "class": of_class,
        "states": len(components) + 1,
        "components": list(components),
        "rest": [float(value) for value in rest],
        "bounds": [[-float(value), 1.0 - float(value)] for value in rest],
    }


def problems(document: Mapping[str, Any]) -> Iterator[str]:
    """What contradicts itself in a manifest about classes, symmetry and internal variables."""
    size = len(document["strain"]["components"])
    names = [entry["name"] for entry in document["classes"]]
    if len(set(names)) < len(names):
        yield "classes must have different names"
    for entry in document["classes"]:
        if any(len(row) != size for row in entry["strain_basis"]):
            yield f"the strain_basis of class {entry['name']} must have rows of {size} numbers"
    for number, element in enumerate(document["symmetry"]):
        if sorted(element["classes"]) != list(range(len(names))):
            yield f"symmetry/{number}/classes must be a permutation of the {len(names)} classes"
        matrix = element["strain"]
        if len(matrix) != size or any(len(row) != size for row in matrix):
            yield f"symmetry/{number}/strain must be a matrix of {size} × {size} numbers"
    listed = [name for entry in document["internal"]["variables"] for name in entry["components"]]
    if listed != list(document["internal"]["components"]):
        yield "internal/variables must list the components of internal/components in their order"
    for number, variable in enumerate(document["internal"]["variables"]):
        place = f"internal/variables/{number}"
        if variable["class"] not in names:
            name = str(variable["class"])[:40]
            yield f"{place} is of the class {name!r}, which classes does not list"
        population = variable["kind"] == "population"
        expected = variable["states"] - 1 if population else 1
        for key in ("components", "rest", "bounds"):
            if len(variable[key]) != expected:
                yield f"{place}/{key} must have {expected} entries; it has {len(variable[key])}"
        yield from _wrong_rest(place, variable)


def _wrong_rest(place: str, variable: Mapping[str, Any]) -> Iterator[str]:
    rest = variable["rest"]
    if variable["kind"] == "mean":
        if rest != [0.0] or variable["bounds"] != [[None, None]]:
            yield f"{place} is a mean: its rest must be 0 and its bounds null"
        return
    if min(rest) <= 0.0 or sum(rest) >= 1.0:
        yield f"{place}/rest must be positive, with a sum below 1"
    expected = [[-value, 1.0 - value] for value in rest]
    if variable["bounds"] != expected:
        yield f"{place}/bounds must be {expected}: −rest and 1 − rest of every component"
