"""Which stages train a law, in order."""

from __future__ import annotations

from collections.abc import Callable

from ..law.learned_law import LearnedLaw
from .dataset import TrainingSet
from .density import Density
from .held_features import holds_features
from .identify import Identify
from .polish_drive import PolishDrive
from .polish_windows import PolishWindows
from .stage import Material, Stage
from .training_config import TrainingConfig

WHOLE = 128
"""Instants of short records at most."""


def polishes_windows(law: LearnedLaw, data: TrainingSet) -> bool:
    """Return whether *polish* works on windows of an imposed strain.

    The first state of a window is as noisy as any, and a window that is shorter than the memory of
    the slowest variable does not show how errors add up; fractions are known best at rest, where a
    whole protocol begins. So protocols are rolled out whole where the strain is a result, and in
    short records where ψ is held or the variables are populations.
    """
    longest = max(block.instants for block in data.training)
    held = bool(law.variables.populations) or holds_features(law)
    return data.training[0].drive.strain_given and not (held and longest <= WHOLE)


def recipe(
    config: TrainingConfig, *, windows: bool, held: bool = False
) -> list[Callable[[Material, int], Stage]]:
    """Return the stages of a training in order; *encode* comes before them.

    Args:
        config: The run.
        windows: Whether *polish* works on windows.
        held: Whether ψ stays as it is encoded: then *polish* follows *encode* at once, unless there
            is none.
    """
    stages: list[Callable[[Material, int], Stage]] = []
    if not (held and config.expert.polish_steps):
        stages.append(Identify)
    if config.expert.polish_steps:
        stages.append(PolishWindows if windows else PolishDrive)
    stages += [Density] if config.expert.density_steps else []
    return stages
