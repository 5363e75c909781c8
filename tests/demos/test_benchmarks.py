"""The overview of the benchmarks is drawn from results in the repository, or says what misses."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.demo

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
NAMES = ("langevin", "training_time", "law_update", "microsphere", "fe_step", "fe_scaling")


@pytest.fixture
def results(tmp_path):
    for name in NAMES:
        shutil.copy(BENCHMARKS / "results" / f"{name}.json", tmp_path)
    return tmp_path


def overview(folder):
    return subprocess.run(
        [sys.executable, BENCHMARKS / "overview.py", "--draw", "--results", folder],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_overview_is_drawn_from_the_results_and_shows_their_numbers(results):
    path = results / "training_time.json"
    record = json.loads(path.read_text())
    record["passes_published"]["lasting_cpu_s"] = 1234.5
    path.write_text(json.dumps(record))
    run = overview(results)
    assert run.returncode == 0, run.stderr
    picture = (results / "overview.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 20_000
    assert {line.split()[0] for line in run.stdout.splitlines() if line} >= set(NAMES)
    assert "1234.5 CPU s" in run.stdout


@pytest.mark.parametrize("name", [pytest.param("langevin", marks=pytest.mark.slow), "fe_scaling"])
def test_missing_result_is_named_with_the_command_that_measures_it(results, name):
    (results / f"{name}.json").unlink()
    run = overview(results)
    assert run.returncode == 1
    assert f"{name}.json: this benchmark has not been run" in run.stderr
    assert f"--only {name}" in run.stderr
    assert not (results / "overview.png").exists()


TIMED = """
import fe_step
from fe_step import FullStrain, Microsphere, load_model, ROOT

tensor, trap = (load_model(ROOT / "exported_models" / name) for name in ("exact_sls", "trap"))
for row in (
    fe_step.newton_iteration("tensor", tensor, FullStrain(), 1, 1),
    fe_step.newton_iteration("microsphere", trap, Microsphere(25), 1, 1),
    fe_step.written_in_ufl(1, 1),
):
    assert row["points"] == 6 * 4
    assert row["total"] > row["law"] > 0.0
fe_step.growth(trap, [1], 1)
"""


@pytest.mark.slow
@pytest.mark.fem
def test_parts_of_a_step_are_timed():
    """The least of the benchmark whose parts know the insides of a law; no time is judged."""
    run = subprocess.run(
        [sys.executable, "-c", TIMED],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(BENCHMARKS)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
