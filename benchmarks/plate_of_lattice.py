"""A plate with a hole whose material is a lattice of bonds with two states: one analysis.

The square plate (−1, 1)² has a hole of radius 0.3. Its lower edge is held, and its upper edge moves
by (2 γ(t), 2 e(t)) as a whole: *pulled* along e alone, up and back, or *turning*, where the shear γ
goes to one side and the other while the stretch e is held, so that the strain at a point leaves the
line on which it began.

    python benchmarks/plate_of_lattice.py exported_models/lattice build/plate.h5 --loading turning

The histories of all points go to the file, and with --json the force on the upper edge.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mpi4py import MPI

import basix.ufl
import numpy as np
import ufl
from dolfinx import fem, mesh

sys.path.insert(0, str(Path(__file__).parent))
import records

import ibvonn_fem
from ibvonn_fem.stepping import EveryPoint, Histories
from ibvonn_fem.stepping.time_stepping import Step

RADIUS = 0.3
KNOTS = {
    "pulled": ((0.0, 0.5, 1.0), (0.0, 1.0, 0.0), (0.0, 0.0, 0.0)),
    "turning": (
        (0.0, 0.25, 0.45, 0.75, 1.0), (0.0, 1.0, 1.0, 0.6, 0.0), (0.0, 0.0, 0.8, -0.8, 0.0),
    ),
}  # fmt: skip
"""Loading → parts of the duration, stretch and shear there over the largest stretch."""


def plate(cells: int) -> mesh.Mesh:
    """Quadrilaterals around the hole: ``cells`` from the hole to the edge, eight times as many
    around it.
    """
    rays = 8 * cells
    angle = 2.0 * np.pi * np.arange(rays) / rays
    share = np.linspace(0.0, 1.0, cells + 1)
    share = share * (0.5 + 0.5 * share)
    circle = np.stack([np.cos(angle), np.sin(angle)], -1)
    hole, edge = RADIUS * circle, circle / np.abs(circle).max(1, keepdims=True)
    points = (hole + share[:, None, None] * (edge - hole)).reshape(-1, 2)
    number = np.arange((cells + 1) * rays).reshape(cells + 1, rays)
    after = np.roll(number, -1, 1)
    quads = np.stack([number[:-1], number[1:], after[:-1], after[1:]], -1).reshape(-1, 4)
    if MPI.COMM_WORLD.rank > 0:
        quads, points = quads[:0], points[:0]
    element = basix.ufl.element("Lagrange", "quadrilateral", 1, shape=(2,))
    return mesh.create_mesh(MPI.COMM_WORLD, quads.astype(np.int64), x=points, e=ufl.Mesh(element))


def analyse(
    model: Path,
    histories: Path,
    *,
    loading: str = "pulled",
    stretch: float = 0.05,
    duration: float = 300.0,
    steps: int = 60,
    cells: int = 6,
    choice: Sequence[object] = (EveryPoint(),),
) -> np.ndarray:
    """Force on the upper edge at every instant, ``(steps + 1, 2)``; writes histories of points."""
    domain = plate(cells)
    space = fem.functionspace(domain, ("Lagrange", 1, (2,)))
    u, moved = fem.Function(space), fem.Constant(domain, np.zeros(2))
    lower, upper = (
        fem.locate_dofs_geometrical(space, lambda x, at=at: np.isclose(x[1], at))
        for at in (-1.0, 1.0)
    )
    clamp = fem.dirichletbc(np.zeros(2), lower, space)
    grip = fem.dirichletbc(moved, upper, space)
    law = ibvonn_fem.InternalVariableLaw(
        ibvonn_fem.load_model(model), ibvonn_fem.FullStrain(3), u, 2
    )
    problem = ibvonn_fem.InternalVariableProblem(law, u, [clamp, grip])
    knots, stretches, shears = KNOTS[loading]

    def load(time: float) -> None:
        part = time / duration
        e, shear = np.interp(part, knots, stretches), np.interp(part, knots, shears)
        moved.value[:] = 2.0 * stretch * np.array([shear, e])

    # The virtual work of a unit motion of the upper edge is the force on it.
    forms = []
    for axis in range(2):
        unit = fem.Function(space)
        unit.x.array[2 * upper + axis] = 1.0
        forms.append(fem.form(law.virtual_work(unit)))

    def force(_: Step) -> None:
        forces.append([domain.comm.allreduce(fem.assemble_scalar(form)) for form in forms])

    forces: list[list[float]] = [[0.0, 0.0]]
    record = Histories(histories, choice)
    stepping = ibvonn_fem.TimeStepping(problem, load, record=record)
    stepping.run(np.linspace(0.0, duration, steps + 1).tolist(), callback=force)
    return np.array(forces)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("histories", type=Path)
    parser.add_argument("--loading", choices=sorted(KNOTS), default="pulled")
    parser.add_argument("--stretch", type=float, default=0.05)
    parser.add_argument("--duration", type=float, default=300.0)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--cells", type=int, default=6)
    parser.add_argument("--json", type=Path)
    options = vars(parser.parse_args())
    out = options.pop("json")
    forces = analyse(**options)
    if out is not None and MPI.COMM_WORLD.rank == 0:
        records.write(out, {"force": forces.tolist()})


if __name__ == "__main__":
    main()
