"""Configurations: what is wrong is named, with what to write instead."""

from __future__ import annotations

from pathlib import Path

import pytest

from ibvonn_train.training.training_config import ConfigError, TrainingConfig

ROOT = Path(__file__).resolve().parents[2]
STUDIES = [p for p in sorted((ROOT / "configs").glob("*.toml")) if "[training]" in p.read_text()]


@pytest.mark.parametrize("path", STUDIES, ids=lambda p: p.stem)
def test_shipped_configurations_are_valid(path: Path) -> None:
    config = TrainingConfig.from_toml(path)
    table = path.read_text().partition("[training]\n")[2]
    assert len(table.split()) > 2
    assert len(table.splitlines()) <= 5  # and the line of the table itself
    assert TrainingConfig.from_dict(config.resolved()) == config


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"sed": 1}, r"unknown key 'sed'; did you mean 'seed'\?"),
        ({"expert": {"widht": 8}}, r"\[training.expert\]: unknown key 'widht'.*'width'"),
        ({"expert": {"width": 3}}, "training.expert.width: must be at least 4; got 3"),
        ({"expert": {"tolerance": 0}}, "tolerance must be positive"),
        ({"expert": 3}, r"\[training.expert\]: must be a table"),
        ({"seed": "one"}, "training.seed: must be of type int; got 'one'"),
        ({"seed": True}, "must be of type int; got True"),
        ({"internal": "some"}, "must be \"auto\" or a table with 'populations'"),
        ({"internal": {"modes": 2}}, "must be \"auto\" or a table with 'populations'"),
        ({"internal": {"populations": 1}}, "populations must have at least 2 states"),
        ({"internal": {"populations": 2.0}}, "all whole numbers"),
        ({"internal": {"means": -1, "populations": 2}}, "means must be 0 or more"),
        ({"internal": {"means": 0}}, "must name at least one internal variable"),
    ],
)
def test_bad_values_are_refused_with_the_remedy(table: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TrainingConfig.from_dict(table)


def test_integers_serve_as_floats() -> None:
    config = TrainingConfig.from_dict({"expert": {"learning_rate": 1}})
    assert config.expert.learning_rate == 1.0


def test_populations_are_one_number_or_a_list() -> None:
    one, two = (
        TrainingConfig.from_dict({"internal": {"populations": n, "means": 1}}) for n in (2, [2, 3])
    )
    assert (one.populations, two.populations) == ((2,), (2, 3))
    assert (one.means, TrainingConfig().populations, TrainingConfig().means) == (1, (), 0)


def test_file_without_training_table_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text("[simulation]\nseed = 1\n")
    with pytest.raises(ConfigError, match=r"run.toml: must have a \[training\] table"):
        TrainingConfig.from_toml(path)
    path.write_text("[training\n")
    with pytest.raises(ConfigError, match="must be TOML"):
        TrainingConfig.from_toml(path)
