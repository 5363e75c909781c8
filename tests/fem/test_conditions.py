"""What may change between solves is read at every solve, alike on all ranks, or refused."""

from __future__ import annotations

import re

import numpy as np
import pytest

pytest.importorskip("dolfinx")

from mpi4py import MPI

import ufl
from dolfinx import fem

from ibvonn_fem import InternalVariableLaw, InternalVariableProblem, TimeStepping, Uniaxial
from ibvonn_fem.body.statistics import Statistics

pytestmark = pytest.mark.fem

TWO_RANKS = pytest.mark.skipif(MPI.COMM_WORLD.size == 1, reason="needs two ranks")


@pytest.mark.parametrize("how", ["the list of the caller", "problem.bcs.append", "problem.bcs ="])
def test_a_condition_added_later_is_solved_for_and_does_its_work(zener, bar, how):
    """σ = ε at once: pulling a bar of length 2 by 0.2 takes the force 0.1 and the work 0.02."""
    body = bar(zener())
    conditions = [body.left]
    problem = InternalVariableProblem(body.law, body.u, conditions)
    body.elongation.value = 0.2
    if how == "the list of the caller":
        conditions.append(body.right)
    elif how == "problem.bcs.append":
        problem.bcs.append(body.right)
    else:
        problem.bcs = [body.left, body.right]
    assert problem.solve(0.0).converged
    assert body.u.x.array.max() == pytest.approx(0.2)
    balance = problem.commit()
    assert balance.external_work == pytest.approx(0.02, rel=1e-9)
    assert problem.reaction(body.right) == pytest.approx(0.1, rel=1e-9)


def test_a_condition_that_is_removed_no_longer_acts(zener, bar):
    body = bar(zener())
    body.elongation.value = 0.2
    assert body.problem.solve(0.0).converged
    body.problem.commit()
    body.problem.bcs.remove(body.right)
    assert body.problem.solve(0.5).converged
    np.testing.assert_allclose(body.u.x.array, 0.0, atol=1e-12)
    assert body.problem.commit().external_work == pytest.approx(0.0, abs=1e-12)


def test_a_condition_added_after_the_solve_belongs_to_the_next_one(zener, bar):
    body = bar(zener(), drive="force")
    body.force.value = 0.1
    assert body.problem.solve(0.0).converged
    end = fem.locate_dofs_geometrical(body.u.function_space, lambda x: np.isclose(x[0], 2.0))
    body.problem.bcs.append(fem.dirichletbc(0.0, end, body.u.function_space))
    assert body.problem.commit().external_work == pytest.approx(0.1 * 0.2, rel=1e-9)


def test_drag_whose_constant_changes_is_the_new_one(zener, bar):
    ends = []
    for first, then in ((3.0, 3.0), (0.5, 3.0), (0.5, 0.5)):
        body = bar(zener(), order=1, drive="force")
        drag = fem.Constant(body.u.function_space.mesh, first)
        problem = InternalVariableProblem(
            body.law, body.u, [body.left], body.problem._form.external, drag=drag
        )
        body.force.value, drag.value = 0.1, then
        assert problem.solve(0.2).converged
        ends.append(body.u.x.array.max())
    assert ends[1] == pytest.approx(ends[0], rel=1e-12)
    assert ends[2] > 1.2 * ends[0]


def _elsewhere(body):
    space = fem.functionspace(body.u.function_space.mesh, ("Lagrange", 2))
    return fem.dirichletbc(0.0, np.zeros(1, dtype=np.int32), space)


def _beyond(body):
    return fem.dirichletbc(0.0, np.array([999], dtype=np.int32), body.u.function_space)


def _nowhere(body):
    return fem.dirichletbc(0.0, np.zeros(0, dtype=np.int32), body.u.function_space)


