"""A kinematics of the user's own: what the protocol asks for is enough for solids.

Two small ones: full small strain in Mandel order (a law with six components), and a fan of three
directions in the plane at each quadrature point.
"""

from pathlib import Path

from mpi4py import MPI

import numpy as np
import pytest
import ufl
from dolfinx import fem, mesh

from ibvonn_fem import InternalVariableLaw, InternalVariableProblem, TimeStepping, load_model
from ibvonn_fem.kinematics import Kinematics

EXACT_SLS = Path(__file__).parents[2] / "exported_models" / "exact_sls"

pytestmark = pytest.mark.fem


class FullStrain(Kinematics):
    """Six strains (xx yy zz xy xz yz, √2 on shear); one direction."""

    direction_count = 1
    shape = (6,)

    def check(self, mesh, manifest):
        assert manifest.strain_size == 6

    def measure(self, u):
        ε = ufl.sym(ufl.grad(u))
        r = np.sqrt(2.0)
        return ufl.as_vector([ε[0, 0], ε[1, 1], ε[2, 2], r * ε[0, 1], r * ε[0, 2], r * ε[1, 2]])

    def strains(self, measure, out):
        out[...] = measure

    def gather(self, measure, update, stress, tangent):
        stress[...] = update.stress
        tangent[...] = update.tangent.reshape(tangent.shape)

    def average(self, values, out):
        out[...] = values


class Fan(Kinematics):
    """Three directions at 0°, 60° and 120° with equal weights: isotropic in the plane."""

    direction_count = 3
    shape = (3,)

    def __init__(self):
        angle = np.pi / 3.0 * np.arange(3)
        n = np.column_stack([np.cos(angle), np.sin(angle)])
        # ε_k = n·ε·n in the Mandel order xx yy xy
        self.rows = np.column_stack([n[:, 0] ** 2, n[:, 1] ** 2, np.sqrt(2.0) * n[:, 0] * n[:, 1]])
        self.w = np.full(3, 1.0 / 3.0)

    def check(self, mesh, manifest):
        assert manifest.strain_size == 1

    def measure(self, u):
        ε = ufl.sym(ufl.grad(u))
        return ufl.as_vector([ε[0, 0], ε[1, 1], np.sqrt(2.0) * ε[0, 1]])

    def strains(self, measure, out):
        np.matmul(measure, self.rows.T, out=out.reshape(-1, 3))

    def gather(self, measure, update, stress, tangent):
        np.matmul(self.w * update.stress.reshape(-1, 3), self.rows, out=stress)
        outer = np.einsum("k,ki,kj->kij", self.w, self.rows, self.rows).reshape(3, 9)
        np.matmul(update.tangent.reshape(-1, 3), outer, out=tangent)

    def average(self, values, out):
        np.matmul(values.reshape(-1, 3), self.w, out=out)


def held_and_pulled(domain, pull):
    """Displacements of a roller-supported block, pulled along x."""
    space = fem.functionspace(domain, ("Lagrange", 1, (domain.geometry.dim,)))
    u, bcs, end = fem.Function(space), [], fem.Constant(domain, pull)
    facet = domain.topology.dim - 1
    for axis in range(domain.geometry.dim):
        facets = mesh.locate_entities_boundary(
            domain, facet, lambda x, axis=axis: np.isclose(x[axis], 0.0)
        )
        dofs = fem.locate_dofs_topological(space.sub(axis), facet, facets)
        bcs.append(fem.dirichletbc(0.0, dofs, space.sub(axis)))
    facets = mesh.locate_entities_boundary(domain, facet, lambda x: np.isclose(x[0], 1.0))
    dofs = fem.locate_dofs_topological(space.sub(0), facet, facets)
    bcs.append(fem.dirichletbc(end, dofs, space.sub(0)))
    return u, bcs, end


