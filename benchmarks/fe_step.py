"""Where the time of a finite-element step goes, how much memory a law holds, how both scale.

1. Share of the law in one Newton iteration on P2 tetrahedra: law = strains of the directions,
   kernel and sum over directions; beside it the measure of deformation, the residual and the
   Jacobian. CPU microseconds per quadrature point on one core, least of repeats after a warm-up,
   beside a standard linear solid that is written in UFL altogether.
2. Memory per quadrature point, all that Python allocates for a law: DOLFINx's Functions apart.
3. Cost of the law on meshes of several sizes.
4. Steps of a body with 1e5 quadrature points × 55 directions on one and on two ranks: hexahedra,
   conjugate gradients, the top twisted and moved. CPU time of the law by rank.

    python benchmarks/fe_step.py [--quick] [--model exported_models/trap]

Results go to ``benchmarks/results/fe_step.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "helpers"))

from mpi4py import MPI

import basix.ufl
import numpy as np
import ufl
from dolfinx import fem, mesh
from dolfinx.fem import petsc as fem_petsc
from machine import describe_machine
from records import write
from solid_laws import smooth_law

from ibvonn_fem import (
    ExportedModel,
    InternalVariableLaw,
    InternalVariableProblem,
    TimeStepping,
    load_model,
)
from ibvonn_fem.kinematics import Directions, FullStrain, Kinematics, Microsphere, PlaneStress

ROOT = Path(__file__).parents[1]
DT = 0.1


def say(line: str) -> None:
    """Write a line at once, so that a long run shows where it is."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def cpu_seconds(work: Callable[[], object], repeats: int) -> float:
    """Least CPU time of a call after one to warm up: what others do on the machine only adds."""
    work()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def bazant_oh() -> Directions:
    """The rule of 21 directions (Bažant and Oh 1986, degree 9)."""
    a, b = 0.387907304067, 0.836095596749
    axes = np.eye(3)
    edges = [v for v in product((-1, 0, 1), repeat=3) if np.abs(v).sum() == 2]
    rest = [
        np.roll([a * i, a * j, b], shift) for i in (1, -1) for j in (1, -1) for shift in range(3)
    ]
    edges = [v for v in edges if v > tuple(-c for c in v)]  # one of each pair
    vectors = np.array([*axes, *edges, *rest], dtype=np.float64)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    weights = np.repeat([0.0265214244093, 0.0199301476312, 0.0250712367487], [3, 6, 12])
    return Directions(vectors, weights / weights.sum())


def body(cells: int, *, plane: bool = False) -> Any:
    """Displacement in P2 with a smooth, uneven strain of some per cent."""
    domain = (
        mesh.create_unit_square(MPI.COMM_SELF, 4 * cells, 4 * cells)
        if plane
        else mesh.create_unit_cube(MPI.COMM_SELF, cells, cells, cells)
    )
    u = fem.Function(fem.functionspace(domain, ("Lagrange", 2, (domain.geometry.dim,))))
    x = u.function_space.tabulate_dof_coordinates()
    shape = 0.05 * np.random.default_rng(0).normal(size=(domain.geometry.dim, 3))
    u.x.array[:] = (np.sin(2.0 * x) @ shape.T).reshape(-1)
    return u


def assembly_times(residual: Any, jacobian: Any, u: Any, repeats: int) -> dict[str, float]:
    """CPU time of assembling both forms."""
    matrix, vector = fem_petsc.create_matrix(jacobian), u.x.petsc_vec.duplicate()

    def assemble_residual() -> None:
        vector.zeroEntries()
        fem_petsc.assemble_vector(vector, residual)

    def assemble_jacobian() -> None:
        matrix.zeroEntries()
        fem_petsc.assemble_matrix(matrix, jacobian)
        matrix.assemble()

    return {
        "residual": cpu_seconds(assemble_residual, repeats),
        "jacobian": cpu_seconds(assemble_jacobian, repeats),
    }


