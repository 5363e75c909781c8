"""The figure of `demo_lattice_with_cavity.py`: a section through lattice and finite elements."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import lattice_bodies as bodies
import numpy as np
from lattice_elements import Response
from lattice_pictures import draw_felt
from lattice_reference import Reference
from numpy.typing import NDArray

from ibvonn_fem.kernels.base import FloatArray

SLAB = 1.5
"""Thickness of the slab of the lattice that is shown."""
SIDE = 1.0
"""Of the squares over which open bonds are counted."""


def draw(
    experiment: bodies.Experiment,
    references: Sequence[Reference],
    responses: Sequence[Response],
    path: Path,
) -> None:
    """Open bonds along the pull in a section across the first axis, and the force of the grips."""
    import matplotlib.pyplot as plt
    from matplotlib.collections import PolyCollection

    shown, response = references[-1], responses[-1]
    along = pulled_direction(experiment)
    counts, edges = section_of_lattice(experiment, shown.opened.mean(0), along)
    polygons, cells = section_of_cells(response.corners, 0.5 * experiment.corner[0])
    elements = response.opened[cells, along]
    top = float(np.quantile(elements, 0.995))
    with plt.rc_context({"font.size": 10.5, "axes.titlesize": 11}):
        figure = plt.figure(figsize=(12.4, 4.5), layout="constrained")
        left, middle, right = figure.subplots(1, 3, width_ratios=(1, 1, 1.12))
        style = {"cmap": "magma_r", "clim": (0.0, top)}
        drawn = left.pcolormesh(*edges, counts.T, **style)
        left.set_title(f"lattice: {len(experiment.body.nodes)} nodes")
        middle.add_collection(
            PolyCollection(
                polygons, array=elements, linewidths=0.3, edgecolors=(1, 1, 1, 0.55), **style
            )
        )
        middle.set_title(f"learned law: {len(response.corners)} tetrahedra")
        for ax in (left, middle):
            ax.set(xlim=(0, experiment.corner[1]), ylim=(0, experiment.corner[2]))
            ax.set_aspect("equal")
            ax.axis("off")
        bar = figure.colorbar(drawn, ax=[left, middle], shrink=0.82, pad=0.015, aspect=28)
        bar.set_label("fraction of open bonds along the pull")
        bar.outline.set_visible(False)
        draw_felt(right, experiment, references, responses)
        figure.savefig(path, dpi=170)
        plt.close(figure)


def pulled_direction(experiment: bodies.Experiment) -> int:
    """Number of the direction of bonds that is nearest to the last axis of the body."""
    unit = experiment.turned(experiment.body.lattice.directions)
    return int(np.abs(unit[:, -1]).argmax())


def section_of_lattice(
    experiment: bodies.Experiment, opened: FloatArray, direction: int
) -> tuple[FloatArray, list[FloatArray]]:
    """Open fraction of the bonds of a direction in a slab, on squares; NaN where there are none."""
    place = bodies.middles_of_bonds(experiment)
    own = experiment.body.directions == direction
    own &= np.abs(place[:, 0] - 0.5 * experiment.corner[0]) < 0.5 * SLAB
    edges = [np.linspace(0.0, each, round(each / SIDE) + 1) for each in experiment.corner[1:]]
    total = np.histogram2d(*place[own, 1:].T, edges)[0]
    sums = np.histogram2d(*place[own, 1:].T, edges, weights=opened[own])[0]
    with np.errstate(invalid="ignore"):
        return sums / total, edges


def section_of_cells(
    corners: FloatArray, level: float
) -> tuple[list[FloatArray], NDArray[np.int64]]:
    """Polygons in which tetrahedra ``(n, 4, 3)`` cut the plane x = level, and their cells."""
    height = corners[..., 0] - level
    cells = np.flatnonzero((height.min(1) < 0.0) & (height.max(1) > 0.0))
    polygons = []
    for cell in cells:
        below, above = (np.flatnonzero(side) for side in (height[cell] < 0, height[cell] >= 0))
        # Around two pairs of corners the cut edges follow one another in this order.
        pairs = [
            (i, j) for k, i in enumerate(below) for j in (above if k % 2 == 0 else above[::-1])
        ]
        points = []
        for i, j in pairs:
            share = height[cell, i] / (height[cell, i] - height[cell, j])
            points.append((1.0 - share) * corners[cell, i, 1:] + share * corners[cell, j, 1:])
        polygons.append(np.array(points))
    return polygons, cells
