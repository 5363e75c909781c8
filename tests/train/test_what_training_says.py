"""What cannot be learned, has not been learned, or cannot be judged is said."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from short_training import short

from ibvonn_train.audits import certify
from ibvonn_train.data import StrainDriven
from ibvonn_train.data.ensemble import TrajectoryEnsemble
from ibvonn_train.evaluation import evaluate, open_law
from ibvonn_train.export import export_trained
from ibvonn_train.statistical_mechanics.microscopic_energy import Physics, physics_of
from ibvonn_train.training import CheckpointError, TrainedModel, TrainingConfig, train
from ibvonn_train.training import validation as validating
from ibvonn_train.training.dataset import prepare
from ibvonn_train.training.identify import Identify
from ibvonn_train.training.polish_windows import PolishWindows
from ibvonn_train.training.stage import Material, Stage
from ibvonn_train.training.trainer import new_law

CONFIG = short(polish_steps=0, density_steps=0)
NEEDS_ONE_COMPONENT = {
    "f against F_flow", "g against F_flow", "entropy production", "equilibrium response",
}  # fmt: skip


def run(data: TrajectoryEnsemble, out: Path, config: TrainingConfig = CONFIG, **more: Any) -> Any:
    more = {"validation": [1], **more}
    return train(config, data, out, progress=False, tensorboard=False, **more)


def instants(data: TrajectoryEnsemble, count: int) -> TrajectoryEnsemble:
    return data.select(slice(None), slice(count))


@pytest.fixture(scope="module")
def trained(ensemble: TrajectoryEnsemble, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Directory of a run of three steps."""
    out = tmp_path_factory.mktemp("trained")
    run(ensemble, out)
    return out


@pytest.fixture(scope="module")
def exported(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_trained(TrainedModel.load(trained), tmp_path_factory.mktemp("law") / "model")


@pytest.fixture(scope="module")
def vectors(ensemble: TrajectoryEnsemble) -> TrajectoryEnsemble:
    """A particle with three components, of which the trap moves the first."""
    rng = np.random.default_rng(0)
    across = rng.normal(scale=0.07, size=(*ensemble.microstate.shape[:-1], 2))
    microstate = np.concatenate([ensemble.microstate, across], -1)[:, :, :, :60]
    return dataclasses.replace(ensemble, microstate=microstate, system="particle_in_space")


def energy(x: torch.Tensor, strain: torch.Tensor) -> torch.Tensor:
    apart = (strain[..., :1] - x[..., 0]) ** 2
    return 0.5 * (apart + x.square().sum(-1))


def test_microstates_of_several_components_are_judged_as_far_as_they_can_be(
    vectors: TrajectoryEnsemble, tmp_path: Path
) -> None:
    export_trained(run(vectors, tmp_path), tmp_path / "model")
    law = open_law(tmp_path / "model", energy)
    result = {each.audit: each for each in certify(law, vectors, evaluate(law, vectors), vectors)}
    for name in NEEDS_ONE_COMPONENT:
        assert result[name].verdict == "not available", name
        assert result[name].detail == "needs microstates of one component; these have 3"
    assert result["stress at encoded states"].value is not None


def test_the_trap_of_that_name_has_one_component(vectors: TrajectoryEnsemble) -> None:
    from ibvonn_train.evaluation.noise_free import exact_trap_of
    from ibvonn_train.evaluation.order_parameters import order_parameter

    named = dataclasses.replace(vectors, system="tethered_particle")
    assert order_parameter(named) is None
    assert exact_trap_of(named) is None


def test_without_thermal_noise_its_audits_are_not_available(
    ensemble: TrajectoryEnsemble, exported: Path
) -> None:
    law = open_law(exported)
    cold = dataclasses.replace(ensemble, parameters=ensemble.parameters | {"thermal_energy": 0.0})
    result = {each.audit: each for each in certify(law, cold, evaluate(law, ensemble), cold)}
    for name in ("fluctuation-dissipation", "Jarzynski equality", "equilibrium response"):
        assert (result[name].verdict, result[name].value) == ("not available", None)
        assert "k_BT of these data is 0" in result[name].detail


def test_one_instant_teaches_and_judges_nothing(
    ensemble: TrajectoryEnsemble, exported: Path, tmp_path: Path
) -> None:
    single = instants(ensemble, 1)
    with pytest.raises(ValueError, match=r"at least 2 instants.* ensemble 0 has 1"):
        run(single, tmp_path / "one")
    with pytest.raises(ValueError, match="at least 2 instants to roll 'small' out; found 1"):
        evaluate(open_law(exported), single)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"strain": 0.1}, "the strain must vary"),
        ({"stress": 0.3}, "the stress must vary"),
        ({"microstate": 0.2}, "the microstate must vary"),
    ],
)
def test_what_never_varies_is_refused(
    ensemble: TrajectoryEnsemble, change: dict[str, float], words: str, tmp_path: Path
) -> None:
    constant = {
        name: np.full_like(getattr(ensemble, name), value) for name, value in change.items()
    }
    with pytest.raises(ValueError, match=words):
        run(dataclasses.replace(ensemble, drive=StrainDriven(), **constant), tmp_path)