def law_times(
    law: InternalVariableLaw, u: Any, repeats: int, *, dt: float = DT, warm: bool = False
) -> dict[str, float]:
    """CPU time of the measure of deformation and of the law.

    Without a warm start, as in the first iteration of a step, or with the last iterate at hand.
    """

    def update() -> None:
        if not warm:
            law.restore()
        law.update(dt)

    measure = law.points.evaluator(law.kinematics.measure(u))
    out = np.empty((law.points.size, measure.size))
    strain = cpu_seconds(lambda: measure(out), repeats)
    return {"strain": strain, "law": cpu_seconds(update, repeats) - strain}


def held_bytes(make: Callable[[], InternalVariableLaw]) -> tuple[float, float]:
    """Bytes per quadrature point that Python holds for a law, and their peak, at rest and work.

    Arrays of DOLFINx's Functions are C++ vectors, which are not counted; work arrays of one block
    are, and matter less the larger the mesh.
    """
    tracemalloc.start()
    law = make()
    law.update(DT)
    bytes_held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return bytes_held / law.points.size, peak / law.points.size


def newton_iteration(
    name: str, model: ExportedModel, kinematics: Kinematics, cells: int, repeats: int
) -> dict[str, Any]:
    """Parts of an iteration in CPU microseconds per quadrature point."""
    u = body(cells, plane=isinstance(kinematics, PlaneStress))
    space = u.function_space
    law = InternalVariableLaw(model, kinematics, u, 2)
    v, du = ufl.TestFunction(space), ufl.TrialFunction(space)
    forms = fem.form(law.virtual_work(v)), fem.form(law.stiffness(du, v))
    parts = law_times(law, u, repeats) | assembly_times(*forms, u, repeats)
    return row(name, law.points.size, parts)


def row(name: str, points: int, parts: dict[str, float]) -> dict[str, Any]:
    """One line of the table, printed."""
    micro = {key: 1e6 * value / points for key, value in parts.items()}
    total = sum(micro.values())
    share = 100 * micro["law"] / total
    columns = "".join(f"{micro[key]:>10.2f}" for key in ("strain", "law", "residual", "jacobian"))
    say(f"{name:<34}{points:>8}{columns}{total:>10.2f}{share:>9.1f}")
    return {"name": name, "points": points, "share_percent": share, "total": total, **micro}


def written_in_ufl(cells: int, repeats: int) -> dict[str, Any]:
    """The solid of ``exact_sls`` in UFL: α⁺ inside residual and Jacobian, then stored."""
    u = body(cells)
    space = u.function_space
    domain = space.mesh
    dx = ufl.Measure("dx", domain=domain, metadata={"quadrature_degree": 2})
    element = basix.ufl.quadrature_element(domain.basix_cell().name, (3, 3), degree=2)
    α = fem.Function(fem.functionspace(domain, element))
    dt = fem.Constant(domain, DT)

    def spherical(e: Any) -> Any:
        return ufl.tr(e) / 3.0 * ufl.Identity(3)

    def relaxed(e: Any, a: Any, τ: float) -> Any:
        return (a + dt / τ * e) / (1.0 + dt / τ)

    ε = ufl.sym(ufl.grad(u))
    volume, shape = spherical(ε), ε - spherical(ε)
    viscous = relaxed(volume, spherical(α), 2.0), relaxed(shape, α - spherical(α), 1.0)
    stress = 3.0 * volume + shape + 1.5 * (volume - viscous[0]) + (shape - viscous[1])
    v, du = ufl.TestFunction(space), ufl.TrialFunction(space)
    residual = ufl.inner(stress, ufl.sym(ufl.grad(v))) * dx
    forms = fem.form(residual), fem.form(ufl.derivative(residual, u, du))
    points, _ = basix.make_quadrature(domain.basix_cell(), 2)
    cell_count = domain.topology.index_map(3).size_local
    expression = fem.Expression(viscous[0] + viscous[1], points)
    cells_of = np.arange(cell_count, dtype=np.int32)
    parts = assembly_times(*forms, u, repeats)
    parts["strain"] = 0.0
    parts["law"] = cpu_seconds(lambda: expression.eval(domain, cells_of), repeats)
    law = InternalVariableLaw(load_model(ROOT / "exported_models/exact_sls"), FullStrain(), u, 2)
    law.update(DT)
    w = fem.Function(space)
    w.interpolate(lambda x: np.sin(x))
    weak = [
        fem.assemble_scalar(fem.form(ufl.replace(form, {v: w})))
        for form in (residual, law.virtual_work(v))
    ]
    if not abs(weak[0] - weak[1]) <= 1e-12 * abs(weak[1]):
        raise ValueError(f"the solid in UFL is not that of the law: virtual works {weak}.")
    return row("six strains written in UFL", cell_count * len(points), parts)


