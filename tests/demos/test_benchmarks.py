"""The overview of the benchmarks is drawn from results in the repository, or says what misses."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.demo

ROOT = Path(__file__).resolve().parents[2]
BENCHMARKS = ROOT / "benchmarks"
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


BODY = """
import body_speed

for name, size in (("lattice", 3), ("lattice_fcc", 6)):
    row = body_speed.iteration(name, 1, 1)
    assert 0.0 < row["share_percent"] < 100.0 and row["warm_law"] > 0.0, (name, size)
body_speed.PACKAGE = "no_such_package"
assert "is not installed" in body_speed.against_operator("exact_sls", 1, 1, 1)["left_out"]
result = body_speed.scaling(2, 2)
points = sum(result["two_ranks"]["points_by_rank"])
assert len(result["two_ranks"]["points_by_rank"]) == 2
assert [run["points_by_rank"] for run in result["single_runs"]] == [[points], [points]]
assert set(result["speed_up_cpu"]) == {"law", "assembly", "both"}
"""


@pytest.mark.slow
@pytest.mark.fem
def test_the_speed_of_a_body_is_measured_and_a_missing_package_is_named():
    """The least of each part; no time is judged."""
    run = subprocess.run(
        [sys.executable, "-c", BODY],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{BENCHMARKS}:{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr


PATHS = """
import numpy as np
import lattice_paths
from ibvonn_train.law.networks.tied import pair_orbits
from ibvonn_train.simulation import PeriodicLattice, simulate
from ibvonn_train.simulation.strain_paths import strain_training_set
from ibvonn_train.training import TrainedModel
from ibvonn_train.training.training_config import ExpertConfig
from pathlib import Path
import sys

lattice, box = PeriodicLattice(cells=4), ([-0.06, -0.06, -0.12], [0.17, 0.17, 0.12])
sets = [
    simulate(
        lattice, strain_training_set(*box, duration, walks=walks, directions=0, seed=walks),
        duration=duration, time_step=0.1, stride=round(duration), replicas=4,
        record="histogram", seed=1, progress=False,
    )
    for duration, walks in ((30.0, 3), (60.0, 3), (90.0, 2))
]
for count, expected in ((1, [1]), (4, [2, 1, 1]), (8, [3, 3, 2])):
    chosen = lattice_paths.first_paths(sets, count)
    assert [data.protocols for data in chosen] == expected
    for data, whole in zip(chosen, sets):
        assert np.array_equal(data.strain, whole.strain[: data.protocols])
lattice_paths.BUDGET = ExpertConfig(width=4, identify_steps=40, polish_steps=0, density_steps=0)
for symmetric in (True, False):
    run = Path(sys.argv[1]) / str(symmetric)
    lattice_paths.trained(sets, run, symmetric=symmetric)
    model = TrainedModel.load(run)
    sizes = model.law_sizes
    orbits = pair_orbits(sizes.variables.classes, sizes.permutations)
    assert int(orbits.max()) + 1 == (2 if symmetric else 9)
    strain, alpha = np.array([[0.05, 0.03, 0.02]]), np.array([[0.1, 0.2, 0.4]])
    element = lattice.symmetry[3]
    turned = strain @ element.strain.T, np.empty_like(alpha)
    turned[1][:, list(element.classes)] = alpha
    energies = [float(model.rates(*state).energy[0]) for state in ((strain, alpha), turned)]
    assert (abs(energies[1] - energies[0]) < 1e-12 * abs(energies[0])) == symmetric
"""


@pytest.mark.slow
def test_paths_are_nested_and_laws_without_symmetry_have_none(tmp_path):
    run = subprocess.run(
        [sys.executable, "-c", PATHS, tmp_path],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{BENCHMARKS}:{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr


def run_benchmark(name, *options):
    return subprocess.run(
        [sys.executable, BENCHMARKS / name, *map(str, options)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.fem
def test_error_bars_are_judged_on_points_held_back(tmp_path):
    out = tmp_path / "found.json"
    run = run_benchmark("error_field.py", "--small", "--folder", tmp_path, "--json", out)
    assert run.returncode == 0, run.stderr
    results = json.loads(out.read_text())
    assert results["intervals"] == 4 * 8 * 3
    assert 0.5 < results["coverage"] <= 1.0  # four points judge nothing more
    assert f"{results['coverage']:.4g}" in run.stdout


@pytest.mark.slow
@pytest.mark.fem
def test_spot_checks_show_law_and_twin_side_by_side(tmp_path):
    out = tmp_path / "checks.json"
    run = run_benchmark("spot_checks.py", "bar", "--small", "--folder", tmp_path, "--json", out)
    assert run.returncode == 0, run.stderr
    bar = json.loads(out.read_text())["bar"]
    law, twin = bar["unfolding_cell"], bar["kramers_unfolding"]
    assert [point["point"] for point in law] == [point["point"] for point in twin]
    assert all(point["time_error"] is not None for point in law)
    assert f"{law[0]['error']:.2f} (" in run.stdout


@pytest.mark.slow
@pytest.mark.fem
def test_both_arms_of_learning_on_demand_take_the_same_number_of_paths(tmp_path):
    run = run_benchmark("learning_on_demand.py", "--tiny", "--repeat", 0, "--out", tmp_path)
    assert run.returncode == 0, run.stdout + run.stderr
    curves = json.loads((tmp_path / "repeat_0.json").read_text())["curves"]
    counts = {arm: [row[0] for row in rows] for arm, rows in curves.items()}
    assert counts == {"on demand": [0, 2], "family": [0, 2]}
    first = {arm: rows[0][1] for arm, rows in curves.items()}
    assert first["on demand"] == first["family"]  # both begin with the same law
