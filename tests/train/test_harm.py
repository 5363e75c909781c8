"""Studies, folders and programs from strangers: nothing outside is written, mistakes are named."""

from __future__ import annotations

import json
import os
from pathlib import Path

import h5py
import numpy as np
import pytest
from small_ensembles import small_ensemble
from small_study import STUDY, simulated

from ibvonn_train.cli import main
from ibvonn_train.data.ensemble import TrajectoryEnsemble
from ibvonn_train.files.toml_tables import ConfigError
from ibvonn_train.simulation import MicroscopicSystem, TetheredParticle, simulate
from ibvonn_train.simulation.protocols import from_function, ramp
from ibvonn_train.simulation.simulation_config import SimulationConfig
from ibvonn_train.simulation.study import build_protocols, own_system, system_of_record
from ibvonn_train.studies.reproduction import _keep_configuration
from ibvonn_train.studies.results import read_results, write_json
from ibvonn_train.training import checkpoint
from ibvonn_train.training import train as train_law
from ibvonn_train.training.training_config import TrainingConfig

OWN = """
import torch
from ibvonn_train.simulation import MicroscopicSystem
class Own(MicroscopicSystem):
    name, friction, thermal_energy = "own", 1.0, 0.01
    def __init__(self, hardening=1.0):
        self.hardening = hardening
    def energy(self, x, control):
        return self.hardening * ((control - x[:, 0]) ** 2 + x[:, 0] ** 2)
    def start(self, control, n_replica, generator):
        return torch.zeros(len(control), 1, n_replica, dtype=control.dtype)
    def microstate(self, x, control):
        return x[..., None]
    def microscopic_energy(self, microstate, strain):
        return self.energy(microstate.movedim(-1, 1), strain)
"""
RECORD = """    def parameters(self):
        return {**super().parameters(), "hardening": self.hardening}
"""


@pytest.mark.parametrize(
    "name", ["../../x", "/tmp/x", "a/b", "", ".", "..", ".hidden", "a\\u0000b", "a\\nb", "x" * 300]
)
def test_a_name_leads_to_no_other_folder(
    name: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = simulated(folder, STUDY.replace('"train"', f'"{name}"'), capsys)
    assert (code, "simulation.sets.name: must be up to 100 letters" in said) == (1, True)
    assert [each.name for each in folder.parent.rglob("*")] == ["inside", "study.toml"]
    (folder / "study.toml").write_text(STUDY.replace('"small"', f'"{name}"'))
    with pytest.raises(ConfigError, match=r"training.name: must be up to 100 letters"):
        TrainingConfig.from_toml(folder / "study.toml")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("replicas = 10", "replicas = 1000000000000"), "of memory"),
        (("replicas = 10", "replicas = 0"), "at least 2 replicas"),
        (("replicas = 10", "replicas = -5"), "at least 2 replicas"),
        (("duration = 0.2", "duration = 1e15"), "every step of the protocols: needs"),
        (("time_step = 0.01", "time_step = -0.01"), "must be positive"),
        (("duration = 0.2", "duration = -0.2"), "duration must be positive and stride at least 1"),
        (("seed = 1\n", "seed = 1\nreplicas = 0\n"), "replicas must be at least 1"),
        (("replicas = 10", "duration = 1.0"), "'duration' is a key of each of [[simulation.sets]]"),
        (('kind = "ramp"', 'kind = "rich_family"'), "'rich_family' is now called 'training_set'"),
        (("seed = 1\n", f"seed = {10**30}\n"), "seed must lie between"),
        (("rate = [0.5, 1.0]", 'rate = "fast"'), "protocols[0].rate: must be of type float"),
        (("rate = [0.5, 1.0]", "rate = [0.5, []]"), "protocols[0].rate: must be of type float"),
        (("rate = [0.5, 1.0]", "rate = nan"), "rate: must be finite"),
        (
            ('"ramp", rate = [0.5, 1.0]', '"piecewise_linear", times = 1, values = 2'),
            "protocols[0].times: must be a list",
        ),
        (('kind = "ramp"', "kind = [1]"), "kind must be one of"),
        (("[[simulation.sets]]", "[simulation.parameters]\nstiffness = []\n[[simulation.sets]]"),
         "stiffness: must be of type float"),
        (("[simulation]", "[simulation"), "must be TOML"),
        (("[simulation]", "[simulation]\nsystem = 1"), "must be TOML"),
        (("[simulation]", "[simulations]"), "the keys ['replicas', 'system'"),
        (('"tethered_particle"', "7"), "system: must be of type str"),
    ],
)  # fmt: skip
def test_mistakes_in_a_study_are_sentences(
    change: tuple[str, str], words: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = simulated(folder, STUDY.replace(*change), capsys)
    assert (code, said.count("\n")) == (1, 1), said
    assert words in said


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("def f(:\n", r"own.py:1: must run; it stops with SyntaxError"),
        ("\nraise SystemExit(3)\n", r"own.py:2: must run; it stops with SystemExit: 3"),
        ("import sys\nsys.exit()\n", r"own.py:2: must run; it stops with SystemExit\."),
        ("import nothing_of_this_name\n", r"own.py:1: must run.*ModuleNotFoundError"),
        ("1 / 0\n", r"own.py:1: must run; it stops with ZeroDivisionError"),
        ("x = '\xff'\n", r"own.py.*must run; it stops with"),
        ("Own = 3\n", "must define a class 'Own'"),
        (OWN.replace("x[..., None]", "x"), r"microstate of one protocol .* found \(1, 1, 2\)"),
        (OWN.replace("x[:, 0]) ** 2 + x[:, 0]", "x) ** 2 + x"), r"energy of one .* \(1, 1, 2\)"),
        (OWN.replace("x[..., None]", "y"), r"own.py:13: NameError: name 'y' is not defined"),
        (OWN.replace("x[..., None]", "exit(4)"), r"SystemExit: 4"),
        (OWN + RECORD.replace("self.hardening", "torch.ones(2)"), "must hold finite numbers"),
    ],
)
def test_mistakes_in_a_system_of_ones_own_are_sentences(
    code: str, words: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "own.py").write_text(code, encoding="latin-1")
    result, said = simulated(folder, STUDY.replace("tethered_particle", "own.py:Own"), capsys)
    assert (result, said.count("\n")) == (1, 1), said
    with pytest.raises(AssertionError, match=words):
        raise AssertionError(said)


