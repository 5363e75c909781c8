"""Solids on meshes: patch tests, Newton's rate, energy, closed forms, one and two ranks (T10)."""

from mpi4py import MPI

import numpy as np
import pytest
import ufl
from dolfinx import fem, mesh
from solid_cases import (
    cantilever,
    cylinder_meridian,
    cylinder_ring,
    observed_orders,
    sphere,
)
from solid_laws import TwoWells, linear_law, smooth_law

from ibvonn_fem import InternalVariableLaw, InternalVariableProblem, TimeStepping
from ibvonn_fem.kinematics import (
    Axisymmetric,
    LogarithmicVolumetric,
    Microcircle,
    Microsphere,
    PlaneStrain,
    PlaneStress,
    UniaxialStress,
    around_axis,
)

pytestmark = pytest.mark.fem


# ---- Patch tests ------------------------------------------------------------------------------

BOXES = {
    "tetrahedra": (mesh.CellType.tetrahedron, sphere),
    "hexahedra": (mesh.CellType.hexahedron, sphere),
    "tetrahedra, finite strain": (mesh.CellType.tetrahedron, lambda: sphere(finite=True)),
    "triangles, plane strain": (mesh.CellType.triangle, lambda: PlaneStrain(sphere())),
    "quadrilaterals, plane stress": (
        mesh.CellType.quadrilateral,
        lambda: PlaneStress(sphere(finite=True, volumetric=LogarithmicVolumetric(1.0))),
    ),
    "triangles, microcircle": (mesh.CellType.triangle, lambda: Microcircle(8, finite=True)),
}


def distorted_box(kind, comm=MPI.COMM_SELF, cells=2):
    """The unit square or cube with its inner nodes moved."""
    if kind in (mesh.CellType.triangle, mesh.CellType.quadrilateral):
        box = mesh.create_unit_square(comm, cells, cells, cell_type=kind)
    else:
        box = mesh.create_unit_cube(comm, cells, cells, cells, cell_type=kind)
    x = box.geometry.x
    bump = np.prod(np.sin(np.pi * x[:, : box.geometry.dim]), axis=1)
    x[:, : box.geometry.dim] += (
        0.1 * bump[:, np.newaxis] * np.array([1.0, -0.7, 0.4])[: box.geometry.dim]
    )
    return box


QUICK = {("tetrahedra, finite strain", 1), ("hexahedra", 2)}
"""Of the solids those that the default run has, besides all that are plane."""


@pytest.mark.parametrize(
    ("box", "order"),
    [
        pytest.param(
            box,
            order,
            marks=[pytest.mark.slow] * ("hedra" in box and (box, order) not in QUICK),
        )
        for box in BOXES
        for order in (1, 2)
    ],
)
def test_a_linear_displacement_is_reproduced_with_its_state(box, order):
    """Prescribed on the boundary of a distorted mesh, in two steps of a curved law."""
    kind, solid = BOXES[box]
    domain = distorted_box(kind)
    dimension = domain.geometry.dim
    gradient = 0.05 * np.random.default_rng(0).normal(size=(3, 3))[:dimension, :dimension]
    space = fem.functionspace(domain, ("Lagrange", order, (dimension,)))
    u, prescribed = fem.Function(space), fem.Function(space)
    domain.topology.create_connectivity(dimension - 1, dimension)
    facets = mesh.exterior_facet_indices(domain.topology)
    bc = fem.dirichletbc(prescribed, fem.locate_dofs_topological(space, dimension - 1, facets))
    law = InternalVariableLaw(smooth_law(), solid(), u, 2 * order)
    problem = InternalVariableProblem(law, u, [bc])
    TimeStepping(
        problem,
        lambda t: prescribed.interpolate(lambda x: t * gradient @ x[:dimension]),
    ).run([0.0, 0.5, 1.0])
    exact = fem.Function(space)
    exact.interpolate(lambda x: gradient @ x[:dimension])
    assert np.abs(u.x.array - exact.x.array).max() < 1e-9 * np.abs(exact.x.array).max()
    spread = np.ptp(law.internal, axis=0).max() / np.abs(law.internal).max()
    assert spread < 1e-8


