"""One Newton iteration of a microsphere against the number of directions and of points.

    python benchmarks/fe_scaling.py [--json FILE] [--quick] [--model exported_models/trap]

CPU microseconds per quadrature point as in ``fe_step.py``: measure of deformation, law, residual
and Jacobian on P2 tetrahedra. The exponents are slopes of least squares in logarithms of the time
of the whole over the number of directions or points: 1 is linear.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from fe_step import newton_iteration, say
from machine import describe_machine
from records import RESULTS, ROOT, write
from timing import pin

from ibvonn_fem import load_model
from ibvonn_fem.kinematics import Microsphere

DIRECTIONS = (7, 13, 25, 55, 97)
MESHES = (2, 3, 4, 6, 8)
ON_MESHES = 25
"""Directions of the runs on several meshes."""


def exponent(count: list[float], seconds: list[float]) -> float:
    """Slope of ln(spent) over ln(count)."""
    return float(np.polyfit(np.log(count), np.log(seconds), 1)[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, default=RESULTS / "fe_scaling.json")
    parser.add_argument("--model", default=str(ROOT / "exported_models/trap"))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="small meshes, few directions")
    arguments = parser.parse_args()
    pin()
    model, machine = load_model(arguments.model), describe_machine()
    cells = 3 if arguments.quick else 5
    columns = "".join(f"{name:>10}" for name in ("strain", "law", "residual", "jacobian", "total"))
    say(f"{'microsphere':<34}{'points':>8}{columns}{'law [%]':>9}")
    by_directions = [
        newton_iteration(f"{n} directions", model, Microsphere(n), cells, arguments.repeats)
        | {"directions": n}
        for n in DIRECTIONS[: 3 if arguments.quick else None]
    ]
    by_points = [
        newton_iteration(
            f"{ON_MESHES} directions", model, Microsphere(ON_MESHES), cells, arguments.repeats
        )
        for cells in MESHES[: 3 if arguments.quick else None]
    ]
    directions = [float(row["directions"]) for row in by_directions]
    points = [float(row["points"]) for row in by_points]
    exponents = {
        "law over directions": exponent(directions, [row["law"] for row in by_directions]),
        "law over points": exponent(points, [row["law"] * row["points"] for row in by_points]),
        "iteration over points": exponent(
            points, [row["total"] * row["points"] for row in by_points]
        ),
    }
    say(", ".join(f"{name}: exponent {value:.3f}" for name, value in exponents.items()))
    document = {
        "machine": machine,
        "model": model.manifest.name,
        "directions_microseconds_per_point": by_directions,
        "points_microseconds_per_point": by_points,
        "exponents": exponents,
    }
    write(arguments.json, document)


if __name__ == "__main__":
    main()
