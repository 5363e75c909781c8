"""Bodies that are cut out of a lattice, and open fractions on patches of them.

`demo_lattice_with_hole.py` and `demo_lattice_with_cavity.py` compare such bodies with finite
elements. They are pulled or bent by grips that move with the medium around them, whose displacement
is c(t) f(X). Meshes are in `lattice_meshes.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ibvonn_fem.kernels.base import FloatArray
from ibvonn_train.simulation import PeriodicLattice
from ibvonn_train.simulation.systems.finite_lattice import FiniteLattice
from ibvonn_train.simulation.systems.lattice_body import LatticeBody, lattice_block, lattice_box

ROW = 0.5 * 3.0**0.5
LAYER = 0.5
"""Distance of the layers of an fcc lattice along [110]."""
TURNED = np.array([[0.0, 0.0, 1.0], [0.5**0.5, -(0.5**0.5), 0.0], [0.5**0.5, 0.5**0.5, 0.0]])
"""Rows: [001], [1-10], [110]."""
WELL = 0.1
"""z_h, the length by which a bond opens."""


@dataclass(frozen=True)
class Experiment:
    """A body, how its medium moves, and what its grips feel.

    Positions are in the axes of the body: the last one leads from the bottom to the top.

    Attributes:
        name: Of the body.
        kind: "hole", "notch" or "cavity".
        body: With the grips "bottom" and "top".
        motion: f: positions ``(n, d)`` to displacements ``(n, d)``, for c = 1.
        strain: Largest c.
        hole: What the continuum lacks: a circle (x, y, R), corners ``(n, 2)`` of a polygon, or a
            ball (x, y, z, R).
        bends: The grips are turned: what they feel is a moment, otherwise a force.
        frame: Axes of the body as rows, in the axes of the lattice, ``(d, d)``; none where both
            are the same.
        grip: Depth of the gripped layers in which the continuum ends.
    """

    name: str
    kind: str
    body: LatticeBody
    motion: Callable[[FloatArray], FloatArray]
    strain: float
    hole: FloatArray
    bends: bool = False
    frame: FloatArray | None = None
    grip: float = 0.0

    @property
    def size(self) -> int:
        """Number of dimensions d."""
        return self.body.lattice.dimension

    @property
    def places(self) -> FloatArray:
        """Positions of the nodes, ``(n_node, d)``."""
        return self.turned(self.body.nodes)

    def turned(self, vectors: FloatArray) -> FloatArray:
        """Return vectors ``(n, d)`` in the axes of the lattice in those of the body."""
        return vectors if self.frame is None else vectors @ self.frame.T

    @property
    def corner(self) -> FloatArray:
        """Lengths of the edges of the body, ``(d,)``."""
        corner: FloatArray = self.places.max(0)
        return corner

    @property
    def ends(self) -> tuple[float, float]:
        """Where the continuum begins and ends, along the last axis."""
        return self.grip, float(self.corner[-1]) - self.grip

    @property
    def lattice(self) -> FiniteLattice:
        """The body in its medium."""
        moved = self.motion(self.places)
        fields = moved if self.frame is None else moved @ self.frame
        bond = PeriodicLattice(geometry=self.body.geometry)
        return FiniteLattice(self.body, fields[None], bond)

    def felt(self, grips: FloatArray) -> FloatArray:
        """Mean of both grips: force along the last axis, or moment about the middle of a grip.

        Args:
            grips: Forces on the body and moments about the origin, of bottom and top, in the axes
                of the lattice, ``(n_time, 2, 3, …)`` in the plane, ``(n_time, 2, 6, …)`` in space.
        """
        half = 0.5
        if not self.bends:
            up = np.eye(self.size)[-1] if self.frame is None else self.frame[-1]
            along = np.tensordot(up, grips[:, :, : self.size], (0, 2))
            return np.asarray(half * (along[:, 1] - along[:, 0]))
        x, height = self.corner
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
        kind="hole",
        body=gripped(body),
        motion=lambda x: np.stack([np.zeros(len(x)), x[:, 1]], 1),
        strain=1.3 * WELL,
        hole=np.array([*(0.5 * corner), effective]),
    )


def with_cavity(edges: tuple[float, float, float], radius: float) -> Experiment:
    """A block of an fcc lattice with a ball cut out of its middle, pulled along bonds to 1.3 z_h.

    Its edges are [001], [1-10] and [110], along which one of the six directions of bonds lies.

    Args:
        edges: Lengths; nodes lie on all faces where they are whole multiples of √2, 1 and 1.
        radius: Of the cavity.
    """
    body, middle = lattice_box(edges, TURNED), 0.5 * np.array(edges)
    before = body.volume
    body = body.without(lambda x: np.linalg.norm(x @ TURNED.T - middle, axis=1) < radius)
    # The ball that takes as many bonds from a continuum as the cavity does from the lattice.
    effective = np.cbrt(0.75 * (before - body.volume) / np.pi)
    # Bonds along the pull reach over two layers: two are gripped, and the continuum ends between.
    height = edges[2]
    body = body.with_grip("bottom", lambda x: x @ TURNED[2] < 1.5 * LAYER)
    body = body.with_grip("top", lambda x: x @ TURNED[2] > height - 1.5 * LAYER)
    return Experiment(
        name=f"{len(body.nodes)} nodes with a cavity of radius {radius:g}",
        kind="cavity",
        body=body,
        motion=lambda x: np.stack([np.zeros(len(x)), np.zeros(len(x)), x[:, 2]], 1),
        strain=1.3 * WELL,
        hole=np.array([*middle, effective]),
        frame=TURNED,
        grip=0.5 * LAYER,
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
        kind="notch",
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


# ## Open fractions on patches


def patch_of(experiment: Experiment, places: FloatArray, count: int) -> NDArray[np.int64]:
    """Number of the patch of each place, of ``count`` along each edge."""
    index = np.minimum((places / experiment.corner * count).astype(int), count - 1)
    return np.asarray(index @ count ** np.arange(experiment.size))


def patch_means(
    patch: NDArray[np.int64], values: FloatArray, weights: FloatArray, patches: int
) -> FloatArray:
    """Weighted means of values on so many patches; NaN where none is."""
    total = np.bincount(patch, weights, patches)
    sums = np.bincount(patch, weights * values, patches)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(sums / total)


def middles_of_bonds(experiment: Experiment) -> FloatArray:
    """Middle of each bond, ``(n_bond, d)``."""
    middles: FloatArray = experiment.places[experiment.body.bonds].mean(1)
    return middles


def patches_of_bonds(experiment: Experiment, opened: FloatArray, count: int) -> FloatArray:
    """Open fractions on patches, ``(countᵈ,)``, from those of all bonds.

    The mean over the directions: the border of a patch cuts rows and leaves it with unequal numbers
    of bonds of each, which a continuum has not.
    """
    body, means = experiment.body, []
    patch = patch_of(experiment, middles_of_bonds(experiment), count)
    for direction in range(len(body.lattice.bonds)):
        own = body.directions == direction
        ones = np.ones(int(own.sum()))
        means.append(patch_means(patch[own], opened[own], ones, count**experiment.size))
    mean: FloatArray = np.mean(means, 0)
    return mean


def bonds_on_patches(experiment: Experiment, count: int) -> FloatArray:
    """Number of bonds of each patch, ``(countᵈ,)``."""
    patch = patch_of(experiment, middles_of_bonds(experiment), count)
    return np.bincount(patch, minlength=count**experiment.size).astype(float)


def patches_of_cells(
    experiment: Experiment, corners: FloatArray, opened: FloatArray, count: int
) -> FloatArray:
    """The same from the triangles or tetrahedra of a continuum, each divided where patches cut it.

    Args:
        experiment: The body.
        corners: ``(n, d + 1, d)``.
        opened: Open fractions of the directions, ``(n, n_direction)``.
        count: Patches along each edge.
    """
    shares = PARTS_OF[experiment.size]()
    places = np.einsum("pk,nkd->npd", shares, corners).reshape(-1, experiment.size)
    volumes = np.abs(np.linalg.det(corners[:, 1:] - corners[:, :1]))
    weights = np.repeat(volumes, len(shares))
    fractions = np.repeat(opened.mean(1), len(shares))
    patch = patch_of(experiment, places, count)
    return patch_means(patch, fractions, weights, count**experiment.size)


def parts_of_triangle() -> FloatArray:
    """Barycentric coordinates of the centres of 64 equal parts, ``(64, 3)``."""
    parts = 8
    centres = [
        ((i + shift) / (3 * parts), (j + shift) / (3 * parts))
        for i in range(0, 3 * parts, 3)
        for j in range(0, 3 * parts - i, 3)
        for shift in (1, 2)
        if shift == 1 or i + j < 3 * parts - 3
    ]
    s, t = np.array(centres).T
    return np.stack([1.0 - s - t, s, t], 1)


def parts_of_tetrahedron() -> FloatArray:
    """Barycentric coordinates of 35 points inside, evenly spaced, ``(35, 4)``."""
    parts = 4
    steps = np.indices((parts + 1,) * 4).reshape(4, -1).T
    return (steps[steps.sum(1) == parts] + 0.25) / (parts + 1)


PARTS_OF = {2: parts_of_triangle, 3: parts_of_tetrahedron}


def percent(value: FloatArray, reference: FloatArray, weights: FloatArray | float = 1.0) -> float:
    """Weighted relative L2 difference in per cent, over what is a number in both."""
    there = np.isfinite(value) & np.isfinite(reference)
    root = np.sqrt(np.broadcast_to(weights, value.shape)[there])
    difference = np.linalg.norm(root * (value - reference)[there])
    return float(100.0 * difference / np.linalg.norm(root * reference[there]))
