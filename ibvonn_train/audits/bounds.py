"""Bounds of internal variables: fractions of a population lie between 0 and 1 and sum to 1.

A law whose α are means of unbounded features has none. A law of populations says

- ``bounds``: lowest and highest value of each component, ``(n_α, 2)``, infinite where there is
  none; the lowest value of a population's component is −p_rest, where its fraction is zero;
- ``groups``: rows of the first component of a population and its number m of states, of which
  m − 1 are components and the others' rest is the first state.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..evaluation.interface import FloatArray, Law

INSIDE = 1e-6
"""Distance that is kept from empty states, where the free energy of mixing has infinite slopes."""


def bounds_of(law: Law) -> FloatArray | None:
    """Return the bounds of α, ``(n_α, 2)``, or None where the law has none."""
    bounds: Any = getattr(law, "bounds", None)
    if bounds is None or not np.isfinite(bounds).any():
        return None
    return np.asarray(bounds, dtype=float)


def simplices(law: Law) -> Iterator[slice]:
    """Yield the components of each population of more than two states, whose sum is bounded too."""
    for first, states in np.asarray(getattr(law, "groups", ()), dtype=int).reshape(-1, 2):
        if states > 2:
            yield slice(first, first + states - 1)


def allowed(law: Law, internal: FloatArray, inside_by: float = INSIDE) -> FloatArray:
    """Return the states ``(n, n_α)``, moved inside the bounds of the law where they are outside.

    Args:
        law: The law.
        internal: States.
        inside_by: Distance from the bounds that they keep at least.
    """
    bounds = bounds_of(law)
    if bounds is None:
        return internal
    low, high = bounds.T
    inside: FloatArray = np.clip(internal, low + inside_by, high - inside_by)
    for part in simplices(law):
        fraction = inside[:, part] - low[part]
        total = fraction.sum(1, keepdims=True)
        inside[:, part] = low[part] + fraction * np.minimum(1.0, (1 - inside_by) / total)
    return inside
