"""Training runs: resume, interruption, files, and what a trained model answers."""

from __future__ import annotations

import dataclasses
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from short_training import short
from small_ensembles import small_ensemble
from torch import Tensor

from ibvonn_train.data.ensemble import TrajectoryEnsemble
from ibvonn_train.export import export_trained
from ibvonn_train.simulation import SpringChain, chain_of_paper
from ibvonn_train.statistical_mechanics.microscopic_energy import physics_of
from ibvonn_train.training import (
    CheckpointError,
    TrainedModel,
    TrainingConfig,
    checkpoint,
    polish_drive,
    train,
)
from ibvonn_train.training.dataset import prepare
from ibvonn_train.training.density import Density
from ibvonn_train.training.identify import Identify
from ibvonn_train.training.log import RunLog
from ibvonn_train.training.polish_drive import PolishDrive
from ibvonn_train.training.polish_in_turn import PolishInTurn
from ibvonn_train.training.polish_windows import PolishWindows
from ibvonn_train.training.stage import Material, Stage
from ibvonn_train.training.trainer import new_law
from ibvonn_train.training.training_config import ConfigError

CONFIG = short()


@pytest.fixture(scope="module")
def whole(ensemble: TrajectoryEnsemble, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Directory of an uninterrupted run."""
    out = tmp_path_factory.mktemp("whole")
    run(ensemble, out)
    return out


def run(
    ensemble: TrajectoryEnsemble,
    out: Path,
    config: TrainingConfig = CONFIG,
    resume: bool = False,
    validation: Sequence[int] = (1,),
) -> TrainedModel:
    return train(
        config, ensemble, out, validation=validation, resume=resume, checkpoint_every=2,
        progress=False, tensorboard=False,
    )  # fmt: skip


def interrupt_at(monkeypatch: pytest.MonkeyPatch, stage: type[Stage], step: int) -> None:
    """Press Ctrl-C in the middle of a step."""
    advance = stage.advance

    def advance_and_interrupt(self: Stage) -> dict[str, float]:
        if self.step == step:
            os.kill(os.getpid(), signal.SIGINT)
        return advance(self)

    monkeypatch.setattr(stage, "advance", advance_and_interrupt)


@pytest.mark.parametrize(
    ("stage", "step"), [(Identify, 2), (PolishWindows, 0), (PolishWindows, 1), (Density, 1)]
)
def test_interrupted_and_resumed_run_equals_the_uninterrupted_one(
    ensemble: TrajectoryEnsemble,
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stage: type[Stage],
    step: int,
) -> None:
    with monkeypatch.context() as patch:
        interrupt_at(patch, stage, step)
        with pytest.raises(KeyboardInterrupt, match=f"stopped in stage '{stage.name}'"):
            run(ensemble, tmp_path)
    assert not (tmp_path / "model.pt").exists()
    resumed = run(ensemble, tmp_path, resume=True)
    expected = TrainedModel.load(whole)
    for name, value in expected.law.state_dict().items():
        assert torch.equal(resumed.law.state_dict()[name], value), name
    assert (tmp_path / "log.csv").read_text() == (whole / "log.csv").read_text()


@pytest.mark.parametrize(
    ("internal", "stage"),
    [
        ({"populations": 2}, PolishDrive),
        ({"populations": 2, "means": 1}, PolishDrive),
        ({"populations": 2}, PolishInTurn),
    ],
)
def test_a_chain_that_is_interrupted_in_its_polish_goes_on_as_if_it_were_not(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    internal: dict[str, int],
    stage: type[Stage],
) -> None:
    if stage is PolishInTurn:
        monkeypatch.setattr(polish_drive, "MANY", 2)
    lengths = chain_of_paper().train[:3]
    chain = small_ensemble(SpringChain(), lengths, duration=0.6, stride=3, replicas=60)
    config = short(internal)
    expected = run(chain, tmp_path / "whole", config).law.state_dict()
    with monkeypatch.context() as patch:
        interrupt_at(patch, stage, 1)
        with pytest.raises(KeyboardInterrupt, match=f"stopped in stage '{stage.name}'"):
            run(chain, tmp_path / "cut", config)
    result = run(chain, tmp_path / "cut", config, resume=True).law.state_dict()
    for name, value in expected.items():
        assert value.isfinite().all(), name
        assert torch.equal(result[name], value), name


def test_protocols_in_turn_and_the_other_way_round_are_all_protocols_in_all_modes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """From many protocols on each is rolled out in one mode, half of them in either."""
    lengths = [chain_of_paper().train[i] for i in (0, 7)]
    chain = small_ensemble(SpringChain(), lengths, duration=0.6, stride=3, replicas=60)
    config = short({"populations": 2})
    data = prepare([chain], torch.device("cpu"), 0, nodes=40)
    physics = physics_of(str(chain.system), dict(chain.parameters))
    law, _, features = new_law(config, [chain], data, physics, ())
    material = Material.of(law, data, physics, config.expert, features.slowest)

    stage = PolishDrive(material, 1)
    (whole,) = stage.training
    assert whole.turns is None
    every = stage.terms()["rollout"]

    monkeypatch.setattr(polish_drive, "MANY", 2)
    stage = PolishDrive(material, 1)
    (batch,) = stage.training
    assert batch.turns is not None
    assert sorted(batch.turns.tolist()) == [0, 1]
    one = stage.terms()["rollout"]
    stage.training = [dataclasses.replace(batch, turns=1 - batch.turns)]
    other = stage.terms()["rollout"]
    torch.testing.assert_close(0.5 * (one + other), every)
    assert abs(one - other) > 1e-3 * every


def test_a_run_that_is_killed_as_it_resumes_still_has_its_log(tmp_path: Path) -> None:
    first = RunLog(tmp_path, tensorboard=False, rows=0)
    for step in range(5):
        first.write("adam", step, step, {"loss": 0.1 * step})
    first.close()
    whole = (tmp_path / "log.csv").read_text().splitlines()
    resumed = RunLog(tmp_path, tensorboard=False, rows=3)
    assert (tmp_path / "log.csv").read_text().splitlines() == whole[:4]
    resumed.close()


def test_a_run_follows_from_its_seed_and_another_seed_gives_another_law(
    ensemble: TrajectoryEnsemble, whole: Path, tmp_path: Path
) -> None:
    again = run(ensemble, tmp_path / "again").law.state_dict()
    config = dataclasses.replace(CONFIG, seed=1)
    other = run(ensemble, tmp_path, config).law.state_dict()
    expected = TrainedModel.load(whole).law.state_dict()
    assert all(torch.equal(again[name], value) for name, value in expected.items())
    assert any(not torch.equal(other[name], value) for name, value in expected.items())


def test_resuming_with_another_configuration_or_other_data_is_refused(
    ensemble: TrajectoryEnsemble, whole: Path
) -> None:
    with pytest.raises(CheckpointError, match=r"another configuration \(differs in \['seed'\]\)"):
        run(ensemble, whole, dataclasses.replace(CONFIG, seed=5), resume=True)
    with pytest.raises(CheckpointError, match="written with other data"):
        run(ensemble.select([0, 1, 3, 2]), whole, resume=True)
    with pytest.raises(CheckpointError, match=r"other protocols held out \(\[1\], now \[2\]\)"):
        run(ensemble, whole, resume=True, validation=[2])


def test_resuming_a_checkpoint_with_other_networks_is_refused(
    ensemble: TrajectoryEnsemble, whole: Path, tmp_path: Path
) -> None:
    """As those of versions whose decoder of a population was a single flow."""
    content = checkpoint.load(whole / "checkpoint.pt")
    content["law"] = {
        key.replace("decoder.", "decoder.flow."): v for key, v in content["law"].items()
    }
    checkpoint.save(tmp_path / "checkpoint.pt", content)
    with pytest.raises(CheckpointError, match="by another version, whose networks are others"):
        run(ensemble, tmp_path, resume=True)


def test_broken_and_foreign_files_are_refused(whole: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="there is no such file"):
        TrainedModel.load(tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match="holds a checkpoint, not a model"):
        TrainedModel.load(whole / "checkpoint.pt")
    half = tmp_path / "half.pt"
    half.write_bytes((whole / "model.pt").read_bytes()[:2000])
    with pytest.raises(CheckpointError, match="not a readable checkpoint"):
        TrainedModel.load(half)
    newer = tmp_path / "newer.pt"
    torch.save({"format": 99}, newer)
    with pytest.raises(CheckpointError, match="has format 99; this version reads up to 1"):
        TrainedModel.load(newer)
    earlier = tmp_path / "earlier.pt"
    content = torch.load(whole / "model.pt")
    torch.save(content | {"config": {"internal_size": 1}}, earlier)
    with pytest.raises(ConfigError, match=r"earlier.pt: was written by an.*is now internal"):
        TrainedModel.load(earlier)
    foreign = tmp_path / "foreign.pt"
    torch.save({"format": 1, "kind": "model", "x": Path("code")}, foreign)
    with pytest.raises(CheckpointError, match="not a readable checkpoint"):
        TrainedModel.load(foreign)


def test_protocols_that_do_not_exist_are_refused(
    ensemble: TrajectoryEnsemble, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="protocol 9 does not exist; the data have 4"):
        run(ensemble, tmp_path, validation=[9])
    with pytest.raises(ConfigError, match="every protocol is held out"):
        run(ensemble, tmp_path, validation=[0, 1, 2, 3])
    with pytest.raises(ValueError, match="threads and checkpoint_every must be at least 1; got 0"):
        train(CONFIG, ensemble, tmp_path, threads=0)


def test_held_out_protocols_do_not_touch_the_law(
    ensemble: TrajectoryEnsemble, tmp_path: Path
) -> None:
    perturbed = ensemble.microstate.copy()
    centre = perturbed[1].mean()
    perturbed[1] = centre + 0.5 * (perturbed[1] - centre)  # inside the nodes' range
    changed = dataclasses.replace(ensemble, microstate=perturbed)
    config = short(polish_steps=0)  # polish keeps the best state on the held-out protocols
    one, other = (
        run(data, tmp_path / name, config).law.state_dict()
        for name, data in (("as it is", ensemble), ("changed", changed))
    )
    for name, value in one.items():
        assert torch.equal(other[name], value), name


def test_untrained_energy_is_zero_with_its_force_at_the_exported_reference(whole: Path) -> None:
    from ibvonn_train.export.from_training import law_parameters

    model = TrainedModel.load(whole)
    strain = np.zeros(1)
    internal = model.equilibrium(strain)
    scale = float(model.law.potentials.energy_scale)
    assert np.abs(model.rates(strain, internal).driving_force).max() <= 1e-10 * scale
    assert np.abs(model.rates(strain, internal).rate).max() <= 1e-9
    law = law_parameters(model, strain, internal)
    assert law.envelope.shape == (2, 2)


@pytest.mark.export
@pytest.mark.parametrize("initial", [0.0, 0.2])
def test_exported_law_is_the_trained_one(
    ensemble: TrajectoryEnsemble, whole: Path, tmp_path: Path, initial: float
) -> None:
    """Its zero is the equilibrium at the initial strain."""
    from ibvonn_train.export.runtimes.onnx_session import run_onnx

    model = TrainedModel.load(whole)
    directory = export_trained(model, tmp_path / "law", initial_strain=initial)
    zero = model.equilibrium(np.full(1, initial))
    microstate = np.asarray(ensemble.microstate[0, ::50, 0], dtype=np.float64)
    strain = ensemble.strain[0, ::50, 0]
    internal = model.encode(microstate)
    statev = run_onnx(directory / "encoder.onnx", {"microstate": microstate})["statev"]
    assert np.abs(statev - (internal - zero)).max() < 1e-12
    state = {"strain": strain - initial, "statev": statev}
    result = run_onnx(directory / "rates.onnx", state)
    expected = model.rates(strain, internal)
    reference = model.rates(np.full(1, initial), zero).energy
    assert np.abs(result["energy"][:, 0] - (expected.energy - reference)).max() < 1e-10
    assert np.abs(result["stress"] - expected.stress).max() < 1e-10
    assert np.abs(result["rate"] - expected.rate).max() < 1e-9 * np.abs(expected.rate).max()
    points = microstate[:, :20]
    density = run_onnx(directory / "decoder_log_density.onnx", {"microstate": points, **state})[
        "log_density"
    ]
    trained = model.law.log_density(*(torch.tensor(v) for v in (points, strain, internal)))
    assert np.abs(density - trained.numpy()).max() < 1e-9
    noise = np.random.default_rng(0).normal(size=(len(strain), 20, 1))
    sample = run_onnx(directory / "decoder_sample.onnx", {"noise": noise, **state})["microstate"]
    trained = model.law.sample(*(torch.tensor(v) for v in (noise, strain, internal)))
    assert np.abs(sample - trained.numpy()).max() < 1e-9


@pytest.mark.parametrize("every", [3, 7])
def test_line_search_survives_losses_that_are_not_numbers(
    ensemble: TrajectoryEnsemble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every: int
) -> None:
    """A roll-out may leave the numbers where the search looks; torch's own search would fail."""
    terms, calls, begun = PolishWindows.terms, 0, set[int]()

    def sometimes_nan(self: PolishWindows) -> dict[str, Tensor]:
        nonlocal calls
        first = self.step not in begun  # what an iteration starts from is a number
        begun.add(self.step)
        calls += 1
        result = terms(self)
        if first or calls % every:
            return result
        return result | {"internal": result["internal"] * torch.nan}

    monkeypatch.setattr(PolishWindows, "terms", sometimes_nan)
    model = run(ensemble, tmp_path)
    assert calls > every
    assert all(bool(p.isfinite().all()) for p in model.law.parameters())


def test_a_history_that_points_uphill_is_begun_anew(
    ensemble: TrajectoryEnsemble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Round-off does that to stiff problems; torch's optimiser would rest there for ever."""
    step, advance, losses = torch.optim.LBFGS.step, PolishWindows.advance, []

    def at_rest_with_a_history(self: torch.optim.LBFGS, closure: Callable[[], float]) -> object:
        return closure() if self.state else step(self, closure)

    def watched(self: PolishWindows) -> dict[str, float]:
        record = advance(self)
        losses.append(record["loss"])
        return record

    from ibvonn_train.training import trainer

    encode = trainer.encode

    def encode_first(*arguments: Any) -> None:
        encode(*arguments)  # whose fit needs torch's own optimiser
        monkeypatch.setattr(torch.optim.LBFGS, "step", at_rest_with_a_history)

    monkeypatch.setattr(trainer, "encode", encode_first)
    monkeypatch.setattr(PolishWindows, "advance", watched)
    run(ensemble, tmp_path)
    assert losses[2] < losses[1] < losses[0]
