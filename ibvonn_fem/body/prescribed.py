"""Degrees of freedom whose displacement is prescribed, and the reactions there."""

from __future__ import annotations

from collections.abc import Sequence
from operator import is_
from typing import Any

from mpi4py import MPI
from petsc4py import PETSc

import numpy as np
from dolfinx.fem import petsc as fem_petsc
from numpy.typing import NDArray

from .. import _compat
from ..kernels.base import FloatArray
from .load_checks import check_conditions
from .rank_agreement import on_all_ranks, require_same


class Prescribed:
    """Dirichlet conditions of a problem: their dofs, values and reactions.

    Args:
        conditions: The list of the user; it is read at every solve, so that it may change.
        space: Space of the displacement.

    Attributes:
        conditions: The list of the user.
        bcs: The conditions of the last :meth:`read`; their values are read at every use.
    """

    def __init__(self, conditions: Sequence[Any], space: Any) -> None:
        self.conditions = conditions
        self._space = space
        self.bcs: list[Any] = []
        self._block = int(space.dofmap.index_map_bs)
        self._owned = int(space.dofmap.index_map.size_local) * self._block
        ghosts = int(space.dofmap.index_map.num_ghosts) * self._block
        self._size = self._owned + ghosts
        self._comm: MPI.Intracomm = space.mesh.comm
        self.read()

    def read(self) -> None:
        """Read the list of conditions. Collective.

        Raises:
            TypeError: On every rank, if an entry is no condition.
            ValueError: On every rank, if a condition does not fit the space, has no dof, or does
                not exist on all ranks.
        """
        with on_all_ranks(self._comm):
            check_conditions(self.conditions, self._space)
        require_same(self._comm, "bcs", {"their number": len(self.conditions)})
        if len(self.conditions) == len(self.bcs) and all(map(is_, self.conditions, self.bcs)):
            return
        counts = np.array([len(bc.dof_indices()[0]) for bc in self.conditions], dtype=np.int64)
        self._comm.Allreduce(MPI.IN_PLACE, counts, op=MPI.SUM)
        if not counts.all():
            raise ValueError(
                f"bcs: every condition must have a dof; bcs[{int(counts.argmin())}] has none on "
                "any rank. See where its dofs were located, or leave it out."
            )
        self.bcs = list(self.conditions)

    def constants(self) -> dict[str, Any]:
        """Values of the conditions that are Constants, by name."""
        return {
            f"the value of bcs[{number}]": bc.g.value
            for number, bc in enumerate(self.bcs)
            if hasattr(bc.g, "value")
        }

    def sums(self, bc: Any, values: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Sum and number of the values at the dofs of a condition, one per component. Collective.

        Args:
            bc: Any condition on the space.
            values: One for each dof of this rank.

        Raises:
            TypeError: If it is no condition.
            ValueError: If it is on another space.
        """
        if not hasattr(bc, "dof_indices"):
            raise TypeError(
                "reaction, velocity: bc must be a condition from dolfinx.fem.dirichletbc, for "
                f"example bcs[0]; found {type(bc).__name__}."
            )
        if not _compat.holds(self._space, bc):
            raise ValueError(
                "reaction, velocity: bc is on another function space than u. Make it with "
                "u.function_space, or with a part of it."
            )
        dofs = _compat.owned_dofs(bc, self._owned)
        component, number = self._components(bc)
        sums = np.zeros((2, number))
        np.add.at(sums[0], component[dofs], values[dofs])
        np.add.at(sums[1], component[dofs], 1.0)
        self._comm.Allreduce(MPI.IN_PLACE, sums, op=MPI.SUM)
        return sums[0], sums[1]

    def component_count(self, bc: Any) -> int:
        """Number of components of the prescribed part of u."""
        return self._components(bc)[1]

    def spread(self, bc: Any, values: FloatArray, to: FloatArray) -> None:
        """Add a value for each component to the owned dofs of a condition; transposed of `sums`.

        Args:
            bc: A condition on the space.
            values: One for each component.
            to: One for each dof of this rank.
        """
        dofs = _compat.owned_dofs(bc, self._owned)
        component, _ = self._components(bc)
        to[dofs] += values[component[dofs]]

    def _components(self, bc: Any) -> tuple[NDArray[np.intp], int]:
        """Component of every dof, and the number of components of the prescribed part of u."""
        if self._block > 1 or self._space.num_sub_spaces == 0:
            return np.arange(self._size) % self._block, self._block
        part = self._space
        for index in bc.function_space.component():
            part = part.sub(index)
        component = np.zeros(self._size, dtype=np.intp)
        for number in range(part.num_sub_spaces):
            component[np.unique(part.sub(number).dofmap.list)] = number
        return component, max(part.num_sub_spaces, 1)

    def applied(self, internal: FloatArray, external: FloatArray) -> FloatArray:
        """Loads on the owned dofs, or the reactions where u is prescribed."""
        applied = external.copy()
        for bc in self.bcs:
            dofs = _compat.owned_dofs(bc, self._owned)
            applied[dofs] = internal[dofs]
        return applied

    def require_numbers(self) -> None:
        """Raise on all ranks unless every prescribed value is a finite number. Collective.

        Raises:
            ValueError: If one is not.
        """
        values = np.zeros(self._size)
        wrong = np.zeros(len(self.bcs))
        for number, bc in enumerate(self.bcs):
            values[:] = 0.0
            bc.set(values)
            wrong[number] = not np.isfinite(values).all()
        self._comm.Allreduce(MPI.IN_PLACE, wrong, op=MPI.MAX)
        if wrong.any():
            raise ValueError(
                f"solve: prescribed displacements must be finite; found NaN or infinity in "
                f"bcs[{int(wrong.argmax())}]. Mend the loading and solve again."
            )

    def misses(self, x: Any, b: Any) -> bool:
        """Whether ``x`` differs from a prescribed value; ``b``, zero before, is overwritten."""
        fem_petsc.set_bc(b, self.bcs, x0=x, alpha=-1.0)
        return bool(b.norm(PETSc.NormType.INFINITY) > 0.0)
