"""Degrees of freedom whose displacement is prescribed: what acts there, and what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mpi4py import MPI
from petsc4py import PETSc

import numpy as np
from dolfinx.fem import petsc as fem_petsc

from . import _compat
from .kernels.base import FloatArray


class Prescribed:
    """Dirichlet conditions of a problem, seen by the forces.

    Args:
        bcs: The conditions; their values are read at every use.
        space: Space of the displacement.
    """

    def __init__(self, bcs: Sequence[Any], space: Any) -> None:
        self.bcs = list(bcs)
        self._block = int(space.dofmap.index_map_bs)
        self._owned = int(space.dofmap.index_map.size_local) * self._block
        ghosts = int(space.dofmap.index_map.num_ghosts) * self._block
        self._size = self._owned + ghosts
        self._comm: MPI.Intracomm = space.mesh.comm

    def sums(self, bc: Any, values: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Sum and number of the values at the dofs of a condition, one per component. Collective.

        Args:
            bc: Any condition on the space.
            values: One for each dof of this rank.

        Raises:
            TypeError: If it is no condition.
        """
        if not hasattr(bc, "dof_indices"):
            raise TypeError(
                "reaction, velocity: bc must be a condition from dolfinx.fem.dirichletbc, for "
                f"example bcs[0]; found {type(bc).__name__}."
            )
        dofs = _compat.owned_dofs(bc, self._owned)
        sums = np.zeros((2, self._block))
        np.add.at(sums[0], dofs % self._block, values[dofs])
        np.add.at(sums[1], dofs % self._block, 1.0)
        self._comm.Allreduce(MPI.IN_PLACE, sums, op=MPI.SUM)
        return sums[0], sums[1]

    def applied(self, internal: FloatArray, external: FloatArray) -> FloatArray:
        """Loads on the owned dofs, with the reactions in their place where u is prescribed."""
        applied = external.copy()
        for bc in self.bcs:
            dofs = _compat.owned_dofs(bc, self._owned)
            applied[dofs] = internal[dofs]
        return applied

    def require_numbers(self) -> None:
        """Raise, on all ranks alike, unless every prescribed value is a finite number. Collective.

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
