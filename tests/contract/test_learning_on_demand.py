"""Rounds of analysis, check, simulation and training on a particle in a trap."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import MISSING, fields, replace
from pathlib import Path

import numpy as np
import pytest

from ibvonn_train.cli import main
from ibvonn_train.data.ensemble import TrajectoryEnsemble
from ibvonn_train.evaluation import ExportedLaw
from ibvonn_train.files.toml_tables import ConfigError
from ibvonn_train.simulation import PeriodicLattice, simulate
from ibvonn_train.simulation.strain_paths import strain_path
from ibvonn_train.studies.learning_on_demand import LearningOnDemand
from ibvonn_train.studies.on_demand_config import OnDemandConfig, OnDemandStudy
from ibvonn_train.studies.warm_start import reason_to_begin_anew
from ibvonn_train.training import TrainedModel, TrainingConfig, train

ROOT = Path(__file__).resolve().parents[2]

ANALYSIS = """
import json, sys
import h5py, numpy as np
from ibvonn_fem import load_model
from ibvonn_fem.files.model_directory import manifest_hash

model = load_model(sys.argv[1])
time = np.linspace(0.0, 1.0, 21)
strain = np.array([0.1, 0.2, 0.4, 0.8, 0.81, -0.8])[:, None, None] * time[:, None]
state, rows = np.zeros((6, 1)), {"stress": [], "internal": [], "validity": []}
for row in range(21):
    old, dt = strain[:, max(row - 1, 0)], 0.05 if row else 0.0
    update = model.kernel.update(strain[:, row].copy(), old.copy(), state, dt)
    state = update.statev_new.copy()
    rows["stress"].append(update.stress.copy())
    rows["internal"].append(state)
    rows["validity"].append(update.validity.reshape(-1).copy())
with h5py.File(sys.argv[2], "w") as file:
    file.attrs["ibvonn_histories"] = 1
    file.attrs["model"] = model.manifest.name
    file.attrs["manifest_sha256"] = manifest_hash(model.manifest.raw)
    file.attrs["chosen_for"] = json.dumps(["every point"] * 6)
    file.attrs["strain_names"] = json.dumps(list(model.manifest.strain_components))
    file.attrs["scales"] = json.dumps({"strain": 1.0, "stress": 1.0, "time": 1.0})
    file["point"], file["time"], file["strain"] = np.arange(6), time, strain
    for name, values in rows.items():
        file[name] = np.stack(values, 1)
"""

STUDY = """
[simulation]
system = "tethered_particle"
time_step = 0.01
replicas = 400

[[simulation.sets]]
name = "small"
seed = 1
duration = 1.0
stride = 4
protocols = [
    {{ kind = "strain_path", times = [0.0, 1.0], strains = [[0.0], [0.1]] }},
    {{ kind = "strain_path", times = [0.0, 0.5, 1.0], strains = [[0.0], [-0.1], [0.0]] }},
    {{ kind = "strain_path", times = [0.0, 0.3, 1.0], strains = [[0.0], [0.08], [0.08]] }},
]

[training]
name = "asked"
internal = {{ means = 1 }}

[training.expert]
width = 4
nodes = 48
batch = 20
identify_steps = 20
polish_steps = 60
density_steps = 4

