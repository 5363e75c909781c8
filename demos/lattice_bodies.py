"""Bodies that are cut out of a lattice, their triangulations, and open fractions on patches.

`demo_lattice_with_hole.py` compares such a body with finite elements. It is pulled or bent by grips
that move with the medium around it, whose displacement is c(t) f(X).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mpi4py import MPI

import numpy as np
from numpy.typing import NDArray

from ibvonn_fem.kernels.base import FloatArray
from ibvonn_train.simulation.systems.finite_lattice import FiniteLattice
from ibvonn_train.simulation.systems.lattice_body import LatticeBody, lattice_block
from ibvonn_train.simulation.systems.lattice_geometry import GEOMETRIES

LATTICE = GEOMETRIES["triangular"]
ROW = 0.5 * 3.0**0.5
WELL = 0.1
"""z_h, the length by which a bond opens."""


@dataclass(frozen=True)
class Experiment:
    """A body, how its medium moves, and what its grips feel.

    Attributes:
        name: Of the body.
        body: With the grips "bottom" and "top".
        motion: f: positions ``(n, 2)`` to displacements ``(n, 2)``, for c = 1.
        strain: Largest c.
        hole: What the continuum lacks: a circle (x, y, R), or corners ``(n, 2)`` of a polygon.
        bends: The grips are turned: what they feel is a moment, otherwise a force.
    """

    name: str
    body: LatticeBody
    motion: Callable[[FloatArray], FloatArray]
    strain: float
    hole: FloatArray
    bends: bool

    @property
    def corner(self) -> FloatArray:
        """Width and height of the body."""
        corner: FloatArray = self.body.nodes.max(0)
        return corner

    @property
    def lattice(self) -> FiniteLattice:
        """The body in its medium."""
        return FiniteLattice(self.body, self.motion(self.body.nodes)[None])

    def felt(self, grips: FloatArray) -> FloatArray:
        """Mean of both grips: force along y, or moment about the middle of a grip.

        Args:
            grips: Forces (x, y) on the body and moment about the origin, of bottom and top,
                ``(n_time, 2, 3, …)``.
        """
        (x, height), half = self.corner, 0.5
        if not self.bends:
            return half * (grips[:, 1, 1] - grips[:, 0, 1])
        level = np.array([0.0, height])
        moments = [
            grips[:, k, 2] - 0.5 * x * grips[:, k, 1] + level[k] * grips[:, k, 0] for k in (0, 1)
        ]
        return half * (moments[0] - moments[1])


def with_hole(columns: int, radius: float) -> Experiment:
    """A square block with a hole in its middle, pulled along y to 1.3 z_h."""
    body = lattice_block(columns, columns)
    corner, before = body.nodes.max(0), body.volume
    body = body.without(lambda x: np.hypot(*(x - 0.5 * corner).T) < radius)
    # The circle that takes as many bonds from a continuum as the hole does from the lattice.
    effective = np.sqrt((before - body.volume) / np.pi)
    return Experiment(
        name=f"{columns} × {columns} nodes with a hole of radius {radius:g}",
        body=gripped(body),
        motion=lambda x: np.stack([np.zeros(len(x)), x[:, 1]], 1),
        strain=1.3 * WELL,
        hole=np.array([*(0.5 * corner), effective]),
        bends=False,
    )


def with_notch(columns: int, depth: float) -> Experiment:
    """A square block with a notch in its left edge, bent so that the notch opens."""
    body = lattice_block(columns, columns)
    corner, before = body.nodes.max(0), body.volume
    middle = 0.5 * corner[1]
    body = body.without(lambda x: (x[:, 0] < depth) & (np.abs(x[:, 1] - middle) < 1.1 * ROW))
    # Two rows are gone, and three layers of inclined bonds: of each column 8 bonds of 3 per row.
    height = 8.0 / 3.0 * ROW
    reach = (before - body.volume) / height

    def bent(x: FloatArray) -> FloatArray:
        """Strain yy from 1 at the left edge to −1 at the right one, grips straight."""
        across, along = x[:, 0] - 0.5 * corner[0], x[:, 1] - middle
        curvature = 2.0 / corner[0]
        return curvature * np.stack([0.5 * along**2, -across * along], 1)

    low, high = middle - 0.5 * height, middle + 0.5 * height
    return Experiment(
        name=f"{columns} × {columns} nodes with a notch of depth {depth:g}, bent",
        body=gripped(body),
        motion=bent,
        strain=1.0 * WELL,
        hole=np.array([[0.0, low], [reach, low], [reach, high], [0.0, high]]),
        bends=True,
    )


def gripped(body: LatticeBody) -> LatticeBody:
    """The body with its first and last row gripped."""
    height = body.nodes[:, 1].max()
    held = body.with_grip("bottom", lambda x: x[:, 1] < 0.5 * ROW)
    return held.with_grip("top", lambda x: x[:, 1] > height - 0.5 * ROW)


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


# ## Triangles


@dataclass(frozen=True, eq=False)
class Triangulation:
    """Nodes ``(n, 2)`` and triangles ``(m, 3)``, on every rank.

    Attributes:
        nodes: Positions.
        cells: Corners.
        edges: For each triangle the directions of bonds that only it touches, as a bit mask; None
            where triangles are not those of the lattice.
    """

    nodes: FloatArray
    cells: NDArray[np.int64]
    edges: NDArray[np.int64] | None = None


def own_triangles(body: LatticeBody) -> Triangulation:
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
    return Triangulation(body.nodes, cells, (alone * 2**kinds).sum(1))


class NoGmsh(Exception):
    """gmsh cannot be used here; the message says how to install it."""


def gmsh_triangles(experiment: Experiment, size: float) -> Triangulation:
    """Unstructured triangles of about one size. Collective: rank 0 makes them.

    Raises:
        NoGmsh: On every rank, if gmsh is not installed or does not load.
    """
    result: Triangulation | str | None = None
    if MPI.COMM_WORLD.rank == 0:
        try:
            result = _mesh_with_gmsh(experiment, size)
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


def _mesh_with_gmsh(experiment: Experiment, size: float) -> Triangulation:
    import gmsh

    gmsh.initialize(interruptible=False)
    try:
        gmsh.option.setNumber("General.Terminal", 0)
        shapes, (width, height), hole = gmsh.model.occ, experiment.corner, experiment.hole
        block = shapes.addRectangle(0.0, 0.0, 0.0, width, height)
        if hole.ndim == 1:
            cut = shapes.addDisk(hole[0], hole[1], 0.0, hole[2], hole[2])
        else:
            points = [shapes.addPoint(x, y, 0.0) for x, y in hole]
            lines = [shapes.addLine(a, b) for a, b in zip(points, np.roll(points, -1), strict=True)]
            cut = shapes.addPlaneSurface([shapes.addCurveLoop(lines)])
        shapes.cut([(2, block)], [(2, cut)])
        shapes.synchronize()
        gmsh.option.setNumber("Mesh.MeshSizeMax", size)
        gmsh.option.setNumber("Mesh.MeshSizeMin", size)
        gmsh.option.setNumber("Mesh.Algorithm", 6)
        gmsh.model.mesh.generate(2)
        tags, places, _ = gmsh.model.mesh.getNodes()
        corners = gmsh.model.mesh.getElementsByType(2)[1]
    finally:
        gmsh.finalize()
    used, cells = np.unique(corners, return_inverse=True)
    order = np.argsort(tags)
    rows = order[np.searchsorted(tags[order], used)]
    return Triangulation(places.reshape(-1, 3)[rows, :2], cells.reshape(-1, 3).astype(np.int64))


# ## Open fractions on patches


def patch_means(
    corner: FloatArray, places: FloatArray, values: FloatArray, weights: FloatArray, count: int
) -> FloatArray:
    """Weighted means of values at places on ``count`` × ``count`` patches; NaN where none is."""
    index = np.minimum((places / corner * count).astype(int), count - 1)
    patch = index[:, 1] * count + index[:, 0]
    total = np.bincount(patch, weights, count**2)
    sums = np.bincount(patch, weights * values, count**2)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(sums / total)


def patches_of_bonds(experiment: Experiment, opened: FloatArray, count: int) -> FloatArray:
    """Open fractions on patches, ``(count²,)``, from those of all bonds.

    The mean over the three directions: the border of a patch cuts rows and leaves it with unequal
    numbers of bonds of each, which a continuum has not.
    """
    body = experiment.body
    middle, means = body.nodes[body.bonds].mean(1), []
    for direction in range(3):
        own = body.directions == direction
        ones = np.ones(int(own.sum()))
        means.append(patch_means(experiment.corner, middle[own], opened[own], ones, count))
    mean: FloatArray = np.mean(means, 0)
    return mean


def bonds_on_patches(experiment: Experiment, count: int) -> FloatArray:
    """Number of bonds of each patch, ``(count²,)``."""
    middle = experiment.body.nodes[experiment.body.bonds].mean(1)
    index = np.minimum((middle / experiment.corner * count).astype(int), count - 1)
    return np.bincount(index[:, 1] * count + index[:, 0], minlength=count**2).astype(float)


def patches_of_triangles(
    experiment: Experiment, corners: FloatArray, opened: FloatArray, count: int
) -> FloatArray:
    """The same from the triangles of a continuum, each divided where patches cut it."""
    parts = 8
    centres = [
        ((i + shift) / (3 * parts), (j + shift) / (3 * parts))
        for i in range(0, 3 * parts, 3)
        for j in range(0, 3 * parts - i, 3)
        for shift in (1, 2)
        if shift == 1 or i + j < 3 * parts - 3
    ]
    s, t = np.array(centres).T
    places = np.einsum("pk,nkd->npd", np.stack([1.0 - s - t, s, t], 1), corners).reshape(-1, 2)
    (ax, ay), (bx, by) = (corners[:, 1] - corners[:, 0]).T, (corners[:, 2] - corners[:, 0]).T
    weights = np.repeat(0.5 * np.abs(ax * by - ay * bx), len(s))
    fractions = np.repeat(opened.mean(1), len(s))
    return patch_means(experiment.corner, places, fractions, weights, count)


def percent(value: FloatArray, reference: FloatArray, weights: FloatArray | float = 1.0) -> float:
    """Weighted relative L2 difference in per cent, over what is a number in both."""
    there = np.isfinite(value) & np.isfinite(reference)
    root = np.sqrt(np.broadcast_to(weights, value.shape)[there])
    difference = np.linalg.norm(root * (value - reference)[there])
    return float(100.0 * difference / np.linalg.norm(root * reference[there]))
