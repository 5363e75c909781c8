"""The table of mutants keeps up with the sources: a line that moved would be tested no longer."""

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from mutant_lists import MUTANTS

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "tests" / "mutants.py"


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_line_of_a_mutant_stands_once_in_its_source(mutant):
    text = (ROOT / mutant.file).read_text(encoding="utf-8")
    assert text.count(mutant.old) == 1
    assert text.replace(mutant.old, mutant.new) != text


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_tests_that_should_notice_a_mutant_exist(mutant):
    assert mutant.tests
    for argument in mutant.tests:
        path, _, name = argument.partition("::")
        text = (ROOT / path).read_text(encoding="utf-8")
        assert f"def {name}" in text
        slow = re.findall(r"^@pytest\.mark\.slow\n(?:[@ )].*\n)*def (\w+)", text, re.MULTILINE)
        assert name not in slow, "it is not in the default run"


def test_every_mutant_has_its_own_name_and_its_row_in_the_readme():
    names = Counter(mutant.name for mutant in MUTANTS)
    rows = (ROOT / "tests" / "README.md").read_text(encoding="utf-8")
    assert max(names.values()) == 1
    assert len(names) >= 40
    assert [name for name in names if f"| {name} | `" not in rows] == []


def test_a_name_of_no_mutant_is_refused():
    command = [sys.executable, str(SCRIPT), "no such mutant"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode != 0
    assert "'no such mutant' is in no name" in run.stderr
