"""Integration of α through windows of the data, under the measured strain."""

from __future__ import annotations

from torch import Tensor

from ..law.learned_law import LearnedLaw
from ..rollouts.material_point import controlled, exponential
from .dataset import Block, Windows

SUBSTEPS = 2
"""Of a coarse record between stored instants."""


def follow(law: LearnedLaw, block: Block, windows: Windows, start: Tensor) -> Tensor:
    """Return α of every instant of the windows, ``(n_window, length, n_α)``, from the first one.

    A record that holds every step of the data's integrator is followed by its own forward Euler
    scheme, whose means the law has to have; a coarser one by exponential steps, stable for any.

    Args:
        law: The law.
        block: What the windows are cut from.
        windows: Pieces of trajectories.
        start: α at their first instants, ``(n_window, n_α)``.
    """
    path = windows.time, windows.strain, start
    if max(block.strides, default=1) == 1:
        return controlled(law.potentials.rates_function(), *path).internal
    linearised = law.potentials.linearised_function()
    return exponential(linearised, *path, substeps=SUBSTEPS).internal
