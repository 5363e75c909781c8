"""The page has every key of the [import] table, and no other."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from ibvonn_train.importers import StudyDescription
from ibvonn_train.importers.description import (
    LoadRule,
    MicrostateRule,
    ParticleLayout,
    StoredTimes,
)

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "own_trajectories.md"
TABLES = {
    "[import]": StudyDescription,
    "[import.layout]": ParticleLayout,
    "[import.time]": StoredTimes,
    "[import.microstate]": MicrostateRule,
    "[import.load]": LoadRule,
}
OWN_TABLES = {"layout", "time", "microstate", "load", "values", "parameters", "units"}


@pytest.mark.parametrize("name", TABLES)
def test_the_page_has_every_key(name):
    text = PAGE.read_text(encoding="utf-8")
    section = text.split(f"### `{name}`\n")[1].split("\n#")[0]
    rows = re.findall(r"^\| (`.*?`) \| ", section, re.MULTILINE)
    keys = {key for row in rows for key in re.findall(r"`(\w+)`", row)}
    assert keys == {item.name for item in fields(TABLES[name])} - OWN_TABLES


def test_every_table_is_named():
    text = PAGE.read_text(encoding="utf-8")
    assert all(f"`[import.{name}]`" in text for name in OWN_TABLES)
