"""Meshes of a lattice's body: their bonds, their stiffness, and open fractions on patches."""

from __future__ import annotations

import dataclasses
import importlib
from pathlib import Path
from typing import Any

from mpi4py import MPI  # before DOLFINx

import lattice_bodies as bodies
import lattice_meshes as meshes
import numpy as np
import pytest
from dolfinx import mesh
from lattice_elements import Elements, elastic_stiffness
from lattice_sections import section_of_cells

import ibvonn_fem

pytestmark = [pytest.mark.fem, pytest.mark.demo]

MODEL = Path(__file__).resolve().parents[2] / "exported_models" / "lattice"
Array = np.ndarray[Any, Any]


def spring_network(experiment: bodies.Experiment) -> float:
    """What the grips feel for c = 1 if every bond is a spring of the folded stiffness."""
    body, bond, d = experiment.body, experiment.lattice.bond, experiment.size
    series = bond.stiffness * bond.well_stiffness / (bond.stiffness + bond.well_stiffness)
    count, size = len(body.bonds), d * len(body.nodes)
    unit = body.lattice.directions[body.directions]
    elongation = np.zeros((count, size))
    for sign, ends in ((-1.0, body.bonds[:, 0]), (1.0, body.bonds[:, 1])):
        for k in range(d):
            elongation[np.arange(count), d * ends + k] += sign * unit[:, k]
    stiffness = series * elongation.T @ elongation
    u = experiment.lattice.fields[0].ravel().copy()
    held = np.repeat(body.gripped, d)
    free = ~held
    right = -stiffness[np.ix_(free, held)] @ u[held]
    u[free] = np.linalg.solve(stiffness[np.ix_(free, free)], right)
    force = (stiffness @ u).reshape(-1, d)
    grips = np.zeros((1, 2, 3 * (d - 1)))
    for number, nodes in enumerate(body.grips.values()):
        grips[0, number, :d] = force[nodes].sum(0)
        if d == 2:
            (x, y), (fx, fy) = body.nodes[nodes].T, force[nodes].T
            grips[0, number, 2] = (x * fy - y * fx).sum()
    return float(experiment.felt(grips)[0])


@pytest.mark.parametrize("made", ["hole", "notch"])
def test_own_triangles_have_the_stiffness_of_the_springs(made: str) -> None:
    """With the bonds of the edge whole; half of them, the control, is seen."""
    experiment = bodies.with_hole(12, 2.0) if made == "hole" else bodies.with_notch(12, 3.0)
    model, grid = ibvonn_fem.load_model(MODEL), meshes.own_triangles(experiment.body)
    expected = spring_network(experiment)
    halved = dataclasses.replace(grid, weights=None)
    whole, half = (
        elastic_stiffness(Elements(model, experiment, each, drag=False)) for each in (grid, halved)
    )
    assert whole == pytest.approx(expected, rel=3e-3)  # what was learned of k K / (k + K)
    assert half < 0.97 * expected


def test_every_bond_belongs_to_two_triangles_or_to_the_edge() -> None:
    experiment = bodies.with_hole(14, 3.0)
    body, grid = experiment.body, meshes.own_triangles(experiment.body)
    corners = body.nodes[grid.cells]
    sides = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=-1)
    np.testing.assert_allclose(sides, 1.0)
    assert grid.weights is not None
    alone = int((grid.weights[grid.kinds] - 1.0).sum())
    assert 3 * len(grid.cells) == 2 * len(body.bonds) - alone
    square = bodies.with_hole(14, 0.2).body  # the hole is too small for a node
    assert len(meshes.triangles(square)) == 2 * 13 * 13
    # The continuum of the effective radius has as many bonds as the body.
    width, height = experiment.corner
    area = width * height - np.pi * experiment.hole[2] ** 2
    full = bodies.lattice_block(14, 14).volume - width * height
    assert area + full == pytest.approx(body.volume)


def test_patches_of_bonds_and_of_triangles_agree_on_a_linear_field() -> None:
    """On triangles that patches cut; the mean of the reversed field is not taken for it."""
    experiment = bodies.with_hole(20, 3.0)
    body, grid = experiment.body, meshes.own_triangles(experiment.body)
    middle = body.nodes[body.bonds].mean(1)
    of_bonds = bodies.patches_of_bonds(experiment, middle[:, 0], 4)
    corners = body.nodes[grid.cells]
    values = np.repeat(corners.mean(1)[:, :1], 3, 1)
    of_triangles = bodies.patches_of_cells(experiment, corners, values, 4)
    weights = bodies.bonds_on_patches(experiment, 4)
    assert weights.sum() == len(body.bonds)
    assert bodies.percent(of_triangles, of_bonds, weights) < 2.5
    assert bodies.percent(of_triangles[::-1], of_bonds, weights) > 50.0


def corners_of(box: mesh.Mesh) -> Array:
    """Corners of all tetrahedra, ``(n, 4, 3)``."""
    cells = np.arange(box.topology.index_map(3).size_local, dtype=np.int32)
    corners: Array = box.geometry.x[mesh.entities_to_geometry(box, 3, cells)]
    return corners