@pytest.mark.mpi
def test_a_block_of_the_three_dimensional_solid_is_uniform_under_uniaxial_stress():
    """Elastic response of the parallel moduli: bulk 1 + 0.5, shear 0.5 + 0.5."""
    cube = mesh.create_unit_cube(MPI.COMM_WORLD, 2, 2, 2)
    u, bcs, _ = held_and_pulled(cube, 0.01)
    law = InternalVariableLaw(load_model(EXACT_SLS, "onnx"), FullStrain(), u, 0)
    problem = InternalVariableProblem(law, u, bcs)
    assert problem.solve(0.0).iterations == 1
    bulk, shear = 1.5, 1.0
    young = 9.0 * bulk * shear / (3.0 * bulk + shear)
    poisson = (3.0 * bulk - 2.0 * shear) / (2.0 * (3.0 * bulk + shear))
    problem.commit()
    expected = 0.01 * np.array([1.0, -poisson, -poisson, 0.0, 0.0, 0.0])
    np.testing.assert_allclose(law.measure, np.tile(expected, (len(law.measure), 1)), atol=1e-14)
    np.testing.assert_allclose(problem.reaction(bcs[-1])[0], young * 0.01, rtol=1e-12)


@pytest.mark.mpi
def test_a_fan_of_three_directions_is_an_isotropic_plane_solid(zener):
    """Elastic moduli λ = μ = E/8, hence ν = 1/3 and Young's modulus E/3 in the plane."""
    square = mesh.create_unit_square(MPI.COMM_WORLD, 3, 3)
    u, bcs, _ = held_and_pulled(square, 0.3)
    law = InternalVariableLaw(zener(), Fan(), u, 0)
    problem = InternalVariableProblem(law, u, bcs)
    steps = TimeStepping(problem).run([0.0, 0.1, 0.2])
    np.testing.assert_allclose(law.measure[:, 1], -0.1, rtol=1e-12)
    assert law.internal.shape == (law.points.size, 3, 1)
    α, relaxation = 0.0, []
    for dt in (0.0, 0.1, 0.1):  # every direction relaxes alike: the solid relaxes as the law
        α = (α + dt) / (1.0 + 2.0 * dt)
        relaxation.append((1.0 - α) / 3.0 * 0.3)
    np.testing.assert_allclose(problem.reaction(bcs[-1])[0], relaxation[-1], rtol=1e-12)
    for step in steps:
        np.testing.assert_allclose(
            step.balance.external_work, step.balance.internal_work, rtol=1e-10
        )


@pytest.mark.mpi
def test_prescribed_displacements_that_move_take_one_iteration_per_step(zener):
    """Also on ranks that see prescribed displacements only as ghosts of their neighbours."""
    square = mesh.create_unit_square(MPI.COMM_WORLD, 6, 6)
    u, bcs, end = held_and_pulled(square, 0.0)
    law = InternalVariableLaw(zener(), Fan(), u, 0)
    problem = InternalVariableProblem(law, u, bcs)
    stepping = TimeStepping(problem, lambda t: setattr(end, "value", 0.1 + t))
    steps = stepping.run([0.0, 0.1, 0.2, 0.3])
    assert [step.iterations for step in steps] == [1, 1, 1, 1]


def test_its_tangent_is_the_derivative_of_its_stress(zener):
    square = mesh.create_unit_square(MPI.COMM_SELF, 1, 1)
    u, *_ = held_and_pulled(square, 0.0)
    law = InternalVariableLaw(zener(quartic=3.0), Fan(), u, 0)
    rng = np.random.default_rng(0)
    base, h = 0.2 * rng.standard_normal(len(u.x.array)), 1e-5
    direction = rng.standard_normal(len(u.x.array))
    values = []
    for factor in (-h, h, 0.0):
        u.x.array[:] = base + factor * direction
        law.update(0.3)
        values.append((law.points.rows(law.stress).get().copy(), law._measure_of_u().copy()))
    tangent = law.points.rows(law.tangent).get().reshape(-1, 3, 3)
    slope = (values[1][0] - values[0][0]) / (2.0 * h)
    strain = (values[1][1] - values[0][1]) / (2.0 * h)
    np.testing.assert_allclose(slope, np.einsum("pij,pj->pi", tangent, strain), atol=1e-8)