def test_a_system_of_ones_own_is_built_with_what_its_data_record(folder: Path) -> None:
    (folder / "own.py").write_text(OWN + RECORD)
    own = own_system("own.py:Own", folder)
    recorded = {"friction": 1.0, "thermal_energy": 0.01, "hardening": 8.0}
    made = system_of_record(own, "own", recorded, "end", "--system")
    assert made.parameters()["hardening"] == 8.0
    for system, changed, words in (
        ("other", {}, "its name is 'own', and 'other' in the data"),
        ("own", {"friction": 3.0}, "its friction is 1.0, and 3.0 in the data"),
    ):
        with pytest.raises(ConfigError, match=words):
            system_of_record(own, system, {**recorded, **changed}, "end", "--system")
    del recorded["hardening"]
    with pytest.raises(
        ConfigError, match=r"takes \['hardening'\], whose values the data do not record"
    ):
        system_of_record(own, "own", recorded, "end", "--system")


def test_a_protocol_whose_rate_is_not_its_slope_is_refused_before_the_simulation() -> None:
    options = {"duration": 0.2, "time_step": 0.01, "replicas": 10, "seed": 0, "progress": False}
    for rate, right in ((None, True), (lambda t: 0.1 + 0 * t, True), (lambda t: 0 * t, False)):
        protocol = from_function("mine", lambda t: 0.1 * t, rate)
        if right:
            simulate(TetheredParticle(), [protocol], **options)
            continue
        with pytest.raises(ValueError, match="rate of protocol 'mine' must be the slope"):
            simulate(Untouchable(), [protocol], **options)


class Untouchable(MicroscopicSystem):
    """A system that fails when it is simulated."""

    name, friction, thermal_energy = "untouchable", 1.0, 1.0

    def energy(self, *_: object) -> None:  # type: ignore[override]
        """Fail."""
        raise AssertionError

    start = microstate = energy  # type: ignore[assignment]


