"""A scan over the number of internal variables, on the trap, whose law has exactly one."""

import json
from pathlib import Path

import pytest
from short_training import EXPERT_TOML, short
from small_ensembles import small_ensemble

from ibvonn_train.cli import main
from ibvonn_train.data.ensemble import TrajectoryEnsemble
from ibvonn_train.simulation import TetheredParticle, trap_of_paper
from ibvonn_train.studies.number_of_variables import ScanEntry, scan

CONFIG = short(width=8, nodes=96, identify_steps=150, polish_steps=40, density_steps=150)


def ensemble(seed: int) -> TrajectoryEnsemble:
    protocols = trap_of_paper().train[::4]
    return small_ensemble(TetheredParticle(), protocols, duration=3.0, replicas=500, seed=seed)


@pytest.fixture(scope="module")
def entries(tmp_path_factory: pytest.TempPathFactory) -> list[ScanEntry]:
    out = tmp_path_factory.mktemp("scan")
    choices = ({"means": 1}, {"means": 2})
    return scan(CONFIG, [ensemble(1)], ensemble(2), out, choices=choices, progress=False)


@pytest.mark.slow
def test_one_variable_is_what_the_trap_needs(entries: list[ScanEntry]) -> None:
    one, two = entries
    assert (one.internal, one.internal_size, two.internal_size) == ("means = 1", 1, 2)
    assert one.information is not None
    assert one.information > 0.3
    assert two.information is not None
    assert two.information < one.information + 0.05
    assert one.errors["controlled/stress"] < 5.0
    assert one.markov is not None


def test_verb_prints_the_table_and_draws(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ensemble(1).save(tmp_path / "train.h5")
    ensemble(2).save(tmp_path / "test.h5")
    (tmp_path / "small.toml").write_text('[training]\nname = "small"\n' + EXPERT_TOML)
    out = tmp_path / "scan"
    code = main(
        ["scan", str(tmp_path / "small.toml"), "--data", str(tmp_path / "train.h5"),
         "--ensemble", str(tmp_path / "test.h5"), "--internal", "means=1", "populations=2",
         "--out", str(out),
         "--json", str(tmp_path / "scan.json"), "--figure", str(tmp_path / "scan.png")]
    )  # fmt: skip
    assert code == 0
    assert "populations = 2" in capsys.readouterr().out
    assert len(json.loads((tmp_path / "scan.json").read_text())["entries"]) == 2
    assert (tmp_path / "scan.png").stat().st_size > 5000