def growth(model: ExportedModel, sizes: list[int], repeats: int) -> list[dict[str, Any]]:
    """CPU time and memory of the law per point on meshes of several sizes."""
    rows = []
    for cells in sizes:
        u = body(cells)
        law = InternalVariableLaw(model, Microsphere(55), u, 2)
        micro = 1e6 * law_times(law, u, repeats)["law"] / law.points.size
        say(f"microsphere 55 on {law.points.size:>7} points: law {micro:.2f} us per point")
        rows.append({"points": law.points.size, "law": micro})
    return rows


# One body on several ranks; the ranks run this file again with --parallel.


def twisted_block(model: ExportedModel, cells: int, steps: int) -> dict[str, Any]:
    """Steps of a block of hexahedra whose top is twisted and lifted."""
    comm = MPI.COMM_WORLD
    domain = mesh.create_unit_cube(comm, cells, cells, cells, mesh.CellType.hexahedron)
    V = fem.functionspace(domain, ("Lagrange", 1, (3,)))
    u, moved = fem.Function(V), fem.Function(V)
    ends = [
        fem.locate_dofs_geometrical(V, lambda x, at=at: np.isclose(x[2], at)) for at in (0.0, 1.0)
    ]
    cube = mesh.create_unit_cube(MPI.COMM_SELF, 1, 1, 1, mesh.CellType.hexahedron)
    small = fem.Function(fem.functionspace(cube, ("Lagrange", 1, (3,))))
    InternalVariableLaw(model, Microsphere(55), small, 2)  # what the modules hold is not the law's
    tracemalloc.start()
    law = InternalVariableLaw(model, Microsphere(55), u, 2)
    law.update(0.0)
    bytes_held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    bcs = [fem.dirichletbc(np.zeros(3), ends[0], V), fem.dirichletbc(moved, ends[1])]
    options = {"ksp_type": "cg", "pc_type": "bjacobi", "ksp_rtol": 1e-6, "snes_rtol": 1e-6}
    problem = InternalVariableProblem(law, u, bcs, options=options)
    cpu, calls = 0.0, 0
    update = law.update

    def timed(dt: float) -> None:
        nonlocal cpu, calls
        start = time.process_time()
        update(dt)
        cpu, calls = cpu + time.process_time() - start, calls + 1

    law.update = timed  # type: ignore[method-assign]

    def set_load(t: float) -> None:
        moved.interpolate(
            lambda x: 0.05 * t * np.array([0.5 - x[1], x[0] - 0.5, np.full_like(x[0], 0.5)])
        )

    wall, iterations = [], []
    clock = time.perf_counter()

    def record(step: Any) -> None:
        nonlocal clock
        wall.append(time.perf_counter() - clock)
        iterations.append(step.iterations)
        clock = time.perf_counter()

    TimeStepping(problem, set_load).run(DT * np.arange(1, steps + 2), record)
    return {
        "ranks": comm.size,
        "points": comm.allreduce(law.points.size),
        "points_by_rank": comm.allgather(law.points.size),
        "wall_seconds_of_steps": wall,
        "newton_iterations": iterations,
        "law_calls": calls,
        "law_cpu_seconds_by_rank": comm.allgather(cpu),
        "held_bytes_per_point": comm.allreduce(bytes_held) / comm.allreduce(law.points.size),
        "peak_bytes_per_point": comm.allreduce(peak) / comm.allreduce(law.points.size),
        "resident_megabytes_by_rank": comm.allgather(
            resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0
        ),
    }


