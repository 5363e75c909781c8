"""The law in C, Fortran, scikit-fem, DOLFINx: the same numbers (CalculiX: make demo-calculix)."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.demo, pytest.mark.fem, pytest.mark.export]

FOLDER = Path(__file__).resolve().parents[2] / "demos" / "other_codes"


@pytest.mark.slow
def test_other_codes_agree_with_dolfinx_and_the_closed_form(tmp_path):
    pytest.importorskip("skfem")
    run = subprocess.run(
        [sys.executable, FOLDER / "compare.py", "--steps", "16"],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert {"C", "scikit-fem", "DOLFINx"} <= {line.split()[0] for line in run.stdout.splitlines()}


@pytest.mark.parametrize(
    ("program", "most"),
    [
        ("c/ramp_and_hold.c", 40),
        ("fortran/ramp_and_hold.f90", 40),
        ("scikit_fem_bar_and_plate.py", 80),
    ],
)
def test_the_programs_are_short(program, most):
    assert len((FOLDER / program).read_text().splitlines()) <= most
