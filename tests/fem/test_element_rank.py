"""Motions of an element without force: found for every cell and every rule, and warned of."""

from __future__ import annotations

from mpi4py import MPI

import basix.ufl
import numpy as np
import pytest
import ufl
from dolfinx import fem, mesh
from model_directory import EXPORTED

from ibvonn_fem import (
    Axisymmetric,
    FullStrain,
    InternalVariableLaw,
    Microcircle,
    PlaneStrain,
    PlaneStress,
    Uniaxial,
    load_model,
)
from ibvonn_fem.body.element_rank import missing_rank, strained_elements

pytestmark = [pytest.mark.fem, pytest.mark.export]

CORNERS = {
    "triangle": [[0, 0], [2, 0.3], [0.4, 1]],
    "quadrilateral": [[0, 0], [2, 0.3], [0.4, 1], [2.4, 1.3]],
    "tetrahedron": [[0, 0, 0], [2, 0.3, 0], [0.4, 1, 0.1], [0.2, 0.1, 1]],
    "hexahedron": [
        [0, 0, 0], [2, 0.3, 0], [0.4, 1, 0.1], [2.4, 1.3, 0.1],
        [0.2, 0.1, 1], [2.2, 0.4, 1], [0.6, 1.1, 1.1], [2.6, 1.4, 1.1],
    ],
    "prism": [
        [0, 0, 0], [2, 0.3, 0], [0.4, 1, 0.1], [0.2, 0.1, 1], [2.2, 0.4, 1], [0.6, 1.1, 1.1],
    ],
}  # fmt: skip


def one_cell(cell, displace=0.0):
    """An oblique (affine) cell."""
    points = np.array(CORNERS[cell], dtype=float)
    points[:, 0] += displace
    dimension = points.shape[1]
    coordinates = basix.ufl.element("Lagrange", cell, 1, shape=(dimension,))
    cells = np.arange(len(points))[None]
    return mesh.create_mesh(MPI.COMM_SELF, cells, coordinates, points)


def stiffness_free_motions(law, space):
    """Zero eigenvalues of the assembled stiffness of the one cell."""
    du, v = ufl.TrialFunction(space), ufl.TestFunction(space)
    matrix = fem.assemble_matrix(fem.form(law.stiffness(du, v))).to_dense()
    values = np.linalg.eigvalsh(0.5 * (matrix + matrix.T))
    return int(np.count_nonzero(values < 1e-10 * values[-1]))


@pytest.mark.parametrize(
    "cell",
    [
        pytest.param(cell, marks=[pytest.mark.slow] * (cell in {"prism", "hexahedron"}))
        for cell in CORNERS
    ],
)
@pytest.mark.parametrize(("order", "degree"), [(1, 0), (1, 2), (2, 2), (2, 4)])
def test_missing_rank_is_that_of_the_stiffness_of_a_cell(cell, order, degree, recwarn):
    domain = one_cell(cell)
    plane = domain.geometry.dim == 2
    u = fem.Function(fem.functionspace(domain, ("Lagrange", order, (domain.geometry.dim,))))
    solid = PlaneStrain(FullStrain(6)) if plane else FullStrain(6)
    law = InternalVariableLaw(load_model(EXPORTED / "exact_sls"), solid, u, degree)
    law.update(0.0)
    missing = stiffness_free_motions(law, u.function_space) - (3 if plane else 6)
    assert missing_rank(u.function_space.ufl_element(), degree) == missing
    assert any("hourglass" in str(warning.message) for warning in recwarn) == (missing > 0)


def test_rotational_symmetry_resists_with_its_hoop_strain(recwarn):
    """One rigid motion, and the hoop strain ties others down."""
    domain = one_cell("quadrilateral", displace=1.0)
    u = fem.Function(fem.functionspace(domain, ("Lagrange", 1, (2,))))
    for degree, missing in ((0, 3), (2, 0)):
        law = InternalVariableLaw(
            load_model(EXPORTED / "exact_sls"), Axisymmetric(FullStrain(6)), u, degree
        )
        law.update(0.0)
        assert stiffness_free_motions(law, u.function_space) - 1 == missing
        assert missing_rank(u.function_space.ufl_element(), degree, True) == missing


