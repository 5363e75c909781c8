"""The command line, from an empty folder to an exported, certified law."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from short_training import EXPERT_TOML
from small_ensembles import small_ensemble

from ibvonn_train.cli import main
from ibvonn_train.cli.verbs import TEMPLATES
from ibvonn_train.data.ensemble import TrajectoryEnsemble
from ibvonn_train.simulation import unfolding_chain
from ibvonn_train.simulation.protocols import ramp
from ibvonn_train.simulation.simulation_config import SimulationConfig
from ibvonn_train.simulation.study import build_protocols, build_system
from ibvonn_train.studies.results import write_json
from ibvonn_train.training import TrainedModel, TrainingConfig

ROOT = Path(__file__).parents[2]
STUDY = (
    """
[simulation]
system = "tethered_particle"
time_step = 0.01
replicas = 200

[[simulation.sets]]
name = "train"
seed = 1
duration = 3.0
stride = 5
protocols = [
    { kind = "smooth_pull", speed = [0.5, 0.75, 1.0], sine = 2.0, frequency = 1.0 },
    { kind = "triangle", peak = -0.8, rise = 1.5, fall = 1.0 },
]

[[simulation.sets]]
name = "test"
seed = 2
duration = 3.0
stride = 5
protocols = [{ kind = "smooth_pull", speed = [0.6, 0.9], sine = 2.0, frequency = 1.0 }]

[[simulation.sets]]
name = "slow"
seed = 3
duration = 3.0
stride = 5
protocols = [{ kind = "ramp", rate = 0.1 }]

