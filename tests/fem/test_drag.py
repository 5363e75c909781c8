"""Overdamped motion: a bar of linear elements with drag is the mean of a Langevin chain."""

from pathlib import Path

from mpi4py import MPI

import numpy as np
import pytest
import ufl
from dolfinx import fem, mesh
from scipy.integrate import solve_ivp

from ibvonn_fem import (
    InternalVariableLaw,
    InternalVariableProblem,
    TimeStepping,
    Uniaxial,
    load_model,
)
from ibvonn_fem.body.drag import Drag
from ibvonn_fem.body.prescribed import Prescribed

pytestmark = pytest.mark.fem

_EXACT_TRAP = Path(__file__).resolve().parents[2] / "exported_models/exact_trap"

SPRINGS, L0, FRICTION = 10, 0.1, 0.02
QUARTIC = 3.0
DURATION = 1.0


def pull(t):
    """Elongation of the chain, starting smoothly."""
    return 0.4 * t**2 / (1.0 + t)


def pull_rate(t):
    return 0.4 * (2.0 * t + t**2) / (1.0 + t) ** 2


def pulled_end_force(problem, grip):
    """F_N + η v_N of the pulled bead; the last node carries half the drag, R = F_N + (η/2) v_N."""
    return (problem.reaction(grip) + 0.5 * FRICTION * problem.velocity(grip))[0]


class Chain:
    """Ten linear elements, clamped at the left, pulled at the right."""

    def __init__(self, model, comm=MPI.COMM_SELF, drag=FRICTION / L0):
        bar = mesh.create_interval(comm, SPRINGS, [0.0, SPRINGS * L0])
        V = fem.functionspace(bar, ("Lagrange", 1))
        self.u = fem.Function(V)
        self.elongation = fem.Constant(bar, 0.0)
        ends = [
            fem.locate_dofs_geometrical(V, lambda x, at=at: np.isclose(x[0], at))
            for at in (0.0, SPRINGS * L0)
        ]
        self.clamp = fem.dirichletbc(0.0, ends[0], V)
        self.grip = fem.dirichletbc(self.elongation, ends[1], V)
        self.law = InternalVariableLaw(model, Uniaxial(), self.u, quadrature_degree=0)
        self.problem = InternalVariableProblem(
            self.law, self.u, [self.clamp, self.grip], drag=drag, options={"snes_rtol": 1e-12}
        )

    def set_load(self, t):
        self.elongation.value = pull(t)

    def run(self, steps):
        """Spring forces and end force at the end, and the committed steps."""
        history = TimeStepping(self.problem, self.set_load).run(np.linspace(0, DURATION, steps + 1))
        force = pulled_end_force(self.problem, self.grip)
        return self.law.points.rows(self.law.stress).get()[:, 0].copy(), force, history


def mean_chain(model):
    """Spring forces F_i and end force F_N + η λ̇ from the mean of the Langevin chain."""

    def springs(t, y):
        u = np.concatenate([[0.0], y[: SPRINGS - 1], [pull(t)]])
        strain, statev = np.diff(u)[:, None] / L0, y[SPRINGS - 1 :][:, None]
        return model.kernel.rates(strain, statev)

    def rate(t, y):
        law = springs(t, y)
        return np.concatenate([np.diff(law.stress[:, 0]) / FRICTION, law.rate[:, 0]])

    solution = solve_ivp(
        rate, (0.0, DURATION), np.zeros(2 * SPRINGS - 1), "Radau", rtol=1e-9, atol=1e-12
    )
    force = springs(DURATION, solution.y[:, -1]).stress[:, 0]
    return force, force[-1] + FRICTION * pull_rate(DURATION)


@pytest.fixture(params=["quartic", "exact_trap"])
def model(request, zener):
    """A nonlinear law in closed form, and an exported one."""
    return zener(quartic=QUARTIC) if request.param == "quartic" else load_model(_EXACT_TRAP)


def test_ten_elements_are_the_mean_chain_with_first_order_in_the_step(model):
    exact, exact_end = mean_chain(model)
    errors = []
    for steps in (40, 80, 160):
        force, end, _ = Chain(model).run(steps)
        errors.append([np.linalg.norm(force - exact) / np.linalg.norm(exact), end - exact_end])
    errors = np.abs(errors)
    orders = np.log2(errors[:-1] / errors[1:])
    np.testing.assert_allclose(orders, 1.0, atol=0.1)
    assert errors[-1, 0] < 1e-2
    assert errors[-1, 1] < 1e-2 * abs(exact_end)
    assert np.ptp(exact) > 0.05 * abs(exact).max(), "drag must make the springs differ"


def test_the_whole_drag_of_the_bead_belongs_to_the_end_force(zener):
    """Control: the bare reaction misses half of it."""
    model = zener(quartic=QUARTIC)
    _, exact_end = mean_chain(model)
    chain = Chain(model)
    _, end, _ = chain.run(160)
    reaction = chain.problem.reaction(chain.grip)[0]
    missing = 0.5 * FRICTION * pull_rate(DURATION)
    assert abs(end - exact_end) < 0.2 * missing
    np.testing.assert_allclose(exact_end - reaction, missing, rtol=0.25)


