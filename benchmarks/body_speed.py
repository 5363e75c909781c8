"""Speed of a body: share of the law, the external operator beside it, one rank against two.

1. Share of the law in one Newton iteration (measure of deformation, law, residual, Jacobian) on
   P2 elements: `lattice` (3 strains, 3 populations) in the plane and `lattice_fcc` (6, 6) in space.
   CPU microseconds per quadrature point on one core, least of repeats; *law* is that of the first
   iteration of a step, *warm* that of the next ones, and the share is of the first.
2. The same law by our quadrature Functions and by dolfinx-external-operator (``external_operator``,
   DOLFINx 0.11), both of which call the same compiled update; left out where it is not installed.
3. Law and assembly of one body with `lattice_fcc` on two ranks, against two runs of one rank each,
   side by side, of the whole body: twice as fast is the most that two ranks can be.

    python benchmarks/body_speed.py [--quick] [--json FILE]
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

from mpi4py import MPI

import numpy as np
import ufl
from dolfinx import fem, la, mesh
from external_operator import by_law, by_operator, require_equal
from fe_step import assembly_times, body, law_times, row, say
from machine import describe_machine
from records import RESULTS, ROOT, write

from ibvonn_fem import EnvelopeWarning, ExportedModel, InternalVariableLaw, load_model
from ibvonn_fem.kinematics import FullStrain

MODELS = ROOT / "exported_models"
DT = 20.0
"""Time step of the lattices, within the range of their training."""
PACKAGE = "dolfinx_external_operator"


def iteration(name: str, cells: int, repeats: int) -> dict[str, Any]:
    """Parts of a Newton iteration with one law."""
    model = load_model(MODELS / name)
    size = model.strain_size
    u = body(cells, plane=size == 3)
    law = InternalVariableLaw(model, FullStrain(size), u, 2)
    v, du = ufl.TestFunction(u.function_space), ufl.TrialFunction(u.function_space)
    forms = fem.form(law.virtual_work(v)), fem.form(law.stiffness(du, v))
    parts = law_times(law, u, repeats, dt=DT) | assembly_times(*forms, u, repeats)
    warm = 1e6 * law_times(law, u, repeats, dt=DT, warm=True)["law"] / law.points.size
    result = row(f"{name} ({size}, {model.internal_size})", law.points.size, parts)
    share = 100.0 * warm / (result["total"] - result["law"] + warm)
    say(f"{'  warm: law, share':<34}{'':>18}{warm:>10.2f}{'':>30}{share:>9.1f}")
    return result | {"warm_law": warm, "warm_share_percent": share}


def against_operator(name: str, cells: int, repeats: int, rounds: int) -> dict[str, Any]:
    """Medians of both sides, which take turns, and of their ratio."""
    if importlib.util.find_spec(PACKAGE) is None:
        reason = f"{PACKAGE} is not installed; `pip install dolfinx-external-operator==0.11.*`"
        say(f"external operator left out: {reason}")
        return {"left_out": reason}
    model = load_model(MODELS / name)
    u = body(cells)
    sides: dict[str, Callable[[ExportedModel, Any, int], tuple[Any, dict[str, float]]]] = {
        "this project": by_law,
        "dolfinx-external-operator": by_operator,
    }
    times = []
    for number in range(rounds):
        order = list(sides) if number % 2 else list(sides)[::-1]
        times_of_sides = {side: sides[side](model, u, repeats) for side in order}
        timed = [times_of_sides[side] for side in sides]
        require_equal([forms for forms, _ in timed])
        times.append([parts for _, parts in timed])
    points = 4 * u.function_space.mesh.topology.index_map(3).size_local
    rows = [
        row(side, points, {part: float(np.median([t[i][part] for t in times])) for part in parts})
        for i, (side, parts) in enumerate(zip(sides, times[0], strict=True))
    ]
    ratio = float(np.median([sum(theirs.values()) / sum(our.values()) for our, theirs in times]))
    say(f"{name}: an iteration by the external operator takes {ratio:.2f} times ours")
    return {"rows": rows, "ratio": ratio}


# One body on several ranks; the ranks run this file again with --rank-cells.


def law_and_assembly(cells: int, rounds: int) -> dict[str, Any]:
    """Least time of law and assembly on the slowest rank, wall clock and CPU."""
    comm = MPI.COMM_WORLD
    domain = mesh.create_unit_cube(comm, cells, cells, cells)
    space = fem.functionspace(domain, ("Lagrange", 2, (3,)))
    u = fem.Function(space)
    shape = 0.05 * np.random.default_rng(0).normal(size=(3, 3))
    u.interpolate(lambda x: shape @ np.sin(2.0 * x))
    law = InternalVariableLaw(load_model(MODELS / "lattice_fcc"), FullStrain(), u, 2)
    v, du = ufl.TestFunction(space), ufl.TrialFunction(space)
    residual, jacobian = (fem.form(f) for f in (law.virtual_work(v), law.stiffness(du, v)))
    vector, matrix = fem.create_vector(space), fem.create_matrix(jacobian)

    def evaluate() -> None:
        law.restore()
        law.update(DT)

    def assemble() -> None:
        vector.array[:] = 0.0
        fem.assemble_vector(vector.array, residual)
        vector.scatter_reverse(la.InsertMode.add)
        matrix.data[:] = 0.0
        fem.assemble_matrix(matrix, jacobian)
        matrix.scatter_reverse()

    seconds: dict[str, list[float]] = {}
    for _ in range(rounds):
        for name, work in (("law", evaluate), ("assembly", assemble)):
            comm.barrier()
            wall, cpu = time.perf_counter(), time.process_time()
            work()
            duration = np.array([time.perf_counter() - wall, time.process_time() - cpu])
            comm.Allreduce(MPI.IN_PLACE, duration, MPI.MAX)
            for clock, value in zip(("wall", "cpu"), duration.tolist(), strict=True):
                seconds.setdefault(f"{name}_{clock}", []).append(value)
    points = comm.allgather(law.points.size)
    return {key: min(values) for key, values in seconds.items()} | {"points_by_rank": points}


def start(ranks: int, cells: int, rounds: int) -> subprocess.Popen[str]:
    """Start :func:`law_and_assembly` on some ranks."""
    launcher = ["bash", str(ROOT / "setup/mpirun.sh"), str(ranks)] if ranks > 1 else []
    own = [__file__, "--rank-cells", str(cells), "--rounds", str(rounds)]
    return subprocess.Popen(
        [*launcher, sys.executable, *own], stdout=subprocess.PIPE, text=True, env={**os.environ}
    )


def finished(run: subprocess.Popen[str]) -> dict[str, Any]:
    """Return what a run has printed.

    Raises:
        ChildProcessError: If it failed.
    """
    printed, _ = run.communicate()
    if run.returncode:
        raise ChildProcessError(
            f"a run of one body ended with the code {run.returncode}; its message is above."
        )
    result: dict[str, Any] = json.loads(printed.strip().splitlines()[-1])
    return result


def scaling(cells: int, rounds: int) -> dict[str, Any]:
    """Two ranks against two runs of one rank, side by side, each of the whole body."""
    side_by_side = [start(1, cells, rounds) for _ in range(2)]
    single = [finished(run) for run in side_by_side]
    double = finished(start(2, cells, rounds))
    result: dict[str, Any] = {"two_ranks": double, "single_runs": single}
    points = sum(double["points_by_rank"])
    for clock in ("wall", "cpu"):
        one = {p: np.mean([run[f"{p}_{clock}"] for run in single]) for p in ("law", "assembly")}
        two = {p: double[f"{p}_{clock}"] for p in ("law", "assembly")}
        gains = {p: float(one[p] / two[p]) for p in one}
        gains["both"] = float(sum(one.values()) / sum(two.values()))
        result[f"speed_up_{clock}"] = gains
        say(
            f"{points} points, {clock} time, two ranks against single runs side by side: "
            + ", ".join(f"{name} {gain:.2f}" for name, gain in gains.items())
        )
    return result


def main() -> None:
    """Print the tables and write them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--quick", action="store_true", help="small meshes, few repeats")
    parser.add_argument("--json", type=Path, default=RESULTS / "body_speed.json")
    parser.add_argument("--rank-cells", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", EnvelopeWarning)  # strains beyond the training, as in a body
    if arguments.rank_cells is not None:
        result = law_and_assembly(arguments.rank_cells, arguments.rounds)
        if MPI.COMM_WORLD.rank == 0:
            say(json.dumps(result))
        return
    cells, repeats, rounds = (3, 2, 2) if arguments.quick else (6, 7, arguments.rounds)
    columns = ("points", "strain", "law", "residual", "jacobian", "total")
    say(f"{'CPU µs per point':<34}{columns[0]:>8}" + "".join(f"{c:>10}" for c in columns[1:])
        + f"{'law [%]':>9}")  # fmt: skip
    record = {
        "machine": describe_machine(),
        "iteration": [iteration(name, cells, repeats) for name in ("lattice", "lattice_fcc")],
        "external_operator": against_operator("exact_sls", cells, repeats, rounds),
        "scaling": scaling(cells + 2, 3 * rounds),
    }
    write(arguments.json, record)


if __name__ == "__main__":
    main()
