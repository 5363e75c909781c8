"""Training runs: resume, interruption, files, and what a trained model answers."""

from __future__ import annotations

import csv
import dataclasses
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from ibvonn_train.data.ensemble import TrajectoryEnsemble
from ibvonn_train.export import export_trained
from ibvonn_train.training import CheckpointError, TrainedModel, TrainingConfig, train
from ibvonn_train.training.log import RunLog
from ibvonn_train.training.objective import Batch, Objective
from ibvonn_train.training.stages import StageRun
from ibvonn_train.training.training_config import ConfigError

LOSS = {"negative_log_likelihood": 1e-2, "free_energy_consistency": 1e-2}
TABLE = {
    "name": "small",
    "nodes": 64,
    "width": 8,
    "stages": [
        {"name": "adam", "optimiser": "adam", "steps": 12, "states": 16, "trajectories": 2,
         "loss": LOSS},
        {"name": "lbfgs", "optimiser": "lbfgs", "steps": 40,
         "train": ["encoder", "energy", "dissipation"]},
        {"name": "tie", "optimiser": "lbfgs", "steps": 20, "train": ["energy", "dissipation"],
         "states": 40,
         "loss": {"free_energy_consistency": 0.1, "driving_force_consistency": 0.01}},
    ],
}  # fmt: skip
CONFIG = TrainingConfig.from_dict(TABLE)


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
        config, ensemble, out, validation=validation, resume=resume, checkpoint_every=5,
        progress=False, tensorboard=False,
    )  # fmt: skip


def interrupt_at(monkeypatch: pytest.MonkeyPatch, stage: str, step: int) -> None:
    """Press Ctrl-C in the middle of a step."""
    advance = StageRun.advance

    def advance_and_interrupt(self: StageRun) -> dict[str, float]:
        if self.config.name == stage and self.step == step:
            os.kill(os.getpid(), signal.SIGINT)
        return advance(self)

    monkeypatch.setattr(StageRun, "advance", advance_and_interrupt)


@pytest.mark.parametrize(
    ("stage", "step"),
    [
        ("adam", 7),
        *(
            pytest.param(*at, marks=pytest.mark.slow)
            for at in (("lbfgs", 1), ("lbfgs", 3), ("tie", 0))
        ),
    ],
)
def test_interrupted_and_resumed_run_equals_the_uninterrupted_one(
    ensemble: TrajectoryEnsemble,
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stage: str,
    step: int,
) -> None:
    with monkeypatch.context() as patch:
        interrupt_at(patch, stage, step)
        with pytest.raises(KeyboardInterrupt, match=f"stopped in stage '{stage}'"):
            run(ensemble, tmp_path)
    assert not (tmp_path / "model.pt").exists()
    resumed = run(ensemble, tmp_path, resume=True)
    expected = TrainedModel.load(whole)
    for name, value in expected.law.state_dict().items():
        assert torch.equal(resumed.law.state_dict()[name], value), name
    assert (tmp_path / "log.csv").read_text() == (whole / "log.csv").read_text()


def test_a_run_that_is_killed_as_it_resumes_still_has_its_log(tmp_path: Path) -> None:
    first = RunLog(tmp_path, tensorboard=False, rows=0)
    for step in range(5):
        first.write("adam", step, step, {"loss": 0.1 * step})
    first.close()
    whole = (tmp_path / "log.csv").read_text().splitlines()
    resumed = RunLog(tmp_path, tensorboard=False, rows=3)
    assert (tmp_path / "log.csv").read_text().splitlines() == whole[:4]
    resumed.close()


def test_another_seed_gives_another_law(
    ensemble: TrajectoryEnsemble, whole: Path, tmp_path: Path
) -> None:
    """Guards the test above: the comparison sees differences."""
    short = dataclasses.replace(CONFIG, seed=1, stages=CONFIG.stages[:1])
    other = run(ensemble, tmp_path, short).law.state_dict()
    expected = TrainedModel.load(whole).law.state_dict()
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


def test_a_stage_can_be_added_to_a_finished_training(
    ensemble: TrajectoryEnsemble, whole: Path, tmp_path: Path
) -> None:
    once = TrainedModel.load(whole).law.state_dict()
    short = dataclasses.replace(CONFIG, stages=CONFIG.stages[:-1])
    before = run(ensemble, tmp_path / "again", short).law.state_dict()
    longer = run(ensemble, tmp_path / "again", resume=True).law.state_dict()
    assert all(torch.equal(longer[name], value) for name, value in once.items())
    assert any(not torch.equal(longer[name], value) for name, value in before.items())
    changed = dataclasses.replace(CONFIG.stages[0], steps=CONFIG.stages[0].steps + 1)
    other = dataclasses.replace(CONFIG, stages=(changed, *CONFIG.stages[1:]))
    with pytest.raises(CheckpointError, match=r"differs in \['stages that have begun'\]"):
        run(ensemble, tmp_path / "again", other, resume=True)


