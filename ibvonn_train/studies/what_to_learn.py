r"""Which paths of an analysis are simulated next to learn from: those of need, and of news.

A state of an analysis is in need of data where the law left its training range there, or where its
stress error is expected to be large,

.. math::
    w = 2\,[v > 0]\,(1 + v) + |m| / \sigma_{tol},

with the excursion v from the range in half widths (``validity``), the expected error m and the
tolerated one. Beyond the range an estimate of errors knows least, so a state there counts at least
as much as one with twice the tolerated error. But the points of largest need lie beside each other,
on nearly the same path: simulated together they would tell one thing many times. So a path is worth
w d at its worst state, d being the distance to the nearest state of the paths that were chosen
before it, and before the first one to where the path itself begins. Paths without need are never
chosen.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

OUTSIDE = 2.0
"""Tolerated errors that a state at the edge of the training range counts as."""
LEAST_NEED = 0.5
"""Part of the tolerated error below which a state inside the range needs no data."""


def what_to_learn(
    states: FloatArray,
    validity: FloatArray,
    expected_error: FloatArray,
    tolerance: float,
    count: int,
) -> list[int]:
    """Return the places of points whose paths are to be simulated, the most urgent first.

    Args:
        states: (ε, α, ε̇) of each point over time, over their scales, ``(n_point, n_time, d)``.
        validity: Largest excursion from the training range there, ``(n_point, n_time)``.
        expected_error: Norm of the expected stress error, same shape [stress].
        tolerance: σ_tol, positive [stress].
        count: Number of points at most; fewer are returned where fewer are in need.

    Raises:
        ValueError: If the tolerance or the count is not positive.
    """
    if not (tolerance > 0.0 and count >= 1):
        raise ValueError(
            "what_to_learn: the tolerance must be positive and the number of paths at least 1; "
            f"found {tolerance} and {count}."
        )
    error = expected_error / tolerance
    need = np.where(validity > 0.0, OUTSIDE * (1.0 + validity), 0.0) + error
    need[(validity <= 0.0) & (error < LEAST_NEED)] = 0.0
    distance = np.linalg.norm(states - states[:, :1], axis=-1)
    chosen: list[int] = []
    for _ in range(min(count, len(states))):
        worth = (need * distance).max(1)
        best = int(worth.argmax())
        if not worth[best] > 0.0:
            break
        chosen.append(best)
        for state in states[best]:
            np.minimum(distance, np.linalg.norm(states - state, axis=-1), out=distance)
    return chosen
