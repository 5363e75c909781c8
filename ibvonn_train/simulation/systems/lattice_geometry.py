"""Bravais lattices as data: lattice vectors and the bonds of a node."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from ...data.element_classes import ClassSymmetry

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class LatticeGeometry:
    """Nodes at whole multiples of the lattice vectors, bonds from every node along some directions.

    Attributes:
        vectors: Lattice vectors as rows, ``(d, d)`` [length].
        offsets: From a node to the other end of its bond of each direction, in lattice vectors,
            ``(n_direction, d)``; each bond is counted once.
    """

    vectors: FloatArray
    offsets: IntArray

    @property
    def dimension(self) -> int:
        """Number of space dimensions d."""
        return len(self.vectors)

    @cached_property
    def bonds(self) -> FloatArray:
        """Bond vectors, ``(n_direction, d)`` [length]."""
        bonds: FloatArray = self.offsets @ self.vectors
        return bonds

    @cached_property
    def lengths(self) -> FloatArray:
        """Lengths of the bonds, ``(n_direction,)``."""
        lengths: FloatArray = np.linalg.norm(self.bonds, axis=1)
        return lengths

    @cached_property
    def directions(self) -> FloatArray:
        """Unit vectors n_a of the bonds, ``(n_direction, d)``."""
        unit: FloatArray = self.bonds / self.lengths[:, None]
        return unit

    @property
    def volume(self) -> float:
        """Volume (area) of one node."""
        return float(abs(np.linalg.det(self.vectors)))

    @cached_property
    def strain_basis(self) -> FloatArray:
        """A with e_a = A_a ε = l_a n_a·ε n_a, ε in Mandel order, ``(n_direction, n_ε)``.

        e_a is the mean elongation of the bonds of direction a in a periodic cell.
        """
        products = self.directions[:, :, None] * self.directions[:, None, :]
        basis: FloatArray = self.lengths[:, None] * mandel(products)
        return basis

    @cached_property
    def symmetry(self) -> tuple[ClassSymmetry, ...]:
        """Every rotation and reflection of the directions, once for each action on the strain."""
        symmetries: dict[bytes, ClassSymmetry] = {}
        base = next(
            rows
            for rows in itertools.combinations(range(len(self.bonds)), self.dimension)
            if abs(np.linalg.det(self.bonds[list(rows)])) > ROUNDING
        )
        inverse = np.linalg.inv(self.bonds[list(base)].T)
        signed = [*enumerate(self.bonds), *enumerate(-self.bonds)]
        for images in itertools.product(signed, repeat=self.dimension):
            rotation = np.stack([bond for _, bond in images], 1) @ inverse
            if np.abs(rotation @ rotation.T - np.eye(self.dimension)).max() > ROUNDING:
                continue
            moved = self.bonds @ rotation.T
            same = np.minimum(
                np.abs(moved[:, None] - self.bonds).max(-1),
                np.abs(moved[:, None] + self.bonds).max(-1),
            )
            if (same.min(1) < ROUNDING).all():
                strain = mandel_rotation(rotation)
                key = np.round(strain, 6).tobytes()
                classes = tuple(int(number) for number in same.argmin(1))
                symmetries.setdefault(key, ClassSymmetry(classes, strain))
        return tuple(symmetries.values())

    def neighbours(self, cells: int) -> IntArray:
        """Return the node at the far end of each bond of a periodic cell of ``cells``^d nodes.

        Shape ``(n_direction, n_node)``; nodes are numbered with the last lattice vector fastest.
        """
        shape = (cells,) * self.dimension
        index = np.indices(shape).reshape(self.dimension, -1)
        far = [np.ravel_multi_index((index + o[:, None]) % cells, shape) for o in self.offsets]
        return np.stack(far)


def mandel(tensors: FloatArray) -> FloatArray:
    """Return symmetric tensors ``(…, d, d)`` in Mandel order, ``(…, d(d + 1)/2)``.

    The diagonal, then √2 times the shears: 12 in two dimensions; 12, 13, 23 in three.
    """
    size = tensors.shape[-1]
    rows, columns = shears(size)
    diagonal = np.diagonal(tensors, axis1=-2, axis2=-1)
    return np.concatenate([diagonal, np.sqrt(2.0) * tensors[..., rows, columns]], -1)


def mandel_rotation(rotation: FloatArray) -> FloatArray:
    """Return the matrix that turns Mandel components like ε → R ε Rᵀ."""
    size = len(rotation)
    columns = []
    for number in range(size * (size + 1) // 2):
        component = np.zeros(size * (size + 1) // 2)
        component[number] = 1.0
        columns.append(mandel(rotation @ tensor(component, size) @ rotation.T))
    return np.stack(columns, 1)


def tensor(components: FloatArray, size: int) -> FloatArray:
    """Return the symmetric tensor of Mandel components, ``(d, d)``."""
    matrix = np.diag(components[:size]).astype(float)
    rows, columns = shears(size)
    matrix[rows, columns] = matrix[columns, rows] = components[size:] / np.sqrt(2.0)
    return matrix


def shears(size: int) -> tuple[list[int], list[int]]:
    """Return rows and columns of the shear components."""
    return ([0], [1]) if size == 2 else ([0, 0, 1], [1, 2, 2])


ROOT_3 = 3.0**0.5
GEOMETRIES = {
    "triangular": LatticeGeometry(
        np.array([[1.0, 0.0], [0.5, 0.5 * ROOT_3]]), np.array([[1, 0], [0, 1], [-1, 1]])
    ),
    "square_with_diagonals": LatticeGeometry(
        np.eye(2), np.array([[1, 0], [0, 1], [1, 1], [-1, 1]])
    ),
    "fcc": LatticeGeometry(
        np.array([[0.0, 1.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 0.0]]) / 2.0**0.5,
        np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, -1, 0], [0, 1, -1], [-1, 0, 1]]),
    ),
}
"""Lattices by name; nearest neighbours are at the distance 1."""
