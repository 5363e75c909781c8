"""Results of a batch of updates, compared and divided."""

from __future__ import annotations

from dataclasses import fields

import numpy as np

from ibvonn_fem.kernels.base import LocalUpdate


def same(a: LocalUpdate, b: LocalUpdate) -> bool:
    """Return whether all arrays are equal to the bit, NaN included."""
    return all(
        np.array_equal(getattr(a, f.name), getattr(b, f.name), equal_nan=True) for f in fields(a)
    )


def take(update: LocalUpdate, chosen: slice) -> LocalUpdate:
    """Return the results of some points."""
    return LocalUpdate(**{f.name: getattr(update, f.name)[chosen] for f in fields(update)})