def test_replicas_that_are_all_alike_are_refused(
    ensemble: TrajectoryEnsemble, tmp_path: Path
) -> None:
    first = np.repeat(ensemble.microstate[..., :1, :], 5, axis=-2)
    with pytest.raises(ValueError, match="the spread of the replicas must vary"):
        run(dataclasses.replace(ensemble, microstate=first), tmp_path)


@pytest.mark.parametrize("count", [2, 7])
def test_a_record_shorter_than_a_window_is_trained_on_as_a_whole(
    ensemble: TrajectoryEnsemble, count: int, tmp_path: Path
) -> None:
    run(instants(ensemble, count), tmp_path, short())
    with (tmp_path / "log.csv").open() as stream:
        rows = [row for row in csv.DictReader(stream) if row["quantity"] == "internal"]
    assert float(rows[0]["value"]) > 0.0


@pytest.mark.parametrize("stage", [Identify, PolishWindows])
def test_a_loss_that_is_no_number_stops_the_training_and_changes_no_weight(
    ensemble: TrajectoryEnsemble, stage: type[Stage], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = short()
    data = prepare([ensemble], torch.device("cpu"), 0, nodes=48)
    physics = physics_of(ensemble.system, ensemble.parameters)
    law, _, features = new_law(config, [ensemble], data, physics, ())
    learning = stage(Material.of(law, data, physics, config.expert, features.slowest), 0)
    learning.advance()
    before = {name: value.clone() for name, value in law.state_dict().items()}
    module = sys.modules[stage.__module__]
    monkeypatch.setattr(module, "scaled", lambda error, *_: error * torch.inf)
    with pytest.raises(FloatingPointError, match=rf"step 1 of '{stage.name}' internal.* is not"):
        learning.advance()
    assert all(torch.equal(law.state_dict()[name], value) for name, value in before.items())


def test_a_request_to_end_leaves_a_checkpoint_to_go_on_from(
    ensemble: TrajectoryEnsemble, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    advance = Identify.advance

    def advance_and_end(self: Identify) -> dict[str, float]:
        if self.step == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return advance(self)

    # Control: without the training's own handler the signal would end this program.
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(Identify, "advance", advance_and_end)
            with pytest.raises(KeyboardInterrupt, match="stopped in stage 'identify'"):
                run(ensemble, tmp_path / "ended")
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)
    resumed = run(ensemble, tmp_path / "ended", resume=True).law.state_dict()
    whole = TrainedModel.load(trained).law.state_dict()
    assert all(torch.equal(resumed[name], value) for name, value in whole.items())


def test_a_training_is_not_continued_with_other_physics(
    ensemble: TrajectoryEnsemble, tmp_path: Path
) -> None:
    own = physics_of(ensemble.system, ensemble.parameters)
    assert own.energy is not None
    microscopic = own.energy
    run(ensemble, tmp_path, physics=own)
    hot = dataclasses.replace(own, thermal_energy=2 * own.thermal_energy)
    stiff = dataclasses.replace(own, energy=lambda x, strain: 3 * microscopic(x, strain))
    for other, key in [(hot, "thermal_energy"), (stiff, "energy")]:
        with pytest.raises(CheckpointError, match=rf"other physics \(differs in \['{key}'\]\)"):
            run(ensemble, tmp_path, physics=other, resume=True)
    run(ensemble, tmp_path, physics=own, resume=True)


def test_parameters_that_an_energy_needs_are_named() -> None:
    with pytest.raises(
        ValueError, match=r"takes \['stiffness'\], whose values the data do not record"
    ):
        physics_of("tethered_particle", {"friction": 1.0, "thermal_energy": 0.01})


UNTRAINED = """
import sys
import ffcx  # sends Python's warnings to a logger that nobody hears
from ibvonn_train.cli.parser import main
from ibvonn_train.training import encode
encode.fit_first = lambda *_: None  # else one step is enough for this law
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_roll_outs_that_fail_reach_the_person_and_the_manifest(
    ensemble: TrajectoryEnsemble, tmp_path: Path
) -> None:
    pytest.importorskip("ffcx")
    ensemble.save(tmp_path / "data.h5")
    expert = "identify_steps = 1\npolish_steps = 0\ndensity_steps = 0\n"
    (tmp_path / "study.toml").write_text(
        f'[training]\nname = "small"\ninternal = {{ means = 1 }}\n[training.expert]\n{expert}'
    )
    said = [
        subprocess.run(
            [sys.executable, "-c", UNTRAINED, *arguments, "--quiet"],
            cwd=tmp_path, capture_output=True, text=True, check=True, timeout=120,
        ).stderr
        for arguments in (
            ["train", "study.toml", "--data", "data.h5", "--out", "run"],
            ["export", "run", "model"],
            ["export", "run", "model"],  # nobody has judged it: it may be replaced
        )
    ]  # fmt: skip
    for verb, text in zip(("training", "export", "export"), said, strict=True):
        assert text.count(f"{verb}: the law's own roll-outs on the training data") == 1
        assert "choose other internal variables" in text
    (entry,) = json.loads((tmp_path / "model/manifest.json").read_text())["certificate"]
    assert (entry["audit"], entry["verdict"]) == ("roll-outs on the training data", "fail")
    assert entry["value"] > entry["acceptance_range"][1] == 10.0


@pytest.mark.parametrize(
    ("factor", "verdict"), [(0.0, "pass"), (0.08, "pass"), (0.12, "fail"), (np.nan, "fail")]
)
def test_roll_outs_are_measured_by_what_a_constant_would_show(
    ensemble: TrajectoryEnsemble, factor: float, verdict: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of a part of the deviation from the mean is that part in per cent."""
    shifted = dataclasses.replace(ensemble, stress=ensemble.stress + 50.0)  # a mean hides nothing
    data = prepare([shifted], torch.device("cpu"), 0, nodes=48)
    physics = physics_of(ensemble.system, ensemble.parameters)
    law, _, _ = new_law(CONFIG, [shifted], data, physics, ())
    own = validating.rollouts

    def perturbed(*arguments: Any) -> Any:
        block = arguments[1]
        stress = block.stress
        stress = stress + factor * (stress - stress.mean())
        return {k: v._replace(stress=stress) for k, v in own(*arguments).items()}

    monkeypatch.setattr(validating, "rollouts", perturbed)
    result = validating.rollout_verdict(law, data)
    assert result["verdict"] == verdict
    words = validating.conclusion(result)
    assert ("can be trusted within" if verdict == "pass" else "cannot be trusted") in words
    assert "(sampling error " in words
    if np.isfinite(factor):
        assert result["value"] == pytest.approx(100 * factor)
    else:
        assert result["value"] is None


def test_models_of_earlier_versions_have_no_verdict_and_are_exported(
    trained: Path, tmp_path: Path
) -> None:
    model = TrainedModel.load(trained)
    del model.record["rollouts"]
    model.save(tmp_path / "model.pt")
    path = export_trained(TrainedModel.load(tmp_path), tmp_path / "model")
    assert json.loads((path / "manifest.json").read_text())["certificate"] is None


def test_physics_holds_what_a_checkpoint_compares() -> None:
    """A constant that is added to the physics has to be remembered too."""
    assert {each.name for each in dataclasses.fields(Physics)} == {
        "energy", "thermal_energy", "friction", "reference_length",
    }  # fmt: skip
