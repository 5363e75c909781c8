"""Newton's method with the consistent tangent: its rate, and the derivative it relies on."""

import gc
import weakref

from mpi4py import MPI  # noqa: F401 - loads MPI, which the next imports need

import numpy as np
import pytest
import ufl
from dolfinx import fem

from ibvonn_fem import TimeStepping

pytestmark = pytest.mark.fem


def test_a_linear_law_needs_one_iteration(zener, bar):
    body = bar(zener(), body_force=0.2)
    body.elongation.value = 0.4
    report = body.problem.solve(0.1)
    assert report.converged
    assert report.iterations == 1


def test_newton_converges_quadratically(zener, bar):
    body = bar(zener(quartic=30.0), body_force=0.4, options={"snes_rtol": 1e-14})
    body.elongation.value = 0.5
    report = body.problem.solve(0.1)
    assert report.converged
    residuals = np.array(report.residual_history)
    scale = body.problem.internal_force.x.petsc_vec.norm()
    inside = (residuals < 1e-1 * scale) & (residuals > 1e-11 * scale)
    residuals = residuals[inside] / scale
    assert len(residuals) >= 3
    orders = np.log(residuals[1:]) / np.log(residuals[:-1])
    assert orders[-1] > 1.7, f"residuals {residuals}"


def test_newton_with_an_inexact_tangent_is_not_quadratic(zener, bar):
    """Guards the test above: five per cent off the tangent leaves linear convergence."""
    model = zener(quartic=30.0)
    exact = model.kernel.update

    def inexact(*arguments, **keywords):
        result = exact(*arguments, **keywords)
        result.tangent[...] *= 1.05
        return result

    model.kernel.update = inexact
    body = bar(model, body_force=0.4)
    body.elongation.value = 0.5
    report = body.problem.solve(0.1)
    residuals = np.array(report.residual_history)[-3:]
    assert residuals[-1] / residuals[-2] > 1e-2


def residual_and_jacobian(body, dt):
    space = body.u.function_space
    v, du = ufl.TestFunction(space), ufl.TrialFunction(space)
    residual = fem.form(body.law.virtual_work(v))
    jacobian = fem.form(body.law.stiffness(du, v))

    def evaluate(u):
        body.u.x.array[:] = u
        body.law.update(dt)
        return fem.assemble_vector(residual).array.copy(), fem.assemble_matrix(jacobian).to_dense()

    return evaluate


def test_taylor_remainder_of_the_residual_is_of_second_order(zener, bar):
    body = bar(zener(quartic=3.0))
    evaluate = residual_and_jacobian(body, 0.2)
    rng = np.random.default_rng(3)
    u, direction = 0.1 * rng.standard_normal((2, len(body.u.x.array)))
    force, matrix = evaluate(u)
    remainders = [
        np.linalg.norm(evaluate(u + h * direction)[0] - force - h * matrix @ direction)
        for h in (1e-1, 5e-2, 2.5e-2)
    ]
    orders = np.log2(np.array(remainders[:-1]) / remainders[1:])
    assert np.all(np.abs(orders - 2.0) < 0.1), orders


def test_jacobian_equals_central_differences_of_the_residual(zener, bar):
    body = bar(zener(quartic=3.0))
    evaluate = residual_and_jacobian(body, 0.2)
    u = 0.1 * np.random.default_rng(4).standard_normal(len(body.u.x.array))
    _, matrix = evaluate(u)
    h = 1e-5
    for j in range(len(u)):
        step = np.zeros_like(u)
        step[j] = h
        column = (evaluate(u + step)[0] - evaluate(u - step)[0]) / (2.0 * h)
        np.testing.assert_allclose(column, matrix[:, j], atol=1e-7 * np.abs(matrix).max())


def test_jacobian_is_symmetric(zener, bar):
    body = bar(zener(quartic=3.0))
    _, matrix = residual_and_jacobian(body, 0.2)(np.linspace(0.0, 0.3, len(body.u.x.array)))
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-14 * np.abs(matrix).max())