@pytest.mark.slow
def test_the_density_can_follow_f(ensemble: TrajectoryEnsemble, tmp_path: Path) -> None:
    """A stage that trains the decoder brings −∂F_flow/∂α to g, and leaves f as it was."""
    loss = {"stress": 0.0, "weak_form": 0.0, "negative_log_likelihood": 0.1}
    loss |= {"free_energy_consistency": 1.0, "driving_force_consistency": 1.0}
    density = {
        "name": "density", "optimiser": "adam", "steps": 200, "states": 48, "train": ["decoder"],
        "loss": loss,
    }  # fmt: skip
    after = TrainingConfig.from_dict({**CONFIG.resolved(), "stages": [
        *CONFIG.resolved()["stages"], density,
    ]})  # fmt: skip
    before = run(ensemble, tmp_path).law
    model = run(ensemble, tmp_path, after, resume=True)
    for part in ("encoder", "energy", "dissipation"):
        found = getattr(model.law, part).state_dict()
        for name, value in getattr(before, part).state_dict().items():
            assert torch.equal(found[name], value), f"{part}.{name}"
    with (tmp_path / "log.csv").open() as stream:
        rows = [row for row in csv.DictReader(stream) if row["stage"] == "density"]
    gradient = [
        float(row["value"]) for row in rows if row["quantity"] == "driving_force_consistency"
    ]
    assert np.mean(gradient[-20:]) < 0.3 * np.mean(gradient[:5])


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
    torch.save(content | {"config": {"model": {"walls": 1}}}, earlier)
    with pytest.raises(ConfigError, match=r"earlier.pt: was written by an earlier.*'walls'"):
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
    ensemble: TrajectoryEnsemble, whole: Path, tmp_path: Path
) -> None:
    perturbed = ensemble.microstate.copy()
    centre = perturbed[1].mean()
    perturbed[1] = centre + 0.5 * (perturbed[1] - centre)  # inside the nodes' range
    other = run(dataclasses.replace(ensemble, microstate=perturbed), tmp_path)
    for name, value in TrainedModel.load(whole).law.state_dict().items():
        assert torch.equal(other.law.state_dict()[name], value), name


def test_untrained_energy_is_zero_with_its_force_at_the_exported_reference(whole: Path) -> None:
    from ibvonn_train.export.from_training import law_parameters

    model = TrainedModel.load(whole)
    strain = np.zeros(1)
    internal = model.equilibrium(strain)
    scale = float(model.law.energy.energy_scale)
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
    found = run_onnx(directory / "rates.onnx", state)
    expected = model.rates(strain, internal)
    reference = model.rates(np.full(1, initial), zero).energy
    assert np.abs(found["energy"][:, 0] - (expected.energy - reference)).max() < 1e-10
    assert np.abs(found["stress"] - expected.stress).max() < 1e-10
    assert np.abs(found["rate"] - expected.rate).max() < 1e-9 * np.abs(expected.rate).max()
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
    backward, calls = Objective.backward, 0

    def sometimes_nan(self: Objective, batch: Batch, factor: float = 1.0) -> dict[str, float]:
        nonlocal calls
        record, calls = backward(self, batch, factor), calls + 1
        return record | {"loss": float("nan")} if calls % every == 0 else record

    stages = tuple(dataclasses.replace(s, steps=20) for s in CONFIG.stages if s.name == "lbfgs")
    plain = dataclasses.replace(CONFIG, stages=stages)
    monkeypatch.setattr(Objective, "backward", sometimes_nan)
    model = run(ensemble, tmp_path, plain)
    assert calls > every
    assert all(bool(p.isfinite().all()) for p in model.law.parameters())


def test_a_history_that_points_uphill_is_begun_anew(
    ensemble: TrajectoryEnsemble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Round-off does that to stiff problems; torch's optimiser would rest there for ever."""
    step, advance, losses = torch.optim.LBFGS.step, StageRun.advance, []

    def at_rest_with_a_history(self: torch.optim.LBFGS, closure: Callable[[], float]) -> object:
        return closure() if self.state else step(self, closure)

    def watched(self: StageRun) -> dict[str, float]:
        losses.append(advance(self)["loss"])
        return {"loss": losses[-1]}

    stages = tuple(dataclasses.replace(s, steps=30) for s in CONFIG.stages if s.name == "lbfgs")
    monkeypatch.setattr(torch.optim.LBFGS, "step", at_rest_with_a_history)
    monkeypatch.setattr(StageRun, "advance", watched)
    run(ensemble, tmp_path, dataclasses.replace(CONFIG, stages=stages))
    assert losses[2] < losses[1] < losses[0]