def on_ranks(ranks: int, model: str, cells: int, steps: int) -> dict[str, Any]:
    """Run :func:`twisted_block` on several ranks and print its result."""
    command = ["bash", ROOT / "setup/mpirun.sh", str(ranks), sys.executable, __file__]
    command += ["--parallel", str(cells), "--steps", str(steps), "--model", model]
    run = subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    result: dict[str, Any] = json.loads(run.stdout.strip().splitlines()[-1])
    law = max(result["law_cpu_seconds_by_rank"])
    say(
        f"{result['points']} points x 55 directions on {ranks} rank(s): steps of "
        + ", ".join(f"{wall:.1f}" for wall in result["wall_seconds_of_steps"])
        + f" s ({result['newton_iterations']} iterations); law {law:.1f} s of CPU on a rank in "
        f"{result['law_calls']} calls; held {result['held_bytes_per_point']:.0f} B/point, "
        f"peak {result['peak_bytes_per_point']:.0f}; resident "
        + ", ".join(f"{value:.0f}" for value in result["resident_megabytes_by_rank"])
        + " MB"
    )
    return result


def main() -> None:
    """Print the tables and write them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--model", default=str(ROOT / "exported_models/trap"))
    parser.add_argument("--cells", type=int, default=6, help="cells along an edge (default: 6)")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--steps", type=int, default=2, help="of the large body")
    parser.add_argument("--quick", action="store_true", help="smaller meshes")
    parser.add_argument("--parallel", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks/results/fe_step.json")
    arguments = parser.parse_args()
    model = load_model(arguments.model)
    if arguments.parallel is not None:
        result = twisted_block(model, arguments.parallel, arguments.steps)
        if MPI.COMM_WORLD.rank == 0:
            say(json.dumps(result))
        return
    tensor = load_model(ROOT / "exported_models/exact_sls")
    cases: list[tuple[str, ExportedModel, Kinematics]] = [
        ("six strains (exact_sls)", tensor, FullStrain()),
        ("six strains, finite", tensor, FullStrain(finite=True)),
        ("microsphere 21", model, Microsphere(bazant_oh())),
        ("microsphere 55", model, Microsphere(55)),
        ("microsphere 55, finite", model, Microsphere(55, finite=True)),
        ("plane stress 31 of 55", model, PlaneStress(Microsphere(55))),
    ]
    cells = 3 if arguments.quick else arguments.cells
    columns = ("points", "strain", "law", "residual", "jacobian", "total")
    say(
        f"law with one strain: {model.manifest.name}; CPU microseconds per quadrature point\n"
        + f"{'solid':<34}{columns[0]:>8}"
        + "".join(f"{name:>10}" for name in columns[1:])
        + f"{'law [%]':>9}"
    )
    iteration = [newton_iteration(*case, cells, arguments.repeats) for case in cases]
    iteration.insert(1, written_in_ufl(cells, arguments.repeats))
    memory = {}
    large = body(6 if arguments.quick else 12)
    for name, chosen in (("one", model), ("two", smooth_law(2))):
        bytes_held, peak = held_bytes(
            lambda chosen=chosen: InternalVariableLaw(chosen, Microsphere(55), large, 2)  # type: ignore[misc]
        )
        say(
            f"microsphere 55, {name} internal variable(s): {bytes_held:.0f} B/point, "
            f"peak {peak:.0f}"
        )
        memory[name] = {"held_bytes_per_point": bytes_held, "peak_bytes_per_point": peak}
    sizes = [2, 4] if arguments.quick else [3, 6, 9]
    grown = growth(model, sizes, arguments.repeats)
    size = 8 if arguments.quick else 24
    parallel = [on_ranks(n, arguments.model, size, arguments.steps) for n in (1, 2)]
    times = [max(run["law_cpu_seconds_by_rank"]) / run["law_calls"] for run in parallel]
    say(f"speed-up of the law from 1 to 2 ranks, by CPU time: {times[0] / times[1]:.3f}")
    record = {
        "machine": describe_machine(),
        "model": model.manifest.name,
        "newton_iteration_microseconds_per_point": iteration,
        "memory": memory,
        "growth": grown,
        "parallel": parallel,
        "law_speed_up": times[0] / times[1],
    }
    write(arguments.output, record)


if __name__ == "__main__":
    main()
