"""Quadrature points of a mesh as flat NumPy arrays, and the measure of their rule.

A quadrature element holds values exactly where its measure evaluates them. The law therefore owns
its measure, and forms that integrate quadrature values with another one are refused.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from numbers import Integral
from typing import Any

from mpi4py import MPI

import basix
import basix.ufl
import numpy as np
import ufl
from dolfinx import fem
from numpy.typing import NDArray

from .. import _compat
from ..kernels.base import FloatArray
from .load_checks import check_tags
from .rank_agreement import on_all_ranks


class QuadraturePoints:
    """Quadrature points of the cells of a mesh that this rank owns, cell by cell.

    Args:
        mesh: The mesh.
        degree: Degree of exactness of the rule.
        subdomain: Cell tags and the tag, or tags, of the cells to use (default: all cells). A form
            that is compiled as one must use the same tags in all its measures.

    Attributes:
        dx: The measure of exactly these points, ``ufl.dx`` of the given cells and degree.
        cells: Owned cells, shape ``(n_cells,)``.
        per_cell: Points in one cell.
        size: Points on this rank, ``n_cells * per_cell``.
    """

    def __init__(
        self,
        mesh: Any,
        degree: int,
        subdomain: tuple[Any, int | Sequence[int]] | None = None,
    ) -> None:
        if isinstance(degree, bool) or not hasattr(degree, "__index__") or degree < 0:
            raise ValueError(
                f"quadrature_degree: must be a whole number >= 0; found {degree!r}. "
                "For Lagrange elements of order p use 2 (p - 1) on simplices, 2 p on "
                "quadrilaterals, hexahedra and prisms."
            )
        self.mesh = mesh
        self.degree = degree = int(degree)
        self._coordinates = _digest(mesh)
        self.comm: MPI.Intracomm = mesh.comm
        owned = mesh.topology.index_map(mesh.topology.dim).size_local
        self._cell_name = mesh.basix_cell().name
        points, weights = basix.make_quadrature(mesh.basix_cell(), degree)
        self.points: FloatArray = np.asarray(points, dtype=np.float64)
        self.weights: FloatArray = np.asarray(weights, dtype=np.float64)
        self.per_cell = len(self.weights)
        if subdomain is None:
            self.cells = np.arange(owned, dtype=np.int32)
            self.dx = ufl.Measure("dx", domain=mesh, metadata=self._metadata)
        else:
            with on_all_ranks(mesh.comm):
                tags, numbers = _tags_and_numbers(subdomain, mesh)
                tagged = np.unique(np.concatenate([tags.find(tag) for tag in numbers]))
            self.cells = tagged[tagged < owned].astype(np.int32)
            if mesh.comm.allreduce(len(self.cells), op=MPI.SUM) == 0:
                existing = sorted(
                    set().union(*mesh.comm.allgather(np.unique(tags.values).tolist()))
                )
                raise ValueError(
                    f"subdomain: no cell has the tag {', '.join(map(str, numbers))}; the tags are "
                    f"{', '.join(map(str, existing)) or 'none'}."
                )
            measure = ufl.Measure("dx", domain=mesh, subdomain_data=tags, metadata=self._metadata)
            self.dx = measure(numbers if len(numbers) > 1 else numbers[0])
        self.size = len(self.cells) * self.per_cell
        self._dofs: dict[tuple[int, ...], slice | NDArray[np.int64]] = {}

    @property
    def _metadata(self) -> dict[str, Any]:
        return {"quadrature_degree": self.degree, "quadrature_rule": "default"}

    def function(self, shape: tuple[int, ...], name: str) -> Any:
        """A quadrature Function of the given value shape, zero."""
        element = basix.ufl.quadrature_element(
            self._cell_name, value_shape=shape, scheme="default", degree=self.degree
        )
        space = fem.functionspace(self.mesh, element)
        if shape not in self._dofs:
            self._dofs[shape] = _as_slice(space.dofmap.list[self.cells].reshape(-1))
        return fem.Function(space, name=name)

    def rows(self, function: Any) -> Rows:
        """Access to the values of a Function of :meth:`function`, point by point."""
        shape = tuple(function.function_space.ufl_element().reference_value_shape)
        size = int(np.prod(shape, dtype=np.int64))
        return Rows(function.x.array.reshape(-1, size), self._dofs[shape])

    def require_unmoved(self) -> None:
        """Raise unless the nodes of the mesh are where they were when the points were made.

        Raises:
            ValueError: If they moved: volumes and energies would be those of the old mesh.
        """
        if _digest(self.mesh) != self._coordinates:
            raise ValueError(
                "InternalVariableLaw: the nodes of the mesh must stay where they were when the law "
                "was made; they were moved. Move them first, then make law and problem."
            )

    def location(self, point: int) -> str:
        """Midpoint of the cell of a point, for messages."""
        geometry = self.mesh.geometry
        nodes = _compat.geometry_nodes(geometry)[self.cells[point // self.per_cell]]
        midpoint = geometry.x[nodes].mean(axis=0)[: geometry.dim]
        return "x = (" + ", ".join(f"{x:.4g}" for x in midpoint) + ")"

    def evaluator(self, expression: Any) -> Evaluator:
        """Compile a UFL expression for evaluation at these points."""
        return Evaluator(self, expression)

    def volumes(self, weight: Any = 1.0) -> FloatArray:
        """Quadrature weight × |det J| × ``weight`` of every point, shape ``(size,)``."""
        determinant = abs(ufl.JacobianDeterminant(self.mesh)) * weight
        values = self.evaluator(determinant)()[:, 0]
        volumes: FloatArray = values * np.tile(self.weights, len(self.cells))
        return volumes

    def cell_average(self, values: FloatArray, volumes: FloatArray) -> FloatArray:
        """Volume average over each cell: (size, k) → (n_cells, k), the L2 projection to DG0."""
        weights = volumes.reshape(-1, self.per_cell, 1)
        size = values.shape[1] if values.ndim > 1 else 1  # also where a rank has no cells
        weighted = values.reshape(len(self.cells), self.per_cell, size) * weights
        average: FloatArray = weighted.sum(axis=1) / weights.sum(axis=1)
        return average

    def check_form(self, form: Any, quadrature_functions: list[Any]) -> None:
        """Refuse a form that integrates one of these Functions with another measure.

        Raises:
            ValueError: If degree or rule of an integral is not that of these points.
        """
        checked = set(quadrature_functions)
        for integral in form.integrals():
            misused = checked.intersection(
                ufl.algorithms.extract_coefficients(integral.integrand())
            )
            metadata = integral.metadata()
            if misused and (
                integral.integral_type() != "cell"
                or metadata.get("quadrature_degree") != self.degree
                or metadata.get("quadrature_rule", "default") != "default"
            ):
                names = ", ".join(sorted(function.name for function in misused))
                raise ValueError(
                    f"quadrature: {names} has values at quadrature points of degree {self.degree} "
                    f"and must be integrated with law.dx; found an integral of type "
                    f"'{integral.integral_type()}' with metadata {metadata or '{}'}. "
                    "Write `* law.dx` instead of `* ufl.dx`."
                )


class Rows:
    """Values of a quadrature Function as rows, one per point, in the order of the points.

    Args:
        array: The Function's values, shape ``(dofs, size)``; shares their memory.
        dofs: Row of each point: a slice where they are consecutive, which they mostly are.
    """

    def __init__(self, array: FloatArray, dofs: slice | NDArray[np.int64]) -> None:
        self._array = array
        self._dofs = dofs
        self._view = array[dofs] if isinstance(dofs, slice) else None

    def set(self, values: FloatArray, start: int = 0, stop: int | None = None) -> None:
        """Write the values of points ``start:stop``, shape ``(stop - start, size)``."""
        rows = values.reshape(-1, self._array.shape[1])
        if self._view is not None:
            self._view[start:stop] = rows
        else:
            self._array[self._dofs[start:stop]] = rows  # type: ignore[index]

    def view(self, start: int, stop: int) -> FloatArray | None:
        """The values themselves of points ``start:stop`` where they lie together, to write on."""
        return None if self._view is None else self._view[start:stop]

    def get(self) -> FloatArray:
        """Values of all points, shape ``(points, size)``: a view if possible, else a copy."""
        return self._view if self._view is not None else self._array[self._dofs]


class Evaluator:
    """A UFL expression, compiled once, evaluated at the quadrature points on each call."""

    def __init__(self, points: QuadraturePoints, expression: Any) -> None:
        self._points = points
        self._expression = fem.Expression(expression, points.points)
        self.size = int(np.prod(expression.ufl_shape, dtype=np.int64))

    def __call__(self, out: FloatArray | None = None) -> FloatArray:
        """Values, shape ``(points.size, size)``; written into ``out`` if it is given."""
        if out is None:
            out = np.empty((self._points.size, self.size))
        _compat.evaluate_expression(
            self._expression, self._points.mesh, self._points.cells, self._points.per_cell, out
        )
        return out


def _digest(mesh: Any) -> int:
    return zlib.crc32(np.ascontiguousarray(mesh.geometry.x))


def _tags_and_numbers(subdomain: Any, mesh: Any) -> tuple[Any, tuple[int, ...]]:
    if not isinstance(subdomain, tuple | list) or len(subdomain) != 2:
        raise TypeError(
            "subdomain: must be cell tags and a tag, (tags, 1) or (tags, (1, 2)); found "
            f"{type(subdomain).__name__}."
        )
    tags, tag = subdomain
    check_tags("subdomain", tags, mesh, "cell", 0)
    numbers = tuple(tag) if isinstance(tag, tuple | list | set | np.ndarray) else (tag,)
    whole = [isinstance(tag, Integral) and not isinstance(tag, bool) for tag in numbers]
    if not numbers or not all(whole):
        raise TypeError(
            f"subdomain: a tag must be a whole number, or several in a tuple; found {tag!r}."
        )
    return tags, tuple(int(tag) for tag in numbers)


def _as_slice(dofs: NDArray[np.int32]) -> slice | NDArray[np.int64]:
    """Consecutive dofs as a slice: then reading and writing are views, not gathers."""
    if dofs.size and np.array_equal(dofs, np.arange(dofs[0], dofs[0] + dofs.size)):
        return slice(int(dofs[0]), int(dofs[0]) + int(dofs.size))
    return dofs.astype(np.int64)
