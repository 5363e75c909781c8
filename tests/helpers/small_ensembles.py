"""Ensembles for tests."""

from collections.abc import Sequence
from typing import Any

from ibvonn_train.data.ensemble import TrajectoryEnsemble
from ibvonn_train.simulation import Protocol, simulate


def small_ensemble(
    system: Any, protocols: Sequence[Protocol], **settings: Any
) -> TrajectoryEnsemble:
    """Simulate without a progress bar; with a time step of 0.01 and seed 1 unless given."""
    usual = {"time_step": 0.01, "seed": 1, "progress": False}
    return simulate(system, protocols, **usual | settings)