def test_a_fine_mesh_converges_to_round_off(zener, bar):
    """With 1e5 cells round-off in the residual exceeds 1e-10 of the forces; that is no failure."""
    body = bar(zener(), cells=100_000, order=1, body_force=0.1)
    body.elongation.value = 1.0
    for _ in range(2):
        report = body.problem.solve(0.1)
        assert report.converged
        assert report.iterations == 1
        body.problem.commit()
    assert report.residual_history[-1] > 1e-10 * body.problem.force_norm()


def test_a_body_without_load_is_in_equilibrium_though_the_law_has_round_off(
    zener, bar, monkeypatch
):
    """Terms of a network are of the size of its range, and so is their round-off."""
    model = zener()
    exact = model.kernel.update

    def noisy(*arguments, **options):
        out = exact(*arguments, **options)
        noise = np.random.default_rng(0).uniform(-1.0, 1.0, out.stress.shape)
        out.stress[...] += 0.1 * np.finfo(np.float64).eps * noise
        return out

    monkeypatch.setattr(model.kernel, "update", noisy)
    body = bar(model)
    steps = TimeStepping(body.problem).run([0.0, 0.1])
    assert [step.iterations for step in steps] == [0, 0]
    assert body.problem.force_norm() > 0.0


def test_a_dropped_problem_is_freed_at_once(zener, bar):
    """Its PETSc objects are destroyed collectively: the garbage collector must have no say."""
    body = bar(zener())
    body.problem.solve(0.1)
    problem, law = weakref.ref(body.problem), weakref.ref(body.law)
    gc.disable()
    try:
        del body
        assert problem() is None
        assert law() is None
    finally:
        gc.enable()


def test_convergence_does_not_depend_on_the_unit_of_length(zener, bar):
    """The same bar in units a million times smaller takes the same iterations."""
    counts = []
    for unit in (1.0, 1e6):
        body = bar(zener(quartic=30.0), body_force=0.4 / unit, length=2.0 * unit)
        body.elongation.value = 0.5 * unit
        steps = TimeStepping(body.problem).run([0.0, 0.1, 0.2])
        counts.append([step.iterations for step in steps])
    assert counts[0] == counts[1]


def test_options_that_parts_of_the_solver_read_late_arrive(zener, bar):
    body = bar(
        zener(),
        options={"pc_factor_mat_solver_type": "mumps", "mat_mumps_icntl_14": 77},
    )
    body.elongation.value = 0.1
    assert body.problem.solve(0.1).converged
    factor = body.problem.solver.snes.getKSP().getPC().getFactorMatrix()
    assert factor.getMumpsIcntl(14) == 77


def test_an_option_that_petsc_does_not_read_is_named_once(zener, bar, recwarn):
    body = bar(zener(), options={"snes_rtoll": 1e-3, "snes_max_it": 30})
    for elongation in (0.1, 0.2):
        body.elongation.value = elongation
        assert body.problem.solve(0.1).converged
    messages = [
        str(warning.message) for warning in recwarn if "PETSc did not ask" in str(warning.message)
    ]
    assert len(messages) == 1
    assert "did not ask for the options snes_rtoll; they have no effect" in messages[0]
    assert body.problem.solver.snes.getTolerances()[3] == 30


def test_options_of_a_problem_that_works_are_not_named(zener, bar, recwarn):
    body = bar(zener(), options={"ksp_type": "cg", "pc_type": "jacobi", "ksp_rtol": 1e-12})
    body.elongation.value = 0.1
    assert body.problem.solve(0.1).converged
    assert not [warning for warning in recwarn if "PETSc" in str(warning.message)]


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({"-snes_max_it": 3}, ValueError, "options are named without dash; found '-snes_max_it'"),
        (["snes_max_it", 3], TypeError, "options must be a dictionary of PETSc options"),
        ("snes_max_it 3", TypeError, "options must be a dictionary of PETSc options"),
        ({3: "snes_max_it"}, TypeError, "options must be a dictionary of PETSc options"),
    ],
)
def test_options_are_a_dictionary_of_names(zener, bar, options, error, sentence):
    with pytest.raises(error, match=sentence):
        bar(zener(), options=options)


def test_one_linear_solve_counts_only_where_it_reaches_equilibrium(zener, bar):
    for quartic, reached in ((0.0, True), (5.0, False)):
        body = bar(zener(quartic=quartic), drive="force", options={"snes_type": "ksponly"})
        body.force.value = 0.5
        assert body.problem.solve(0.1).converged == reached
