"""Compare three ways to use a law in FEniCSx: problem class, own form, dolfinx-external-operator.

A block that is pulled and held; forces agree to 1e-12. The last way needs
``pip install --no-deps dolfinx-external-operator`` of the version of DOLFINx, or is left out::

    python demos/other_codes/compare_dolfinx.py
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import sys

import numpy as np
from tabulate import tabulate

AGREEMENT = 1e-12
WAYS = ("dolfinx_problem", "dolfinx_own_form", "dolfinx_operator")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--model", default="exact_sls")
    parser.add_argument("--steps", type=int, default=8)
    arguments = parser.parse_args()
    ways = list(WAYS)
    if importlib.util.find_spec("dolfinx_external_operator") is None:
        sys.stdout.write("dolfinx-external-operator is not installed, and is left out.\n")
        ways.remove("dolfinx_operator")
    # All before the first form: UFL does not learn of the operator later.
    scripts = {way: importlib.import_module(way) for way in ways}
    rows, right = [], None
    for way, script in scripts.items():
        history = script.block(arguments.model, arguments.steps)
        right = history if right is None else right
        gap = np.abs(history - right)[:, 1].max() / np.abs(right[:, 1]).max()
        rows.append([way, history[-1, 1], gap])
        assert gap < AGREEMENT, f"{way}: differs from the problem class by {gap:.1e}"
    print(
        tabulate(rows, ["script", "force at the end", "difference"], floatfmt=("", ".12f", ".1e"))
    )


if __name__ == "__main__":
    main()
