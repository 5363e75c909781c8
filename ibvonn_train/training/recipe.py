"""Which stages train a law, in order."""

from __future__ import annotations

from collections.abc import Callable

from ..law.learned_law import LearnedLaw
from .dataset import TrainingSet
from .density import Density
from .identify import Identify
from .polish_drive import PolishDrive, takes_turns
from .polish_in_turn import PolishInTurn
from .polish_windows import PolishWindows
from .stage import Material, Stage
from .training_config import TrainingConfig

WHOLE = 128
"""Instants of short records at most."""


def polishes_windows(law: LearnedLaw, data: TrainingSet) -> bool:
    """Return whether *polish* works on windows of an imposed strain.

    The first state of a window is as noisy as any; fractions are known best at rest, where a whole
    protocol begins. So protocols are rolled out whole where the strain is a result, and where the
    variables are populations and the records short.
    """
    longest = max(block.instants for block in data.training)
    whole = bool(law.variables.populations) and longest <= WHOLE
    return data.training[0].drive.strain_given and not whole


def recipe(
    config: TrainingConfig, law: LearnedLaw, data: TrainingSet
) -> list[Callable[[Material, int], Stage]]:
    """Return the stages of a training in order; *encode* comes before them.

    Args:
        config: The run.
        law: Which is trained.
        data: On which it is trained.
    """
    stages: list[Callable[[Material, int], Stage]] = [Identify]
    if config.expert.polish_steps and polishes_windows(law, data):
        stages.append(PolishWindows)
    elif config.expert.polish_steps:
        stages.append(PolishInTurn if takes_turns(data) else PolishDrive)
    stages += [Density] if config.expert.density_steps else []
    return stages