def test_a_quadratic_displacement_in_equilibrium_is_reproduced():
    """Torsion of an elliptic bar, u = θ (−y z, x z, c x y), on quadratic tetrahedra."""
    domain = distorted_box(mesh.CellType.tetrahedron)
    domain.geometry.x[:] = mesh.create_unit_cube(MPI.COMM_SELF, 2, 2, 2).geometry.x
    space = fem.functionspace(domain, ("Lagrange", 2, (3,)))
    u, prescribed = fem.Function(space), fem.Function(space)
    prescribed.interpolate(
        lambda x: 0.01 * np.stack([-x[1] * x[2], x[0] * x[2], -0.6 * x[0] * x[1]])
    )
    domain.topology.create_connectivity(2, 3)
    facets = mesh.exterior_facet_indices(domain.topology)
    bc = fem.dirichletbc(prescribed, fem.locate_dofs_topological(space, 2, facets))
    law = InternalVariableLaw(linear_law(), sphere(), u, 2)
    problem = InternalVariableProblem(law, u, [bc])
    TimeStepping(problem).run([0.0, 0.5, 1.0])
    assert np.abs(u.x.array - prescribed.x.array).max() < 1e-12


# ---- Newton and energy ------------------------------------------------------------------------


def pulled_block(model, kinematics, kind=mesh.CellType.tetrahedron, comm=MPI.COMM_SELF, **options):
    """A block clamped at x = 0 and pulled at x = 1: stresses vary over it."""
    domain = distorted_box(kind, comm, 3)
    dimension = domain.geometry.dim
    space = fem.functionspace(domain, ("Lagrange", 1, (dimension,)))
    u = fem.Function(space)
    pull = fem.Constant(domain, np.zeros(dimension))
    ends = []
    for position, value in ((0.0, np.zeros(dimension)), (1.0, pull)):
        facets = mesh.locate_entities_boundary(
            domain, dimension - 1, lambda x, position=position: np.isclose(x[0], position)
        )
        dofs = fem.locate_dofs_topological(space, dimension - 1, facets)
        ends.append(fem.dirichletbc(value, dofs, space))
    law = InternalVariableLaw(model, kinematics, u, 1)
    return pull, ends, InternalVariableProblem(law, u, ends, **options)


@pytest.mark.parametrize(
    ("kind", "solid"),
    [
        (mesh.CellType.tetrahedron, lambda: sphere(finite=True)),
        (mesh.CellType.triangle, lambda: PlaneStress(sphere(finite=True))),
        (mesh.CellType.triangle, lambda: PlaneStrain(sphere())),
    ],
)
def test_newton_converges_quadratically_on_solids(kind, solid):
    pull, _, problem = pulled_block(TwoWells().model(), solid(), kind, options={"snes_rtol": 1e-13})
    pull.value[0] = 0.25
    report = problem.solve(0.5)
    assert report.converged
    residuals = np.array(report.residual_history)
    scale = problem.internal_force.x.petsc_vec.norm()
    inside = residuals[(residuals < 0.3 * scale) & (residuals > 1e-12 * scale)] / scale
    assert len(inside) >= 2
    orders = np.log(inside[1:]) / np.log(inside[:-1])
    assert orders[-1] > 1.7, f"residuals {residuals / scale}"


