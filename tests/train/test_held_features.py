"""Means of microstates of several components keep the features that slow features make."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from short_training import short
from small_ensembles import small_ensemble
from vector_systems import VectorTether

from ibvonn_train.data.ensemble import TrajectoryEnsemble
from ibvonn_train.statistical_mechanics.microscopic_energy import physics_of
from ibvonn_train.training import train, trainer
from ibvonn_train.training.dataset import prepare
from ibvonn_train.training.held_features import holds_features
from ibvonn_train.training.recipe import recipe
from ibvonn_train.training.trained_model import TrainedModel

MEANS = {"means": 2}


def ensemble(size: int, stride: int = 4) -> TrajectoryEnsemble:
    system = VectorTether(size)
    paths = system.protocols(1.6, walks=3, directions=1)
    return small_ensemble(system, paths, duration=1.6, stride=stride, replicas=200)


def trained(data: TrajectoryEnsemble, folder: Path, **steps: int) -> TrainedModel:
    config = short(MEANS, **steps)
    return train(config, data, folder, validation=[1], progress=False, tensorboard=False)


@pytest.mark.parametrize("size", [1, 2])
def test_features_of_several_components_stay_and_that_of_one_is_trained(
    size: int, tmp_path: Path
) -> None:
    data = ensemble(size)
    runs = [trained(data, tmp_path / str(n), polish_steps=n) for n in (10, 20)]
    x = torch.linspace(-1.0, 1.0, 14, dtype=torch.float64).reshape(-1, size)
    first, second = (run.law.encoder.features(x) for run in runs)
    assert torch.equal(first, second) is (size == 2)
    energies = [run.law.potentials.energy.net.state_dict() for run in runs]  # type: ignore[union-attr]
    assert any(not torch.equal(energies[0][key], energies[1][key]) for key in energies[0])


def test_held_features_are_polished_on_whole_protocols_of_short_records() -> None:
    names = {}
    for size, stride in ((2, 4), (2, 1), (1, 4)):
        data = ensemble(size, stride)
        parts = prepare([data], torch.device("cpu"), 0, nodes=48, validation=[1])
        config = short(MEANS)
        law, _, _ = trainer.new_law(config, [data], parts, physics_of(
            str(data.system), dict(data.parameters)), [1])  # fmt: skip
        assert holds_features(law) is (size == 2)
        if size == 2:
            held, held_parts = law, parts
        made = recipe(config, law, parts)
        names[size, stride] = [stage.__name__ for stage in made]
    assert names[2, 4] == ["PolishDrive", "Density"]
    assert names[2, 1] == ["PolishWindows", "Density"]  # 161 instants
    assert names[1, 4] == ["Identify", "PolishWindows", "Density"]
    # The last law does not hold its features; the first one does, but with nothing to polish it by.
    unpolished = recipe(short(MEANS, polish_steps=0), held, held_parts)
    assert [stage.__name__ for stage in unpolished] == ["Identify", "Density"]
