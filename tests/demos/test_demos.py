"""Every demo runs in its short mode, and ends in assertions that are executed."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.demo, pytest.mark.fem]

ROOT = Path(__file__).resolve().parents[2]
DEMOS = sorted((ROOT / "demos").glob("demo_*.py"))
QUICK = "demo_mixed_pressure"
"""The demo that the default run executes; the others are among the slow tests."""


def test_there_are_demos():
    assert len(DEMOS) >= 2


@pytest.mark.parametrize("demo", DEMOS, ids=lambda path: path.stem)
def test_a_demo_asserts_what_it_shows(demo):
    """By assertions of its own, or by the `check` of the demo that it extends."""
    nodes = list(ast.walk(ast.parse(demo.read_text(encoding="utf-8"))))
    called = [node.func for node in nodes if isinstance(node, ast.Call)]
    inherited = [f for f in called if isinstance(f, ast.Attribute) and f.attr == "check"]
    assert inherited or any(isinstance(node, ast.Assert) for node in nodes)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "demo_plate_with_hole",
        "demo_torsion",
        "demo_lattice_with_hole",
        "demo_lattice_with_cavity",
        "demo_lattice_finite_strain",
    ],
)
def test_a_demo_runs_on_two_ranks(name, tmp_path):
    script = [sys.executable, ROOT / "demos" / f"{name}.py", "--short"]
    run = subprocess.run(
        ["bash", ROOT / "setup" / "mpirun.sh", "2", *script, "--figure", tmp_path / "figure.png"],
        cwd=tmp_path,
        env={
            **os.environ,
            "MPLBACKEND": "agg",
            "OMP_NUM_THREADS": "1",
            "IBVONN_RANK_LOGS": str(tmp_path / "ranks"),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert (tmp_path / "figure.png").stat().st_size > 5000


@pytest.mark.parametrize(
    "demo",
    [
        pytest.param(demo, id=demo.stem, marks=[pytest.mark.slow] * (demo.stem != QUICK))
        for demo in DEMOS
    ],
)
def test_a_demo_runs_in_short_mode(demo, tmp_path):
    run = subprocess.run(
        [sys.executable, demo, "--short", "--figure", tmp_path / "figure.png"],
        cwd=tmp_path,
        env={**os.environ, "MPLBACKEND": "agg", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert (tmp_path / "figure.png").stat().st_size > 5000


@pytest.mark.slow
def test_the_flow_of_the_learned_trap_is_an_ensemble_among_ensembles(tmp_path):
    """The default of this demo is the exact law; here the learned one, without allowance."""
    demo, model = ROOT / "demos/demo_microstates.py", ROOT / "exported_models/trap"
    run = subprocess.run(
        [sys.executable, demo, "--short", "--model", model],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
