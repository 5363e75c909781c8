"""Compare laws of three strains in other finite-element codes with DOLFINx.

A sheet that is pulled and sheared, held and moved back, with the learned law of the plane lattice
and with its mean-field law, which is a graph alone; each code runs ``constitutive.onnx`` (torch-fem
``constitutive.pt``) on a mesh of its own, on which DOLFINx solves the same problem. Both components
of the force agree to 1e-8. Codes that are not installed are named (``pip install scikit-fem felupe
ngsolve sfepy torch-fem akantu``)::

    python demos/other_codes/compare_hosts.py
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import sys
import warnings
from pathlib import Path

import dolfinx_reference
import numpy as np
from tabulate import tabulate

from ibvonn_fem.errors import EnvelopeWarning

HERE = Path(__file__).resolve().parent
AGREEMENT = 1e-8
LAWS = ("lattice", "lattice_mean_field")
CODES = {
    "scikit-fem": ("skfem", "scikit_fem_lattice"),
    "FElupe": ("felupe", "felupe_lattice"),
    "NGSolve": ("ngsolve", "ngsolve_lattice"),
    "SfePy": ("sfepy", "sfepy_lattice"),
    "torch-fem": ("torchfem", "torch_fem_lattice"),
    "Akantu": ("akantu", "akantu_lattice"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--models", type=Path, default=HERE.parents[1] / "exported_models")
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--codes", nargs="+", choices=CODES, default=list(CODES))
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", EnvelopeWarning)  # corners of the clamped side
    rows = []
    for code in arguments.codes:
        package, script = CODES[code]
        if importlib.util.find_spec(package) is None:
            sys.stdout.write(f"{code} is not installed here, and is left out.\n")
            continue
        for law in LAWS:
            model = arguments.models / law
            history, points, cells = importlib.import_module(script).sheet(model, arguments.steps)
            right = dolfinx_reference.sheet(model, arguments.steps, points, cells)
            gap = np.abs(history - right)[:, 1:].max() / np.abs(right[:, 1:]).max()
            held = arguments.steps * 3 // 4 - 1
            rows.append([law, code, len(cells), *history[held, 1:], gap])
            assert gap < AGREEMENT, f"{law} in {code}: differs from DOLFINx by {gap:.1e}"
    header = ["law", "code", "elements", "force x, held", "force y, held", "difference"]
    formats = ("", "", "", ".10f", ".10f", ".1e")
    print(tabulate(rows, header, floatfmt=formats))


if __name__ == "__main__":
    main()