[on_demand]
analysis = ["{python}", "analysis.py", "{{model}}", "{{histories}}"]
start = ["small"]
rounds = 1
simulations = 2
paths = 2
checked = 3
check_replicas = 200
tolerance = {tolerance}
instants = 25
warm_steps = 0.5
"""


def written(folder: Path, tolerance: float = 0.5) -> Path:
    (folder / "analysis.py").write_text(ANALYSIS)
    study = folder / "study.toml"
    study.write_text(STUDY.format(python=sys.executable, tolerance=tolerance))
    return study


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("asked")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        study = written(folder)
        out = ["--out", str(folder / "rounds"), "--json", str(folder / "rounds.json"), "-q"]
        assert main(["learn-on-demand", str(study), *out]) == 0
    return folder


def test_the_paths_outside_the_range_are_learned(finished: Path) -> None:
    rounds = json.loads((finished / "rounds.json").read_text())["rounds"]
    assert [each["round"] for each in rounds] == [0, 1]
    assert [each["simulations"] for each in rounds] == [0, 2]
    first, last = rounds
    assert first["validity"] > 1.0  # asked eight times as far as it had seen
    assert last["validity"] < 0.1 * first["validity"]
    points = json.loads((finished / "rounds/round_0/paths.json").read_text())["points"]
    assert len(points) == 2
    assert 5 in points  # the only one that is pressed
    assert {3, 4} & set(points)  # and one of the two neighbours, not both


def test_the_new_data_are_the_paths_of_the_analysis(finished: Path) -> None:
    data = TrajectoryEnsemble.load(finished / "rounds/data/round_1.h5")
    points = json.loads((finished / "rounds/round_0/paths.json").read_text())["points"]
    ends = [{3: 0.8, 4: 0.81, 5: -0.8}[point] for point in points]
    np.testing.assert_allclose(data.strain[:, -1, 0, 0], ends, rtol=1e-6)
    assert data.time[-1] == pytest.approx(1.0)


def test_what_is_finished_is_not_done_again(finished: Path) -> None:
    files = [path for path in (finished / "rounds").rglob("*") if path.is_file()]
    before = {path: path.stat().st_mtime_ns for path in files}
    rounds = LearningOnDemand(
        OnDemandStudy.from_toml(finished / "study.toml"), finished / "rounds", progress=False
    )
    assert [each.round for each in rounds.run()] == [0, 1]
    assert {path: path.stat().st_mtime_ns for path in files} == before


def test_the_loop_on_the_page_is_the_run(
    finished: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (ROOT / "docs/how-to/learning_on_demand.md").read_text(encoding="utf-8")
    (loop,) = re.findall(r"^```py\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    monkeypatch.chdir(finished)
    exec(compile(loop, "page", "exec"), {})
    assert [line.split()[:2] for line in capsys.readouterr().out.splitlines()] == [
        ["0", "0"],
        ["1", "2"],
    ]


def test_the_page_has_every_key_with_its_default() -> None:
    page = (ROOT / "docs/how-to/learning_on_demand.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| ", page, re.MULTILINE)
    expected = [
        (each.name, "required" if each.default is MISSING else f"`{json.dumps(each.default)}`")
        for each in fields(OnDemandConfig)
    ]
    assert rows == expected


def test_a_missing_result_alone_is_made_again(finished: Path) -> None:
    """As after an interruption: the file of the last step is gone, all others stay."""
    check = finished / "rounds/round_1/check.json"
    was = json.loads(check.read_text())
    law = (finished / "rounds/round_1/law/manifest.json").stat().st_mtime_ns
    check.unlink()
    rounds = LearningOnDemand(
        OnDemandStudy.from_toml(finished / "study.toml"), finished / "rounds", progress=False
    )
    rounds.run()
    assert json.loads(check.read_text()) == was
    assert (finished / "rounds/round_1/law/manifest.json").stat().st_mtime_ns == law


def test_a_generous_tolerance_needs_no_simulation(
    finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards the tests above: the rounds end where the check passes."""
    study = written(finished, tolerance=1e4)
    rounds = LearningOnDemand(OnDemandStudy.from_toml(study), finished / "again", progress=False)
    (finished / "again" / "round_0").mkdir()
    for name in ("run", "law", "histories.h5"):
        (finished / "again/round_0" / name).symlink_to(finished / "rounds/round_0" / name)
    assert [each.passes for each in rounds.run()] == [True]
    assert rounds.simulations == 0


def test_rounds_of_another_study_are_not_gone_on_with(finished: Path) -> None:
    study = OnDemandStudy.from_toml(written(finished))
    other = replace(study, training=replace(study.training, seed=7))
    with pytest.raises(ValueError, match="another study; it differs in"):
        LearningOnDemand(other, finished / "rounds")
    more = replace(study, on_demand=replace(study.on_demand, simulations=9))
    assert LearningOnDemand(more, finished / "rounds").simulations == 2  # a budget may grow


