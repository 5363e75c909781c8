"""A scan over the number of internal variables, on the trap, whose law has exactly one."""

import json
from pathlib import Path

import pytest

from ibvonn_train.cli import main
from ibvonn_train.data.ensemble import TrajectoryEnsemble
from ibvonn_train.simulation import TetheredParticle, simulate, trap_of_paper
from ibvonn_train.studies.number_of_variables import ScanEntry, scan, with_size
from ibvonn_train.training import TrainingConfig

TABLE = {
    "name": "scanned",
    "data": {"nodes": 96},
    "model": {"encoder_widths": [6], "energy_widths": [8], "context_widths": [6], "ridges": 3},
    "stages": [
        {"name": "adam", "optimiser": "adam", "steps": 150, "states": 48,
         "loss": {"stress": 1.0, "weak": 0.1, "likelihood": 0.1, "tie": 1e-2}},
        {"name": "law", "optimiser": "lbfgs", "steps": 80,
         "train": ["encoder", "energy", "dissipation"]},
        {"name": "flow", "optimiser": "lbfgs", "steps": 40, "train": ["decoder"], "states": 100,
         "loss": {"stress": 0.0, "weak": 0.0, "likelihood": 1.0}},
        {"name": "tie", "optimiser": "lbfgs", "steps": 20, "train": ["energy", "dissipation"],
         "states": 100, "loss": {"tie": 0.1, "tie_gradient": 1e-2, "fluctuation": 1e-2}},
    ],
}  # fmt: skip
CONFIG = TrainingConfig.from_dict(TABLE)


def ensemble(seed: int) -> TrajectoryEnsemble:
    protocols = trap_of_paper().train[::4]
    return simulate(
        TetheredParticle(), protocols, duration=3.0, time_step=0.01, replicas=500, seed=seed,
        progress=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def entries(tmp_path_factory: pytest.TempPathFactory) -> list[ScanEntry]:
    out = tmp_path_factory.mktemp("scan")
    return scan(CONFIG, [ensemble(1)], ensemble(2), out, sizes=(1,), progress=False)


def test_one_variable_is_what_the_trap_needs(entries: list[ScanEntry]) -> None:
    """Without one the stress is that of a spring: the error is of order one."""
    none, one = entries
    assert (none.internal_size, one.internal_size) == (0, 1)
    assert one.errors["controlled/stress"] < 0.1 * none.errors["controlled/stress"]
    assert one.information > 0.3
    assert none.markov is None
    assert one.markov is not None


def test_losses_that_need_variables_are_left_out_without_them() -> None:
    stage = {"name": "tie", "optimiser": "lbfgs", "steps": 5, "train": ["energy"]}
    table = {**TABLE, "stages": [{**stage, "loss": {"tie": 0.1, "tie_gradient": 0.1}}]}
    without = with_size(TrainingConfig.from_dict(table), 0, averaged=False)
    assert without.stages[0].loss.tie_gradient == 0.0
    assert with_size(CONFIG, 3, averaged=True).model.centred_features == 2


def test_walls_are_left_out_without_variables() -> None:
    root = Path(__file__).parents[2]
    config = TrainingConfig.from_toml(root / "configs/unfolding_chain.toml")
    assert config.model.walls > 0
    assert with_size(config, 0, averaged=True).model.walls == 0
    assert with_size(config, 2, averaged=True).model.walls == config.model.walls


def test_verb_prints_the_table_and_draws(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ensemble(1).save(tmp_path / "train.h5")
    ensemble(2).save(tmp_path / "test.h5")
    (tmp_path / "small.toml").write_text(
        '[training]\nname = "small"\n[training.model]\nencoder_widths = [4]\n'
        'energy_widths = [4]\n[[training.stages]]\nname = "adam"\noptimiser = "adam"\nsteps = 3\n'
        "loss = { likelihood = 0.1 }\n"
    )
    out = tmp_path / "scan"
    code = main(
        ["scan", str(tmp_path / "small.toml"), "--data", str(tmp_path / "train.h5"),
         "--ensemble", str(tmp_path / "test.h5"), "--sizes", "0", "1", "--out", str(out),
         "--json", str(tmp_path / "scan.json"), "--figure", str(tmp_path / "scan.png")]
    )  # fmt: skip
    assert code == 0
    assert "n_α" in capsys.readouterr().out
    assert len(json.loads((tmp_path / "scan.json").read_text())["entries"]) == 2
    assert (tmp_path / "scan.png").stat().st_size > 5000
