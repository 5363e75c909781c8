"""Triangles and tetrahedra of bodies that are cut out of a lattice."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from mpi4py import MPI

import numpy as np
from lattice_bodies import Experiment
from numpy.typing import NDArray

from ibvonn_fem.kernels.base import FloatArray
from ibvonn_train.simulation.systems.lattice_body import LatticeBody

NEAR, GROWTH = 0.4, 0.3
"""Size of tetrahedra at the cavity, in parts of the largest; growth with the distance."""


@dataclass(frozen=True, eq=False)
class Grid:
    """Nodes ``(n, d)`` and triangles or tetrahedra ``(m, d + 1)``, on every rank.

    Attributes:
        nodes: Positions.
        cells: Corners.
        kinds: For each cell its row of ``weights``; None where all bonds count as in the lattice.
        weights: How often bonds of each direction count in cells of a kind against the lattice,
            ``(n_kind, n_direction)``.
        drags: How often nodes count there, ``(n_kind,)``; None where the nodes are those of the
            lattice, each with its drag.
    """

    nodes: FloatArray
    cells: NDArray[np.int64]
    kinds: NDArray[np.int64] | None = None
    weights: FloatArray | None = None
    drags: FloatArray | None = None


def triangles(body: LatticeBody) -> NDArray[np.int64]:
    """Triangles between three bonds of a triangular lattice, ``(n, 3)`` nodes."""
    far = np.full((3, len(body.nodes)), -1)
    near = np.full((3, len(body.nodes)), -1)
    far[body.directions, body.bonds[:, 0]] = body.bonds[:, 1]
    near[body.directions, body.bonds[:, 1]] = body.bonds[:, 0]
    i, j = body.bonds[body.directions == 0].T
    above, below = far[1, i], near[1, j]
    up, down = (above >= 0) & (far[2, j] == above), (below >= 0) & (far[2, below] == i)
    return np.concatenate(
        [np.stack([i, j, above], 1)[up], np.stack([i, below, j], 1)[down]]
    ).astype(np.int64)


def own_triangles(body: LatticeBody) -> Grid:
    """The triangles of the lattice itself."""
    cells = triangles(body)
    size = len(body.nodes)
    sides = np.sort(cells[:, [[0, 1], [1, 2], [2, 0]]], -1)
    keys = sides[..., 0] * size + sides[..., 1]
    _, inverse, count = np.unique(keys, return_inverse=True, return_counts=True)
    alone = count[inverse.reshape(keys.shape)] == 1
    between = np.sort(body.bonds, 1)
    order = np.argsort(between[:, 0] * size + between[:, 1])
    place = np.searchsorted((between[:, 0] * size + between[:, 1])[order], keys)
    kinds = body.directions[order[place]]
    masks = np.arange(8)[:, None]
    return Grid(body.nodes, cells, (alone * 2**kinds).sum(1), 1.0 + (masks >> np.arange(3) & 1))


class NoGmsh(Exception):
    """gmsh cannot be used here; the message says how to install it."""


def gmsh_grid(experiment: Experiment, size: float) -> Grid:
    """Unstructured triangles or tetrahedra. Collective: rank 0 makes them.

    Triangles have about one size; tetrahedra have it far from the cavity and 0.4 of it there.

    Raises:
        NoGmsh: On every rank, if gmsh is not installed or does not load.
    """
    result: Grid | str | None = None
    if MPI.COMM_WORLD.rank == 0:
        try:
            result = _with_gmsh(experiment, size)
        except (ImportError, OSError, AttributeError) as error:
            result = (
                f"gmsh cannot be used ({error}): install it with `python -m pip install gmsh`, on "
                "Debian after `apt-get install libglu1-mesa`."
            )
    result = MPI.COMM_WORLD.bcast(result)
    if isinstance(result, str):
        raise NoGmsh(result)
    assert result is not None
    return result


def _with_gmsh(experiment: Experiment, size: float) -> Grid:
    import gmsh

    gmsh.initialize(interruptible=False)
    try:
        gmsh.option.setNumber("General.Terminal", 0)
        (_plane if experiment.size == 2 else _space)(gmsh.model.occ, experiment, size)
        gmsh.model.occ.synchronize()
        gmsh.option.setNumber("Mesh.MeshSizeMax", size)
        gmsh.option.setNumber("Mesh.MeshSizeMin", size)
        if experiment.size == 2:
            gmsh.option.setNumber("Mesh.Algorithm", 6)
        else:
            _grade(gmsh, experiment, size)
        gmsh.model.mesh.generate(experiment.size)
        tags, places, _ = gmsh.model.mesh.getNodes()
        corners = gmsh.model.mesh.getElementsByType(2 if experiment.size == 2 else 4)[1]
    finally:
        gmsh.finalize()
    used, cells = np.unique(corners, return_inverse=True)
    order = np.argsort(tags)
    rows = order[np.searchsorted(tags[order], used)]
    nodes = places.reshape(-1, 3)[rows, : experiment.size]
    grid = Grid(nodes, cells.reshape(-1, experiment.size + 1).astype(np.int64))
    return grid if experiment.size == 2 else with_faces(experiment, grid, size)


def _plane(shapes: Any, experiment: Experiment, _: float) -> None:
    (width, height), hole = experiment.corner, experiment.hole
    block = shapes.addRectangle(0.0, 0.0, 0.0, width, height)
    if hole.ndim == 1:
        cut = shapes.addDisk(hole[0], hole[1], 0.0, hole[2], hole[2])
    else:
        points = [shapes.addPoint(x, y, 0.0) for x, y in hole]
        lines = [shapes.addLine(a, b) for a, b in zip(points, np.roll(points, -1), strict=True)]
        cut = shapes.addPlaneSurface([shapes.addCurveLoop(lines)])
    shapes.cut([(2, block)], [(2, cut)])


def _space(shapes: Any, experiment: Experiment, depth: float) -> None:
    """A box without a ball; no cell crosses the planes in the depth of the free faces."""
    (length, width, _), (low, high) = experiment.corner, experiment.ends
    rise = high - low
    block = shapes.addBox(0.0, 0.0, low, length, width, rise)
    slabs = [
        *(shapes.addBox(x, 0.0, low, depth, width, rise) for x in (0.0, length - depth)),
        *(shapes.addBox(0.0, y, low, length, depth, rise) for y in (0.0, width - depth)),
    ]
    parts = shapes.fragment([(3, block)], [(3, slab) for slab in slabs])[0]
    shapes.cut(parts, [(3, shapes.addSphere(*experiment.hole))])


def _grade(gmsh: Any, experiment: Experiment, size: float) -> None:
    """Sizes that grow with the distance from the cavity."""
    x, y, z, radius = experiment.hole
    field = gmsh.model.mesh.field.add("MathEval")
    distance = f"Sqrt((x-{x})^2+(y-{y})^2+(z-{z})^2)-{radius}"
    gmsh.model.mesh.field.setString(field, "F", f"{NEAR * size}+{GROWTH}*({distance})")
    gmsh.model.mesh.field.setAsBackgroundMesh(field)
    for option in ("MeshSizeExtendFromBoundary", "MeshSizeFromPoints"):
        gmsh.option.setNumber(f"Mesh.{option}", 0)
    gmsh.option.setNumber("Mesh.MeshSizeMin", NEAR * size)


def with_faces(experiment: Experiment, grid: Grid, depth: float) -> Grid:
    """Let cells in the depth of free faces have as many bonds and nodes as the lattice there.

    A continuum that ends with the outermost layer has half of its nodes and bonds, and it has bonds
    that would reach out of the face. With the distance d of the layers, the lattice has more than
    the continuum: d/2 of nodes, (1 − k) d/2 of bonds that reach over k layers.

    Args:
        experiment: A box whose faces across the last axis are gripped and whose others are free.
        grid: Its cells, which end in the depth of the free faces.
        depth: Of the cells that bear the difference.
    """
    assert experiment.frame is not None
    middle = grid.nodes[grid.cells].mean(1)
    near = (middle < depth) | (middle > experiment.corner - depth)
    kinds = near[:, 0] + 2 * near[:, 1].astype(np.int64)
    weights = np.ones((4, len(experiment.body.lattice.bonds)))
    drags = np.ones(4)
    for axis in (0, 1):
        reach = np.abs(experiment.body.lattice.bonds @ experiment.frame[axis])
        distance = reach[reach > 1e-9].min()  # bonds join neighbouring layers
        rows = np.arange(4) >> axis & 1 == 1
        weights[rows] *= 1.0 + 0.5 * distance * (1.0 - reach / distance) / depth
        drags[rows] *= 1.0 + 0.5 * distance / depth
    return replace(grid, kinds=kinds, weights=weights, drags=drags)
