"""The keys of a TOML: few, all on one page, and those of earlier versions named with the new."""

from __future__ import annotations

import json
import re
from dataclasses import MISSING, fields, replace
from pathlib import Path
from typing import Any

import pytest

from ibvonn_train.simulation.simulation_config import SetConfig, SimulationConfig
from ibvonn_train.training.training_config import ConfigError, ExpertConfig, TrainingConfig

ROOT = Path(__file__).resolve().parents[2]
TABLES: dict[str, Any] = {
    "[simulation]": SimulationConfig,
    "[[simulation.sets]]": SetConfig,
    "[training]": TrainingConfig,
    "[training.expert]": ExpertConfig,
}
MOST_KEYS = 25
FORMER_RECIPE = "0.1"
"""Version of the recipe of stages, whose laws keep the configuration of their training."""


def keys(table: Any) -> list[str]:
    return [item.name for item in fields(table)]


def default(item: Any) -> str:
    """Default value of a field as the page writes it."""
    if item.default_factory is not MISSING:
        return "`{}`"
    return "required" if item.default is MISSING else f"`{json.dumps(item.default)}`"


def test_the_keys_are_few() -> None:
    count = {name: len(fields(table)) for name, table in TABLES.items()}
    assert sum(count.values()) <= MOST_KEYS, count


def test_the_page_has_every_key_with_its_default() -> None:
    text = (ROOT / "docs/configuration.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## `(\S+)`\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE))
    assert list(sections) == list(TABLES)
    for name, table in TABLES.items():
        rows = re.findall(r"^\| `(\w+)` \| (.*?) \| ", sections[name], re.MULTILINE)
        expected = [(item.name, default(item)) for item in fields(table)]
        assert rows == expected, name


def test_every_key_is_used_by_a_shipped_study_or_named_as_a_choice() -> None:
    """A key that no study sets is a constant; the exceptions are choices that a user has."""
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "configs").glob("*.toml")]
    words = {word for text in texts for word in re.findall(r"\b(\w+)(?= = |\]+$)", text, re.M)}
    unused = {key for table in TABLES.values() for key in keys(table)} - words
    assert unused == {"expert", *keys(ExpertConfig)}


@pytest.mark.parametrize("name", ["trap.toml", "chain.toml"])
def test_a_template_is_the_shipped_study(name: str) -> None:
    """It is a link; an editor that replaces files would leave an old copy behind."""
    template = ROOT / "ibvonn_train/cli/templates" / name
    assert template.read_bytes() == (ROOT / "configs" / name).read_bytes()


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"stages": [{"name": "a"}]}, "one recipe serves all systems. Leave it out"),
        ({"internal_size": 2}, "'internal_size' is now internal"),
        ({"entropic_barriers": 1}, "populations have their"),
        ({"width": 8}, r"'width' is now a key of \[training.expert\]"),
        ({"data": {"nodes": 64}}, "'nodes' is a key of \\[training.expert\\]"),
        ({"device": "cuda"}, "'device' is now an argument of train and the option --device"),
    ],
)
def test_a_key_of_an_earlier_version_is_refused_with_what_became_of_it(
    table: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        TrainingConfig.from_dict(table)


@pytest.mark.parametrize("table", TABLES.values(), ids=lambda table: table.__name__)
def test_what_became_of_a_key_names_a_key_that_there_is(table: Any) -> None:
    every = {key for each in TABLES.values() for key in keys(each)}
    former = getattr(table, "FORMER_KEYS", {})
    assert not former.keys() & set(keys(table))
    for words in former.values():
        named = set(re.findall(r"'(\w+)'", words)) - {"walls", "validation"}
        assert named <= every, words


@pytest.mark.parametrize(
    ("model", "study"),
    [
        ("trap", "trap_rich"),
        ("trap_paper", "trap"),
        ("chain_paper", "chain"),
        ("double_well_chain", "double_well_chain"),
        ("unfolding_chain", "unfolding_chain"),
        ("unfolding_chain_populations", "unfolding_chain"),
        ("double_well_chain_populations", "double_well_chain"),
        ("lattice", "lattice"),
    ],
)
def test_a_shipped_law_records_the_configuration_of_its_study(model: str, study: str) -> None:
    """Those of the recipe of stages keep theirs as it was written, and their card says so."""
    folder = ROOT / "exported_models" / model
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    config = manifest["provenance"]["config"]
    if "stages" in config:
        card = (folder / "README.md").read_text(encoding="utf-8")
        assert f"with the recipe of version {FORMER_RECIPE}" in card
        return
    config.pop("validation", None)
    recorded = TrainingConfig.from_dict(config)
    shipped = TrainingConfig.from_toml(ROOT / "configs" / f"{study}.toml")
    assert recorded == replace(shipped, name=recorded.name, seed=recorded.seed)
