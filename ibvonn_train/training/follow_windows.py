"""Integration of α through windows of the data, under the measured strain."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from ..law.learned_law import LearnedLaw
from ..rollouts.material_point import controlled, exponential
from .dataset import Block


class Course(Protocol):
    """Instants ``(n_window, length)`` and strains ``(n_window, length, n_ε)`` of windows."""

    @property
    def time(self) -> Tensor:
        """Instants."""

    @property
    def strain(self) -> Tensor:
        """Strains."""


def follow(
    law: LearnedLaw, windows: Course, start: Tensor, *, explicit: bool, substeps: int = 1
) -> Tensor:
    """Return α of every instant of the windows, ``(n_window, length, n_α)``, from the first one.

    Args:
        law: The law.
        windows: Pieces of trajectories.
        start: α at their first instants, ``(n_window, n_α)``.
        explicit: By the forward Euler scheme of the data, one step for each interval; else by
            exponential steps, stable for any record.
        substeps: Exponential steps between instants.
    """
    path = windows.time, windows.strain, start
    if explicit:
        return controlled(law.potentials.rates_function(), *path).internal
    return exponential(law.potentials, *path, substeps=substeps)


def is_explicit(block: Block) -> bool:
    """Return whether a block holds every step of its integrator, whose means a law has to have."""
    return max(block.strides, default=1) == 1
