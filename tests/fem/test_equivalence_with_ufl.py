"""The law at the quadrature points against the same solid written in UFL.

The internal variable is a quadrature Function with the update α⁺ = (α + Δt ε)/(1 + 2 Δt);
stress and tangent are left to UFL.
"""

from mpi4py import MPI  # noqa: F401 - loads MPI, which the next imports need
from petsc4py import PETSc

import basix.ufl
import numpy as np
import pytest
import ufl
from dolfinx import fem
from dolfinx.fem import petsc as fem_petsc

pytestmark = pytest.mark.fem


class UflZener:
    """Backward Euler of the Zener solid in UFL on the same space, points and data as ``bar``."""

    def __init__(self, bar, body_force):
        self.space = bar.u.function_space
        mesh = self.space.mesh
        element = basix.ufl.quadrature_element(mesh.basix_cell().name, degree=2)
        self.points = mesh.basix_cell()
        self.α = fem.Function(fem.functionspace(mesh, element))
        self.u = fem.Function(self.space)
        self.dt = fem.Constant(mesh, 0.0)
        self.bcs = bar.problem.bcs
        v, du = ufl.TestFunction(self.space), ufl.TrialFunction(self.space)
        dx = ufl.Measure("dx", domain=mesh, metadata={"quadrature_degree": 2})
        ε = self.u.dx(0)
        self.α_new = (self.α + self.dt * ε) / (1.0 + 2.0 * self.dt)
        residual = (ε - self.α_new) * v.dx(0) * dx - body_force * v * dx
        self.residual = fem.form(residual)
        self.jacobian = fem.form(ufl.derivative(residual, self.u, du))
        points = self.α.function_space.element.interpolation_points
        points = points() if callable(points) else points  # a method before DOLFINx 0.10
        self.new_values = fem.Expression(self.α_new, points)

    def matrix(self):
        matrix = fem_petsc.assemble_matrix(self.jacobian)
        matrix.assemble()
        return matrix

    def step(self, dt):
        """One linear solve; then the state moves on."""
        self.dt.value = dt
        matrix = fem_petsc.assemble_matrix(self.jacobian, bcs=self.bcs)
        matrix.assemble()
        b = fem_petsc.assemble_vector(self.residual)
        x = self.u.x.petsc_vec
        fem_petsc.apply_lifting(b, [self.jacobian], bcs=[self.bcs], x0=[x], alpha=-1.0)
        fem_petsc.set_bc(b, self.bcs, x0=x, alpha=-1.0)
        solver = PETSc.KSP().create(self.space.mesh.comm)
        solver.setType("preonly")
        solver.getPC().setType("lu")
        solver.setOperators(matrix)
        increment = b.duplicate()
        solver.solve(b, increment)
        x.axpy(-1.0, increment)
        values = self.new_values.eval(self.space.mesh, np.arange(len(self.α.x.array) // 2))
        self.α.x.array[:] = values.reshape(-1)


@pytest.fixture
def pair(zener, bar):
    body = bar(zener(), body_force=0.3)
    return body, UflZener(body, 0.3)


def test_displacement_and_state_agree_over_many_steps(pair):
    body, ufl_body = pair
    for i, dt in enumerate([0.0, 0.05, 0.1, 0.3, 1.0, 0.01]):
        body.elongation.value = 0.2 * np.sin(1.0 + i)
        assert body.problem.solve(dt).converged
        body.problem.commit()
        ufl_body.step(dt)
        scale = np.abs(ufl_body.u.x.array).max()
        np.testing.assert_allclose(body.u.x.array, ufl_body.u.x.array, atol=1e-13 * scale, rtol=0)
        np.testing.assert_allclose(body.law.internal[:, 0, 0], ufl_body.α.x.array, atol=1e-13)
    assert np.ptp(body.strain) > 0.1  # the strain varies: cells and points are not mixed up


def test_residual_and_jacobian_agree_entry_by_entry(pair):
    body, ufl_body = pair
    rng = np.random.default_rng(1)
    body.u.x.array[:] = ufl_body.u.x.array[:] = 0.1 * rng.standard_normal(len(body.u.x.array))
    law, space, dt = body.law, body.u.function_space, 0.2
    law.update(dt)
    ufl_body.dt.value = dt
    v, du = ufl.TestFunction(space), ufl.TrialFunction(space)
    mine = fem.form(law.virtual_work(v) - 0.3 * v * law.dx)
    np.testing.assert_allclose(
        fem.assemble_vector(mine).array, fem.assemble_vector(ufl_body.residual).array, atol=1e-14
    )
    mine = fem.assemble_matrix(fem.form(law.stiffness(du, v))).to_dense()
    theirs = fem.assemble_matrix(ufl_body.jacobian).to_dense()
    np.testing.assert_allclose(mine, theirs, atol=1e-14 * np.abs(theirs).max())


def test_a_tangent_without_its_internal_part_fails_the_test_above(pair):
    """Guards the test above: the elastic tangent differs from the consistent one by 14 %."""
    body, ufl_body = pair
    space = body.u.function_space
    body.law.update(0.0)
    ufl_body.dt.value = 0.2
    v, du = ufl.TestFunction(space), ufl.TrialFunction(space)
    elastic = fem.assemble_matrix(fem.form(body.law.stiffness(du, v))).to_dense()
    theirs = fem.assemble_matrix(ufl_body.jacobian).to_dense()
    assert np.abs(elastic - theirs).max() > 0.1 * np.abs(theirs).max()