def test_patches_of_bonds_and_of_tetrahedra_agree_on_a_linear_field() -> None:
    experiment = bodies.with_cavity((8.0 * 2.0**0.5, 12.0, 12.0), 0.1)
    middle = bodies.middles_of_bonds(experiment)
    of_bonds = bodies.patches_of_bonds(experiment, middle[:, 0], 2)
    box = mesh.create_box(MPI.COMM_SELF, [[0.0, 0.0, 0.0], experiment.corner], [7, 5, 5])
    corners = corners_of(box)
    values = np.repeat(corners.mean(1)[:, :1], 6, 1)
    of_cells = bodies.patches_of_cells(experiment, corners, values, 2)
    weights = bodies.bonds_on_patches(experiment, 2)
    assert weights.sum() == len(experiment.body.bonds)
    assert bodies.percent(of_cells, of_bonds, weights) < 2.5
    assert bodies.percent(of_cells[::-1], of_bonds, weights) > 50.0


def test_a_section_cuts_tetrahedra_into_polygons_of_the_plane() -> None:
    """The polygons cover the section once, whether they have three corners or four."""
    box = mesh.create_box(MPI.COMM_SELF, [[0.0, 0.0, 0.0], [1.0, 2.0, 3.0]], [3, 3, 3])
    corners = corners_of(box)
    polygons, cells = section_of_cells(corners, 0.45)
    assert {len(each) for each in polygons} == {3, 4}
    assert len(polygons) == len(cells) < len(corners)
    following = [np.roll(each, -1, axis=0) for each in polygons]
    area = sum(
        0.5 * abs(float((p[:, 0] * q[:, 1] - p[:, 1] * q[:, 0]).sum()))
        for p, q in zip(polygons, following, strict=True)
    )
    assert area == pytest.approx(6.0)


def gmsh_loads() -> bool:
    """Whether gmsh is there with the libraries of its display, which pip does not bring."""
    try:
        importlib.import_module("gmsh")
    except (ImportError, OSError):
        return False
    return True


@pytest.mark.skipif(not gmsh_loads(), reason="needs gmsh")
@pytest.mark.parametrize("made", ["hole", "notch"])
def test_unstructured_triangles_cover_the_area_of_the_bonds(made: str) -> None:
    experiment = bodies.with_hole(20, 3.0) if made == "hole" else bodies.with_notch(20, 5.0)
    grid = meshes.gmsh_grid(experiment, 1.0)
    (a, b, c), full = grid.nodes[grid.cells].swapaxes(0, 1), bodies.lattice_block(20, 20)
    first, second = b - a, c - a
    area = 0.5 * np.abs(first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0])
    missing = float(np.prod(experiment.corner)) - area.sum()
    assert missing == pytest.approx(full.volume - experiment.body.volume, rel=0.02)
    model = ibvonn_fem.load_model(MODEL)
    stiffness = elastic_stiffness(Elements(model, experiment, grid, drag=False))
    assert stiffness == pytest.approx(spring_network(experiment), rel=0.05)


@pytest.mark.skipif(not gmsh_loads(), reason="needs gmsh")
def test_tetrahedra_have_the_bonds_of_free_faces_and_the_stiffness_of_the_springs() -> None:
    """Half of the bonds of free faces, the control, are seen."""
    experiment = bodies.with_cavity((6.0 * 2.0**0.5, 8.0, 8.0), 2.0)
    grid = meshes.gmsh_grid(experiment, 2.0)
    a, b, c, d = grid.nodes[grid.cells].swapaxes(0, 1)
    volume = np.abs(np.einsum("ni,ni->n", np.cross(b - a, c - a), d - a)).sum() / 6.0
    low, high = experiment.ends
    ball = 4.0 / 3.0 * np.pi * experiment.hole[3] ** 3
    assert volume == pytest.approx(np.prod(experiment.corner[:2]) * (high - low) - ball, rel=0.02)
    # Of six directions [110] and [1-10] lie along and across: layers at 1/2, and 1/√2 along [001].
    assert grid.weights is not None
    extra = 2.0 * (grid.weights - 1.0)
    along, across = (
        int(np.abs(experiment.turned(experiment.body.lattice.directions)[:, k]).argmax())
        for k in (2, 1)
    )
    np.testing.assert_allclose(extra[2, [along, across]], [0.25, -0.25])
    np.testing.assert_allclose(extra[1, [along, across]], 0.125**0.5)
    np.testing.assert_allclose(np.delete(extra[:3], [along, across], 1), 0.0, atol=1e-9)
    model = ibvonn_fem.load_model(MODEL.with_name("lattice_fcc"))
    expected = spring_network(experiment)
    plain = meshes.Grid(grid.nodes, grid.cells)
    whole, half = (
        elastic_stiffness(Elements(model, experiment, each, drag=False)) for each in (grid, plain)
    )
    assert whole == pytest.approx(expected, rel=0.04)  # linear tetrahedra are too stiff
    assert half < 0.92 * expected


def test_without_gmsh_the_demo_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> meshes.Grid:
        raise ImportError("No module named 'gmsh'")

    monkeypatch.setattr(meshes, "_with_gmsh", fails)
    with pytest.raises(meshes.NoGmsh, match=r"pip install gmsh.*libglu1-mesa"):
        meshes.gmsh_grid(bodies.with_hole(12, 2.0), 1.0)
