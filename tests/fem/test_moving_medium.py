"""Drag of a medium that moves: slip, energy, steps without time, checkpoints, wrong arguments."""

from __future__ import annotations

from mpi4py import MPI

import numpy as np
import pytest
from dolfinx import fem, mesh

from ibvonn_fem import (
    InternalVariableLaw,
    InternalVariableProblem,
    TimeStepping,
    Uniaxial,
    read_checkpoint,
    write_checkpoint,
)

pytestmark = pytest.mark.fem

CELLS, FRICTION = 8, 0.7


class Bar:
    """A clamped bar whose end is pulled, in a medium that stretches with it or rests."""

    def __init__(self, model, *, moving, comm=MPI.COMM_SELF, drag=FRICTION):
        bar = mesh.create_interval(comm, CELLS, [0.0, 1.0])
        space = fem.functionspace(bar, ("Lagrange", 1))
        self.u, self.medium = fem.Function(space), fem.Function(space)
        self.end = fem.Constant(bar, 0.0)
        dofs = [
            fem.locate_dofs_geometrical(space, lambda x, at=at: np.isclose(x[0], at))
            for at in (0.0, 1.0)
        ]
        self.grip = fem.dirichletbc(self.end, dofs[1], space)
        bcs = [fem.dirichletbc(0.0, dofs[0], space), self.grip]
        self.law = InternalVariableLaw(model, Uniaxial(), self.u, quadrature_degree=0)
        medium = self.medium if moving else None
        self.problem = InternalVariableProblem(self.law, self.u, bcs, drag=drag, medium=medium)

    def load(self, t):
        self.end.value = 0.1 * t
        self.medium.interpolate(lambda x: 0.1 * t * x[0])

    def run(self, times):
        return TimeStepping(self.problem, self.load).run(times)


def test_a_body_that_moves_with_its_medium_feels_no_drag(zener):
    """The affine motion stays affine and its force is that of the law; at rest it is not."""
    times = np.linspace(0.0, 1.0, 11)
    forces = {}
    for moving, drag in ((True, FRICTION), (False, FRICTION), (False, None)):
        bar = Bar(zener(), moving=moving, drag=drag)
        steps = bar.run(times)
        forces[moving, drag] = bar.problem.reaction(bar.grip)[0]
        deviation = np.abs(bar.u.x.array - bar.medium.x.array).max()
        assert (deviation < 1e-12) == (moving or drag is None)
        assert all(step.balance.dragged >= 0.0 for step in steps)
    assert forces[True, FRICTION] == pytest.approx(forces[False, None], rel=1e-10)
    assert forces[False, FRICTION] > 1.05 * forces[False, None]


def test_one_step_balances_the_slip(zener):
    """To round-off: a medium that moves by itself drags a bar whose ends are held."""
    bar, dt = Bar(zener(), moving=True), 0.05
    bar.medium.interpolate(lambda x: np.sin(np.pi * x[0]))
    assert bar.problem.solve(dt).converged
    tangent, h = (1.0 + dt) / (1.0 + 2.0 * dt), 1.0 / CELLS
    size = CELLS - 1
    stiffness = tangent / h * (2 * np.eye(size) - np.eye(size, k=1) - np.eye(size, k=-1))
    drag = FRICTION * h / dt
    medium = bar.medium.x.array[1:-1]
    expected = np.linalg.solve(stiffness + drag * np.eye(size), drag * medium)
    np.testing.assert_allclose(bar.u.x.array[1:-1], expected, rtol=1e-10, atol=1e-14)
    balance = bar.problem.commit()
    # The medium alone does work: grips stand still.
    np.testing.assert_allclose(
        balance.external_work, drag * (medium - expected) @ medium, rtol=1e-10
    )
    np.testing.assert_allclose(balance.dragged, drag * np.sum((medium - expected) ** 2), rtol=1e-10)
    np.testing.assert_allclose(
        balance.internal_work, balance.external_work - balance.dragged, rtol=1e-9
    )


def test_a_step_without_time_moves_with_the_medium(zener):
    bar = Bar(zener(), moving=True)
    bar.load(1.0)
    bar.medium.x.array[1:-1] += 0.01
    assert bar.problem.solve(0.0).converged
    np.testing.assert_allclose(bar.u.x.array, bar.medium.x.array, atol=1e-15)


def test_restoring_gives_the_drag_of_the_last_step_back(zener):
    bar = Bar(zener(), moving=True)
    bar.medium.interpolate(lambda x: x[0] ** 2)
    bar.problem.solve(0.1)
    bar.problem.commit()
    force = bar.problem.drag.force.x.array.copy()
    bar.medium.interpolate(lambda x: -(x[0] ** 2))
    bar.problem.solve(0.1)
    assert not np.allclose(bar.problem.drag.force.x.array, force)
    bar.problem.restore()
    np.testing.assert_allclose(bar.problem.drag.force.x.array, force, atol=1e-15)


def test_a_checkpoint_holds_the_medium(zener, tmp_path):
    """The run that is read goes on as the one that was written, to the bit."""
    times = [0.0, 0.1, 0.2, 0.3]

    def twisted(bar):
        def load(t):
            bar.end.value = 0.1 * t
            bar.medium.interpolate(lambda x: t * np.sin(3.0 * x[0]))

        return TimeStepping(bar.problem, load)

    whole = Bar(zener(), moving=True)
    stepping = twisted(whole)
    stepping.run(times[:3])
    write_checkpoint(tmp_path / "half.h5", stepping, times[2])
    stepping.run(times[2:], elastic=False)
    second = Bar(zener(), moving=True)
    again = twisted(second)
    read_checkpoint(tmp_path / "half.h5", again)
    again.run(times[2:], elastic=False)
    np.testing.assert_array_equal(second.u.x.array, whole.u.x.array)
    resting = twisted(Bar(zener(), moving=False))
    with pytest.raises(Exception, match="medium"):
        read_checkpoint(tmp_path / "half.h5", resting)


def test_wrong_media_are_refused_in_words(zener):
    bar = Bar(zener(), moving=False)
    problem = InternalVariableProblem
    other = fem.Function(fem.functionspace(bar.u.function_space.mesh, ("Lagrange", 2)))
    for medium, error, message in (
        (0.1, TypeError, "Function of u's space"),
        (bar.u, ValueError, "another Function than u"),
        (other, ValueError, "of u's space"),
    ):
        with pytest.raises(error, match=f"medium: .*{message}"):
            problem(bar.law, bar.u, bar.problem.bcs, drag=1.0, medium=medium)
    with pytest.raises(ValueError, match="medium: acts through drag"):
        problem(bar.law, bar.u, bar.problem.bcs, medium=bar.medium)
    moving = Bar(zener(), moving=True)
    moving.medium.x.array[3] = np.nan
    with pytest.raises(ValueError, match="medium must be finite"):
        moving.problem.solve(0.1)


@pytest.mark.mpi
def test_a_moving_medium_is_the_same_on_all_ranks(zener):
    results = []
    for comm in (MPI.COMM_SELF, MPI.COMM_WORLD):
        bar = Bar(zener(quartic=3.0), moving=True, comm=comm)

        def load(t, bar=bar):
            bar.end.value = 0.1 * t
            bar.medium.interpolate(lambda x: t * np.sin(3.0 * x[0]))

        steps = TimeStepping(bar.problem, load).run(np.linspace(0.0, 0.5, 6))
        results.append(
            [bar.problem.reaction(bar.grip)[0], *(step.balance.external_work for step in steps)]
        )
    np.testing.assert_allclose(results[1], results[0], rtol=1e-9, atol=1e-15)
