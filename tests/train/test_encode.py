"""Where a training of means begins: on a particle whose well stiffens."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from short_training import short
from small_ensembles import small_ensemble

from ibvonn_train.data.ensemble import TrajectoryEnsemble
from ibvonn_train.law.learned_law import LearnedLaw
from ibvonn_train.simulation.families import protocols_for_training
from ibvonn_train.simulation.study import own_system
from ibvonn_train.statistical_mechanics.microscopic_energy import physics_of
from ibvonn_train.training import encode, first_fit
from ibvonn_train.training.dataset import Block, prepare
from ibvonn_train.training.reference_energy import measured_free_energy
from ibvonn_train.training.trainer import new_law

TEMPLATES = Path(__file__).parents[2] / "ibvonn_train/cli/templates"


@pytest.fixture(scope="module")
def ensemble() -> TrajectoryEnsemble:
    system = own_system("own_system.py:StiffeningWell", TEMPLATES)()
    protocols = protocols_for_training(-1.5, 1.5, 15.0, start=0.0, walks=4, seed=11)
    return small_ensemble(system, protocols, duration=15.0, stride=10, replicas=500)


def begun(ensemble: TrajectoryEnsemble) -> tuple[LearnedLaw, Block, torch.Tensor | None]:
    system = own_system("own_system.py:StiffeningWell", TEMPLATES)()
    physics = physics_of(ensemble.system, ensemble.parameters, system.microscopic_energy)
    config = short(width=16, identify_steps=200)
    data = prepare([ensemble], torch.device("cpu"), 0, nodes=96)
    law, _, _ = new_law(config, [ensemble], data, physics, ())
    block = data.training[0]
    return law, block, measured_free_energy(block, physics)


def test_a_mean_begins_as_a_function_that_tells_all_states_apart(
    ensemble: TrajectoryEnsemble,
) -> None:
    law, block, _ = begun(ensemble)
    mean = block.measures.absolute.mean(block.measures.absolute.nodes)[:, 0]
    internal = law.encode(block.measures)[:, 0].detach()
    order = mean.argsort()
    rises = torch.diff(internal[order][::50])
    assert (rises > 0).all() or (rises < 0).all()


def errors(ensemble: TrajectoryEnsemble) -> tuple[float, float]:
    """Of σ and f at the encoded states, relative to their standard deviations."""
    law, block, energies = begun(ensemble)
    assert energies is not None
    with torch.no_grad():
        internal = block.flat(block.series(law.encode(block.measures)))
        values = law(block.flat(block.strain), internal)
    stress = block.flat(block.stress)
    away = values.energy - energies
    of_stress = (values.stress - stress).square().mean().sqrt() / stress.std()
    return float(of_stress), float((away - away.mean()).square().mean().sqrt() / energies.std())


def test_f_begins_at_the_measured_stress_and_free_energy(
    ensemble: TrajectoryEnsemble, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert max(errors(ensemble)) < 0.03
    monkeypatch.setattr(encode, "fit_first", lambda *_: None)
    assert min(errors(ensemble)) > 0.2


def error_of_rates(ensemble: TrajectoryEnsemble) -> float:
    """Of α̇, integrated along the measured states, relative to the increments of ten instants."""
    law, block, _ = begun(ensemble)
    with torch.no_grad():
        internal = block.series(law.encode(block.measures))
        rate = law(block.strain, internal).rate
    step = torch.diff(block.time)[None, :, None, None]
    change = torch.cumsum((0.5 * (rate[:, 1:] + rate[:, :-1]) * step), 1)
    away = (change[:, 10:] - change[:, :-10]) - (internal[:, 11:] - internal[:, 1:-10])
    return float(away.square().mean().sqrt() / (internal[:, 11:] - internal[:, 1:-10]).std())


def test_rates_of_one_mean_begin_near_the_data_of_a_coarse_record(
    ensemble: TrajectoryEnsemble, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert error_of_rates(ensemble) < 0.1
    monkeypatch.setattr(first_fit, "fit_potentials", lambda *_: None)
    assert error_of_rates(ensemble) > 0.3