[training]
name = "small"
internal = { means = 1 }
"""
    + EXPERT_TOML
)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which `simulate` and `train` have run."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "small.toml").write_text(STUDY)
    assert (
        main(
            [
                "simulate",
                str(folder / "small.toml"),
                "--out",
                str(folder / "data"),
                "--engine",
                "torch",
                "-q",
            ]
        )
        == 0
    )
    data = str(folder / "data/train.h5")
    command = ["train", str(folder / "small.toml"), "--data", data, "--out", str(folder / "run")]
    assert main([*command, "-q"]) == 0
    return folder


def test_simulate_writes_one_file_for_each_set(study: Path) -> None:
    files = {path.stem: TrajectoryEnsemble.load(path) for path in (study / "data").glob("*.h5")}
    assert {name: data.protocols for name, data in files.items()} == {
        "train": 4, "test": 2, "slow": 1,
    }  # fmt: skip
    assert {data.seed for data in files.values()} == {1, 2, 3}


def test_what_is_replaced_or_not_unseen_is_named(
    study: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    config, out = str(study / "small.toml"), ["--out", str(tmp_path)]
    said = []
    for _ in range(2):
        assert main(["simulate", config, "--set", "test", *out]) == 0
        said.append("replaced what was there" in capsys.readouterr().out)
    assert said == [False, True]
    command = ["evaluate", str(study / "run"), "--no-audits", "-q", "--ensemble"]
    for name, seen in (("test", False), ("train", True)):
        caplog.clear()
        assert main([*command, str(study / "data" / f"{name}.h5")]) == 0
        assert ("train is what the law was trained on" in caplog.text) is seen


def test_a_training_is_made_anew_only_when_asked(study: Path, tmp_path: Path) -> None:
    command = ["train", str(study / "small.toml"), "--data", str(study / "data/train.h5"), "-q"]
    command += ["--out", str(tmp_path)]
    (tmp_path / "model.pt").write_text("somebody's work")
    assert main(command) == 1
    assert (tmp_path / "model.pt").read_text() == "somebody's work"
    assert main([*command, "--overwrite"]) == 0
    assert TrainedModel.load(tmp_path).config.name == "small"


def test_quiet_verbs_print_nothing(
    study: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    config = str(study / "small.toml")
    assert main(["simulate", config, "--set", "slow", "--out", str(tmp_path), "-q"]) == 0
    assert capfd.readouterr() == ("", "")
    assert main(["simulate", config, "--set", "slow", "--out", str(tmp_path)]) == 0
    assert "slow.h5: tethered_particle" in capfd.readouterr().out


def test_evaluate_prints_tables_and_writes_json_and_figures(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = study / "data"
    code = main(
        ["evaluate", str(study / "run"), "--ensemble", str(data / "test.h5"),
         "--training", str(data / "train.h5"), "--slow", str(data / "slow.h5"),
         "--json", str(tmp_path / "result.json"), "--figures", str(tmp_path / "figures")]
    )  # fmt: skip
    assert code == 0
    shown = capsys.readouterr().out
    for words in ("stress", "sampling error", "f against F_flow", "Markov residual"):
        assert words in shown
    record = json.loads((tmp_path / "result.json").read_text())
    assert record["normalisation_of_internal_variables"] == "training set"
    errors = record["ensembles"]["test"]
    assert set(errors["errors_percent"]) == {
        "controlled/stress", "controlled/internal", "controlled/mean_position"
    }  # fmt: skip
    assert errors["sampling_error_percent"]["controlled/stress"] > 0
    assert (
        record["ensembles"]["test"]["sha256"] == TrajectoryEnsemble.load(data / "test.h5").sha256()
    )
    assert {"audit", "value", "acceptance_range", "verdict", "detail"} == set(
        record["certificate"][0]
    )
    drawn = {path.stem for path in (tmp_path / "figures").glob("*.png")}
    assert drawn == {
        "trajectories_test", "internal_variable", "densities", "potentials", "training",
        "certificate",
    }  # fmt: skip
    assert all(path.stat().st_size > 5000 for path in (tmp_path / "figures").iterdir())


@pytest.mark.slow
def test_floors_of_a_chain_come_from_a_repetition(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = small_ensemble(
        unfolding_chain(springs=3), [ramp(rate, 3.0) for rate in np.linspace(-0.001, 0.003, 8)],
        duration=200.0, time_step=0.04, stride=50, replicas=100, seed=7,
    )  # fmt: skip
    data.save(tmp_path / "pull.h5")
    model = str(ROOT / "exported_models" / "unfolding_chain")
    command = ["evaluate", model, "--ensemble", str(tmp_path / "pull.h5"), "--no-audits", "-q"]
    result = []
    for more in ([], ["--repeat", "1"], ["--repeat", "16"]):
        path = tmp_path / f"{len(result)}.json"
        assert main([*command, *more, "--json", str(path)]) == 0
        result.append(json.loads(path.read_text())["ensembles"]["pull"])
    plain, once, often = result
    assert plain["sampling_error_percent"] == {}
    assert often["errors_percent"] == plain["errors_percent"]
    # Two ensembles of one size differ by √2 of the noise of each, one of them and its mean by 1.
    ratio = (
        once["sampling_error_percent"]["end/strain"] / often["sampling_error_percent"]["end/strain"]
    )
    assert 1.2 < ratio < 1.6
    assert np.shape(often["predicted_stress"]["end/stress"]) == (8, 101, 3, 1)
    assert main([*command, "--repeat", "0"]) == 1
    assert "--repeat: must be at least 1" in capsys.readouterr().err
    # A system of one's own is repeated by its own class: this one is ten times as mobile.
    (tmp_path / "mine.py").write_text(
        "from ibvonn_train.simulation import SpringChain, TwoWellSpring\n"
        "class Loose(SpringChain):\n"
        "    def __init__(self, friction):\n"
        "        spring = TwoWellSpring(stiffness=1.0, well_distance=0.3, offset=0.0135)\n"
        "        super().__init__(spring=spring, springs=3, reference_length=1.0,\n"
        "                         friction=friction / 10, thermal_energy=0.0019,\n"
        "                         name='unfolding_chain')\n"
        "    def parameters(self):\n"
        "        return {**super().parameters(), 'friction': 10 * self.friction}\n"
        "    def microscopic_energy(self, microstate, strain):\n"
        "        raise AssertionError('no audit is asked for')\n"
    )
    own = ["--system", f"{tmp_path / 'mine.py'}:Loose", "--repeat", "16"]
    assert main([*command, *own, "--json", str(tmp_path / "own.json")]) == 0
    loose = json.loads((tmp_path / "own.json").read_text())["ensembles"]["pull"]
    assert (
        loose["sampling_error_percent"]["end/force"]
        > 2 * often["sampling_error_percent"]["end/force"]
    )


def test_exported_law_and_its_checkpoint_are_judged_alike(study: Path, tmp_path: Path) -> None:
    test, train = str(study / "data/test.h5"), str(study / "data/train.h5")
    law = str(tmp_path / "law")
    assert main(["export", str(study / "run"), law, "--name", "tiny", "-q"]) == 0
    results = []
    for model in (law, str(study / "run")):
        out = tmp_path / "result.json"
        command = ["evaluate", model, "--ensemble", test, "--json", str(out), "--no-audits", "-q"]
        assert main([*command, "--training", train]) == 0
        results.append(json.loads(out.read_text())["ensembles"]["test"]["errors_percent"])
    assert results[0] == pytest.approx(results[1], rel=1e-9)


def test_normalisation_of_a_checkpoint_is_that_of_its_training_set(
    study: Path, tmp_path: Path
) -> None:
    """Given or known from the run, it is the same up to the binning of microstates."""
    out, test = tmp_path / "result.json", str(study / "data/test.h5")
    command = ["evaluate", str(study / "run"), "--ensemble", test, "--no-audits", "-q"]
    results = []
    for more in ([], ["--training", str(study / "data/train.h5")]):
        assert main([*command, "--json", str(out), *more]) == 0
        record = json.loads(out.read_text())
        results.append(record["ensembles"]["test"]["errors_percent"]["controlled/internal"])
    assert results[0] == pytest.approx(results[1], rel=1e-3)


def test_export_carries_the_certificate(study: Path, tmp_path: Path) -> None:
    law, test = tmp_path / "law", str(study / "data/test.h5")
    assert main(["export", str(study / "run"), str(law), "--ensemble", test, "-q"]) == 0
    manifest = json.loads((law / "manifest.json").read_text())
    assert len(manifest["certificate"]) > 10
    verdicts = {each["audit"]: each["verdict"] for each in manifest["certificate"]}
    assert verdicts["Jarzynski equality"] == "not available"
    assert {"stress", "internal variables"} <= {e["quantity"] for e in manifest["errors"]}
    assert "## Errors of trajectories" in (law / "README.md").read_text(encoding="utf-8")
    assert (law / "response.png").is_file()


def test_strict_evaluation_fails_with_an_audit(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A law of thirty steps does not pass every audit."""
    command = ["evaluate", str(study / "run"), "--ensemble", str(study / "data/test.h5")]
    assert main([*command, "--strict"]) == 1
    assert "audits that failed" in capsys.readouterr().out


