"""Configurations: what is wrong is named, with what to write instead."""

from __future__ import annotations

from pathlib import Path

import pytest

from ibvonn_train.training.training_config import ConfigError, TrainingConfig

ROOT = Path(__file__).resolve().parents[2]
STAGE = {"name": "a", "optimiser": "adam", "steps": 3}


STUDIES = [p for p in sorted((ROOT / "configs").glob("*.toml")) if "[training]" in p.read_text()]


@pytest.mark.parametrize("path", STUDIES, ids=lambda p: p.stem)
def test_shipped_configurations_are_valid(path: Path) -> None:
    config = TrainingConfig.from_toml(path)
    assert config.stages
    assert TrainingConfig.from_dict(config.resolved()) == config


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"sed": 1}, r"unknown key 'sed'; did you mean 'seed'\?"),
        ({"internal": 1}, r"\[training\]: unknown key 'internal'; did you mean 'internal_size'"),
        ({"stages": [STAGE | {"learning_rat": 1.0}]}, r"stages\[0\].*did you mean 'learning_rate'"),
        ({"stages": [{"name": "a"}]}, r"keys \['optimiser', 'steps'\] are required"),
        ({"seed": "one"}, "training.seed: must be of type int; got 'one'"),
        ({"seed": True}, "must be of type int; got True"),
        ({"decoder": "diffusion"}, "must be one of .*'flow', 'mixture'"),
        ({"stages": [3]}, r"\[training.stages\[0\]\]: must be a table"),
        ({"stages": [STAGE, STAGE]}, "names must differ"),
        ({"stages": [STAGE | {"train": ["encodr"]}]}, "must name parts of"),
        (
            {"stages": [STAGE | {"loss": {"driving_force_consistency": 1.0}}]},
            "needs a frozen encoder",
        ),
        ({"stages": [STAGE | {"steps": 0}]}, "at least 1"),
    ],
)
def test_bad_values_are_refused_with_the_remedy(table: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TrainingConfig.from_dict(table)


def test_integers_serve_as_floats() -> None:
    config = TrainingConfig.from_dict({"stages": [STAGE | {"learning_rate": 1}]})
    assert config.stages[0].learning_rate == 1.0


def test_file_without_training_table_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text("[simulation]\nseed = 1\n")
    with pytest.raises(ConfigError, match=r"run.toml: must have a \[training\] table"):
        TrainingConfig.from_toml(path)
    path.write_text("[training\n")
    with pytest.raises(ConfigError, match="must be TOML"):
        TrainingConfig.from_toml(path)
