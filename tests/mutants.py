"""Mutants of the physics: each must be killed by the default tests.

`python tests/mutants.py [NAME ...]` changes one line in a temporary copy of the tree, runs the
tests that should notice there, and prints a table. Exit status 1 if a mutant survives.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from helpers.mutant_lists import MUTANTS, Mutant

ROOT = Path(__file__).resolve().parent.parent


def mutate(mutant: Mutant, copy: Path) -> None:
    """Apply a mutant to a copy.

    Raises:
        SystemExit: If the line to change is not there exactly once.
    """
    path = copy / mutant.file
    text = path.read_text(encoding="utf-8")
    if text.count(mutant.old) != 1:
        raise SystemExit(
            f"{mutant.name}: {mutant.file} must hold {mutant.old!r} once; "
            f"found it {text.count(mutant.old)} times. Bring the mutant up to date."
        )
    path.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")


def first_failure(copy: Path, tests: Sequence[str]) -> str | None:
    """Return the first test that fails in a copy, or None.

    Raises:
        SystemExit: If the tests did not run.
    """
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    environment = {**os.environ, "PYTHONPATH": str(copy), "OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        command, cwd=copy, env=environment, capture_output=True, text=True, check=False
    )
    if run.returncode == 0:
        return None
    result = re.search(r"^(?:FAILED|ERROR) (\S+::.*?)(?: - .*)?$", run.stdout, re.MULTILINE)
    if run.returncode != 1 or result is None:
        raise SystemExit(f"{' '.join(tests)}: did not run:\n{run.stdout}{run.stderr}")
    return result.group(1)


def killer(mutant: Mutant, copy: Path) -> str | None:
    """Return the first test that fails on a mutant and not without it, or None.

    Raises:
        SystemExit: If it fails without the mutant too.
    """
    original = (copy / mutant.file).read_bytes()
    mutate(mutant, copy)
    test = first_failure(copy, mutant.tests)
    if test is not None:
        (copy / mutant.file).write_bytes(original)
        if first_failure(copy, [test]) is not None:
            raise SystemExit(f"{mutant.name}: {test} fails without the mutant too.")
    return test


def copied(folder: Path) -> None:
    """Copy what git does not ignore."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)


def selected(words: Sequence[str]) -> list[Mutant]:
    """Mutants whose name is one of the words or else holds it; all without words.

    Raises:
        SystemExit: If a word chooses none.
    """
    result: list[Mutant] = []
    for word in words or [""]:
        named = [m for m in MUTANTS if m.name == word] or [m for m in MUTANTS if word in m.name]
        if not named:
            raise SystemExit(f"{word!r} is in no name of a mutant; --help says what to give.")
        result += [m for m in named if m not in result]
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="words of the names of the mutants to run; all")
    words = parser.parse_args().names
    chosen = selected(words)
    survivors = 0
    print("| mutant | file | killed by | s |\n| --- | --- | --- | --- |")
    for mutant in chosen:
        with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
            copy = Path(folder)
            copied(copy)
            start_time = time.perf_counter()
            test = killer(mutant, copy)
            took = time.perf_counter() - start_time
        survivors += test is None
        verdict = "**survives**" if test is None else f"`{test.removeprefix('tests/')}`"
        print(f"| {mutant.name} | `{mutant.file}` | {verdict} | {took:.0f} |", flush=True)
    return int(survivors > 0)


if __name__ == "__main__":
    sys.exit(main())
