"""Pictures of deformed bodies: pyvista without a window, matplotlib where that cannot draw.

A shape is a set of flat polygons with a value each: the cells of a plane mesh, the outer facets of
a solid one. All ranks hand theirs to rank 0, which draws.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

from mpi4py import MPI  # noqa: F401 - loads MPI, which the next imports need

import basix
import numpy as np
from dolfinx import fem, mesh

from ibvonn_fem import _compat
from ibvonn_fem.body.law import InternalVariableLaw
from ibvonn_fem.kernels.base import FloatArray

_PROBE = (
    "import pyvista; p = pyvista.Plotter(off_screen=True); p.add_mesh(pyvista.Sphere()); "
    "p.screenshot(return_img=True)"
)
_ROUND = {2: [0, 1], 3: [0, 1, 2], 4: [0, 1, 3, 2]}
"""Vertices in cyclic order: DOLFINx numbers quadrilaterals row by row."""


@dataclass(frozen=True)
class Shape:
    """Polygons in space with their values; complete on rank 0, empty on the others.

    Attributes:
        title: Written above.
        polygons: Corners in their order, shape ``(n, corners, 3)``.
        values: One per polygon, shape ``(n,)``.
    """

    title: str
    polygons: FloatArray
    values: FloatArray


def deformed_shape(
    title: str, law: InternalVariableLaw, u: Any, values: FloatArray, factor: float = 1.0
) -> Shape:
    """Shape under the present displacement, with values at the quadrature points. Collective.

    Args:
        title: Written above.
        law: Whose cells are drawn.
        u: Displacement, a vector with as many components as the mesh has dimensions.
        values: At the quadrature points of this rank, shape ``(points,)``; averaged over cells.
        factor: On the displacement.
    """
    domain = u.function_space.mesh
    cells, corners = _polygons(domain)
    at_cells = np.full(domain.topology.index_map(domain.topology.dim).size_local, np.nan)
    at_cells[law.points.cells] = law.points.cell_average(values[:, None], law.volumes)[:, 0]
    nodal = fem.Function(fem.functionspace(domain, ("Lagrange", 1, u.function_space.value_shape)))
    nodal.interpolate(u)
    nodes = _compat.geometry_nodes(domain.geometry)[cells]
    place = domain.geometry.x[np.take_along_axis(nodes, corners, axis=1)]
    dofs = np.take_along_axis(nodal.function_space.dofmap.list[cells], corners, axis=1)
    move = nodal.x.array.reshape(-1, u.function_space.dofmap.index_map_bs)[dofs]
    place[..., : move.shape[-1]] += factor * move
    drawn = np.isfinite(at_cells[cells])
    parts = domain.comm.gather((place[drawn], at_cells[cells][drawn]))
    if parts is None:
        return Shape(title, np.zeros((0, 3, 3)), np.zeros(0))
    return Shape(title, *(np.concatenate(part) for part in zip(*parts, strict=True)))


def _polygons(domain: Any) -> tuple[Any, Any]:
    """Cells of the polygons of this rank, and the local numbers of their corners in order."""
    topology = domain.topology
    dim = topology.dim
    owned = topology.index_map(dim).size_local
    vertices = len(basix.topology(getattr(basix.CellType, domain.basix_cell().name))[0])
    if dim == 2:
        cells = np.arange(owned)
        return cells, np.tile(_ROUND[vertices], (owned, 1))
    topology.create_connectivity(dim - 1, dim)
    topology.create_connectivity(dim, dim - 1)
    facets = mesh.exterior_facet_indices(topology)
    to_cell, to_facet = topology.connectivity(dim - 1, dim), topology.connectivity(dim, dim - 1)
    cells = np.array([to_cell.links(facet)[0] for facet in facets], dtype=np.int64)
    sides = basix.topology(getattr(basix.CellType, domain.basix_cell().name))[dim - 1]
    corners = [
        np.array(sides[int(np.flatnonzero(to_facet.links(cell) == facet)[0])])
        for cell, facet in zip(cells, facets, strict=True)
    ]
    order = _ROUND[len(sides[0])]
    return cells, np.array(corners, dtype=np.int64).reshape(-1, len(order))[:, order]


def draw(
    ax: Any,
    shapes: Sequence[Shape],
    label: str,
    *,
    columns: int | None = None,
    limits: tuple[float, float] | None = None,
    size: tuple[int, int] = (520, 420),
    colours: str = "viridis",
) -> None:
    """Draw shapes side by side with one scale of colours, into axes of matplotlib.

    Args:
        ax: The axes.
        shapes: From :func:`deformed_shape`, of rank 0.
        label: What the values are.
        columns: Shapes in a row (default: all).
        limits: Of the colours (default: those of the values).
        size: Width and height of one shape in pixels.
        colours: Name of a colour map of matplotlib.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    if limits is None:
        limits = (
            min(float(shape.values.min()) for shape in shapes),
            max(float(shape.values.max()) for shape in shapes),
        )
    columns = columns or len(shapes)
    grid = (-(-len(shapes) // columns), columns)
    paint = _with_pyvista if pyvista_draws() else _with_matplotlib
    ax.imshow(paint(shapes, grid, limits, size, colours))
    ax.set_axis_off()
    ax.figure.colorbar(ScalarMappable(Normalize(*limits), colours), ax=ax, label=label, shrink=0.7)


@cache
def pyvista_draws() -> bool:
    """Whether pyvista is there and can draw without a window.

    Tried in a process of its own: without a graphics library VTK may abort instead of raising.
    """
    try:
        probe = subprocess.run(
            [sys.executable, "-c", _PROBE], capture_output=True, timeout=60.0, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return probe.returncode == 0


def _with_pyvista(
    shapes: Sequence[Shape],
    grid: tuple[int, int],
    limits: tuple[float, float],
    size: tuple[int, int],
    colours: str,
) -> Any:
    pyvista: Any = import_module("pyvista")  # typed, but not for the way it is called
    # VTK looks for an X server before it draws without one, and warns that there is none.
    logger: Any = import_module("vtkmodules.vtkCommonCore").vtkLogger
    logger.SetStderrVerbosity(logger.VERBOSITY_ERROR)
    window = [size[0] * grid[1], size[1] * grid[0]]
    plotter = pyvista.Plotter(off_screen=True, shape=grid, window_size=window, border=False)
    plotter.set_background("white")
    for i, shape in enumerate(shapes):
        plotter.subplot(i // grid[1], i % grid[1])
        count, corners = shape.polygons.shape[:2]
        faces = np.column_stack(
            [np.full(count, corners), np.arange(count * corners).reshape(count, corners)]
        )
        body = pyvista.PolyData(shape.polygons.reshape(-1, 3), faces=faces.ravel())
        body.cell_data["value"] = shape.values
        plotter.add_mesh(
            body,
            scalars="value",
            clim=limits,
            cmap=colours,
            show_edges=True,
            edge_opacity=0.15,
            show_scalar_bar=False,
            ambient=0.5,  # shades show the shape, and leave the colours readable
            diffuse=0.5,
        )
        plotter.add_text(shape.title, font_size=10, color="black", position="upper_edge")
        if np.ptp(shape.polygons[..., 2]) == 0.0:
            plotter.view_xy()
            plotter.enable_parallel_projection()
            plotter.camera.zoom(1.3)
        else:
            plotter.view_isometric()
    image = plotter.screenshot(return_img=True)
    plotter.close()
    return image


def _with_matplotlib(
    shapes: Sequence[Shape],
    grid: tuple[int, int],
    limits: tuple[float, float],
    size: tuple[int, int],
    colours: str,
) -> Any:
    collections: Any = import_module("matplotlib.collections")
    solid: Any = import_module("mpl_toolkits.mplot3d.art3d")
    pyplot: Any = import_module("matplotlib.pyplot")
    colors: Any = import_module("matplotlib.colors")
    dots = 100
    inches = (size[0] * grid[1] / dots, size[1] * grid[0] / dots)
    figure = pyplot.figure(figsize=inches, dpi=dots, layout="constrained")
    norm, shades = colors.Normalize(*limits), pyplot.get_cmap(colours)
    for i, shape in enumerate(shapes):
        flat = np.ptp(shape.polygons[..., 2]) == 0.0
        ax = figure.add_subplot(*grid, i + 1, **({} if flat else {"projection": "3d"}))
        faces = shades(norm(shape.values))
        if flat:
            drawn = collections.PolyCollection(shape.polygons[..., :2], facecolors=faces)
            ax.add_collection(drawn)
            ax.autoscale()
            ax.set_aspect("equal")
        else:
            ax.add_collection3d(solid.Poly3DCollection(shape.polygons, facecolors=faces))
            low, high = shape.polygons.min((0, 1)), shape.polygons.max((0, 1))
            ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), zlim=(low[2], high[2]))
            ax.set_box_aspect(high - low)
        ax.set_axis_off()
        ax.set_title(shape.title, fontsize=9)
    figure.canvas.draw()
    image = np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()
    pyplot.close(figure)
    return image