def test_lumped_drag_has_the_relaxation_rates_of_the_chain(zener):
    chain = Chain(zener())
    drag = chain.problem.drag.diagonal
    np.testing.assert_allclose(drag / FRICTION, [0.5] + [1.0] * 9 + [0.5], rtol=1e-14)
    stiffness = 2.0 * np.eye(9) - np.eye(9, k=1) - np.eye(9, k=-1)
    rates = np.linalg.eigvalsh(stiffness / drag[1:-1] * FRICTION / 0.1)
    np.testing.assert_allclose(rates[[0, -1]], [0.97887, 39.0211], rtol=1e-5)  # η = 0.1, k = 1


def test_one_step_is_backward_euler_of_the_chain(zener):
    """To round-off: the same equations, solved here as a linear system."""
    chain, dt = Chain(zener()), 0.05
    TimeStepping(chain.problem, chain.set_load).run([0.0, dt])
    tangent = (1.0 + dt) / (1.0 + 2.0 * dt)  # of the Zener law from rest
    stiffness = tangent / L0 * (2.0 * np.eye(9) - np.eye(9, k=1) - np.eye(9, k=-1))
    right = np.zeros(9)
    right[-1] = tangent / L0 * pull(dt)
    expected = np.linalg.solve(stiffness + FRICTION / dt * np.eye(9), right)
    np.testing.assert_allclose(chain.u.x.array[1:-1], expected, rtol=1e-10, atol=1e-15)


def test_energy_goes_to_storage_law_and_drag(zener):
    chain = Chain(zener(quartic=QUARTIC))
    _, _, coarse = chain.run(40)
    _, _, fine = Chain(zener(quartic=QUARTIC)).run(80)
    sums = []
    for history in (coarse, fine):
        assert all(step.balance.numerical >= -1e-14 for step in history)
        assert all(step.balance.dragged >= 0.0 for step in history)
        sums.append(sum(step.balance.numerical for step in history))
        work = sum(step.balance.external_work for step in history)
        inner = sum(step.balance.internal_work + step.balance.dragged for step in history)
        np.testing.assert_allclose(inner, work, rtol=1e-9)
    assert 0.0 < sums[1] < sums[0]
    np.testing.assert_allclose(np.log2(sums[0] / sums[1]), 1.0, atol=0.15)


def test_a_sudden_pull_moves_only_the_end(zener):
    """No time, no motion against drag; afterwards the jump spreads."""
    chain = Chain(zener())
    chain.elongation.value = 0.1
    assert chain.problem.solve(0.0).converged
    chain.problem.commit()
    expected = np.zeros(SPRINGS + 1)
    expected[-1] = 0.1
    np.testing.assert_allclose(chain.u.x.array, expected, atol=1e-16)
    assert chain.problem.solve(0.01).converged
    chain.problem.commit()
    assert chain.u.x.array[-2] > 0.01
    assert pulled_end_force(chain.problem, chain.grip) == pytest.approx(
        chain.problem.reaction(chain.grip)[0]
    )


def test_a_failed_step_leaves_no_trace_in_the_drag_force(zener):
    chain = Chain(zener(quartic=QUARTIC))
    chain.run(10)
    before = chain.problem.drag.force.x.array.copy()
    chain.elongation.value = 2.0
    chain.problem.solve(0.1)
    assert not np.array_equal(chain.problem.drag.force.x.array, before)
    chain.problem.restore()
    np.testing.assert_array_equal(chain.problem.drag.force.x.array, before)


def test_drag_acts_on_every_component_of_a_displacement_and_sums_to_the_volume():
    square = mesh.create_unit_square(MPI.COMM_SELF, 3, 2)
    u = fem.Function(fem.functionspace(square, ("Lagrange", 1, (2,))))
    space = u.function_space
    drag = Drag(2.0, [_Cells(square)], u, [ufl.TestFunction(space)], Prescribed([], space))
    np.testing.assert_allclose(drag.diagonal.reshape(-1, 2).sum(axis=0), 2.0, rtol=1e-13)


class _Cells:
    """The part of a law that drag needs."""

    def __init__(self, domain):
        self.points = type("Points", (), {"mesh": domain})
        self.kinematics = Uniaxial()
        self.dx = ufl.Measure("dx", domain=domain)


@pytest.mark.parametrize(("order", "drag", "message"), [(2, 1.0, "degree 2"), (1, -1.0, "negat")])
def test_quadratic_elements_and_negative_drag_are_refused(zener, bar, order, drag, message):
    body = bar(zener(), order=order)
    with pytest.raises(ValueError, match=f"drag: .*{message}"):
        InternalVariableProblem(body.law, body.u, [body.left], drag=drag)


@pytest.mark.mpi
def test_the_chain_is_the_same_on_all_ranks(zener):
    results = []
    for comm in (MPI.COMM_SELF, MPI.COMM_WORLD):
        chain = Chain(zener(quartic=QUARTIC), comm)
        _, end, history = chain.run(10)
        results.append([end, *(step.balance.numerical for step in history)])
    np.testing.assert_allclose(results[1], results[0], rtol=1e-9, atol=1e-15)
