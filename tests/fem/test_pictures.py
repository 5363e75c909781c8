"""Shapes have the right polygons and values on any number of ranks, and both painters draw them."""

from mpi4py import MPI

import numpy as np
import pictures
import pytest
import ufl
from dolfinx import fem, mesh
from own_process import painted_with_pyvista

from ibvonn_fem import InternalVariableLaw, Microcircle, Microsphere

pytestmark = pytest.mark.fem

CELLS = {
    "triangles": (mesh.CellType.triangle, Microcircle(4)),
    "quadrilaterals": (mesh.CellType.quadrilateral, Microcircle(4)),
    "tetrahedra": (mesh.CellType.tetrahedron, Microsphere(7)),
    "hexahedra": (mesh.CellType.hexahedron, Microsphere(7)),
}


def shape_of(model, kind, *, order=1, factor=1.0, comm=MPI.COMM_WORLD):
    """A square or cube of side 1, stretched along x by a half; the value is x at the cells."""
    cell, kinematics = CELLS[kind]
    dim = 2 if isinstance(kinematics, Microcircle) else 3
    make = mesh.create_unit_square if dim == 2 else mesh.create_unit_cube
    domain = make(comm, *[3] * dim, cell_type=cell)
    space = fem.functionspace(domain, ("Lagrange", order, (dim,)))
    u = fem.Function(space)
    law = InternalVariableLaw(model, kinematics, u, 4)
    u.interpolate(lambda x: np.stack([0.5 * x[0], *[0.0 * x[0]] * (dim - 1)]))
    x = law.points.evaluator(ufl.SpatialCoordinate(domain)[0])()[:, 0]
    return pictures.deformed_shape("stretched", law, u, x, factor)


def area(polygons):
    """Sum of the areas of plane polygons: wrong orders of the corners would make it smaller."""
    first = polygons[:, :1]
    fan = np.cross(polygons[:, 1:-1] - first, polygons[:, 2:] - first)
    return 0.5 * np.linalg.norm(fan.sum(axis=1), axis=-1).sum()


@pytest.mark.mpi
@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("kind", CELLS)
def test_a_shape_is_the_whole_deformed_body(zener, kind, order):
    shape = shape_of(zener(), kind, order=order)
    if MPI.COMM_WORLD.rank > 0:
        assert len(shape.values) == 0
        return
    solid = kind in ("tetrahedra", "hexahedra")
    expected = 2.0 * (1.5 + 1.5 + 1.0) if solid else 1.5
    np.testing.assert_allclose(area(shape.polygons), expected, rtol=1e-12)
    np.testing.assert_allclose(shape.polygons.max((0, 1))[0], 1.5)
    if kind in ("quadrilaterals", "hexahedra"):  # cells, whose middle is that of the value
        inside = np.ptp(shape.polygons[..., 0], axis=1) > 0.1
        middle = shape.polygons[..., 0].mean(axis=1) / 1.5
        np.testing.assert_allclose(shape.values[inside], middle[inside], rtol=1e-12)


def test_the_displacement_can_be_exaggerated(zener):
    shape = shape_of(zener(), "triangles", factor=4.0, comm=MPI.COMM_SELF)
    np.testing.assert_allclose(shape.polygons.max((0, 1))[:2], [3.0, 1.0])


@pytest.mark.parametrize("kind", ["quadrilaterals", "tetrahedra"])
@pytest.mark.parametrize("painter", ["pyvista", "matplotlib"])
def test_both_painters_draw_a_picture_with_the_colours_of_the_values(
    zener, kind, painter, monkeypatch
):
    if painter == "pyvista" and not pictures.pyvista_draws():
        pytest.skip("pyvista cannot draw here")
    monkeypatch.setattr(pictures, "pyvista_draws", lambda: painter == "pyvista")
    monkeypatch.setattr(pictures, "_with_pyvista", painted_with_pyvista)
    from matplotlib import pyplot

    shape = shape_of(zener(), kind, comm=MPI.COMM_SELF)
    figure, ax = pyplot.subplots()
    pictures.draw(ax, [shape, shape], "x", size=(160, 120), colours="viridis")
    image = ax.images[0].get_array()
    assert image.shape == (120, 320, 3)
    coloured = np.ptp(np.asarray(image, dtype=int), axis=-1) > 30
    assert coloured[:, :160].sum() > 1000
    assert coloured[:, 160:].sum() > 1000
    pyplot.close(figure)