@pytest.mark.parametrize(
    ("wrong", "error", "sentence"),
    [
        (lambda _: 0.0, TypeError, "bcs must be a list of conditions"),
        (_elsewhere, ValueError, "bcs[2] is on another function space than u"),
        (_beyond, ValueError, "the dofs of bcs[2] must lie below 11"),
        (_nowhere, ValueError, "bcs[2] has none on any rank"),
    ],
)
def test_a_condition_that_does_not_fit_is_refused_also_later(zener, bar, wrong, error, sentence):
    body = bar(zener())
    with pytest.raises(error, match=re.escape(sentence)):
        InternalVariableProblem(body.law, body.u, [body.left, body.right, wrong(body)])
    body.problem.bcs.append(wrong(body))
    with pytest.raises(error, match=re.escape(sentence)):
        body.problem.solve(0.0)
    body.problem.bcs.pop()
    assert body.problem.solve(0.0).converged


def test_a_reaction_is_that_of_a_condition_on_the_same_space(zener, bar):
    body = bar(zener())
    with pytest.raises(ValueError, match="reaction, velocity: bc is on another function space"):
        body.problem.reaction(_elsewhere(body))


@pytest.mark.parametrize("dt", [None, "0.1", True, 0.1 + 0.0j, [0.1], np.ones(1)])
def test_a_step_that_is_no_number_is_named(zener, bar, dt):
    body = bar(zener())
    for method in (body.problem.solve, body.law.update):
        with pytest.raises(TypeError, match="dt must be a number; found"):
            method(dt)


@pytest.mark.parametrize("dt", [1, np.float32(0.5), np.int64(1), np.float64(0.5)])
def test_a_step_may_be_any_number(zener, bar, dt):
    body = bar(zener())
    body.elongation.value = 0.2
    assert body.problem.solve(dt).converged
    body.problem.commit()
    expected = float(dt) * 0.1 / (1.0 + 2.0 * float(dt))
    np.testing.assert_allclose(body.law.internal, expected, rtol=1e-9)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_loads_that_are_not_finite_are_named_and_the_state_stays(zener, bar, value):
    body = bar(zener(), drive="force")
    body.force.value = value
    with pytest.raises(ValueError, match="solve: Constant 1 of loads and body_force must be fin"):
        body.problem.solve(0.1)
    body.force.value = 0.1
    assert body.problem.solve(0.0).converged
    assert body.u.x.array.max() == pytest.approx(0.2)


def test_a_load_function_or_a_first_guess_that_is_no_number_is_named(zener, bar):
    body = bar(zener())
    space = body.u.function_space
    wind = fem.Function(space)
    loads = wind * ufl.TestFunction(space) * ufl.dx
    problem = InternalVariableProblem(body.law, body.u, [body.left], loads)
    wind.x.array[3] = np.nan
    with pytest.raises(ValueError, match="solve: loads and body_force must be finite; found NaN"):
        problem.solve(0.1)
    wind.x.array[3] = 0.0
    body.u.x.array[0] = np.nan
    with pytest.raises(ValueError, match="solve: the first guess u must be finite"):
        problem.solve(0.1)
    problem.restore()
    assert problem.solve(0.1).converged


@pytest.mark.parametrize(
    "statev", [None, "zero", [[0.1, 0.2]], [np.nan], [0.1 + 0.5j], [[0.1], [0.2, 0.3]]]
)
def test_a_state_that_does_not_fit_is_refused(zener, bar, statev):
    law = bar(zener()).law
    before = law.internal.copy()
    with pytest.raises((TypeError, ValueError), match="zener: statev must be"):
        law.start_from(statev)
    np.testing.assert_array_equal(law.internal, before)


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        ({"cutback": None}, TypeError, "cutback must be a number; found None"),
        ({"growth": "2"}, TypeError, "growth must be a number; found '2'"),
        ({"cutback": np.nan}, ValueError, "cutback must lie between 0 and 1"),
        ({"max_cutbacks": 2.5}, TypeError, "max_cutbacks must be a whole number; found 2.5"),
        ({"max_cutbacks": -1}, ValueError, "max_cutbacks must be >= 0; found -1"),
        ({"audit_tolerance": "1 %"}, TypeError, "audit_tolerance must be a number; found '1 %'"),
        ({"audit_tolerance": 0.1, "energy_scale": 1j}, TypeError, "energy_scale must be a numb"),
    ],
)
def test_stepping_takes_numbers(zener, bar, arguments, error, sentence):
    with pytest.raises(error, match=re.escape(sentence)):
        TimeStepping(bar(zener()).problem, **arguments)


