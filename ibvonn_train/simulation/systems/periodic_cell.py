"""Nodes and bonds of a periodic cell: elongations of displacements, forces of tensions.

Every node begins one bond of each direction; a bond is numbered by its direction and that node.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from .lattice_geometry import LatticeGeometry


@dataclass(frozen=True)
class PeriodicCell:
    """A cell of a lattice whose displacements w are periodic.

    Displacements have the shape ``(n_case, n_node, d, n_replica)``, elongations and tensions
    ``(n_case, n_direction, n_node, n_replica)``.

    Attributes:
        lattice: The geometry.
        cells: Nodes along each lattice vector.
    """

    lattice: LatticeGeometry
    cells: int

    @property
    def nodes(self) -> int:
        """Number of nodes."""
        return int(self.cells**self.lattice.dimension)

    @property
    def bonds(self) -> int:
        """Number of bonds."""
        return len(self.lattice.bonds) * self.nodes

    def projections(self, w: Tensor) -> Tensor:
        """Return n·(w_j − w_i), by which bonds of fixed direction become longer."""
        directions = torch.from_numpy(self.lattice.directions).to(w)
        projected = torch.einsum("ad,cndr->canr", directions, w)
        far = torch.gather(projected, 2, self._far(w).expand(len(w), -1, -1, w.shape[-1]))
        return far - projected

    def stretched(self, w: Tensor, affine: Tensor) -> tuple[Tensor, Tensor]:
        """Return true elongations and unit vectors of bonds.

        Args:
            w: Displacements.
            affine: Bond vectors of the affine motion, ``(n_case, n_direction, d)``.

        Returns:
            |b + w_j − w_i| − l, and the vectors, ``(n_case, n_direction, n_node, d, n_replica)``.
        """
        far = self._neighbours.to(w.device)
        span = w[:, far] - w[:, None] + affine.to(w)[:, :, None, :, None]
        length = span.norm(dim=3)
        rest = torch.from_numpy(self.lattice.lengths).to(w)
        return length - rest[:, None, None], span / length[:, :, :, None]

    def forces(self, tension: Tensor, unit: Tensor | None) -> Tensor:
        """Return the forces on the nodes, along the given unit vectors or the directions."""
        # The bond that ends at a node pulls it back, the one that begins there pulls it on.
        if unit is None:
            ending = torch.gather(tension, 2, self._near(tension).expand_as(tension))
            directions = torch.from_numpy(self.lattice.directions).to(tension)
            return torch.einsum("ad,canr->cndr", directions, tension - ending)
        pull = tension[:, :, :, None] * unit
        near = self._near(tension)[..., None].expand_as(pull)
        return (pull - torch.gather(pull, 2, near)).sum(1)

    def projection_matrix(self) -> Tensor:
        """Return the matrix of :meth:`projections`, ``(n_bond, n_node d)``."""
        count = self.lattice.dimension * self.nodes
        probe = torch.eye(count, dtype=torch.float64)
        w = probe.reshape(1, self.nodes, self.lattice.dimension, count)
        return self.projections(w).reshape(-1, count)

    @cached_property
    def inverse_projection(self) -> Tensor:
        """Pseudo-inverse of the matrix, ``(n_node d, n_bond)``."""
        inverse: Tensor = torch.linalg.pinv(self.projection_matrix())
        return inverse

    @cached_property
    def _neighbours(self) -> Tensor:
        return torch.from_numpy(self.lattice.neighbours(self.cells))

    def _far(self, x: Tensor) -> Tensor:
        """Return the node at the far end of each bond, ``(1, n_direction, n_node, 1)``."""
        return self._neighbours.to(x.device)[None, :, :, None]

    def _near(self, x: Tensor) -> Tensor:
        """Return where the bond begins that ends at each node, the same shape."""
        return self._neighbours.argsort(1).to(x.device)[None, :, :, None]