def test_a_failing_analysis_is_named_with_its_command(finished: Path) -> None:
    study = written(finished)
    (finished / "analysis.py").write_text("raise SystemExit(3)")
    rounds = LearningOnDemand(OnDemandStudy.from_toml(study), finished / "fails", progress=False)
    (finished / "fails" / "round_0").mkdir()
    (finished / "fails/round_0/law").symlink_to(finished / "rounds/round_0/law")
    with pytest.raises(RuntimeError, match=r"ended with code 3\. Run it by hand"):
        rounds.check()


def test_far_beyond_its_range_the_next_law_is_trained_anew(finished: Path) -> None:
    second = TrainedModel.load(finished / "rounds/round_1/run")
    assert "goes on" not in second.record["provenance"]["internal_variables"]


def test_open_states_that_the_last_law_never_saw_make_it_begin_anew() -> None:
    """A law of a lattice goes on over its own strains, and begins anew where more bonds open."""
    law = ExportedLaw(ROOT / "exported_models" / "lattice")
    lattice = PeriodicLattice(cells=4)

    def stretched(largest: float) -> TrajectoryEnsemble:
        path = strain_path([0.0, 300.0], [[0.0] * 3, [largest, 0.0, 0.0]], "stretch")
        return simulate(
            lattice, [path], duration=300.0, time_step=0.1, replicas=16, seed=1, stride=300,
            progress=False,
        )  # fmt: skip

    assert reason_to_begin_anew(law, [stretched(0.12)]) == ""
    ranges = law.manifest["envelope"]["statev"]
    law.manifest["envelope"]["statev"] = [[low, low + 0.01] for low, _ in ranges]
    assert "internal variables" in reason_to_begin_anew(law, [stretched(0.12)])
    assert reason_to_begin_anew(law, [stretched(0.01)]) == ""
    assert "strain of the data" in reason_to_begin_anew(law, [stretched(0.6)])


def one_step(finished: Path, out: Path, start: TrainedModel | None, **sizes: int) -> TrainedModel:
    """One step of *identify* and nothing else, on the data of the first law."""
    data = TrajectoryEnsemble.load(finished / "rounds/data/start_small.h5")
    steps = {"identify_steps": 1, "polish_steps": 0, "density_steps": 0}
    config = TrainingConfig.from_dict(
        {
            "name": "on",
            "seed": 5,
            "internal": {"means": 1},
            "expert": {"width": 4, "nodes": 48, "batch": 20, **steps, **sizes},
        }
    )
    return train(config, data, out, start=start, progress=False, tensorboard=False)


def test_a_warm_start_begins_with_the_weights_of_the_last_law(
    finished: Path, tmp_path: Path
) -> None:
    first = TrainedModel.load(finished / "rounds/round_0/run")
    warm, cold = (
        one_step(finished, tmp_path / name, start)
        for name, start in (("warm", first), ("cold", None))
    )

    def apart(law: TrainedModel) -> float:
        pairs = zip(law.law.parameters(), first.law.parameters(), strict=True)
        return max(float((a - b).abs().max()) for a, b in pairs)

    assert apart(warm) < 0.05  # one step of Adam
    assert apart(cold) > 0.2  # guards: another seed and no start give other weights
    assert "from which the training goes on" in warm.record["provenance"]["internal_variables"]


def test_a_warm_start_from_another_law_is_refused(finished: Path, tmp_path: Path) -> None:
    first = TrainedModel.load(finished / "rounds/round_0/run")
    with pytest.raises(ValueError, match="differs in \\['width'\\]"):
        one_step(finished, tmp_path / "wide", first, width=6)


def test_a_study_with_a_mistake_is_refused(tmp_path: Path) -> None:
    study = written(tmp_path)
    text = study.read_text()
    cases = [
        ("{histories}", "out.h5", r"with \{model\} and \{histories\} in it"),
        ("checked = 3", "checked = 1", "on_demand.checked: must be at least 2; found 1"),
        ('start = ["small"]', 'start = ["large"]', "has no set 'large'"),
        ("simulations = 2", "simulation = 2", "simulations"),
    ]
    for there, instead, words in cases:
        study.write_text(text.replace(there, instead))
        with pytest.raises(ConfigError, match=words):
            OnDemandStudy.from_toml(study)