@pytest.mark.parametrize("times", [["0", "1"], [0.0, None], [0.0, np.nan], [], None, 1.0, "01"])
def test_stepping_needs_instants_before_it_steps(zener, bar, times):
    body = bar(zener())
    with pytest.raises((TypeError, ValueError), match="run: times"):
        TimeStepping(body.problem).run(times)
    with pytest.raises(TypeError, match="run: callback must be a function of the step"):
        TimeStepping(body.problem).run([0.0], callback=3)
    with pytest.raises(TypeError, match="problem must be an InternalVariableProblem; found Bar"):
        TimeStepping(body)
    assert body.problem.statistics.solves == 0


def test_a_time_belongs_to_a_part_that_exists():
    with pytest.raises(ValueError, match="part must be one of"), Statistics().measure("lunch"):
        pass


def test_a_mesh_that_moves_after_the_law_was_made_is_refused(zener, bar):
    body = bar(zener())
    nodes = body.u.function_space.mesh.geometry.x
    before = nodes.copy()
    nodes[:, 0] *= 1.5
    with pytest.raises(ValueError, match="the nodes of the mesh must stay where they were"):
        body.problem.solve(0.1)
    nodes[:] = before
    assert body.problem.solve(0.1).converged


def test_a_degree_may_be_a_number_of_numpy(zener, bar):
    u = bar(zener()).u
    law = InternalVariableLaw(zener(), Uniaxial(), u, np.int64(2))
    assert law.points.degree == 2
    assert type(law.points.degree) is int


def _on_last(comm):
    return comm.rank == comm.size - 1


@pytest.mark.mpi
@TWO_RANKS
@pytest.mark.parametrize(
    ("perturb", "error", "sentence"),
    [
        (lambda body: setattr(body.elongation, "value", 0.3), ValueError, "the value of bcs"),
        (lambda body: body.problem.bcs.pop(), ValueError, "their number must be the same on all"),
        (lambda body: body.problem.bcs.append(0.0), TypeError, "bcs must be a list of conditions"),
        (lambda body: body.problem.bcs.append(_beyond(body)), ValueError, "must lie below"),
        (lambda body: body.u.x.array.fill(np.nan), ValueError, "the first guess u must be finite"),
    ],
)
def test_what_one_rank_changes_is_refused_on_all(zener, bar, perturb, error, sentence):
    comm = MPI.COMM_WORLD
    body = bar(zener(), comm=comm)
    if _on_last(comm):
        perturb(body)
    with pytest.raises(error, match=sentence):
        body.problem.solve(0.1)


@pytest.mark.mpi
@TWO_RANKS
def test_what_one_rank_is_given_is_refused_on_all(zener, bar):
    comm = MPI.COMM_WORLD
    body = bar(zener(), comm=comm, cells=8)
    odd = 0.1 if _on_last(comm) else 0.2
    with pytest.raises(ValueError, match="dt must be the same on all ranks"):
        body.problem.solve(odd)
    with pytest.raises(ValueError, match="zener: dt must be the same on all ranks"):
        body.law.update(odd)
    with pytest.raises(ValueError, match="run: times must be the same on all ranks"):
        TimeStepping(body.problem).run([0.0, odd])
    with pytest.raises(ValueError, match="statev must be finite"):
        body.law.start_from([np.nan] if _on_last(comm) else [0.0])
    with pytest.raises(ValueError, match="options: snes_max_it must be the same on all ranks"):
        InternalVariableProblem(
            body.law, body.u, [], options={"snes_max_it": 3 + int(_on_last(comm))}
        )
    tags = body.u.function_space.mesh if _on_last(comm) else None
    with pytest.raises(TypeError, match="subdomain: "):
        InternalVariableLaw(zener(), Uniaxial(), body.u, 2, subdomain=(tags, "1"))
