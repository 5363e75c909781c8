"""The table of mutants keeps up with the sources: a line that moved would be tested no longer."""

import builtins
import dis
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import CodeType

import pytest
from mutant_lists import MUTANTS

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "tests" / "mutants.py"
ROW = re.compile(r"^\| (.+) \| `(\S+)` \| `(.+)` \|$", re.MULTILINE)


def slow_tests(text: str) -> list[str]:
    return re.findall(r"^@pytest\.mark\.slow\n(?:[@ )].*\n)*def (\w+)", text, re.MULTILINE)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_line_of_a_mutant_stands_once_in_its_source(mutant):
    text = (ROOT / mutant.file).read_text(encoding="utf-8")
    assert text.count(mutant.old) == 1
    assert text.replace(mutant.old, mutant.new) != text


def unknown_names(text: str) -> set[str]:
    """Global names that code reads and that neither it nor Python defines."""
    known, read = {*dir(builtins), "__file__", "__name__"}, set()
    codes = [compile(text, "source", "exec", dont_inherit=True)]
    for code in codes:
        codes += [part for part in code.co_consts if isinstance(part, CodeType)]
        for line in dis.get_instructions(code):
            if line.opname in ("STORE_NAME", "STORE_GLOBAL"):
                known.add(line.argval)
            elif line.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
                read.add(line.argval)
    return read - known


@pytest.mark.parametrize(
    "mutant", [m for m in MUTANTS if m.file.endswith(".py")], ids=lambda mutant: mutant.name
)
def test_a_mutant_computes_something_wrong_and_does_not_fail_for_want_of_a_name(mutant):
    text = (ROOT / mutant.file).read_text(encoding="utf-8")
    assert unknown_names(text.replace(mutant.old, mutant.new)) <= unknown_names(text)


def test_a_name_that_is_not_there_is_found():
    """Guards the test above."""
    assert unknown_names("def f(x):\n    return x + len(gone)\n") == {"gone"}


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_tests_that_should_notice_a_mutant_exist(mutant):
    assert mutant.tests
    for argument in mutant.tests:
        path, _, name = argument.partition("::")
        text = (ROOT / path).read_text(encoding="utf-8")
        assert f"def {name}" in text
        assert name not in slow_tests(text), "it is not in the default run"


def test_every_mutant_has_its_own_name_and_its_row_in_the_readme():
    names = Counter(mutant.name for mutant in MUTANTS)
    rows = ROW.findall((ROOT / "tests" / "README.md").read_text(encoding="utf-8"))
    assert max(names.values()) == 1
    assert len(names) >= 40
    assert Counter(name for name, _, _ in rows) == names


def test_the_readme_names_the_file_of_a_mutant_and_a_test_that_it_runs():
    rows = ROW.findall((ROOT / "tests" / "README.md").read_text(encoding="utf-8"))
    killers = {name: (file, killer) for name, file, killer in rows}
    for mutant in MUTANTS:
        file, killer = killers[mutant.name]
        path, _, test = killer.partition("[")[0].partition("::")
        text = (ROOT / "tests" / path).read_text(encoding="utf-8")
        assert file == mutant.file
        assert f"def {test}(" in text, f"{mutant.name}: {killer} is gone; run this mutant again"
        assert test not in slow_tests(text), "it is not in the default run"
        assert {f"tests/{path}", f"tests/{path}::{test}"} & set(mutant.tests)


def test_a_name_of_no_mutant_is_refused():
    command = [sys.executable, str(SCRIPT), "no such mutant"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode != 0
    assert "'no such mutant' is in no name" in run.stderr
