"""A scan over the number of internal variables, on the trap, whose law has exactly one."""

import json
from pathlib import Path

import pytest
import torch
from small_ensembles import small_ensemble

from ibvonn_train.cli import main
from ibvonn_train.data.ensemble import TrajectoryEnsemble
from ibvonn_train.law.learned_law import StrainKind
from ibvonn_train.simulation import TetheredParticle, trap_of_paper
from ibvonn_train.studies.number_of_variables import ScanEntry, scan, with_size
from ibvonn_train.training import TrainingConfig
from ibvonn_train.training.build import build_law

CONSISTENT = {"free_energy_consistency": 0.1, "driving_force_consistency": 1e-2}
TABLE = {
    "name": "scanned",
    "nodes": 96,
    "width": 8,
    "stages": [
        {"name": "adam", "optimiser": "adam", "steps": 150, "states": 48,
         "loss": {"negative_log_likelihood": 0.1, "free_energy_consistency": 1e-2}},
        {"name": "law", "optimiser": "lbfgs", "steps": 80,
         "train": ["encoder", "energy", "dissipation"]},
        {"name": "flow", "optimiser": "lbfgs", "steps": 40, "train": ["decoder"], "states": 100,
         "loss": {"stress": 0.0, "weak_form": 0.0, "negative_log_likelihood": 1.0}},
        {"name": "tie", "optimiser": "lbfgs", "steps": 20, "train": ["energy", "dissipation"],
         "states": 100, "loss": CONSISTENT | {"fluctuation": 1e-2}},
    ],
}  # fmt: skip
CONFIG = TrainingConfig.from_dict(TABLE)


def ensemble(seed: int) -> TrajectoryEnsemble:
    protocols = trap_of_paper().train[::4]
    return small_ensemble(TetheredParticle(), protocols, duration=3.0, replicas=500, seed=seed)


@pytest.fixture(scope="module")
def entries(tmp_path_factory: pytest.TempPathFactory) -> list[ScanEntry]:
    out = tmp_path_factory.mktemp("scan")
    return scan(CONFIG, [ensemble(1)], ensemble(2), out, sizes=(1,), progress=False)


@pytest.mark.slow
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
    table = {**TABLE, "stages": [{**stage, "loss": CONSISTENT}]}
    without = with_size(TrainingConfig.from_dict(table), 0)
    assert without.stages[0].loss.driving_force_consistency == 0.0


def test_entropic_barriers_are_left_out_without_variables() -> None:
    root = Path(__file__).parents[2]
    config = TrainingConfig.from_toml(root / "configs/unfolding_chain.toml")
    assert config.entropic_barriers > 0
    assert with_size(config, 0).entropic_barriers == 0
    assert with_size(config, 2).entropic_barriers == config.entropic_barriers


@pytest.mark.parametrize(("kind", "centred"), [("controlled", 0), ("averaged", 2)])
def test_variables_after_the_first_describe_the_shape_about_an_averaged_strain(
    kind: StrainKind, centred: int
) -> None:
    law = build_law(
        TrainingConfig(internal_size=3), strain_kind=kind, strain_size=1, microstate_size=1,
        generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    x = torch.randn(1, 50, 1, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    moved = (law.encoder(x + 0.1) - law.encoder(x)).abs()[0] < 1e-12
    assert moved.tolist() == [False] * (3 - centred) + [True] * centred


def test_verb_prints_the_table_and_draws(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ensemble(1).save(tmp_path / "train.h5")
    ensemble(2).save(tmp_path / "test.h5")
    (tmp_path / "small.toml").write_text(
        '[training]\nname = "small"\nwidth = 4\n[[training.stages]]\nname = "adam"\n'
        'optimiser = "adam"\nsteps = 3\n'
        "loss = { negative_log_likelihood = 0.1 }\n"
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
