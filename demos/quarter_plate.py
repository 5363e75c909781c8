"""A quarter of a plate with a hole: mesh, supports and grip, shared by two demos."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mpi4py import MPI

import basix.ufl
import numpy as np
import ufl
from dolfinx import fem, mesh

import ibvonn_fem

LENGTH, WIDTH, RADIUS = 1.5, 1.0, 0.25


def quarter_mesh(cells: int) -> mesh.Mesh:
    """Quadrilaterals: ``cells`` along the rays, as many on each of the two sides of the square.

    Rays go from the hole to the sides of a square, with shorter cells at the hole, and rows of
    cells from there to the end. One rank makes the mesh; DOLFINx distributes it.
    """
    rays, along, beyond = 2 * cells, cells, max(1, cells // 2)
    share = np.linspace(0.0, 1.0, along + 1)
    share = share * (0.4 + 0.6 * share)
    angle = np.linspace(0.0, 0.5 * np.pi, rays + 1)
    hole = RADIUS * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    side = WIDTH * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    side /= np.maximum(np.cos(angle), np.sin(angle))[:, None]
    square = hole + share[:, None, None] * (side - hole)
    end = np.linspace(WIDTH, LENGTH, beyond + 1)[1:]
    strip = np.stack(
        np.broadcast_arrays(end[:, None], side[None, : cells + 1, 1]), axis=-1
    )  # (beyond, cells + 1, 2)
    points = np.concatenate([square.reshape(-1, 2), strip.reshape(-1, 2)])

    number = np.arange((along + 1) * (rays + 1)).reshape(along + 1, rays + 1)
    rest = number.size + np.arange(beyond * (cells + 1)).reshape(beyond, cells + 1)
    tail = np.concatenate([number[-1:, : cells + 1], rest])
    quads = [
        np.stack([n[:-1, :-1], n[1:, :-1], n[:-1, 1:], n[1:, 1:]], axis=-1).reshape(-1, 4)
        for n in (number, tail)
    ]
    connectivity = np.concatenate(quads).astype(np.int64)
    if MPI.COMM_WORLD.rank > 0:
        connectivity, points = connectivity[:0], points[:0]
    element = basix.ufl.element("Lagrange", "quadrilateral", 1, shape=(2,))
    return mesh.create_mesh(MPI.COMM_WORLD, connectivity, x=points, e=ufl.Mesh(element))


class QuarterPlate:
    """A quarter of the plate with its law, supports and grip.

    Attributes:
        domain: The mesh.
        u: Displacement.
        law: The law at the quadrature points.
        pull: Displacement of the end.
        grip: The condition that prescribes it.
        problem: The balance of forces.
    """

    def __init__(
        self, model: ibvonn_fem.ExportedModel, kinematics: ibvonn_fem.Kinematics, cells: int
    ) -> None:
        self.domain = quarter_mesh(cells)
        V = fem.functionspace(self.domain, ("Lagrange", 1, (2,)))
        self.u = fem.Function(V, name="displacement")
        self.law = ibvonn_fem.InternalVariableLaw(model, kinematics, self.u, quadrature_degree=2)
        self.pull = fem.Constant(self.domain, 0.0)

        def condition(axis: int, coordinate: int, at: float, value: fem.Constant) -> Any:
            part = V.sub(axis)
            facets = mesh.locate_entities_boundary(
                self.domain, 1, lambda x: np.isclose(x[coordinate], at)
            )
            return fem.dirichletbc(value, fem.locate_dofs_topological(part, 1, facets), part)

        zero = fem.Constant(self.domain, 0.0)
        self.grip = condition(0, 0, LENGTH, self.pull)
        supports = [condition(0, 0, 0.0, zero), condition(1, 1, 0.0, zero)]
        self.problem = ibvonn_fem.InternalVariableProblem(self.law, self.u, [*supports, self.grip])

    def cycle(self, stretch: float, duration: float) -> Callable[[float], None]:
        """Loading that pulls the plate to the mean strain ``stretch`` and back."""

        def load(t: float) -> None:
            self.pull.value = LENGTH * stretch * (1.0 - abs(2.0 * t / duration - 1.0))

        return load

    def over_ranks(self, value: float, how: MPI.Op) -> float:
        """Sum or extreme of a number over all ranks."""
        return float(self.domain.comm.allreduce(float(value), op=how))


def demo_arguments(
    text: str, *, model: str, durations: tuple[float, float], output: str
) -> argparse.Namespace:
    """Read the command line of a demo.

    Args:
        text: Of the demo; its first line is the description.
        model: Default among the exported models.
        durations: Default of the two cycles.
        output: Default folder.
    """
    root = Path(__file__).resolve().parents[1]
    parser = argparse.ArgumentParser(description=text.split("\n", 1)[0])
    parser.add_argument("--model", type=Path, default=root / "exported_models" / model)
    parser.add_argument("--durations", type=float, nargs=2, default=durations, metavar="T")
    parser.add_argument("--cells", type=int, default=12, help="cells from the hole to the side")
    parser.add_argument("--output", type=Path, default=Path(output))
    parser.add_argument("--figure", type=Path, help="where to write the picture as PNG")
    parser.add_argument("--short", action="store_true", help="a coarse mesh, for a quick look")
    return parser.parse_args()