def test_another_seed_gives_another_law_and_resume_gives_the_same(
    study: Path, tmp_path: Path
) -> None:
    config, data = str(study / "small.toml"), str(study / "data/train.h5")
    command = ["train", config, "--data", data, "-q", "--out"]
    assert main([*command, str(study / "run"), "--resume"]) == 0
    assert main([*command, str(tmp_path), "--seed", "1"]) == 0
    same, other = TrainedModel.load(study / "run"), TrainedModel.load(tmp_path)
    assert (same.config.seed, other.config.seed) == (0, 1)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["simulate", "none.toml"], "none.toml: no such file. Write one with `ibvonn init`"),
        (["simulate", "{toml}", "--set", "tset"], "has no set 'tset'; its sets are"),
        (["train", "{toml}", "--data", "none.h5"], "none.h5: no such file"),
        (["evaluate", "{folder}", "--ensemble", "{test}"], "neither an exported model"),
        (["evaluate", "{run}", "--ensemble", "{toml}"], "must be a readable HDF5 file"),
        (["export", "{folder}/run/config.json", "law"], "is not a readable checkpoint"),
        (["train", "{toml}", "--data", "{test}", "--out", "{run}"], "Go on from it with --resume"),
        (["verify", "{run}"], "it has no manifest.json. Export it first: `ibvonn export RUN"),
        (["card", "{folder}"], "it has no manifest.json. Write one: `ibvonn export RUN"),
        (["card", "{models}/trap", "--seeds", "{toml}"], "must be what `ibvonn evaluate --"),
        (["export", "{run}", "{models}/trap"], "carries a certificate, which this export"),
        (
            ["evaluate", "{models}/exact_sls", "--ensemble", "{test}"],
            "has no encoder, so that ensembles",
        ),
    ],
)
def test_what_cannot_be_done_is_said_in_one_sentence(
    study: Path, command: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {
        "toml": study / "small.toml",
        "test": study / "data/test.h5",
        "run": study / "run",
        "folder": study,
        "models": Path(__file__).parents[2] / "exported_models",
    }
    assert main([part.format(**places) for part in command]) == 1
    shown = capsys.readouterr()
    assert shown.err.startswith("ibvonn: ")
    assert message in shown.err
    assert "Traceback" not in shown.err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("replicas = 200", "replcas = 200"), "unknown key 'replcas'; did you mean 'replicas'"),
        (('kind = "ramp", rate', 'kind = "ramp", rat'), "unknown key 'rat'; did you mean 'rate'"),
        (('kind = "ramp"', 'kind = "rump"'), "kind must be one of"),
        (("seed = 3", "seed = 2"), "differ in name and in seed"),
        (('"tethered_particle"', '"tethered"'), "'tethered' is not known"),
        (('"tethered_particle"', '"none.py:System"'), "there is no file"),
        (("duration = 3.0", "duration = 3.001"), "the nearest is 3. Take it"),
    ],
)
def test_mistakes_in_a_study_are_named(
    change: tuple[str, str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "study.toml"
    path.write_text(STUDY.replace(*change))
    assert main(["simulate", str(path), "--out", str(tmp_path)]) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("template", sorted(TEMPLATES))
def test_templates_are_valid_studies(template: str, tmp_path: Path) -> None:
    assert main(["init", template, str(tmp_path), "-q"]) == 0
    path = tmp_path / TEMPLATES[template][0]
    config = SimulationConfig.from_toml(path)
    assert build_system(config, tmp_path).friction > 0
    for each in config.sets:
        assert build_protocols(config, each)
    assert TrainingConfig.from_toml(path).expert == TrainingConfig().expert
    assert set(tomllib.loads(path.read_text())) == {"simulation", "training"}


def test_file_without_a_simulation_table_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "study.toml"
    path.write_text(STUDY[STUDY.index("[training]") :])
    assert main(["simulate", str(path)]) == 1
    assert "must have a [simulation] table; its tables are ['training']" in capsys.readouterr().err


def test_init_overwrites_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "trap.toml").write_text("mine")
    assert main(["init", "trap", str(tmp_path)]) == 1
    assert "is there already" in capsys.readouterr().err
    assert (tmp_path / "trap.toml").read_text() == "mine"


@pytest.mark.slow
def test_system_of_ones_own_is_simulated_and_its_energy_known(tmp_path: Path) -> None:
    """The template in small: 20 replicas and a law of 3 steps."""
    assert main(["init", "own", str(tmp_path), "-q"]) == 0
    path = tmp_path / "own.toml"
    text = path.read_text().replace("replicas = 1000", "replicas = 60")
    text = text.replace("duration = 3.0\n", "duration = 3.0\nstride = 5\n")
    text += EXPERT_TOML
    path.write_text(text)
    data, run = tmp_path / "data", tmp_path / "run"
    assert main(["simulate", str(path), "--out", str(data), "-q"]) == 0
    train = ["train", str(path), "--data", str(data / "train.h5"), "--out", str(run), "-q"]
    assert main(train) == 0
    verdicts = []
    for more in ([], ["--system", f"{tmp_path / 'own_system.py'}:StiffeningWell"]):
        out = tmp_path / "result.json"
        command = ["evaluate", str(run), "--ensemble", str(data / "test.h5"), "-q"]
        assert main([*command, "--json", str(out), *more]) == 0
        result = json.loads(out.read_text())["certificate"]
        verdicts.append({each["audit"]: each["verdict"] for each in result})
    assert verdicts[0]["f against F_flow"] == "not available"
    assert verdicts[1]["f against F_flow"] in ("pass", "fail")


def test_numbers_that_json_has_not_become_null(tmp_path: Path) -> None:
    write_json(tmp_path / "a/b.json", {"x": [1.0, float("nan")], "y": {"z": float("inf")}})
    assert json.loads((tmp_path / "a/b.json").read_text()) == {"x": [1.0, None], "y": {"z": None}}


def test_help_needs_neither_torch_nor_a_display() -> None:
    script = (
        "import sys; sys.modules['torch'] = None; sys.modules['matplotlib'] = None\n"
        "from ibvonn_train.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit as stop: sys.exit(stop.code)"
    )
    environment = {k: v for k, v in os.environ.items() if k != "DISPLAY"}
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=False
    )
    assert result.returncode == 0, result.stderr
    for verb in ("init", "simulate", "train", "evaluate", "export"):
        assert verb in result.stdout


