r"""A finite body of bistable bonds in a medium that moves: overdamped Langevin dynamics.

The medium has the displacement :math:`b_i(t) = \sum_m c_m(t)\, f_m(X_i)` at node i. Gripped nodes
move with it; drag acts on the motion of the others relative to it. With the displacement
:math:`b_i + w_i` of node i,

.. math::
    \eta \dot w_i = -\partial E/\partial w_i + \text{noise}, \qquad w_i = 0 \text{ where gripped},
    \qquad E = \sum_b \tfrac k2 (u_b - z_b)^2 + W(z_b),

with the elongation :math:`u_b = n_b \cdot (b_j + w_j - b_i - w_i)` and the inner coordinate z of
a bond as in a periodic lattice. An affine medium, :math:`f_m(X) = A_m X`, makes the interior of
the body a periodic cell under the strain of the medium.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from .lattice_body import LatticeBody
from .lattice_geometry import FloatArray
from .periodic_lattice import PeriodicLattice


@dataclass(frozen=True, eq=False)
class FiniteLattice:
    """A body with the motion of its medium and the constants of its bonds.

    Attributes:
        body: Nodes, bonds, grips.
        fields: f_m at the nodes, ``(n_field, n_node, d)`` [length per unit of c_m].
        bond: Constants of the bonds, drag and temperature; its geometry is that of the body.

    Raises:
        ValueError: If fields do not fit the body, no node is gripped or none is free, the
            geometries differ, or bonds have no inner coordinate.
    """

    body: LatticeBody
    fields: FloatArray
    bond: PeriodicLattice = field(default_factory=PeriodicLattice)

    def __post_init__(self) -> None:
        body, shape = self.body, np.shape(self.fields)
        if len(shape) != 3 or shape[1:] != body.nodes.shape or not shape[0]:
            raise ValueError(
                "FiniteLattice: fields must have the shape (n_field, "
                f"{', '.join(map(str, body.nodes.shape))}), a displacement at every node; found "
                f"{shape}."
            )
        if not np.isfinite(self.fields).all():
            raise ValueError("FiniteLattice: fields must be finite; found NaN or infinity.")
        if not body.gripped.any() or body.gripped.all():
            raise ValueError(
                "FiniteLattice: some nodes must be gripped and some free; of "
                f"{len(body.nodes)} nodes {int(body.gripped.sum())} are gripped. Use "
                "LatticeBody.with_grip."
            )
        if self.bond.geometry != body.geometry:
            raise ValueError(
                f"FiniteLattice: the bonds are of a lattice {self.bond.geometry!r} and the body of "
                f"{body.geometry!r}; they must be of the same."
            )
        if not self.bond.series or self.bond.scheme != "leimkuhler_matthews":
            raise ValueError(
                "FiniteLattice: needs bonds in series with a spring and the scheme "
                f"'leimkuhler_matthews'; found series={self.bond.series} and {self.bond.scheme!r}."
            )

        if self.bond.true_lengths:
            raise ValueError(
                "FiniteLattice: elongations are linearised; found bonds with true_lengths=True. "
                "Leave it out."
            )

    @cached_property
    def stretches(self) -> FloatArray:
        """Elongation of every bond that each field causes, ``(n_bond, n_field)``."""
        i, j = self.body.bonds.T
        unit = self.body.lattice.directions[self.body.directions]
        difference = self.fields[:, j] - self.fields[:, i]
        stretches: FloatArray = np.einsum("bd,mbd->bm", unit, difference)
        return stretches

    def elongations(self, w: Tensor, amplitudes: Tensor) -> Tensor:
        """Return u_b, ``(…, n_bond)``, of w ``(…, n_node, d)`` and c ``(n_field,)``."""
        i, j = torch.from_numpy(self.body.bonds.T)
        unit = torch.from_numpy(self.body.lattice.directions[self.body.directions]).to(w)
        mean = torch.from_numpy(self.stretches).to(w) @ amplitudes.to(w)
        return mean + ((w[..., j, :] - w[..., i, :]) * unit).sum(-1)

    def energy(self, w: Tensor, z: Tensor, amplitudes: Tensor) -> Tensor:
        """Return E, shape ``(…)``, of w ``(…, n_node, d)``, z ``(…, n_bond)`` and c."""
        return self.bond.two_state_bond.energy(self.elongations(w, amplitudes), z).sum(-1)
