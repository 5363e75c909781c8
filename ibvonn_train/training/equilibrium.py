"""Minimum of a law's free energy over its internal variables at a given strain."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

PASSES = 300
TO_THE_BOUND = 0.9
"""Largest part of the way to an empty state that a step may go."""
LONGEST = 1.0
"""Largest change of a component in a step: means have unit variance in training."""
ROUND_OFF = 1e-13
"""Change of a mean, and of a fraction in parts of itself, that counts as none."""
CLOSE = 1e-12
"""Driving force that counts as none, in units of the energy."""


class Equilibrium(NamedTuple):
    """Where the search ended.

    Attributes:
        internal: α, shape ``(n_α,)``.
        force: g = −∂f/∂α there.
        converged: Whether g vanishes, or α changes no more.
    """

    internal: FloatArray
    force: FloatArray
    converged: bool


def inside(internal: FloatArray, groups: Sequence[tuple[int, int]]) -> FloatArray:
    """Return α with fractions that are all above 0.

    Args:
        internal: α, shape ``(n_α,)``.
        groups: First component and number of states of every population.
    """
    moved = internal.copy()
    for first, states in groups:
        own = slice(first, first + states - 1)
        fractions = np.array([1.0 - internal[own].sum(), *internal[own]]).clip(0.01)
        moved[own] = fractions[1:] / fractions.sum()
    return moved


def minimiser(
    force: Callable[[FloatArray], FloatArray],
    curvature: Callable[[FloatArray], FloatArray],
    start: FloatArray,
    *,
    fractions: tuple[FloatArray, FloatArray],
    unit: float,
) -> Equilibrium:
    """Return argmin_α f for f convex in α, by Newton's method within the bounds of fractions.

    A step goes at most 90 % of the way to an empty state, where the mixing entropy has an
    infinite slope, and is halved until g at its end no longer points back by more than half of what
    it pointed forward. g is compared and not f: f does not resolve fractions of 1e-9, g does.

    Args:
        force: α ↦ g = −∂f/∂α.
        curvature: α ↦ ∂²f/∂α².
        start: First α; no fraction of it is 0.
        fractions: B and b of the fractions of all states, p = B α + b > 0.
        unit: Energy of order one.
    """
    matrix, offset = fractions
    alpha, g = start.copy(), force(start)
    for _ in range(PASSES):
        if np.max(np.abs(g), initial=0.0) <= CLOSE * unit:
            return Equilibrium(alpha, g, converged=True)
        hessian = curvature(alpha)
        # Fractions of very different size make a matrix that is solved in units of its diagonal.
        size = np.sqrt(np.diagonal(hessian).clip(1e-12 * unit))
        scaled = hessian / size / size[:, None] + 1e-12 * np.eye(len(size))
        step = np.linalg.solve(scaled, g / size) / size
        step *= min(1.0, LONGEST / float(np.max(np.abs(step))))
        p, change = matrix @ alpha + offset, matrix @ step
        if np.any(change < 0.0):
            way = float(np.min(p[change < 0.0] / -change[change < 0.0]))
            step *= min(1.0, TO_THE_BOUND * way)
        forward = float(g @ step)
        following = force(alpha + step)
        for _ in range(60):
            if float(following @ step) >= -0.5 * forward:
                break
            step, forward = 0.5 * step, 0.5 * forward
            following = force(alpha + step)
        before, alpha, g = alpha, alpha + step, following
        # b is 1 for what the other states leave of 1, which has no digits below.
        unchanged = np.abs(matrix @ (alpha - before)) <= ROUND_OFF * p + 2e-16 * offset
        if unchanged.all() and np.all(np.abs(alpha - before) <= ROUND_OFF):
            return Equilibrium(alpha, g, converged=bool(np.isfinite(g).all()))
    return Equilibrium(alpha, g, converged=False)
