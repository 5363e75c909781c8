"""Which points of an analysis are simulated again: those that fill what it has visited.

An estimate of errors knows most where a re-run has been, and less with the distance from it. What
counts is the largest distance of any state of the analysis from the states of the chosen points. To
make it least is hard; to add the point whose state is farthest from all that are there is at most
twice as far (Gonzalez 1985, *Clustering to minimize the maximum intercluster distance*, Theoretical
Computer Science 38). A point counts with its whole path, so a chosen point covers everything that
it passes through, and points on like paths are not chosen twice. Points at random would lie where
the body is large and nearly unstrained.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


def space_filling(paths: FloatArray, count: int, first: Sequence[int] = ()) -> list[int]:
    """Return the places of points whose paths fill the visited states, the farthest first.

    Args:
        paths: States that each point passes through, over their scales, ``(n_point, n_time, d)``.
        count: Number of points.
        first: Places of points that are chosen before all others.

    Raises:
        ValueError: If there are fewer points.
    """
    points = len(paths)
    if not max(1, len(first)) <= count <= points:
        raise ValueError(
            f"space_filling: the number of points must lie between {max(1, len(first))} and "
            f"{points}, which there are; found {count}."
        )
    # All paths begin at rest, which needs no re-run to be known.
    distance = _nearest(paths, paths[0, :1])
    chosen: list[int] = []
    for number in range(count):
        farthest = distance.max(1)
        farthest[chosen] = -1.0
        chosen.append(first[number] if number < len(first) else int(farthest.argmax()))
        distance = np.minimum(distance, _nearest(paths, paths[chosen[-1]]))
    return chosen


def _nearest(paths: FloatArray, states: FloatArray) -> FloatArray:
    """Return the squared distance of every state to the nearest of some, ``(n_point, n_time)``."""
    nearest = np.full(paths.shape[:2], np.inf)
    for state in states:
        np.minimum(nearest, ((paths - state) ** 2).sum(-1), out=nearest)
    return nearest
