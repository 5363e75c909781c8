"""Which stages train a law, in order."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..law.learned_law import LearnedLaw
from .dataset import TrainingSet
from .density import Density
from .follow_windows import is_explicit
from .held_features import holds_features
from .identify import Identify
from .polish_drive import PolishDrive, takes_turns
from .polish_in_turn import PolishInTurn
from .polish_populations import (
    PolishEnergy,
    PolishEnergyAgain,
    PolishEnergyLast,
    PolishRates,
    PolishRatesAgain,
)
from .polish_windows import PolishWindows
from .stage import Material, Stage
from .training_config import TrainingConfig

Make = Callable[[Material, int], Stage]

WHOLE, WHOLE_BY_COMPILED_CODE = 128, 1024
"""Instants at most of records that are rolled out whole, by torch and by compiled code."""


def polish(law: LearnedLaw, data: TrainingSet) -> Sequence[Make]:
    """Return the stages that make up *polish*.

    The first state of a window is as noisy as any, and a window that is shorter than the memory of
    the slowest variable does not show how errors add up; fractions are known best at rest, where a
    whole protocol begins. So protocols are rolled out whole where the strain is a result, and where
    ψ is held or the variables are populations, unless that takes too long.
    """
    if not data.training[0].drive.strain_given:
        return [PolishInTurn if takes_turns(data) else PolishDrive]
    alone = law.variables.populations and not law.variables.means
    longest = max(block.instants for block in data.training)
    compiled = alone and not any(map(is_explicit, data.training))
    held = law.variables.populations or holds_features(law)
    if not held or longest > (WHOLE_BY_COMPILED_CODE if compiled else WHOLE):
        return [PolishWindows]
    if not alone:
        return [PolishDrive]
    return [PolishEnergy, PolishRates, PolishEnergyAgain, PolishRatesAgain, PolishEnergyLast]


def recipe(config: TrainingConfig, law: LearnedLaw, data: TrainingSet) -> list[Make]:
    """Return the stages of a training in order; *encode* comes before them.

    Where ψ stays as it is encoded, *polish* follows at once, unless there is none.
    """
    polishes = config.expert.polish_steps > 0
    stages: list[Make] = [] if holds_features(law) and polishes else [Identify]
    if polishes:
        stages += polish(law, data)
    stages += [Density] if config.expert.density_steps else []
    return stages
