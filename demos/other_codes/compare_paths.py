"""Compare laws of three and of six strains in C and in Fortran with the kernel of the FE package.

Paths that are loaded along several components, held and unloaded, through ``c/strain_path.c`` and
``fortran/strain_path.F90``: the learned law of the plane lattice and the closed-form law of fcc
bonds; stress and validity agree to 1e-8::

    python demos/other_codes/compare_paths.py
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
from pathlib import Path

import fcc_bonds
import numpy as np
from tabulate import tabulate

import ibvonn_fem
from ibvonn_fem.emit_c.emit import emit_c, symbol
from ibvonn_fem.files.c_compiler import find_compiler

HERE = Path(__file__).resolve().parent
AGREEMENT = 1e-8


def path(held: np.ndarray, times: tuple[float, float, float], steps: int) -> np.ndarray:
    """Lines of dt and strains, loaded to ``held``, held and unloaded to its half."""
    time = np.linspace(0.0, times[-1], steps + 1)[1:]
    share = np.interp(time, [0.0, *times], [0.0, 1.0, 1.0, 0.5])
    return np.column_stack([np.full(steps, times[-1] / steps), share[:, None] * held])


def programs(directory: Path, folder: Path) -> dict[str, Path]:
    """Build the programs with a law."""
    source, _, module = emit_c(directory, folder)
    model = ibvonn_fem.load_model(directory)
    name, compiler = symbol(model.manifest.name), find_compiler()
    sizes = (model.manifest.strain_size, len(model.manifest.internal_components))
    built = {"C": folder / "path_c"}
    subprocess.run(
        [compiler, "-std=c99", "-O2", "-I", folder, f"-DLAW={name}", f"-DSTRAINS={sizes[0]}",
         f"-DINTERNALS={sizes[1]}", "-o", built["C"], HERE / "c" / "strain_path.c", source, "-lm"],
        check=True,
    )  # fmt: skip
    if shutil.which("gfortran"):
        built["Fortran"] = folder / "path_fortran"
        subprocess.run([compiler, "-O2", "-c", "-o", folder / "law.o", source], check=True)
        subprocess.run(
            ["gfortran", "-std=f2008", "-O2", "-J", folder, f"-DLAW={name}_law", "-o",
             built["Fortran"], module, HERE / "fortran" / "strain_path.F90", folder / "law.o",
             "-lm"],
            check=True,
        )  # fmt: skip
    return built


def in_python(directory: Path, lines: np.ndarray) -> np.ndarray:
    """Stresses and validity, ``(steps, n + 1)``, by the kernel."""
    kernel = ibvonn_fem.load_model(directory).kernel
    old, statev = np.zeros((1, lines.shape[1] - 1)), np.zeros((1, kernel.internal_size))
    rows = []
    for dt, *strain in lines:
        update = kernel.update(np.array([strain]), old, statev, dt)
        rows.append([*update.stress[0], update.validity[0]])
        old, statev = np.array([strain]), update.statev_new.copy()
    return np.array(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--models", type=Path, default=HERE.parents[1] / "exported_models")
    parser.add_argument("--steps", type=int, default=40)
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        laws = {
            "lattice": (arguments.models / "lattice", [0.1, 0.03, 0.05], (300.0, 900.0, 1200.0)),
            "fcc_bonds": (
                fcc_bonds.export(folder / "fcc_bonds"),
                [0.1, 0.02, -0.01, 0.06, 0.03, -0.02],
                (2.0, 6.0, 8.0),
            ),
        }
        for law, (directory, held, times) in laws.items():
            lines = path(np.array(held), times, arguments.steps)
            right = in_python(directory, lines)
            text = "\n".join(" ".join(f"{value:.17g}" for value in line) for line in lines)
            for code, program in programs(directory, folder / f"{law}_c").items():
                run = subprocess.run(
                    [program], input=text + "\n", check=True, capture_output=True, text=True
                )
                response = np.array([line.split() for line in run.stdout.splitlines()], dtype=float)
                gap = np.abs(response - right).max() / np.abs(right).max()
                rows.append([law, code, right.shape[1] - 1, right[-1, 0], gap])
                assert gap < AGREEMENT, f"{law} in {code}: differs from the kernel by {gap:.1e}"
    header = ["law", "code", "strains", "final stress 11", "difference from the kernel"]
    print(tabulate(rows, header, floatfmt=("", "", "", ".10f", ".1e")))


if __name__ == "__main__":
    main()