@pytest.mark.parametrize("dt", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize(
    ("kind", "solid"),
    [
        (mesh.CellType.tetrahedron, sphere),
        (mesh.CellType.triangle, lambda: PlaneStress(sphere())),
    ],
)
def test_energy_of_every_load_step_is_accounted_for(kind, solid, dt):
    """W = ΔΨ + D + (numerical dissipation ≥ 0), for steps from 1/500 to 2000 relaxation times."""
    pull, _, problem = pulled_block(smooth_law(2), solid(), kind)

    def load(time):
        pull.value[0] = 0.1 * np.sin(2.0 * time / dt)

    steps = TimeStepping(problem, load).run(dt * np.arange(4))
    for step in steps:
        balance = step.balance
        scale = abs(balance.external_work) + abs(balance.stored) + 1e-12
        assert balance.dissipated >= 0.0
        assert balance.numerical > -1e-8 * scale
        np.testing.assert_allclose(balance.external_work, balance.internal_work, atol=1e-8 * scale)


def test_residual_and_jacobian_of_a_finite_solid_agree_to_second_order():
    """Taylor remainder |r(u + h d) − r(u) − h J d| = O(h²)."""
    _, _, problem = pulled_block(
        smooth_law(), PlaneStress(sphere(finite=True)), mesh.CellType.triangle
    )
    (law,), u = problem.laws, problem.u
    v, du = ufl.TestFunction(u.function_space), ufl.TrialFunction(u.function_space)
    residual, jacobian = fem.form(law.virtual_work(v)), fem.form(law.stiffness(du, v))
    rng = np.random.default_rng(0)
    base, direction = 0.05 * rng.normal(size=(2, len(u.x.array)))

    def assembled(values):
        u.x.array[:] = values
        law.update(0.2)
        return fem.assemble_vector(residual).array.copy()

    start = assembled(base)
    slope = fem.assemble_matrix(jacobian).to_dense() @ direction
    remainder = [
        np.linalg.norm(assembled(base + h * direction) - start - h * slope) for h in (0.1, 0.05)
    ]
    assert 3.5 < remainder[0] / remainder[1] < 4.5


def test_an_update_without_a_change_needs_one_pass_of_the_law():
    """The thickness strain of the last iterate is the first of the next."""
    model = smooth_law()
    pull, _, problem = pulled_block(model, PlaneStress(sphere()), mesh.CellType.triangle)
    update, calls = model.kernel.update, []

    def counted(*arguments, **keywords):
        calls.append(None)
        return update(*arguments, **keywords)

    model.kernel.update = counted
    pull.value[0] = 0.1
    assert problem.solve(0.2).converged
    blocks = -(-problem.laws[0].points.size // problem.laws[0]._point_update.evaluation.block)
    calls.clear()
    problem.laws[0].update(0.2)
    assert len(calls) == blocks


# ---- Settings against each other --------------------------------------------------------------


@pytest.mark.parametrize("finite", [False, True])
def test_a_slab_held_between_planes_is_in_plane_strain(finite):
    """One layer of hexahedra with u_z = 0 against quadrilaterals: the same displacements."""
    solid = Microsphere(25, finite=finite, orientation=around_axis([1.0, 0.4, 0.0], 1.0))
    model = smooth_law()

    def solve(domain, kinematics):
        dimension = domain.geometry.dim
        space = fem.functionspace(domain, ("Lagrange", 1, (dimension,)))
        u, bcs = fem.Function(space), []
        for position, value in ((0.0, 0.0), (1.0, 0.1)):
            facets = mesh.locate_entities_boundary(
                domain, dimension - 1, lambda x, position=position: np.isclose(x[0], position)
            )
            for axis in range(2):
                dofs = fem.locate_dofs_topological(space.sub(axis), dimension - 1, facets)
                bcs.append(fem.dirichletbc(value * (axis + 0.5), dofs, space.sub(axis)))
        if dimension == 3:
            domain.topology.create_connectivity(3, 3)
            cells = np.arange(domain.topology.index_map(3).size_local, dtype=np.int32)
            dofs = fem.locate_dofs_topological(space.sub(2), 3, cells)
            bcs.append(fem.dirichletbc(0.0, dofs, space.sub(2)))
        law = InternalVariableLaw(model, kinematics, u, 2)
        problem = InternalVariableProblem(law, u, bcs)
        TimeStepping(problem).run([0.0, 0.3, 0.6])
        x = space.tabulate_dof_coordinates()
        order = np.lexsort((x[:, 2], np.round(x[:, 1], 9), np.round(x[:, 0], 9)))
        return u.x.array.reshape(-1, dimension)[order], law.stored_energy()

    slab, stored = solve(
        mesh.create_box(
            MPI.COMM_SELF,
            [(0.0, 0.0, 0.0), (1.0, 1.0, 0.2)],
            [3, 3, 1],
            cell_type=mesh.CellType.hexahedron,
        ),
        solid,
    )
    plane, expected = solve(
        mesh.create_unit_square(MPI.COMM_SELF, 3, 3, cell_type=mesh.CellType.quadrilateral),
        PlaneStrain(solid, thickness=0.2),
    )
    assert np.abs(slab[::2, :2] - plane).max() < 1e-10
    np.testing.assert_allclose(stored, expected, rtol=1e-9)


@pytest.mark.parametrize("finite", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_block_a_plate_and_a_bar_in_tension_agree(finite):
    """Uniform uniaxial stress: free faces in space, condensed thickness, condensed section."""
    model = smooth_law()
    answers = []
    for domain, kinematics in (
        (mesh.create_unit_cube(MPI.COMM_SELF, 1, 1, 1), sphere(finite=finite)),
        (mesh.create_unit_square(MPI.COMM_SELF, 1, 1), PlaneStress(sphere(finite=finite))),
        (mesh.create_unit_interval(MPI.COMM_SELF, 1), UniaxialStress(sphere(finite=finite))),
    ):
        dimension = domain.geometry.dim
        shape = (dimension,) if dimension > 1 else ()
        space = fem.functionspace(domain, ("Lagrange", 1, shape))
        u, pull, bcs = fem.Function(space), fem.Constant(domain, 0.0), []
        for axis in range(dimension):
            for position in (0.0, 1.0) if axis == 0 else (0.0,):
                facets = mesh.locate_entities_boundary(
                    domain, dimension - 1, lambda x, a=axis, p=position: np.isclose(x[a], p)
                )
                part = space.sub(axis) if shape else space
                dofs = fem.locate_dofs_topological(part, dimension - 1, facets)
                value = pull if position == 1.0 else fem.Constant(domain, 0.0)
                bcs.append(fem.dirichletbc(value, dofs, part))
        law = InternalVariableLaw(model, kinematics, u, 0)
        problem = InternalVariableProblem(law, u, bcs)
        TimeStepping(problem, lambda t, pull=pull: setattr(pull, "value", 0.2 * t)).run(
            [0.0, 0.5, 1.0]
        )
        answers.append((problem.reaction(bcs[1])[0], law.stored_energy(), law.dissipated[0]))
    np.testing.assert_allclose(answers[1], answers[0], rtol=1e-7)
    np.testing.assert_allclose(answers[2], answers[0], rtol=1e-7)


# ---- Closed forms -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("case", "wrap", "counts"),
    [
        (cylinder_ring, PlaneStrain, (2, 4)),
        pytest.param(cylinder_meridian, Axisymmetric, (4, 8), marks=pytest.mark.slow),
        (cantilever, PlaneStress, (2, 4)),
    ],
)
def test_elastic_solutions_converge_at_the_order_of_the_elements(case, wrap, counts):
    """Quadratic elements: third order for the displacement, second for the stress."""
    displacement, stress = [], []
    for cells in counts:
        body = case(linear_law(), wrap(sphere()), cells, 2)
        assert body.problem.solve(0.0).iterations == 1
        displacement.append(body.displacement_error())
        stress.append(body.stress_error())
    assert observed_orders(displacement)[-1] > 2.7, displacement
    assert observed_orders(stress)[-1] > 1.8, stress
    assert displacement[-1] < 3e-4


# ---- Ranks and refusals -----------------------------------------------------------------------


@pytest.mark.mpi
@pytest.mark.parametrize(
    ("kind", "solid"),
    [
        (mesh.CellType.tetrahedron, lambda: sphere(finite=True)),
        (mesh.CellType.triangle, lambda: PlaneStress(sphere())),
    ],
)
def test_ranks_share_a_solid_without_a_trace(kind, solid):
    forces = []
    for comm in (MPI.COMM_SELF, MPI.COMM_WORLD):
        pull, ends, problem = pulled_block(smooth_law(), solid(), kind, comm)
        pull.value[0] = 0.1
        for dt in (0.0, 0.3):
            assert problem.solve(dt).converged
            problem.commit()
        forces.append(problem.reaction(ends[1]))
    np.testing.assert_allclose(forces[1], forces[0], rtol=1e-9, atol=1e-12)


def test_meshes_and_laws_that_do_not_fit_are_refused_with_a_message(zener):
    square = mesh.create_unit_square(MPI.COMM_SELF, 1, 1)
    u = fem.Function(fem.functionspace(square, ("Lagrange", 1, (2,))))
    with pytest.raises(ValueError, match=r"dimension 3; found.*use PlaneStrain, PlaneStress"):
        InternalVariableLaw(zener(), Microsphere(25), u, 0)
    cube = mesh.create_unit_cube(MPI.COMM_SELF, 1, 1, 1)
    u = fem.Function(fem.functionspace(cube, ("Lagrange", 1, (3,))))
    with pytest.raises(ValueError, match=r"dimension 2; found.*use Microsphere or FullStrain"):
        InternalVariableLaw(zener(), PlaneStress(Microsphere(25)), u, 0)
    from ibvonn_fem.kinematics import FullStrain

    with pytest.raises(ValueError, match="needs a law with 6 strain components; zener has 1"):
        InternalVariableLaw(zener(), FullStrain(), u, 0)
