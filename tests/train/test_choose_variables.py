"""The data say whether a system has means or populations, and of how many states."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from known_processes import jumps, ornstein_uhlenbeck, record
from small_ensembles import small_ensemble

from ibvonn_train.data.ensemble import TrajectoryEnsemble
from ibvonn_train.law.internal_variables import InternalVariables
from ibvonn_train.simulation.strain_paths import strain_training_set
from ibvonn_train.training import TrainingConfig
from ibvonn_train.training.choose_variables import Choice, choose_variables
from ibvonn_train.training.slow_features import slow_features

TWO = np.array([[-0.2, 0.2], [0.3, -0.3]])
THREE = np.array([[-0.10, 0.10, 0.0], [0.10, -0.35, 0.25], [0.0, 0.25, -0.25]])
ROOT = Path(__file__).parents[2]


def choice(data: TrajectoryEnsemble, internal: object = "auto", classes: int = 1) -> Choice:
    result = slow_features([(data, range(data.protocols))], count=4, seed=0)
    config = TrainingConfig.from_dict({"internal": internal})
    return choose_variables(config, result, classes)


def test_a_particle_in_a_trap_has_a_mean(ensemble: TrajectoryEnsemble) -> None:
    result = choice(ensemble)
    assert result.variables == InternalVariables((), 1)
    assert "a mean" in result.reason
    assert choice(record(ornstein_uhlenbeck(0.9, (2, 300, 400)))).variables.means == 1


@pytest.mark.parametrize(("rates", "states"), [(TWO, 2), (THREE, 3)])
def test_jumps_between_states_make_a_population(rates: np.ndarray, states: int) -> None:
    result = choice(record(jumps(rates, (2, 400, 400))[0]))
    assert result.variables == InternalVariables((states,))
    assert f"{states} states" in result.reason


def test_the_configuration_overrules_the_data_and_every_class_has_its_own(
    ensemble: TrajectoryEnsemble,
) -> None:
    result = choice(ensemble, {"populations": [2, 3], "means": 1}, classes=3)
    assert result.variables == InternalVariables((2, 3), 1, 3)
    assert result.reason == "as the configuration says"


@pytest.mark.slow
def test_the_particle_over_three_wells_has_three_states() -> None:
    place = importlib.util.spec_from_file_location("three_wells", ROOT / "configs/three_wells.py")
    assert place is not None
    assert place.loader is not None
    module = importlib.util.module_from_spec(place)
    place.loader.exec_module(module)
    paths = strain_training_set((-2.0,), (2.0,), 100.0, walks=2, seed=3)
    data = small_ensemble(module.ThreeWells(), paths, duration=100.0, stride=50, replicas=200)
    assert choice(data).variables == InternalVariables((3,))
