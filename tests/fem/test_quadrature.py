"""The law owns its measure: points, volumes and averages, and refusals of any other measure."""

from mpi4py import MPI
from petsc4py import PETSc

import numpy as np
import pytest
import ufl
from dolfinx import fem, mesh

import ibvonn_fem._compat
from ibvonn_fem import InternalVariableLaw, InternalVariableProblem, Uniaxial
from ibvonn_fem.body.quadrature import QuadraturePoints

pytestmark = pytest.mark.fem


def test_integrals_over_the_points_equal_those_of_ufl():
    square = mesh.create_unit_square(MPI.COMM_SELF, 3, 2, mesh.CellType.quadrilateral)
    square.geometry.x[:, 0] += 0.1 * square.geometry.x[:, 1] ** 2
    points = QuadraturePoints(square, 4)
    x = ufl.SpatialCoordinate(square)
    values = points.evaluator(x[0] * x[1] ** 2)()[:, 0]
    expected = fem.assemble_scalar(fem.form(x[0] * x[1] ** 2 * points.dx))
    np.testing.assert_allclose(values @ points.volumes(), expected, rtol=1e-13)


def test_values_come_back_from_a_function_point_by_point():
    square = mesh.create_unit_square(MPI.COMM_SELF, 3, 2)
    points = QuadraturePoints(square, 3)
    function = points.function((2,), "values")
    x = ufl.SpatialCoordinate(square)
    points.rows(function).set(points.evaluator(x)())
    difference = ufl.inner(function - x, function - x) * points.dx
    assert fem.assemble_scalar(fem.form(difference)) < 1e-30


def test_a_subset_of_cells_has_its_own_points_and_measure():
    square = mesh.create_unit_square(MPI.COMM_SELF, 4, 4)
    cells = mesh.locate_entities(square, 2, lambda x: x[0] <= 0.5 + 1e-12)
    tags = mesh.meshtags(square, 2, cells, np.full(len(cells), 7, dtype=np.int32))
    points = QuadraturePoints(square, 2, (tags, 7))
    assert points.size == 3 * len(cells) == 3 * 16
    np.testing.assert_allclose(points.volumes().sum(), 0.5, rtol=1e-13)
    one = fem.Constant(square, 1.0)
    np.testing.assert_allclose(fem.assemble_scalar(fem.form(one * points.dx)), 0.5, rtol=1e-13)
    function = points.function((), "values")
    points.rows(function).set(np.ones((points.size, 1)))
    np.testing.assert_allclose(fem.assemble_scalar(fem.form(function * points.dx)), 0.5, rtol=1e-13)


def test_cell_averages_are_the_projection_to_piecewise_constants():
    line = mesh.create_interval(MPI.COMM_SELF, 4, [0.0, 1.0])
    points = QuadraturePoints(line, 4)  # three points of unlike weights
    x = ufl.SpatialCoordinate(line)
    average = points.cell_average(points.evaluator(x[0] ** 2)(), points.volumes())
    edges = np.linspace(0.0, 1.0, 5)
    np.testing.assert_allclose(average[:, 0], np.diff(edges**3) / 3.0 / 0.25, rtol=1e-13)


@pytest.mark.parametrize("degree", [-1, 1.5, True, "2"])
def test_a_degree_that_is_no_whole_number_is_refused(zener, bar, degree):
    body = bar(zener())
    with pytest.raises(ValueError, match="quadrature_degree: must be a whole number"):
        InternalVariableLaw(zener(), Uniaxial(), body.u, degree)


def test_another_measure_is_refused_with_a_message(zener, bar):
    body = bar(zener())
    v = ufl.TestFunction(body.u.function_space)
    for dx in (ufl.dx, ufl.dx(metadata={"quadrature_degree": 4}), ufl.ds):
        loads = body.law.stress * v * dx
        with pytest.raises(ValueError, match=r"zener_stress .* Write `\* law.dx` instead"):
            InternalVariableProblem(body.law, body.u, [body.left], loads)


def test_its_own_measure_is_accepted(zener, bar):
    body = bar(zener())
    v = ufl.TestFunction(body.u.function_space)
    InternalVariableProblem(body.law, body.u, [body.left], body.law.stress * v * body.law.dx)


def test_two_laws_share_a_bar_by_cells(zener, bar):
    """Soft left half, stiff right half in series: equal stress, strains as the compliances."""
    whole = bar(zener(), cells=8, order=1)
    domain, u = whole.u.function_space.mesh, whole.u
    middle = mesh.compute_midpoints(domain, 1, np.arange(8, dtype=np.int32))[:, 0]
    tags = mesh.meshtags(
        domain, 1, np.arange(8, dtype=np.int32), np.where(middle < 1.0, 1, 2).astype(np.int32)
    )
    laws = [
        InternalVariableLaw(zener(), Uniaxial(), u, 0, subdomain=(tags, 1)),
        InternalVariableLaw(zener(), Uniaxial(area=3.0), u, 0, subdomain=(tags, 2), name="stiff"),
    ]
    problem = InternalVariableProblem(laws, u, [whole.left, whole.right])
    whole.elongation.value = 0.4
    assert problem.solve(0.0).iterations == 1
    problem.commit()
    np.testing.assert_allclose(laws[0].measure, 0.3, rtol=1e-12)
    np.testing.assert_allclose(laws[1].measure, 0.1, rtol=1e-12)


def test_work_arrays_do_not_grow_with_the_mesh(zener, bar, monkeypatch):
    """A law evaluated in many blocks gives the same numbers as in one."""
    results = []
    for block in (4096, 3):
        monkeypatch.setattr("ibvonn_fem.kinematics.evaluation.BLOCK", block)
        body = bar(zener(quartic=1.0), body_force=0.2)
        body.elongation.value = 0.3
        body.problem.solve(0.1)
        assert len(body.law._point_update.evaluation._work.energy) == min(block, 10)
        results.append(body.law.points.rows(body.law.tangent).get().copy())
    np.testing.assert_array_equal(*results)


def test_a_mesh_or_a_law_that_does_not_fit_is_refused(zener):
    square = mesh.create_unit_square(MPI.COMM_SELF, 1, 1)
    u = fem.Function(fem.functionspace(square, ("Lagrange", 1, (2,))))
    with pytest.raises(ValueError, match="Uniaxial: needs a mesh of intervals"):
        InternalVariableLaw(zener(), Uniaxial(), u, 0)
    with pytest.raises(TypeError, match=r"u must be a dolfinx.fem.Function"):
        InternalVariableLaw(zener(), Uniaxial(), 3.0, 0)
    with pytest.raises(ValueError, match="area must be positive"):
        Uniaxial(area=-1.0)


def test_a_complex_petsc_is_refused_with_a_message(zener, bar, monkeypatch):
    body = bar(zener())
    monkeypatch.setattr(PETSc, "ScalarType", np.complex128)
    assert ibvonn_fem._compat.PETSc is PETSc
    with pytest.raises(TypeError, match=r"needs a PETSc built for real scalars.*complex128"):
        InternalVariableLaw(zener(), Uniaxial(), body.u, 0)
