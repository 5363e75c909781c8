"""Populations under an imposed strain are polished in f first, then in φ."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from short_training import short
from small_ensembles import small_ensemble

from ibvonn_train.data.ensemble import TrajectoryEnsemble
from ibvonn_train.law.population_potentials import PopulationPotentials
from ibvonn_train.simulation import PeriodicLattice
from ibvonn_train.simulation.strain_paths import strain_training_set
from ibvonn_train.statistical_mechanics.microscopic_energy import physics_of
from ibvonn_train.training import TrainedModel, polish_drive, train
from ibvonn_train.training.dataset import prepare
from ibvonn_train.training.identify import Identify
from ibvonn_train.training.polish_drive import Batch
from ibvonn_train.training.polish_populations import PolishEnergy, PolishRates
from ibvonn_train.training.recipe import recipe
from ibvonn_train.training.residuals import scaled
from ibvonn_train.training.stage import Material, Stage
from ibvonn_train.training.trainer import new_law

CONFIG = short({"populations": 2})


@pytest.fixture(scope="module")
def lattice(c_compiler: None) -> TrajectoryEnsemble:
    box = ([-0.05, -0.05, -0.1], [0.17, 0.17, 0.1])
    paths = strain_training_set(*box, 300.0, seed=4, walks=4, directions=0)
    settings: dict[str, Any] = {"duration": 300.0, "time_step": 0.1, "stride": 60, "replicas": 16}
    return small_ensemble(PeriodicLattice(cells=6), paths, record="histogram", **settings)


@pytest.fixture
def material(lattice: TrajectoryEnsemble) -> Material:
    data = prepare([lattice], torch.device("cpu"), 0, nodes=48, validation=[1])
    physics = physics_of(str(lattice.system), dict(lattice.parameters))
    law, _, features = new_law(CONFIG, [lattice], data, physics, [1])
    return Material.of(law, data, physics, CONFIG.expert, features.slowest)


def potentials(material: Material) -> PopulationPotentials:
    assert isinstance(material.law.potentials, PopulationPotentials)
    return material.law.potentials


def test_the_recipe_has_all_parts(material: Material) -> None:
    stages = [stage.__name__ for stage in recipe(CONFIG, material.law, material.data)]
    polish = [
        "PolishEnergy",
        "PolishRates",
        "PolishEnergyAgain",
        "PolishRatesAgain",
        "PolishEnergyLast",
    ]
    assert stages == ["Identify", *polish, "Density"]


def test_a_population_that_vanishes_is_taken_back(material: Material) -> None:
    """With the state of a resumed training, too."""
    law = material.law
    before = {name: value.clone() for name, value in law.state_dict().items()}
    identify = Identify(material, 1)
    identify.advance()
    identify.finish()
    moved = [name for name, value in law.state_dict().items() if not value.equal(before[name])]
    assert any(name.startswith("encoder") for name in moved)
    assert any(name.startswith("potentials") for name in moved)
    with torch.no_grad():
        for parameter in law.encoder.parameters():
            parameter.zero_()  # ψ is the same of all microstates
    resumed = Identify(material, 1)
    resumed.internal_scale = identify.internal_scale
    resumed.restore(identify.state())
    resumed.finish()
    assert all(value.equal(before[name]) for name, value in law.state_dict().items())


@pytest.mark.parametrize(
    ("stage", "moves", "stays"),
    [(PolishEnergy, "smooth", "rate_net"), (PolishRates, "rate_net", "smooth")],
)
def test_each_part_lowers_the_loss_and_leaves_the_other_potential(
    material: Material, stage: type[Stage], moves: str, stays: str
) -> None:
    polish = stage(material, 1)
    before = {k: v.clone() for k, v in potentials(material).state_dict().items()}
    first = polish.advance()["loss"]
    last = polish.advance()["loss"]
    assert last < first
    after = potentials(material).state_dict()
    moved = {k for k, v in after.items() if not torch.equal(v, before[k])}
    assert any(name.startswith(moves) for name in moved)
    assert not any(name.startswith(stays) for name in moved)


def test_what_changes_of_the_rates_counts_in_their_loss(material: Material) -> None:
    polish = PolishRates(material, 1)
    assert float(polish.terms()["change"].detach()) == 0.0
    with torch.no_grad():
        potentials(material).barrier += 2.0
    size = potentials(material).barrier.numel()
    assert float(polish.terms()["change"].detach()) == pytest.approx(1e-3 * 4.0 * size)


def test_the_last_of_states_that_are_equally_good_is_kept(
    material: Material, monkeypatch: pytest.MonkeyPatch
) -> None:
    polish = PolishEnergy(material, 1)
    errors = iter(
        [0.99, 0.995, 1.02]
    )  # of the best, 0.99, the second differs by 0.5 %, the last 3 %
    monkeypatch.setattr(polish, "_validated", lambda: next(errors) * first)
    first = polish.best
    states = []
    for _ in range(3):
        polish.advance()
        states.append([p.detach().clone() for p in polish.parameters])
    polish.finish()
    assert all(map(torch.equal, polish.parameters, states[1]))
    assert polish.waited == 2


@pytest.mark.parametrize("stage", [PolishEnergy, PolishRates])
def test_a_training_that_is_interrupted_goes_on_as_if_it_were_not(
    lattice: TrajectoryEnsemble,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stage: type[Stage],
) -> None:
    def run(out: Path, *, resume: bool = False) -> TrainedModel:
        return train(
            CONFIG, lattice, out, validation=[1], resume=resume, checkpoint_every=1,
            progress=False, tensorboard=False,
        )  # fmt: skip

    expected = run(tmp_path / "whole").law.state_dict()
    advance = stage.advance

    def advance_and_interrupt(self: Stage) -> dict[str, float]:
        """Press Ctrl-C in the middle of a step."""
        if self.step == 1:
            os.kill(os.getpid(), signal.SIGINT)
        return advance(self)

    with monkeypatch.context() as patch:
        patch.setattr(stage, "advance", advance_and_interrupt)
        with pytest.raises(KeyboardInterrupt, match=f"stopped in stage '{stage.name}'"):
            run(tmp_path / "cut")
    resumed = run(tmp_path / "cut", resume=True).law.state_dict()
    for name, value in expected.items():
        assert np.isfinite(value.numpy()).all(), name
        assert torch.equal(resumed[name], value), name


def change(polish: PolishEnergy, batch: Batch, steps: int) -> float:
    """Return the most that twice as many steps change, in units of the sampling errors."""
    internal = batch.references["internal"][0]
    few, more = (
        polish._roll_out(replace(batch, substeps=n), internal)["controlled"]
        for n in (steps, 2 * steps)
    )
    return max(
        float(scaled(getattr(more, k) - getattr(few, k), error, polish.scales[k]).square().mean())
        for k, (_, error) in batch.references.items()
    )


def test_roll_outs_take_as_many_steps_as_change_nothing_more(
    material: Material, monkeypatch: pytest.MonkeyPatch
) -> None:
    with torch.no_grad():
        monkeypatch.setattr(polish_drive, "UNCHANGED", 1e3)
        few = PolishEnergy(material, 1)
        assert few.training[0].substeps == 1
        rough = change(few, few.training[0], 1)
        monkeypatch.setattr(polish_drive, "UNCHANGED", 0.3 * rough**0.5)
        more = PolishEnergy(material, 1)
        steps = more.training[0].substeps
        assert steps > 1
        assert change(more, more.training[0], steps) < 0.09 * rough
        monkeypatch.setattr(polish_drive, "UNCHANGED", 0.0)
        assert PolishEnergy(material, 1).training[0].substeps == polish_drive.MOST_STEPS
