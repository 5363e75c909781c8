"""Where the time of a Newton iteration goes, for solids of quadratic tetrahedra.

Law = strains, kernel and sum over directions; beside it the evaluation of the measure, the residual
and the Jacobian. CPU time per quadrature point on one core, median of repeats after a warm-up, and
the memory that the law holds per point beyond the Functions of DOLFINx.

    python benchmarks/solid_newton.py [--cells 5] [--repeats 5] [--model exported_models/trap]
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

from mpi4py import MPI

import numpy as np
import ufl
from dolfinx import fem, mesh
from dolfinx.fem import petsc as fem_petsc

from ibvonn_fem import InternalVariableLaw, Kinematics, load_model
from ibvonn_fem.kinematics import FullStrain, Microsphere, PlaneStress

ROOT = Path(__file__).parents[1]


def cpu_seconds(work: Callable[[], object], repeats: int) -> float:
    """Median CPU time of a call after one to warm up."""
    work()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return float(np.median(times))


def held_bytes(law: InternalVariableLaw) -> int:
    """Bytes of the arrays with a row per point that are not those of Functions."""
    functions = [each.x.array for each in (law.stress, law.tangent, law.energy, law.validity)]
    arrays = [value for value in vars(law).values() if isinstance(value, np.ndarray)]
    return sum(
        array.nbytes
        for array in arrays
        if not any(np.shares_memory(array, function) for function in functions)
    )


def measure(name: str, model: str, kinematics: Kinematics, cells: int, repeats: int) -> None:
    """Time the parts of one iteration and print a line."""
    plane = isinstance(kinematics, PlaneStress)
    domain = (
        mesh.create_unit_square(MPI.COMM_SELF, 4 * cells, 4 * cells)
        if plane
        else mesh.create_unit_cube(MPI.COMM_SELF, cells, cells, cells)
    )
    space = fem.functionspace(domain, ("Lagrange", 2, (domain.geometry.dim,)))
    u = fem.Function(space)
    law = InternalVariableLaw(load_model(model), kinematics, u, 2)
    rng = np.random.default_rng(0)
    x = space.tabulate_dof_coordinates()
    shape = 0.05 * rng.normal(size=(domain.geometry.dim, 3))
    u.x.array[:] = (np.sin(2.0 * x) @ shape.T).reshape(-1)
    v, du = ufl.TestFunction(space), ufl.TrialFunction(space)
    residual, jacobian = fem.form(law.virtual_work(v)), fem.form(law.stiffness(du, v))
    matrix, vector = fem_petsc.create_matrix(jacobian), u.x.petsc_vec.duplicate()

    def update() -> None:
        law._statev[:] = law._statev_old  # no warm start: the first iteration of a step
        law.update(0.1)

    def assemble_residual() -> None:
        vector.zeroEntries()
        fem_petsc.assemble_vector(vector, residual)

    def assemble_jacobian() -> None:
        matrix.zeroEntries()
        fem_petsc.assemble_matrix(matrix, jacobian)
        matrix.assemble()

    strain = cpu_seconds(lambda: law._measure_of_u(law._measure.copy()), repeats)
    whole = cpu_seconds(update, repeats)
    parts = {
        "strain": strain,
        "law": whole - strain,
        "residual": cpu_seconds(assemble_residual, repeats),
        "jacobian": cpu_seconds(assemble_jacobian, repeats),
    }
    total, points = sum(parts.values()), law.points.size
    columns = "".join(f"{1e6 * value / points:>10.2f}" for value in parts.values())
    sys.stdout.write(
        f"{name:<34}{points:>8}{columns}{100 * parts['law'] / total:>9.1f}"
        f"{held_bytes(law) / points:>9.0f}\n"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--cells", type=int, default=5, help="cells along an edge (default: 5)")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--model", default=str(ROOT / "exported_models/trap"))
    arguments = parser.parse_args()
    tensor = str(ROOT / "exported_models/exact_sls")
    cases: list[tuple[str, str, Kinematics]] = [
        ("six strains (exact_sls)", tensor, FullStrain()),
        ("six strains, finite", tensor, FullStrain(finite=True)),
        ("microsphere 25", arguments.model, Microsphere(25)),
        ("microsphere 55", arguments.model, Microsphere(55)),
        ("microsphere 55, finite", arguments.model, Microsphere(55, finite=True)),
        ("plane stress 31 of 55", arguments.model, PlaneStress(Microsphere(55))),
    ]
    sys.stdout.write(
        f"law with one strain: {arguments.model}; microseconds of CPU per quadrature point\n"
        f"{'solid':<34}{'points':>8}{'strain':>10}{'law':>10}{'residual':>10}{'jacobian':>10}"
        f"{'law [%]':>9}{'B/point':>9}\n"
    )
    for case in cases:
        measure(*case, arguments.cells, arguments.repeats)


if __name__ == "__main__":
    main()
