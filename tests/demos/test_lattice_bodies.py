"""Triangles of a lattice's body: their bonds, their stiffness, and open fractions on patches."""

from __future__ import annotations

import dataclasses
import importlib
from pathlib import Path
from typing import Any

from mpi4py import MPI  # noqa: F401 - before DOLFINx

import lattice_bodies as bodies
import lattice_meshes as meshes
import numpy as np
import pytest
from lattice_elements import Elements, elastic_stiffness

import ibvonn_fem

pytestmark = [pytest.mark.fem, pytest.mark.demo]

MODEL = Path(__file__).resolve().parents[2] / "exported_models" / "lattice"
Array = np.ndarray[Any, Any]


def spring_network(experiment: bodies.Experiment) -> float:
    """What the grips feel for c = 1 if every bond is a spring of the folded stiffness."""
    body, bond = experiment.body, experiment.lattice.bond
    series = bond.stiffness * bond.well_stiffness / (bond.stiffness + bond.well_stiffness)
    count, size = len(body.bonds), 2 * len(body.nodes)
    unit = body.lattice.directions[body.directions]
    elongation = np.zeros((count, size))
    for sign, ends in ((-1.0, body.bonds[:, 0]), (1.0, body.bonds[:, 1])):
        for d in range(2):
            elongation[np.arange(count), 2 * ends + d] += sign * unit[:, d]
    stiffness = series * elongation.T @ elongation
    u = experiment.motion(body.nodes).ravel()
    held = np.repeat(body.gripped, 2)
    free = ~held
    right = -stiffness[np.ix_(free, held)] @ u[held]
    u[free] = np.linalg.solve(stiffness[np.ix_(free, free)], right)
    force = (stiffness @ u).reshape(-1, 2)
    grips = np.zeros((1, 2, 3))
    for number, nodes in enumerate(body.grips.values()):
        (x, y), (fx, fy) = body.nodes[nodes].T, force[nodes].T
        grips[0, number] = fx.sum(), fy.sum(), (x * fy - y * fx).sum()
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


def test_without_gmsh_the_demo_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> meshes.Grid:
        raise ImportError("No module named 'gmsh'")

    monkeypatch.setattr(meshes, "_with_gmsh", fails)
    with pytest.raises(meshes.NoGmsh, match=r"pip install gmsh.*libglu1-mesa"):
        meshes.gmsh_grid(bodies.with_hole(12, 2.0), 1.0)
