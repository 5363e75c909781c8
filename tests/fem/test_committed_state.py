"""The committed state belongs to the laws: it has one owner, and nothing unconverged enters it."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("dolfinx")

from mpi4py import MPI

import ufl
from dolfinx import fem, mesh

from ibvonn_fem import InternalVariableLaw, InternalVariableProblem, StepError, Uniaxial

pytestmark = pytest.mark.fem

PULL, DT = 0.2, 0.1


def pulled(body):
    """Pull the bar of length 2 by PULL at once, and hold it for 0.5."""
    body.elongation.value = PULL
    for dt in (0.0, 0.5):
        assert body.problem.solve(dt).converged
        body.problem.commit()


def state(body):
    return [
        body.u.x.array.copy(),
        *(values.copy() for values in body.law.committed().values()),
        *(values.copy() for values in body.problem.committed().values()),
    ]


def released_with_drag(strain, alpha, dt):
    """Displacements of a bar of four equal linear elements of length 0.5, drag 1; in NumPy."""
    h, nodes = 0.5, np.arange(5)
    stiffness = (1.0 + dt) / (1.0 + 2.0 * dt) / h
    K = stiffness * (np.diag([1, 2, 2, 2, 1.0]) - np.eye(5, k=1) - np.eye(5, k=-1))
    D = np.diag(h * np.array([0.5, 1, 1, 1, 0.5])) / dt
    relaxed = alpha / (1.0 + 2.0 * dt) * np.array([-1.0, 0, 0, 0, 1.0])
    start = strain * h * nodes
    free = slice(1, None)
    u = np.zeros(5)
    u[free] = np.linalg.solve((K + D)[free, free], (relaxed + D @ start)[free])
    return u


@pytest.mark.parametrize("moment", ["at the start", "when it is used"])
def test_a_second_problem_starts_from_what_the_law_committed(zener, bar, moment):
    body = bar(zener(), order=1, cells=4)
    body.u.function_space.mesh.geometry.x[:, 0] = np.linspace(0.0, 2.0, 5)
    law = InternalVariableLaw(zener(), Uniaxial(), body.u, 0)
    body.law, body.problem = law, InternalVariableProblem(law, body.u, [body.left, body.right])
    if moment == "at the start":
        release = InternalVariableProblem(law, body.u, [body.left], drag=1.0)
    pulled(body)
    if moment == "when it is used":
        release = InternalVariableProblem(law, body.u, [body.left], drag=1.0)
    assert release.solve(DT).converged
    alpha = 0.5 * (PULL / 2.0) / (1.0 + 2.0 * 0.5)
    x = body.u.function_space.tabulate_dof_coordinates()[:, 0]
    expected = np.interp(x, np.linspace(0, 2, 5), released_with_drag(PULL / 2.0, alpha, DT))
    np.testing.assert_allclose(body.u.x.array, expected, rtol=1e-9)
    balance = release.commit()
    moved = balance.internal_work + balance.dragged
    assert balance.external_work == pytest.approx(moved, abs=1e-12)
    assert balance.numerical > 0.0


def test_the_work_of_a_second_problem_is_that_of_its_own_step(zener, bar):
    body = bar(zener())
    v, ds = ufl.TestFunction(body.u.function_space), ufl.ds
    x = ufl.SpatialCoordinate(body.u.function_space.mesh)
    load = 0.05 * ufl.conditional(ufl.gt(x[0], 1.0), 1.0, 0.0) * v * ds
    second = InternalVariableProblem(body.law, body.u, [body.left], load)
    pulled(body)
    assert second.solve(0.5).converged
    alpha = 0.5 * 0.1 / 2.0
    strain = (0.05 + alpha / 2.0) / 0.75
    np.testing.assert_allclose(body.u.x.array.max(), 2.0 * strain, rtol=1e-9)
    assert second.commit().external_work == pytest.approx(0.05 * 2.0 * (strain - 0.1), rel=1e-8)


def test_a_problem_restores_the_state_that_another_one_committed(zener, bar):
    body = bar(zener())
    second = InternalVariableProblem(body.law, body.u, [body.left])
    pulled(body)
    before = state(body)
    body.u.x.array[:] = 7.0
    second.restore()
    for actual, expected in zip(state(body), before, strict=True):
        np.testing.assert_array_equal(actual, expected)


def test_a_solve_that_failed_cannot_be_committed_and_leaves_the_state(zener, bar):
    body = bar(zener(quartic=2.0), drive="force", options={"snes_max_it": 1})
    before = state(body)[1:]
    body.force.value = 1.0
    assert not body.problem.solve(0.1).converged
    with pytest.raises(StepError, match=r"commit: needs a solve that converged; the last one fail"):
        body.problem.commit()
    for actual, expected in zip(state(body)[1:], before, strict=True):
        np.testing.assert_array_equal(actual, expected)


def test_a_step_whose_law_fails_cannot_be_committed(zener, bar):
    body = bar(zener(fails_beyond=0.1))
    body.elongation.value = 1.0
    assert not body.problem.solve(0.1).converged
    with pytest.raises(StepError, match="the last one failed"):
        body.problem.commit()
    with pytest.raises(StepError, match="zener: commit needs an update that converged"):
        body.law.commit()


def test_a_step_is_committed_once(zener, bar):
    body = bar(zener())
    pulled(body)
    dissipated = body.law.dissipated.copy()
    with pytest.raises(StepError, match="there was none since the last commit"):
        body.problem.commit()
    with pytest.raises(StepError, match="is already committed"):
        body.law.commit()
    np.testing.assert_array_equal(body.law.dissipated, dissipated)


@pytest.mark.parametrize(
    ("meddle", "message"),
    [
        (lambda body, _: body.u.x.array.__setitem__(slice(None), 0.0), "u was changed since then"),
        (lambda body, _: body.law.update(0.3), "a law was updated, restored or committed since"),
        (lambda _, other: other.solve(0.1), "since then"),
        (lambda _, other: other.restore(), "since then"),
    ],
)
def test_only_the_state_of_the_solve_is_committed(zener, bar, meddle, message):
    body = bar(zener())
    other = InternalVariableProblem(body.law, body.u, [body.left])
    body.elongation.value = 0.1
    assert body.problem.solve(0.1).converged
    meddle(body, other)
    with pytest.raises(StepError, match=message):
        body.problem.commit()


def test_laws_committed_at_different_displacements_are_refused(zener, bar):
    body = bar(zener())
    tags = _halves(body.u.function_space.mesh)
    law = InternalVariableLaw(zener(), Uniaxial(), body.u, 2, subdomain=(tags, 1))
    body.u.x.array[:] = 0.1
    other = InternalVariableLaw(zener(), Uniaxial(), body.u, 2, subdomain=(tags, 2))
    with pytest.raises(ValueError, match="were committed at different displacements"):
        InternalVariableProblem([law, other], body.u, [body.left])


def test_a_law_that_is_set_anew_is_where_its_problem_goes_on(zener, bar):
    body = bar(zener())
    x = body.u.function_space.tabulate_dof_coordinates()[:, 0]
    body.u.x.array[:] = 0.05 * x
    body.law.start_at_equilibrium()
    body.u.x.array[:] = 0.0
    body.problem.restore()
    np.testing.assert_allclose(body.u.x.array, 0.05 * x)
    body.elongation.value = 0.1
    assert body.problem.solve(0.1).converged
    assert body.problem.commit().external_work == pytest.approx(0.0, abs=1e-12)
    np.testing.assert_allclose(body.law.internal, 0.025)


def test_an_eigenstrain_that_changes_after_the_solve_belongs_to_the_next_step(zener, bar):
    results = []
    for changed_early in (False, True):
        body = bar(zener())
        swelling = fem.Constant(body.u.function_space.mesh, 0.0)
        law = InternalVariableLaw(zener(), Uniaxial(), body.u, 2, eigenstrain=swelling)
        problem = InternalVariableProblem(law, body.u, [body.left, body.right])
        works = []
        for value in (0.1, 0.3):
            swelling.value = value
            assert problem.solve(0.2).converged
            if changed_early:
                swelling.value = 5.0
            works.append(problem.commit().external_work)
        results.append(works)
    np.testing.assert_allclose(results[1], results[0], rtol=1e-12)
    assert abs(results[0][1]) > 1e-3


@pytest.mark.mpi
@pytest.mark.skipif(MPI.COMM_WORLD.size == 1, reason="needs two ranks")
def test_u_changed_on_one_rank_is_refused_on_all(zener, bar):
    body = bar(zener(), cells=12, comm=MPI.COMM_WORLD)
    body.elongation.value = 0.1
    assert body.problem.solve(0.1).converged
    if MPI.COMM_WORLD.rank == 1:
        body.u.x.array[:] = 0.0
    with pytest.raises(StepError, match="u was changed"):
        body.problem.commit()


def _halves(domain):
    cells = np.arange(domain.topology.index_map(1).size_local, dtype=np.int32)
    middle = mesh.compute_midpoints(domain, 1, cells)[:, 0]
    return mesh.meshtags(domain, 1, cells, np.where(middle < 1.0, 1, 2).astype(np.int32))


def test_a_restored_law_has_its_committed_measure_and_energy(zener, bar):
    """What was tried leaves no trace: the zener solid stores (ε − α)²/2 + α²/2."""
    body = bar(zener())
    pulled(body)
    before, energy = state(body), body.law.stored_energy()
    measure = body.law.measure.copy()
    body.elongation.value = 3.0 * PULL
    assert body.problem.solve(DT).converged
    assert body.law.stored_energy() > 2.0 * energy  # the control: something was tried
    body.law.restore()
    assert body.law.stored_energy() == energy
    np.testing.assert_array_equal(body.law._state.measure, measure)
    for now, then in zip(state(body)[1:], before[1:], strict=True):
        np.testing.assert_array_equal(now, then)
