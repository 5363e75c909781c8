"""Which internal variables a system has: populations or means, and how many."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np

from ..law.internal_variables import InternalVariables
from .slow_features import (
    FloatArray,
    SlowFeatures,
    crispness,
    memberships,
    polynomials,
    responding,
)
from .training_config import TrainingConfig

logger = logging.getLogger(__name__)

CRISP = 0.5
"""Populations have features that are nearly 0 or 1: those of this project 0.6 to 0.97, those of
systems without metastable states below 0.1."""
GAP = 3.0
"""Populations are slower than what happens within a state by at least this: 10 and more in this
project, below 2 in systems without metastable states."""
MOST_STATES = 4
FASTEST = 1.0 / 30.0
"""A direction of the microstate whose mean moves has one of its own if its memory is longer than
this part of the slowest one's: what is faster follows."""


@dataclass(frozen=True)
class Choice:
    """The internal variables of a law, and why.

    Attributes:
        variables: Of the law.
        reason: One sentence.
    """

    variables: InternalVariables
    reason: str


def choose_variables(config: TrainingConfig, features: SlowFeatures, classes: int) -> Choice:
    """Return what the configuration says, or with ``internal = "auto"`` what the data say.

    The gap in the time scales between the slow features of jumps and those of motion within a state
    gives the number of states; features that are no populations make means, one for each direction
    of the microstate that responds to the strain and remembers.

    Args:
        config: The run.
        features: Of the data.
        classes: Number of classes of elements.
    """
    if config.internal != "auto":
        variables = InternalVariables(config.populations, config.means, classes)
        return Choice(variables, "as the configuration says")
    scales = features.time_scales
    ratios = scales[:-1] / scales[1:]
    states = int(np.argmax(ratios[: MOST_STATES - 1])) + 2
    largest, crisp = float(ratios[states - 2]), mean_crispness(features, states)
    words = (
        f"the time scales of the features have their widest gap, {largest:.3g}, behind number "
        f"{states - 1}, and the features are populations to {100 * crisp:.0f} %"
    )
    if largest >= GAP and crisp >= CRISP:
        reason = f"{states} states: {words} (needed: {GAP:g} and {100 * CRISP:.0f} %)"
        return Choice(InternalVariables((states,), 0, classes), reason)
    means = responding_directions(features)
    number = "a mean" if means == 1 else f"{means} means"
    reason = f"{number}: {words} (populations need {GAP:g} and {100 * CRISP:.0f} %)"
    return Choice(InternalVariables((), means, classes), reason)


def responding_directions(features: SlowFeatures) -> int:
    """Return how many linear features of the microstate move with the strain and remember.

    Where none of them moves, as in a system that is symmetric, squares and products are counted.
    """
    for products in (False, True):
        directions = polynomials(features, products=products)
        remembers = directions.time_scales > FASTEST * directions.time_scales[0]
        count = int((responding(directions) & remembers).sum())
        if count:
            return count
    return 1


def mean_crispness(features: SlowFeatures, states: int) -> float:
    """Return the crispness of the memberships in some states, averaged over the states."""
    columns: FloatArray = memberships(features, states)
    return float(np.mean([crispness(features, column) for column in columns.T]))
