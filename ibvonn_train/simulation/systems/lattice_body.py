"""Finite bodies that are cut out of a lattice, as data: nodes, bonds, grips."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from .lattice_geometry import GEOMETRIES, ROUNDING, FloatArray, IntArray, LatticeGeometry

BoolArray = npt.NDArray[np.bool_]
BORDER = 1e-6
"""Nodes that are no farther outside a box count as on its faces."""


@dataclass(frozen=True, eq=False)
class LatticeBody:
    """Nodes of a lattice, the bonds between them, and groups of nodes that are gripped.

    Attributes:
        nodes: Positions X_i, ``(n_node, d)`` [length].
        bonds: Nodes (i, j) of each bond, ``(n_bond, 2)``.
        directions: Number of the direction of each bond in the geometry, ``(n_bond,)``: X_j − X_i
            is the bond vector of that direction.
        geometry: Name of the lattice.
        grips: Names of the groups of gripped nodes and the numbers of their nodes.

    Raises:
        ValueError: If bonds do not fit nodes and directions, a node has no bond, or grips are
            empty or share nodes.
    """

    nodes: FloatArray
    bonds: IntArray
    directions: IntArray
    geometry: str = "triangular"
    grips: Mapping[str, IntArray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.geometry not in GEOMETRIES:
            raise ValueError(
                f"LatticeBody: geometry must be one of {sorted(GEOMETRIES)}; found "
                f"{self.geometry!r}."
            )
        count, size = len(self.nodes), self.lattice.dimension
        if self.nodes.shape != (count, size) or self.bonds.shape != (len(self.directions), 2):
            raise ValueError(
                f"LatticeBody: nodes must have the shape (n_node, {size}), bonds (n_bond, 2) and "
                f"directions (n_bond,); found {self.nodes.shape}, {self.bonds.shape} and "
                f"{self.directions.shape}."
            )
        if self.bonds.size and not (0 <= self.bonds.min() and self.bonds.max() < count):
            raise ValueError(
                f"LatticeBody: bonds must join nodes 0 to {count - 1}; found nodes "
                f"{self.bonds.min()} to {self.bonds.max()}."
            )
        kinds = len(self.lattice.bonds)
        if self.bonds.size and not (0 <= self.directions.min() and self.directions.max() < kinds):
            raise ValueError(
                f"LatticeBody: directions must be numbers from 0 to {kinds - 1}; found "
                f"{self.directions.min()} to {self.directions.max()}."
            )
        joined = self.nodes[self.bonds[:, 1]] - self.nodes[self.bonds[:, 0]]
        wrong = np.abs(joined - self.lattice.bonds[self.directions]).max(1) > 1e-6
        if wrong.any():
            first = int(wrong.argmax())
            raise ValueError(
                "LatticeBody: the vector between the nodes of a bond must be that of its "
                f"direction; bond {first} from node {self.bonds[first, 0]} to "
                f"{self.bonds[first, 1]} is {joined[first].tolist()}, its direction "
                f"{self.lattice.bonds[self.directions[first]].tolist()}."
            )
        loose = np.setdiff1d(np.arange(count), self.bonds)
        if len(loose):
            raise ValueError(
                f"LatticeBody: every node must have a bond; node {loose[0]} at "
                f"{self.nodes[loose[0]].tolist()} has none. Remove it."
            )
        grips = [np.asarray(nodes) for nodes in self.grips.values()]
        for name, nodes in zip(self.grips, grips, strict=True):
            if not len(nodes) or nodes.min() < 0 or nodes.max() >= count:
                raise ValueError(
                    f"LatticeBody: grip {name!r} must hold some of the nodes 0 to {count - 1}; "
                    f"found {nodes.tolist()[:8]}."
                )
        together = np.concatenate(grips) if grips else np.zeros(0, int)
        if len(np.unique(together)) < len(together):
            raise ValueError(
                f"LatticeBody: a node may be held by one grip; of {list(self.grips)} some share "
                "nodes. Take them out of one of the grips."
            )

    @property
    def lattice(self) -> LatticeGeometry:
        """The lattice."""
        return GEOMETRIES[self.geometry]

    @property
    def volume(self) -> float:
        """Volume (area) of all bonds, each with the share of a node's that it has in the lattice.

        A continuum of this volume has as many bonds as the body. In the plane it is larger than
        that of the cells between the nodes, in which a bond on the edge counts half.
        """
        return len(self.bonds) * self.lattice.volume / len(self.lattice.bonds)

    @cached_property
    def gripped(self) -> BoolArray:
        """Whether a node belongs to a grip, ``(n_node,)``."""
        gripped = np.zeros(len(self.nodes), bool)
        for nodes in self.grips.values():
            gripped[nodes] = True
        return gripped

    def without(self, inside: Callable[[FloatArray], BoolArray]) -> LatticeBody:
        """Return the body without some nodes and their bonds; grips lose these nodes.

        Args:
            inside: Takes positions ``(n_node, d)`` and says which nodes are removed.
        """
        kept = ~inside(self.nodes)
        number = np.cumsum(kept) - 1
        whole = kept[self.bonds].all(1)
        return replace(
            self,
            nodes=self.nodes[kept],
            bonds=number[self.bonds[whole]],
            directions=self.directions[whole],
            grips={name: number[nodes[kept[nodes]]] for name, nodes in self.grips.items()},
        )

    def with_grip(self, name: str, inside: Callable[[FloatArray], BoolArray]) -> LatticeBody:
        """Return the body with one more grip, of the nodes that ``inside`` names."""
        return replace(self, grips={**self.grips, name: np.flatnonzero(inside(self.nodes))})


def lattice_block(columns: int, rows: int, geometry: str = "triangular") -> LatticeBody:
    """Return a block of ``rows`` rows along x with ``columns`` nodes each.

    Rows that the lattice displaces by half a bond follow one another to the left and to the right,
    so that the block is upright. Nodes are numbered row by row.

    Raises:
        ValueError: If the block has fewer than two rows or columns.
    """
    if columns < 2 or rows < 2:
        raise ValueError(
            f"lattice_block: needs at least 2 columns and 2 rows; found {columns} and {rows}."
        )
    if geometry not in GEOMETRIES or GEOMETRIES[geometry].dimension != 2:
        raise ValueError(
            f"lattice_block: geometry must be a lattice of the plane; not {geometry!r}."
        )
    lattice = GEOMETRIES[geometry]
    along, up = lattice.vectors
    row = np.repeat(np.arange(rows), columns)
    first = -np.floor(row * up[0] / along[0] + ROUNDING).astype(int)
    index = np.stack([first + np.tile(np.arange(columns), rows), row], 1)
    numbers = {tuple(place): number for number, place in enumerate(index.tolist())}
    bonds = [
        (number, numbers[there], kind)
        for (i, j), number in numbers.items()
        for kind, (a, b) in enumerate(lattice.offsets.tolist())
        if (there := (i + a, j + b)) in numbers
    ]
    table = np.array(bonds)
    return LatticeBody(index @ lattice.vectors, table[:, :2], table[:, 2], geometry)


def lattice_box(size: Sequence[float], axes: FloatArray, geometry: str = "fcc") -> LatticeBody:
    """Return all nodes in a box, edges included, with the bonds between them.

    One corner of the box is the node at the origin.

    Args:
        size: Lengths of the edges, ``(d,)`` [length].
        axes: Unit vectors along the edges as rows, ``(d, d)``, in the axes of the lattice.
        geometry: Name of the lattice.

    Raises:
        ValueError: If the sizes do not fit, edges are not positive, axes are not orthonormal, or a
            node in the box has no bond.
    """
    lattice = GEOMETRIES[geometry]
    edges, frame = np.asarray(size, float), np.asarray(axes, float)
    d = lattice.dimension
    if edges.shape != (d,) or frame.shape != (d, d) or not (edges > 0.0).all():
        raise ValueError(
            f"lattice_box: size must be {d} positive lengths and axes a {d} × {d} matrix; found "
            f"{edges.tolist()} and the shape {frame.shape}."
        )
    if np.abs(frame @ frame.T - np.eye(d)).max() > ROUNDING:
        raise ValueError(f"lattice_box: axes must be orthonormal; found {frame.tolist()}.")
    corners = np.array(list(itertools.product(*([0.0, edge] for edge in edges)))) @ frame
    reach = corners @ np.linalg.inv(lattice.vectors)
    ranges = [
        np.arange(np.floor(low), np.ceil(high) + 1)
        for low, high in zip(reach.min(0), reach.max(0), strict=True)
    ]
    index = np.stack(np.meshgrid(*ranges, indexing="ij"), -1).reshape(-1, d)
    place = index @ lattice.vectors @ frame.T
    inside = ((place > -BORDER) & (place < edges + BORDER)).all(1)
    index = index[inside].astype(np.int64)
    first = index.min(0)
    shape = index.max(0) - first + 1
    numbers = np.full(tuple(shape), -1)
    numbers[tuple((index - first).T)] = np.arange(len(index))
    bonds = []
    for kind, offset in enumerate(lattice.offsets):
        far = index - first + offset
        there = ((far >= 0) & (far < shape)).all(1)
        ends = np.full(len(index), -1)
        ends[there] = numbers[tuple(far[there].T)]
        near = np.flatnonzero(ends >= 0)
        bonds.append(np.stack([near, ends[near], np.full(len(near), kind)], 1))
    table = np.concatenate(bonds)
    return LatticeBody(index @ lattice.vectors, table[:, :2], table[:, 2], geometry)
