"""Which stages train a law, in order."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..law.learned_law import LearnedLaw
from .dataset import TrainingSet
from .density import Density
from .identify import Identify
from .polish_drive import PolishDrive
from .polish_populations import PolishEnergy, PolishRates
from .polish_windows import PolishWindows
from .stage import Material, Stage
from .training_config import TrainingConfig

Make = Callable[[Material, int], Stage]

WHOLE = 128
"""Instants of short records at most."""


def polish(law: LearnedLaw, data: TrainingSet) -> Sequence[Make]:
    """Return the stages that make up *polish*.

    The first state of a window is as noisy as any; fractions are known best at rest, where a whole
    protocol begins. So protocols are rolled out whole where the strain is a result, and where the
    variables are populations alone and the records short.
    """
    if not data.training[0].drive.strain_given:
        return [PolishDrive]
    longest = max(block.instants for block in data.training)
    if law.variables.populations and longest <= WHOLE:
        return [PolishDrive] if law.variables.means else [PolishEnergy, PolishRates]
    return [PolishWindows]


def recipe(config: TrainingConfig, law: LearnedLaw, data: TrainingSet) -> list[Make]:
    """Return the stages of a training in order; *encode* comes before them."""
    stages: list[Make] = [Identify]
    if config.expert.polish_steps:
        stages += polish(law, data)
    stages += [Density] if config.expert.density_steps else []
    return stages