def test_data_of_another_temperature_are_not_trained_on_or_judged_together(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = {"duration": 0.2, "replicas": 20, "seed": 3}
    paths = []
    for thermal_energy in (0.01, 1.0):
        path = folder / f"at_{thermal_energy}.h5"
        trap = TetheredParticle(thermal_energy=thermal_energy)
        small_ensemble(trap, [ramp(1.0)], **options).save(path)
        paths.append(str(path))
    with pytest.raises(ValueError, match="parameter effective_thermal_energy is"):
        train_law(TrainingConfig(), [TrajectoryEnsemble.load(each) for each in paths], folder / "r")
    (folder / "study.toml").write_text(STUDY)
    train = ["train", str(folder / "study.toml"), "--out", str(folder / "run"), "--data", *paths]
    trap = str(Path(__file__).parents[2] / "exported_models/trap")
    for command, words in (
        (train, "at_1.0.h5: must be of the same system, parameters and units as"),
        (
            ["evaluate", trap, "--no-audits", "--ensemble", paths[1]],
            "at_1.0: must be of the system",
        ),
        (
            ["evaluate", trap, "--no-audits", "--ensemble", paths[0], "--training", paths[1]],
            "at_1.0.h5: must be of the system",
        ),
        (["evaluate", trap, "--ensemble", paths[0], "--slow", paths[1]], "at_1.0.h5: must be of"),
    ):
        assert main(command) == 1
        said = capsys.readouterr().err
        assert words in said
        assert "thermal_energy" in said
    assert main(["evaluate", trap, "--no-audits", "-q", "--ensemble", paths[0]]) == 0


def test_results_of_another_configuration_are_not_used_again(folder: Path) -> None:
    path = folder / "study.toml"
    path.write_text(STUDY)
    _keep_configuration("trap", path, folder / "trap")
    _keep_configuration("trap", path, folder / "trap")
    path.write_text(STUDY.replace("replicas = 10", "replicas = 12"))
    with pytest.raises(ValueError, match="those of another one of trap"):
        _keep_configuration("trap", path, folder / "trap")


def test_results_are_read_from_files_of_bounded_size(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    for path in (folder / "pipe", Path("/dev/zero"), folder):
        with pytest.raises(ValueError, match="must be a regular file"):
            read_results(path)
    (folder / "deep.json").write_text("[" * 100_000)
    with pytest.raises(ValueError, match="must be what `ibvonn evaluate"):
        read_results(folder / "deep.json")
    write_json(folder / "good.json", {"ensembles": {}})
    assert read_results(folder / "good.json") == json.loads('{"ensembles": {}}')


def test_a_checkpoint_is_a_regular_file(folder: Path) -> None:
    os.mkfifo(folder / "model.pt")
    with pytest.raises(checkpoint.CheckpointError, match="must be a regular file; it is a pipe"):
        checkpoint.load(folder / "model.pt")


def test_lists_of_values_still_make_several_protocols(folder: Path) -> None:
    (folder / "study.toml").write_text(STUDY)
    config = SimulationConfig.from_toml(folder / "study.toml")
    assert len(build_protocols(config, config.sets[0])) == 2


def test_a_training_holds_one_protocol_at_a_time(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert simulated(folder, STUDY.replace("[0.5, 1.0]", "[0.5, 0.7, 1.0]"), capsys)[0] == 0
    sizes, read = [], h5py.Dataset.__getitem__

    def count(dataset: h5py.Dataset, *arguments: object) -> object:
        values = read(dataset, *arguments)
        sizes.append(np.size(values))
        return values

    monkeypatch.setattr(h5py.Dataset, "__getitem__", count)
    command = ["train", str(folder / "study.toml"), "--data", str(folder / "data/train.h5"), "-q"]
    assert main([*command, "--out", str(folder / "run")]) == 0
    assert max(sizes) == 21 * 10  # instants times replicas of one of three protocols
    for option, value in (("--seed", "-1"), ("--device", "gpu"), ("--device", "cuda:99")):
        capsys.readouterr()
        assert main([*command, "--out", str(folder / "other"), option, value]) == 1
        assert capsys.readouterr().err.count("\n") == 1


def test_floors_of_controlled_strain_come_from_a_repetition_too(folder: Path) -> None:
    """Those of 40 times the replicas are those of the exact mean, which is known of the trap."""
    data = small_ensemble(
        TetheredParticle(), [ramp(0.5), ramp(1.0)], duration=2.0, stride=10, replicas=100, seed=3
    )
    data.save(folder / "pull.h5")
    trap = str(Path(__file__).parents[2] / "exported_models/trap")
    command = ["evaluate", trap, "--no-audits", "-q", "--ensemble", str(folder / "pull.h5")]
    floors = []
    for more in ([], ["--repeat", "1"], ["--repeat", "40"]):
        assert main([*command, *more, "--json", str(folder / "result.json")]) == 0
        result = json.loads((folder / "result.json").read_text())["ensembles"]["pull"]
        floors.append(result["sampling_error_percent"]["controlled/stress"])
    exact, once, often = floors
    assert often == pytest.approx(exact, rel=0.2)
    assert once > 1.1 * exact