@pytest.mark.parametrize(
    ("cell", "family", "order", "enough"),
    [
        ("interval", "Lagrange", 1, 0), ("interval", "Lagrange", 3, 4),
        ("triangle", "Lagrange", 1, 0), ("triangle", "Lagrange", 2, 2),
        ("triangle", "Lagrange", 3, 4), ("tetrahedron", "Lagrange", 2, 2),
        ("pyramid", "Lagrange", 1, 0), ("pyramid", "Lagrange", 2, 2),
        ("quadrilateral", "Lagrange", 1, 2), ("quadrilateral", "Lagrange", 2, 4),
        ("quadrilateral", "Lagrange", 3, 6), ("quadrilateral", "serendipity", 2, 4),
        ("quadrilateral", "serendipity", 3, 4), ("hexahedron", "Lagrange", 1, 2),
        ("hexahedron", "Lagrange", 2, 4), ("hexahedron", "serendipity", 2, 4),
        ("prism", "Lagrange", 1, 2), ("prism", "Lagrange", 2, 4),
    ],
)  # fmt: skip
def test_the_lowest_degree_that_sees_every_motion(cell, family, order, enough):
    dimension = {"interval": 1, "triangle": 2, "quadrilateral": 2}.get(cell, 3)
    shape = (dimension,) if dimension > 1 else None
    element = basix.ufl.element(family, cell, order, shape=shape)
    assert [missing_rank(element, d) > 0 for d in range(enough + 3)] == [True] * enough + [
        False
    ] * 3


def enriched():
    parts = [("Lagrange", "triangle", 1), ("Bubble", "triangle", 3)]
    scalar = basix.ufl.enriched_element([basix.ufl.element(*part) for part in parts])
    return basix.ufl.blocked_element(scalar, shape=(2,))


def test_an_enriched_element_needs_more_points_than_its_complete_order():
    """P1 with a bubble has order 1, for which one point was taken as enough."""
    assert missing_rank(enriched(), 0) == 2
    assert missing_rank(enriched(), 2) == 0


def test_of_a_mixed_space_only_the_displacement_counts():
    """The pressure, a scalar of order 0 or 3, says nothing about the rule."""
    square = mesh.create_unit_square(MPI.COMM_SELF, 1, 1)
    vector = basix.ufl.element("Lagrange", "triangle", 2, shape=(2,))
    for pressure in (
        basix.ufl.element("DG", "triangle", 0),
        basix.ufl.element("Lagrange", "triangle", 3),
    ):
        for parts, position in (((vector, pressure), 0), ((pressure, vector), 1)):
            w = fem.Function(fem.functionspace(square, basix.ufl.mixed_element(list(parts))))
            assert strained_elements(ufl.split(w)[position]) == [vector]


@pytest.mark.parametrize(
    ("kinematics", "model"),
    [
        (PlaneStrain(FullStrain(6)), "exact_sls"),
        (PlaneStress(FullStrain(6)), "exact_sls"),
        (PlaneStrain(FullStrain(6, finite=True)), "exact_sls"),
        (Microcircle(4), "kramers_unfolding"),
    ],
    ids=["plane strain", "plane stress", "finite strain", "microcircle"],
)
def test_a_poor_rule_is_warned_of_with_a_good_one(kinematics, model):
    square = mesh.create_unit_square(MPI.COMM_SELF, 1, 1, mesh.CellType.quadrilateral)
    u = fem.Function(fem.functionspace(square, ("Lagrange", 2, (2,))))
    with pytest.warns(UserWarning, match=r"3 of its motions .* Take quadrature_degree=4\."):
        InternalVariableLaw(load_model(EXPORTED / model), kinematics, u, 2)


def test_a_truss_in_the_plane_is_judged_along_its_axis(recwarn):
    points = np.array([[0.0, 0.0], [0.6, 0.8]])
    coordinates = basix.ufl.element("Lagrange", "interval", 1, shape=(2,))
    truss = mesh.create_mesh(MPI.COMM_SELF, np.array([[0, 1]]), coordinates, points)
    law = load_model(EXPORTED / "exact_trap")
    u = fem.Function(fem.functionspace(truss, ("Lagrange", 1, (2,))))
    InternalVariableLaw(law, Uniaxial(), u, 0)
    assert not [warning for warning in recwarn if "hourglass" in str(warning.message)]
    u = fem.Function(fem.functionspace(truss, ("Lagrange", 2, (2,))))
    with pytest.warns(UserWarning, match=r"Take quadrature_degree=2\."):
        InternalVariableLaw(law, Uniaxial(), u, 0)
