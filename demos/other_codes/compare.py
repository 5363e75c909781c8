"""Compare one law in C, Fortran, scikit-fem and DOLFINx.

Builds and runs the programs of this folder with the exact trap law and the exact standard linear
solid, each at two time steps, and compares them with each other (1e-8) and with the closed form
(first order in the time step)::

    python demos/other_codes/compare.py
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
from pathlib import Path

import dolfinx_reference
import numpy as np
import scikit_fem_bar_and_plate
import skfem
from tabulate import tabulate

from ibvonn_fem.emit_c.emit import emit_c
from ibvonn_fem.files.c_compiler import find_compiler

HERE = Path(__file__).resolve().parent
AGREEMENT = 1e-8


def build_c(models: Path, folder: Path) -> Path:
    """``c/ramp_and_hold.c`` with ``constitutive.c``."""
    emit_c(models / "exact_trap", folder)
    program = folder / "ramp_and_hold_c"
    subprocess.run(
        [find_compiler(), "-std=c99", "-O2", "-I", folder, "-o", program,
         HERE / "c" / "ramp_and_hold.c", folder / "constitutive.c", "-lm"],
        check=True,
    )  # fmt: skip
    return program


def build_fortran(models: Path, folder: Path) -> Path:
    """``fortran/ramp_and_hold.f90`` with the module ``constitutive.f90`` and ``constitutive.c``."""
    emit_c(models / "exact_trap", folder)
    subprocess.run(
        [find_compiler(), "-O2", "-c", "-o", folder / "law.o", folder / "constitutive.c"],
        check=True,
    )
    program = folder / "ramp_and_hold_fortran"
    subprocess.run(
        ["gfortran", "-std=f2008", "-O2", "-J", folder, "-o", program,
         folder / "constitutive.f90", HERE / "fortran" / "ramp_and_hold.f90", folder / "law.o",
         "-lm"],
        check=True,
    )  # fmt: skip
    return program


def run(program: Path, steps: int) -> np.ndarray:
    """Columns time and stress that the program prints."""
    done = subprocess.run([program, str(steps)], check=True, capture_output=True, text=True)
    return np.array([line.split() for line in done.stdout.splitlines()], dtype=float)


def compare_bars(models: Path, steps: int, folder: Path) -> None:
    """Compare the bar with the trap law in every code."""
    programs = {"C": build_c(models, folder)}
    if shutil.which("gfortran"):
        programs["Fortran"] = build_fortran(models, folder)
    histories = {
        name: [run(program, n) for n in (steps, 2 * steps)] for name, program in programs.items()
    }
    for name, code in (("scikit-fem", scikit_fem_bar_and_plate), ("DOLFINx", dolfinx_reference)):
        histories[name] = [code.bar(models, n) for n in (steps, 2 * steps)]
    rows = []
    for name, (coarse, fine) in histories.items():
        scale = np.abs(coarse[:, 1]).max()
        gap = np.abs(coarse[:, 1] - histories["DOLFINx"][0][:, 1]).max() / scale
        errors = [
            np.abs(h[:, 1] - dolfinx_reference.closed_form(h[:, 0])).max() / scale
            for h in (coarse, fine)
        ]
        order = np.log2(errors[0] / errors[1])
        rows.append([name, coarse[-1, 1], gap, errors[0], order])
        assert gap < AGREEMENT, f"{name}: differs from DOLFINx by {gap:.1e}"
        assert 0.9 < order < 1.1, f"{name}: observed order {order:.2f}, expected 1"
    header = ["bar", "final stress", "difference from DOLFINx", "error to closed form", "order"]
    print(tabulate(rows, header, floatfmt=("", ".10f", ".1e", ".2e", ".2f")))


def compare_plates(models: Path, steps: int) -> None:
    """Compare the plate with the standard linear solid on one mesh."""
    grid = skfem.MeshTri().refined(2)
    history = scikit_fem_bar_and_plate.plate(models, steps)
    reference = dolfinx_reference.plate(models, steps, grid.p.T, grid.t.T)
    gap = np.abs(history - reference).max() / np.abs(reference[:, 1]).max()
    header = ["plate", "final tension", "difference from DOLFINx"]
    print(tabulate([["scikit-fem", history[-1, 1], gap]], header, floatfmt=("", ".10f", ".1e")))
    assert gap < AGREEMENT, f"plate: scikit-fem differs from DOLFINx by {gap:.1e}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--models", type=Path, default=HERE.parents[1] / "exported_models")
    parser.add_argument("--steps", type=int, default=40)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        compare_bars(arguments.models, arguments.steps, Path(folder))
    compare_plates(arguments.models, arguments.steps)


if __name__ == "__main__":
    main()