def test_wrong_arguments_exit_with_two() -> None:
    with pytest.raises(SystemExit) as stop:
        main(["train"])
    assert stop.value.code == 2


@pytest.mark.parametrize("more", [[], ["--internal", "populations=2,means=1", "--seed", "3"]])
def test_a_record_is_trained_on_without_a_toml(
    study: Path, tmp_path: Path, more: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from ibvonn_train.cli import verbs

    seen = []

    def not_trained(config: TrainingConfig, *_: object, **__: object) -> None:
        seen.append(config)
        raise RuntimeError("enough")

    monkeypatch.setattr(verbs, "train_law", not_trained)
    data = str(study / "data" / "train.h5")
    assert main(["train", data, "--out", str(tmp_path / "run"), *more]) == 1
    (config,) = seen
    assert config.name == "train"
    expected = ("auto", 0) if not more else ({"populations": [2], "means": 1}, 3)
    assert (config.internal, config.seed) == expected


@pytest.mark.parametrize("text", ["modes=1", "populations", "means=x", "populations=1", ""])
def test_internal_variables_that_are_none_are_refused(
    study: Path, tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    data = str(study / "data" / "train.h5")
    assert main(["train", data, "--out", str(tmp_path / "run"), "--internal", text]) == 1
    assert "internal" in capsys.readouterr().err


def test_a_toml_alone_is_no_data(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", str(study / "small.toml")]) == 1
    assert "needs data" in capsys.readouterr().err


@pytest.mark.parametrize(("verdict", "code"), [("pass", 0), ("fail", 1)])
def test_strict_training_fails_where_the_law_cannot_be_trusted(
    study: Path, tmp_path: Path, verdict: str, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ibvonn_train.cli import verbs

    class Trained:
        record = {  # noqa: RUF012
            "provenance": {"cpu_seconds": 1.0},
            "rollouts": {"verdict": verdict, "detail": "said"},
        }

    monkeypatch.setattr(verbs, "train_law", lambda *_, **__: Trained)
    monkeypatch.setattr("ibvonn_train.figures.training_figures", lambda *_: [])
    data = str(study / "data" / "train.h5")
    command = ["train", data, "--out", str(tmp_path / "run")]
    assert main(command) == 0
    assert main([*command, "--strict"]) == code
