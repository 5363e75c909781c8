"""The problems of the other codes in DOLFINx.

Bar and plate: ramp to 0.1 in time 0.5, then hold until 2. The sheet: loaded, held, unloaded.
"""

from __future__ import annotations

from pathlib import Path

from mpi4py import MPI

import basix.ufl
import numpy as np
from dolfinx import fem, mesh

import ibvonn_fem
from ibvonn_fem import kinematics

END, RAMP, HELD = 2.0, 0.5, 0.1
MOVED, TIMES = (0.08, 0.05), (300.0, 900.0, 1200.0)


def strain_at(time: float | np.ndarray) -> np.ndarray:
    """Prescribed elongation over the length 1."""
    return HELD * np.minimum(np.asarray(time) / RAMP, 1.0)


def closed_form(time: np.ndarray) -> np.ndarray:
    """Stress of the trap law: σ = ∫ E(t − s) ε̇ ds with E(t) = (1 + e⁻²ᵗ)/2."""
    rate, loading = HELD / RAMP, np.minimum(time, RAMP)
    rest = time - loading
    return rate * (loading / 2 + (np.exp(-2 * rest) - np.exp(-2 * time)) / 4)


def solve(problem, moving_bc, moved, steps: int, axis: int = 0) -> np.ndarray:
    """Time and force on the moving end along ``axis``, shape (steps, 2)."""
    history = []

    def load(time: float) -> None:
        moved.value = strain_at(time)

    def record(step) -> None:
        if step.time > 0.0:
            history.append((step.time, problem.reaction(moving_bc)[axis]))

    stepping = ibvonn_fem.TimeStepping(problem, load)
    stepping.run(np.linspace(0.0, END, steps + 1), record)
    return np.array(history)


def bar(models: Path, steps: int) -> np.ndarray:
    """Eight elements in a row, trap law."""
    domain = mesh.create_interval(MPI.COMM_SELF, 8, (0.0, 1.0))
    V = fem.functionspace(domain, ("Lagrange", 1))
    u = fem.Function(V)
    law = ibvonn_fem.InternalVariableLaw(
        ibvonn_fem.load_model(models / "exact_trap"), ibvonn_fem.Uniaxial(), u, 1
    )
    moved = fem.Constant(domain, 0.0)
    ends = [
        fem.locate_dofs_geometrical(V, lambda x, end=end: np.isclose(x[0], end))
        for end in (0.0, 1.0)
    ]
    bcs = [fem.dirichletbc(fem.Constant(domain, 0.0), ends[0], V)]
    bcs.append(fem.dirichletbc(moved, ends[1], V))
    return solve(ibvonn_fem.InternalVariableProblem(law, u, bcs), bcs[1], moved, steps)


def plate(models: Path, steps: int, points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Plane strain, quadratic triangles on the other code's mesh, exact standard linear solid."""
    element = basix.ufl.element("Lagrange", "triangle", 1, shape=(2,))
    domain = mesh.create_mesh(
        MPI.COMM_SELF,
        np.asarray(triangles, dtype=np.int64),
        x=np.asarray(points, dtype=float),
        e=element,
    )
    V = fem.functionspace(domain, ("Lagrange", 2, (2,)))
    u = fem.Function(V)
    solid = kinematics.PlaneStrain(kinematics.FullStrain())
    law = ibvonn_fem.InternalVariableLaw(ibvonn_fem.load_model(models / "exact_sls"), solid, u, 2)

    def side(at: float):
        return mesh.locate_entities_boundary(domain, 1, lambda x: np.isclose(x[0], at))

    moved = fem.Constant(domain, 0.0)
    left = fem.locate_dofs_topological(V, 1, side(0.0))
    right = fem.locate_dofs_topological(V.sub(0), 1, side(1.0))
    bcs = [fem.dirichletbc(np.zeros(2), left, V), fem.dirichletbc(moved, right, V.sub(0))]
    return solve(ibvonn_fem.InternalVariableProblem(law, u, bcs), bcs[1], moved, steps)


def sheet(model: Path, steps: int, points: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Time and force of a law of three strains on the other code's mesh, ``(steps, 3)``.

    Three corners: quadratic triangles with three points; four corners, in tensor-product order:
    bilinear quadrilaterals with two by two.
    """
    kind, degree = ("triangle", 2) if cells.shape[1] == 3 else ("quadrilateral", 1)
    element = basix.ufl.element("Lagrange", kind, 1, shape=(2,))
    corners, connected = np.asarray(points, dtype=float), np.asarray(cells, dtype=np.int64)
    domain = mesh.create_mesh(MPI.COMM_SELF, connected, x=corners, e=element)
    V = fem.functionspace(domain, ("Lagrange", degree, (2,)))
    u, zero = fem.Function(V), np.zeros(2)
    law = ibvonn_fem.InternalVariableLaw(
        ibvonn_fem.load_model(model), ibvonn_fem.FullStrain(3), u, 2
    )
    moved = fem.Constant(domain, zero)
    sides = [
        fem.locate_dofs_geometrical(V, lambda x, at=at: np.isclose(x[0], at)) for at in (0.0, 1.0)
    ]
    bcs = [fem.dirichletbc(zero, sides[0], V), fem.dirichletbc(moved, sides[1], V)]
    problem = ibvonn_fem.InternalVariableProblem(law, u, bcs)
    history = []

    def load(time: float) -> None:
        moved.value = np.interp(time, [0.0, *TIMES], [0.0, 1.0, 1.0, 0.0]) * np.array(MOVED)

    def record(step) -> None:
        if step.time > 0.0:
            history.append((step.time, *problem.reaction(bcs[1])))

    stepping = ibvonn_fem.TimeStepping(problem, load)
    stepping.run(np.linspace(0.0, TIMES[-1], steps + 1), record)
    return np.array(history)
