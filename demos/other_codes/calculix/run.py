"""The trap law in CalculiX: one element under relaxation, and a block sheared at one face.

A law of one strain becomes a solid through fibres in 55 directions. Both problems are solved by
CalculiX with the emitted ``umat_`` and by DOLFINx with ``Microsphere``, on the same mesh with the
same quadrature, and compared (1e-6: CalculiX prints seven digits); the element also with the closed
form, σ(t) = ρ/6 ∫ E(t − s) ε̇ ds with E(t) = (1 + e⁻²ᵗ)/2, to first order in the time step::

    make demo-calculix                              # builds CalculiX once, then runs this
    python demos/other_codes/calculix/run.py CCX    # with a CalculiX of your own
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from mpi4py import MPI

import numpy as np
from dolfinx import fem, mesh
from tabulate import tabulate

import ibvonn_fem
from ibvonn_fem.kinematics import Microsphere

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ccx import compile_law, forces, tetrahedra
from dolfinx_reference import END, HELD, RAMP, closed_form, solve

DENSITY = 6.0  # so that Young's modulus of the solid is the modulus of the law
AGREEMENT = 1e-6

# CalculiX numbers the corners of a brick around its faces, DOLFINx in tensor-product order.
HEX8 = [0, 1, 3, 2, 4, 5, 7, 6]


@dataclass(frozen=True)
class Problem:
    """A unit cube whose face x = 1 moves along one axis.

    Attributes:
        name: Of the input deck.
        cells: Elements along each edge.
        degree: 1: linear bricks; 2: quadratic tetrahedra.
        axis: Along which the face x = 1 moves.
        clamped: Whether the faces x = 0 and x = 1 are held in every direction; if not, the faces
            through the origin slide.
    """

    name: str
    cells: int
    degree: int
    axis: int
    clamped: bool

    def space(self) -> fem.FunctionSpace:
        """The mesh and its nodes."""
        kind = mesh.CellType.hexahedron if self.degree == 1 else mesh.CellType.tetrahedron
        domain = mesh.create_unit_cube(MPI.COMM_SELF, *[self.cells] * 3, cell_type=kind)
        return fem.functionspace(domain, ("Lagrange", self.degree, (3,)))

    def held(self, x: np.ndarray) -> list[tuple[np.ndarray, int]]:
        """Nodes and directions that are held, as masks over the nodes."""
        if self.clamped:
            right = [(np.isclose(x[0], 1.0), i) for i in range(3) if i != self.axis]
            return [(np.isclose(x[0], 0.0), i) for i in range(3)] + right
        return [(np.isclose(x[i], 0.0), i) for i in range(3)]


def in_dolfinx(problem: Problem, models: Path, steps: int) -> np.ndarray:
    """Time and force on the moving face."""
    V = problem.space()
    u = fem.Function(V)
    model = ibvonn_fem.load_model(models / "exact_trap")
    law = ibvonn_fem.InternalVariableLaw(model, Microsphere(density=DENSITY), u, 2)
    zero, moved = fem.Constant(V.mesh, 0.0), fem.Constant(V.mesh, 0.0)
    nodes = V.tabulate_dof_coordinates().T

    def fixed(chosen: np.ndarray, axis: int, value: fem.Constant) -> fem.DirichletBC:
        dofs = 3 * np.flatnonzero(chosen) + axis
        return fem.dirichletbc(value, dofs.astype(np.int32), V.sub(axis))

    bcs = [fixed(chosen, axis, zero) for chosen, axis in problem.held(nodes)]
    bcs.append(fixed(np.isclose(nodes[0], 1.0), problem.axis, moved))
    boundary_value_problem = ibvonn_fem.InternalVariableProblem(law, u, bcs)
    return solve(boundary_value_problem, bcs[-1], moved, steps, problem.axis)


def write_deck(problem: Problem, steps: int, path: Path) -> None:
    """Input of CalculiX: the mesh of DOLFINx, the law, the same history."""
    V = problem.space()
    nodes, cells = np.round(V.tabulate_dof_coordinates(), 12), V.dofmap.list
    cells = cells[:, HEX8] if problem.degree == 1 else tetrahedra(nodes, cells)
    lines = ["*NODE,NSET=ALL"]
    lines += [f"{i + 1},{x:.12g},{y:.12g},{z:.12g}" for i, (x, y, z) in enumerate(nodes)]
    lines.append(f"*ELEMENT,TYPE={'C3D8' if problem.degree == 1 else 'C3D10'},ELSET=SOLID")
    lines += [f"{i + 1}," + ",".join(str(n + 1) for n in cell) for i, cell in enumerate(cells)]
    moving = np.flatnonzero(np.isclose(nodes[:, 0], 1.0)) + 1
    lines += ["*NSET,NSET=MOVING", *(f"{n}," for n in moving)]
    lines += [
        "*MATERIAL,NAME=@ABAQUS_TRAP",
        "*USER MATERIAL,CONSTANTS=1",
        f"{DENSITY}",
        "*DEPVAR",
        "55",
        "*SOLID SECTION,ELSET=SOLID,MATERIAL=@ABAQUS_TRAP",
        "*AMPLITUDE,NAME=RAMP",
        f"0.,0.,{RAMP},{HELD},{END},{HELD}",
        "*BOUNDARY",
    ]
    for chosen, axis in problem.held(nodes.T):
        lines += [f"{n + 1},{axis + 1},{axis + 1}" for n in np.flatnonzero(chosen)]
    lines += [
        f"*STEP,NLGEOM=NO,INC={10 * steps}",
        "*STATIC,DIRECT",
        f"{END / steps:.12g},{END}",
        "*CONTROLS,PARAMETERS=FIELD",
        "1.E-9,1.E-9",
        "*BOUNDARY,AMPLITUDE=RAMP",
        f"MOVING,{problem.axis + 1},{problem.axis + 1},1.",
        "*NODE PRINT,NSET=MOVING,TOTALS=ONLY",
        "RF",
        "*END STEP",
    ]
    path.write_text("\n".join(lines) + "\n", encoding="ascii")


def in_calculix(problem: Problem, ccx: Path, steps: int, folder: Path) -> np.ndarray:
    """Time and force on the moving face, from the printed file."""
    write_deck(problem, steps, folder / f"{problem.name}.inp")
    return forces(ccx, problem.name, folder)[:, [0, 1 + problem.axis]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("ccx", type=Path, help="CalculiX with external behaviours")
    root = Path(__file__).resolve().parents[3]
    parser.add_argument("--models", type=Path, default=root / "exported_models")
    parser.add_argument("--steps", type=int, default=40)
    arguments = parser.parse_args()
    element = Problem("element", cells=1, degree=1, axis=0, clamped=False)
    block = Problem("block", cells=2, degree=2, axis=1, clamped=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        compile_law(arguments.models / "exact_trap", folder, "TRAP")
        runs = [
            (element, arguments.steps),
            (element, 2 * arguments.steps),
            (block, arguments.steps // 2),
        ]
        errors, rows = [], []
        for problem, steps in runs:
            calculix = in_calculix(problem, arguments.ccx, steps, folder)
            dolfinx = in_dolfinx(problem, arguments.models, steps)
            assert np.allclose(calculix[:, 0], dolfinx[:, 0], rtol=1e-6), "instants differ"
            scale = np.abs(dolfinx[:, 1]).max()
            gap = np.abs(calculix[:, 1] - dolfinx[:, 1]).max() / scale
            if problem is element:
                exact = DENSITY / 6.0 * closed_form(dolfinx[:, 0])
                errors.append(np.abs(calculix[:, 1] - exact).max() / scale)
            error = errors[-1] if problem is element else None
            rows.append([problem.name, steps, calculix[-1, 1], dolfinx[-1, 1], gap, error])
            assert gap < AGREEMENT, f"{problem.name}: CalculiX and DOLFINx differ by {gap:.1e}"
    header = ["problem", "steps", "CalculiX", "DOLFINx", "difference", "error to closed form"]
    formats = ("", "", ".7f", ".7f", ".1e", ".2e")
    print("force on the moving face at the end")
    print(tabulate(rows, header, floatfmt=formats, missingval="-"))
    order = np.log2(errors[0] / errors[1])
    print(f"observed order of the time step: {order:.2f}")
    assert 0.9 < order < 1.1, f"observed order {order:.2f}, expected 1"


if __name__ == "__main__":
    main()
