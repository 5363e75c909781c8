"""Patch tests: where the exact strain is constant, the discrete one is, on any mesh."""

from mpi4py import MPI

import numpy as np
import pytest
import ufl
from basix.ufl import element
from dolfinx import fem, mesh

from ibvonn_fem import InternalVariableLaw, InternalVariableProblem, TimeStepping, Uniaxial

pytestmark = pytest.mark.fem


@pytest.mark.parametrize("order", [1, 2, 3])
def test_strain_and_state_are_uniform_on_an_uneven_mesh(zener, bar, order):
    body = bar(zener(quartic=1.0), cells=7, order=order)
    stepping = TimeStepping(body.problem, lambda t: setattr(body.elongation, "value", 0.4 + t))
    stepping.run([0.0, 0.1, 0.2])
    np.testing.assert_allclose(body.strain, 0.3, rtol=1e-12)
    α = body.law.internal[:, 0, 0]
    np.testing.assert_allclose(α, α[0], rtol=1e-12)
    x = body.u.function_space.tabulate_dof_coordinates()[:, 0]
    np.testing.assert_allclose(body.u.x.array, 0.3 * x, atol=1e-13)


def line_in_space(direction, cells=4):
    """An interval mesh along ``direction`` in 3-D, of length 1."""
    ends = np.linspace(0.0, 1.0, cells + 1) ** 1.3
    x = np.outer(ends, direction / np.linalg.norm(direction))
    connectivity = np.column_stack([np.arange(cells), np.arange(1, cells + 1)])
    domain = ufl.Mesh(element("Lagrange", "interval", 1, shape=(3,)))
    return mesh.create_mesh(MPI.COMM_SELF, connectivity.astype(np.int64), x=x, e=domain)


def test_a_bar_embedded_in_space_has_the_strain_along_its_axis(zener):
    direction = np.array([1.0, 2.0, -2.0]) / 3.0
    truss = line_in_space(direction)
    space = fem.functionspace(truss, ("Lagrange", 1, (3,)))
    u = fem.Function(space)
    gradient = np.array([[0.1, 0.2, 0.0], [0.0, -0.1, 0.3], [0.05, 0.0, 0.2]])
    u.interpolate(lambda x: gradient @ x)
    law = InternalVariableLaw(zener(), Uniaxial(area=0.5), u, quadrature_degree=0)
    law.update(0.0)
    law.commit()
    np.testing.assert_allclose(law.measure[:, 0], direction @ gradient @ direction, rtol=1e-13)
    np.testing.assert_allclose(law.volumes.sum(), 0.5, rtol=1e-13)


def test_an_embedded_bar_carries_the_same_force_as_a_straight_one(zener, bar):
    straight = bar(zener(), cells=4, order=1)
    straight.elongation.value = 0.4
    straight.problem.solve(0.3)
    expected = straight.problem.reaction(straight.right)[0]

    direction = np.array([0.6, 0.8, 0.0])
    truss = line_in_space(direction)
    space = fem.functionspace(truss, ("Lagrange", 1, (3,)))
    u, ends = fem.Function(space), []
    for position, value in ((0.0, np.zeros(3)), (1.0, 0.2 * direction)):
        dofs = fem.locate_dofs_geometrical(
            space, lambda x, position=position: np.isclose(direction @ x, position)
        )
        ends.append(fem.dirichletbc(value, dofs, space))
    # A truss has no stiffness across its axis: hold the inner nodes there.
    v, du = ufl.TestFunction(space), ufl.TrialFunction(space)
    law = InternalVariableLaw(zener(), Uniaxial(area=2.0), u, quadrature_degree=0)
    across = u - ufl.dot(u, ufl.as_vector(direction)) * ufl.as_vector(direction)
    problem = InternalVariableProblem(law, u, ends, -ufl.inner(across, v) * ufl.dx)
    assert problem.solve(0.3).converged
    np.testing.assert_allclose(problem.reaction(ends[1]), 2.0 * expected * direction, atol=1e-12)
    del du


def test_a_spring_at_the_end_shares_the_load(zener, bar):
    """Loads may depend on u: a linear spring at the free end still takes one iteration."""
    body = bar(zener(), drive="force")
    space, spring = body.u.function_space, 0.7
    ds = ufl.Measure("ds", domain=space.mesh)
    x = ufl.SpatialCoordinate(space.mesh)
    at_end = ufl.conditional(ufl.gt(x[0], 1.0), 1.0, 0.0)
    loads = at_end * (0.3 - spring * body.u) * ufl.TestFunction(space) * ds
    problem = InternalVariableProblem(body.law, body.u, [body.left], loads)
    report = problem.solve(0.0)
    assert report.iterations == 1
    # elastic: force σ = ε, elongation 2 ε, balance ε = 0.3 − K 2 ε
    body.law.commit()
    np.testing.assert_allclose(body.strain, 0.3 / (1.0 + 2.0 * spring), rtol=1e-12)
