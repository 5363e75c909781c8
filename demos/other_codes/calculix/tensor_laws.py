"""Laws of six and of three strains in CalculiX: loaded along several axes, held, unloaded.

A block of quadratic tetrahedra with the law of fcc bonds, and a sheet of quadratic triangles with
the learned law of the plane lattice, in plane strain and in plane stress; each also with the axes
of the material turned (*ORIENTATION). DOLFINx solves the same meshes with ``FullStrain``, and all
components of the force agree to 1e-6 (CalculiX prints seven digits)::

    make demo-calculix                                      # builds CalculiX once, then runs this
    python demos/other_codes/calculix/tensor_laws.py CCX    # with a CalculiX of your own
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path

from mpi4py import MPI

import numpy as np
from dolfinx import fem, mesh
from tabulate import tabulate

import ibvonn_fem
from ibvonn_fem.errors import EnvelopeWarning

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import fcc_bonds
from ccx import compile_law, forces, tetrahedra, triangles

AGREEMENT = 1e-6
DENSITY = 1e6  # CalculiX takes residual forces below 1e-6 for none: forces must be large numbers
ANGLE = 0.4
# Axes of the material in space: turned about z, then about the new x.
TURNED = np.array(
    [[np.cos(ANGLE), -np.sin(ANGLE), 0.0], [np.sin(ANGLE), np.cos(ANGLE), 0.0], [0.0, 0.0, 1.0]]
)
TILTED = np.array(
    [[1.0, 0.0, 0.0], [0.0, np.cos(0.7), -np.sin(0.7)], [0.0, np.sin(0.7), np.cos(0.7)]]
)


@dataclass(frozen=True)
class Problem:
    """A unit cube or square whose side x = 0 is clamped while the side x = 1 moves.

    Attributes:
        name: Of the input deck.
        element: Of CalculiX.
        moved: Displacement of the side x = 1, ``(dimension,)``.
        times: Ends of loading, holding and unloading.
        axes: Axes of the material, ``(3, 3)``, one a column.
    """

    name: str
    element: str
    moved: tuple[float, ...]
    times: tuple[float, float, float]
    axes: np.ndarray

    @property
    def dimension(self) -> int:
        return len(self.moved)

    def space(self) -> fem.FunctionSpace:
        """The mesh and its nodes."""
        make = mesh.create_unit_cube if self.dimension == 3 else mesh.create_unit_square
        domain = make(MPI.COMM_SELF, *[2] * self.dimension)
        return fem.functionspace(domain, ("Lagrange", 2, (self.dimension,)))

    def kinematics(self) -> ibvonn_fem.FullStrain:
        """FullStrain along the axes of the material."""
        if self.dimension == 3:
            return ibvonn_fem.FullStrain(6, axes=self.axes)
        return ibvonn_fem.FullStrain(3, axes=float(np.arctan2(self.axes[1, 0], self.axes[0, 0])))


def in_dolfinx(problem: Problem, directory: Path, steps: int) -> np.ndarray:
    """Time and force on the moving side, ``(steps, 1 + dimension)``."""
    V = problem.space()
    u = fem.Function(V)
    law = ibvonn_fem.InternalVariableLaw(
        ibvonn_fem.load_model(directory), problem.kinematics(), u, 2
    )
    zero = np.zeros(problem.dimension)
    moved = fem.Constant(V.mesh, zero)
    sides = [
        fem.locate_dofs_geometrical(V, lambda x, at=at: np.isclose(x[0], at)) for at in (0.0, 1.0)
    ]
    bcs = [fem.dirichletbc(zero, sides[0], V), fem.dirichletbc(moved, sides[1], V)]
    boundary_value_problem = ibvonn_fem.InternalVariableProblem(law, u, bcs)
    history = []

    def load(time: float) -> None:
        share = np.interp(time, [0.0, *problem.times], [0.0, 1.0, 1.0, 0.0])
        moved.value = share * np.array(problem.moved)

    def record(step) -> None:
        if step.time > 0.0:
            history.append((step.time, *boundary_value_problem.reaction(bcs[1])))

    stepping = ibvonn_fem.TimeStepping(boundary_value_problem, load)
    stepping.run(np.linspace(0.0, problem.times[-1], steps + 1), record)
    return np.array(history)


def write_deck(problem: Problem, law: str, states: int, steps: int, path: Path) -> None:
    """Input of CalculiX: the mesh of DOLFINx, the law, the same history."""
    V = problem.space()
    nodes, cells = np.round(V.tabulate_dof_coordinates(), 12), V.dofmap.list
    cells = (tetrahedra if problem.dimension == 3 else triangles)(nodes, cells)
    lines = ["*NODE,NSET=ALL"]
    lines += [f"{i + 1},{x:.12g},{y:.12g},{z:.12g}" for i, (x, y, z) in enumerate(nodes)]
    lines.append(f"*ELEMENT,TYPE={problem.element},ELSET=SOLID")
    lines += [f"{i + 1}," + ",".join(str(n + 1) for n in cell) for i, cell in enumerate(cells)]
    for name, at in (("CLAMPED", 0.0), ("MOVING", 1.0)):
        lines.append(f"*NSET,NSET={name}")
        lines += [f"{n + 1}," for n in np.flatnonzero(np.isclose(nodes[:, 0], at))]
    axes = ",".join(f"{value:.15g}" for value in problem.axes.T[:2].reshape(-1))
    lines += [
        "*ORIENTATION,NAME=AXES,SYSTEM=RECTANGULAR",
        axes,
        f"*MATERIAL,NAME=@ABAQUS_{law}",
        "*USER MATERIAL,CONSTANTS=1",
        f"{DENSITY}",
        "*DEPVAR",
        f"{states}",
        f"*SOLID SECTION,ELSET=SOLID,MATERIAL=@ABAQUS_{law},ORIENTATION=AXES",
        *(["1."] if problem.dimension == 2 else []),
        "*AMPLITUDE,NAME=PATH",
        "0.,0.," + ",".join(f"{t},{f}" for t, f in zip(problem.times, (1, 1, 0), strict=True)),
        "*BOUNDARY",
        f"CLAMPED,1,{problem.dimension}",
        f"*STEP,NLGEOM=NO,INC={10 * steps}",
        "*STATIC,DIRECT",
        f"{problem.times[-1] / steps:.12g},{problem.times[-1]}",
        "*CONTROLS,PARAMETERS=FIELD",
        "1.E-9,1.E-9",
        "*BOUNDARY,AMPLITUDE=PATH",
        *(f"MOVING,{i},{i},{value}" for i, value in enumerate(problem.moved, start=1)),
        "*NODE PRINT,NSET=MOVING,TOTALS=ONLY",
        "RF",
        "*END STEP",
    ]
    path.write_text("\n".join(lines) + "\n", encoding="ascii")


def problems() -> dict[str, list[Problem]]:
    """By the law."""
    straight, tilted = np.eye(3), TURNED @ TILTED
    block = ((0.1, 0.05, 0.03), (2.0, 6.0, 8.0))
    sheet = ((0.08, 0.05), (300.0, 900.0, 1200.0))
    return {
        "FCC": [
            Problem("block", "C3D10", *block, straight),
            Problem("block_turned", "C3D10", *block, tilted),
        ],
        "LATTICE": [
            Problem("plane_strain", "CPE6", *sheet, straight),
            Problem("plane_strain_turned", "CPE6", *sheet, TURNED),
            Problem("plane_stress", "CPS6", *sheet, straight),
            Problem("plane_stress_turned", "CPS6", *sheet, TURNED),
        ],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("ccx", type=Path, help="CalculiX with external behaviours")
    root = Path(__file__).resolve().parents[3]
    parser.add_argument("--models", type=Path, default=root / "exported_models")
    parser.add_argument("--steps", type=int, default=16)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", EnvelopeWarning)  # corners of the clamped side
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        directories = {
            "FCC": fcc_bonds.export(folder / "fcc_bonds"),
            "LATTICE": arguments.models / "lattice",
        }
        rows, ends = [], {}
        for law, listed in problems().items():
            compile_law(directories[law], folder, law)
            for problem in listed:
                states = {3: 6, 2: 3}[problem.dimension] + 1  # and validity
                write_deck(problem, law, states, arguments.steps, folder / f"{problem.name}.inp")
                history = forces(arguments.ccx, problem.name, folder)[:, : 1 + problem.dimension]
                history[:, 1:] /= DENSITY
                right = in_dolfinx(problem, directories[law], arguments.steps)
                assert np.allclose(history[:, 0], right[:, 0], rtol=1e-6), "instants differ"
                gap = np.abs(history - right)[:, 1:].max() / np.abs(right[:, 1:]).max()
                held = arguments.steps * 3 // 4 - 1
                rows.append([problem.name, problem.element, *history[held, 1:3], gap])
                ends[problem.name] = history
                assert gap < AGREEMENT, f"{problem.name}: they differ by {gap:.1e}"
    header = ["problem", "element", "force x, held", "force y, held", "difference from DOLFINx"]
    print(tabulate(rows, header, floatfmt=("", "", ".7f", ".7f", ".1e")))
    for name in ("block", "plane_strain", "plane_stress"):
        turned = np.abs(ends[f"{name}_turned"] - ends[name])[:, 1:].max()
        share = turned / np.abs(ends[name][:, 1:]).max()
        print(f"{name}: turning the axes changes the force by {100 * share:.1f} %")
        assert share > 1e-3, f"{name}: the orientation was not heard"
    assert np.abs(ends["plane_stress"] - ends["plane_strain"]).max() < 1e-7, "a sheet is a sheet"


if __name__ == "__main__":
    main()
