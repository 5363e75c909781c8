"""The fit of f and φ to increments of α, on a particle in two coupled degrees of freedom."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from short_training import short
from small_ensembles import small_ensemble

from ibvonn_train.data.ensemble import TrajectoryEnsemble
from ibvonn_train.simulation.families import protocols_for_training
from ibvonn_train.simulation.study import own_system
from ibvonn_train.statistical_mechanics.microscopic_energy import physics_of
from ibvonn_train.training import TrainingConfig
from ibvonn_train.training.choose_variables import choose_variables
from ibvonn_train.training.dataset import prepare
from ibvonn_train.training.trainer import features_of, new_law
from ibvonn_train.training.validation import rollout_errors

CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.fixture(scope="module")
def ensemble() -> TrajectoryEnsemble:
    system = own_system("two_degrees.py:TwoDegrees", CONFIGS)()
    protocols = protocols_for_training(-2.0, 2.0, 10.0, start=0.0, walks=6, seed=11)
    return small_ensemble(system, protocols, duration=10.0, stride=10, replicas=1000)


def test_each_direction_that_moves_and_remembers_has_a_mean(ensemble: TrajectoryEnsemble) -> None:
    config = TrainingConfig()
    choice = choose_variables(config, features_of(config, [ensemble], ()), 1)
    assert choice.variables.means == 2
    assert choice.variables.populations == ()


def errors(ensemble: TrajectoryEnsemble, steps: int) -> dict[str, float]:
    """Of roll-outs by the law with which the training begins."""
    config = short({"means": 2}, width=8, identify_steps=steps)
    data = prepare([ensemble], torch.device("cpu"), 0, nodes=96)
    physics = physics_of(ensemble.system, ensemble.parameters, None)
    law, _, _ = new_law(config, [ensemble], data, physics, ())
    return rollout_errors(law, data.training[0])


def test_the_law_follows_the_data_before_any_roll_out_was_trained(
    ensemble: TrajectoryEnsemble,
) -> None:
    assert errors(ensemble, 120)["controlled/stress"] < 0.1
    assert errors(ensemble, 1)["controlled/stress"] > 0.3
