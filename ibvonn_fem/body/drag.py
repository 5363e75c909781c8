"""Drag on the surroundings: the overdamped motion of a body in a viscous medium.

With a drag coefficient c per unit volume, equilibrium becomes the balance of forces

    ∫ c (u̇ − ḃ) · v dx + ∫ σ · δε(v) dx = loads(v),

implicit in time, b being the displacement of the medium (zero where it is at rest). The first
integral is taken at the vertices (a lumped matrix). On linear elements of length L0 with c = η/L0
this is, node by node and identically, the mean of a Langevin chain,

    η d⟨x_i⟩/dt = ⟨F_{i+1}⟩ − ⟨F_i⟩;

a consistent matrix is another system (its fastest rate is 111.6 where the chain has 39.0).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mpi4py import MPI
from petsc4py import PETSc

import numpy as np
import ufl
from dolfinx import fem
from numpy.typing import NDArray

from .. import _compat
from ..kernels.base import FloatArray
from .expressions import expression_of, functions_of
from .forms import add_vectors, compiled
from .law import InternalVariableLaw
from .prescribed import Prescribed

_AT_VERTICES = {"quadrature_rule": "vertex", "quadrature_degree": 1}


class Drag:
    """Lumped drag matrix D on the dofs of u and the force D s/Δt of a step.

    s = u − u_n − (b − b_n) is the *slip*, the motion relative to the medium. A step of length 0
    leaves no time to slip: every dof with drag moves with the medium, unless it is prescribed. The
    impulse that a prescribed jump then needs is not counted.

    Args:
        coefficient: c ≥ 0 [force · time / length / volume], a number or a UFL expression.
        laws: The body: drag acts on the cells of these laws.
        u: The unknown, of linear Lagrange elements.
        directions: For each law the virtual displacement of its part of u, in UFL.
        prescribed: Dirichlet conditions.
        medium: Displacement b of the medium, a Function of u's space; None: it is at rest.

    Attributes:
        diagonal: D, shape of ``u.x.array`` [force · time / length].
        force: D s/Δt at the last :meth:`update`, a Function of u's space.

    Raises:
        TypeError: If c is no expression, or the medium no Function.
        ValueError: If the elements are not linear, c depends on u or is negative somewhere, or the
            medium is of another space or u itself.
    """

    def __init__(
        self,
        coefficient: Any,
        laws: Sequence[InternalVariableLaw],
        u: Any,
        directions: Sequence[Any],
        prescribed: Prescribed,
        medium: Any = None,
    ) -> None:
        space = u.function_space
        self.medium = None if medium is None else _checked_medium(medium, u)
        degree = space.ufl_element().degree
        if degree != 1:
            raise ValueError(
                f"drag: needs linear Lagrange elements, whose vertices carry it; found degree "
                f"{degree}. Use elements of degree 1."
            )
        c = expression_of("drag", coefficient, (), space.mesh)
        if any(_compat.share_values(function, u) for function in functions_of(c)):
            raise ValueError(
                "drag: the coefficient must not depend on u, of which its matrix has no "
                "derivative. Put such a force into loads."
            )
        self.coefficient = c
        form = sum(
            (
                c
                * law.kinematics.weight(law.points.mesh)
                * _sum(direction)
                * law.dx(metadata=_AT_VERTICES)
                for law, direction in zip(laws, directions, strict=True)
            ),
            start=ufl.Form([]),
        )
        self._forms = compiled(form)
        self._assembled = fem.Function(space)
        self.diagonal: FloatArray = self._assembled.x.array
        self.read()
        self.force = fem.Function(space, name="drag_force")
        self._owned = space.dofmap.index_map.size_local * space.dofmap.index_map_bs
        self._first = space.dofmap.index_map.local_range[0] * space.dofmap.index_map_bs
        self._prescribed = prescribed
        self._increment = self._assembled.x.petsc_vec.duplicate()

    def __del__(self) -> None:
        increment = getattr(self, "_increment", None)
        if increment is not None:
            increment.destroy()

    def read(self) -> None:
        """Assemble the matrix of the coefficient as it is now. Collective.

        Raises:
            ValueError: If it is negative somewhere, or it or the medium is not finite.
        """
        if self.medium is not None:
            finite = bool(np.isfinite(self.medium.x.array).all())
            if not self._assembled.function_space.mesh.comm.allreduce(finite, op=MPI.LAND):
                raise ValueError(
                    "drag: the displacement of the medium must be finite; found NaN or infinity. "
                    "Mend the loading and solve again."
                )
        add_vectors(self._forms, self._assembled)
        finite = bool(np.isfinite(self.diagonal).all())
        least = float(self.diagonal.min(initial=0.0)) if finite else -np.inf
        least = self._assembled.function_space.mesh.comm.allreduce(least, op=MPI.MIN)
        if least < 0.0:
            content = f"the entry {least:.6g}" if np.isfinite(least) else "NaN or infinity"
            raise ValueError(
                f"drag: must be finite and not negative anywhere; its matrix has {content}. "
                "Drag takes energy; give a coefficient >= 0."
            )

    def update(self, slip: FloatArray, dt: float) -> None:
        """Set :attr:`force`; zero for ``dt`` = 0."""
        if dt > 0.0:
            np.multiply(self.diagonal, slip / dt, out=self.force.x.array)
        else:
            self.force.x.array[:] = 0.0

    def work(self, motion: FloatArray) -> float:
        """Work of :attr:`force` on a motion on this rank; on the slip, what drag dissipated."""
        owned = slice(0, self._owned)
        return float(self.force.x.array[owned] @ motion[owned])

    def fixed_dofs(self) -> NDArray[np.int32]:
        """Owned dofs that cannot slip in a step of length 0, without the prescribed ones."""
        return np.flatnonzero(self._free(self.diagonal) > 0.0).astype(np.int32)

    def add_force(self, residual: Any, slip: FloatArray, dt: float, scale: float) -> None:
        """Add :attr:`force` to a residual; for ``dt`` = 0 write ``scale`` s at fixed dofs.

        Args:
            residual: PETSc vector on u's space.
            slip: s, shape of ``u.x.array``.
            dt: Length of the step.
            scale: A typical stiffness.
        """
        residual.axpy(1.0, self.force.x.petsc_vec)
        if dt == 0.0:
            fixed = self.fixed_dofs()
            residual.array_w[fixed] = scale * slip[fixed]

    def add_derivative(self, matrix: Any, dt: float, scale: float) -> None:
        """Add the derivative of :meth:`add_force` with respect to u to a PETSc matrix."""
        if dt > 0.0:
            self._increment.array_w[:] = self._free(self.diagonal) / dt
            matrix.setDiagonal(self._increment, addv=PETSc.InsertMode.ADD_VALUES)
        else:
            matrix.zeroRows(self.fixed_dofs() + self._first, diag=scale)

    def _free(self, values: FloatArray) -> FloatArray:
        free = values[: self._owned].copy()
        for bc in self._prescribed.bcs:
            free[_compat.owned_dofs(bc, self._owned)] = 0.0
        return free


def _checked_medium(medium: Any, u: Any) -> Any:
    """Return the medium if it is a Function of u's space and not u."""
    if not hasattr(medium, "function_space") or not hasattr(medium, "x"):
        raise TypeError(
            "medium: must be a Function of u's space, its displacement at the end of the step; "
            f"found {type(medium).__name__}. Interpolate the motion into one in the loading."
        )
    if _compat.share_values(medium, u):
        raise ValueError("medium: must be another Function than u; found u itself.")
    space, own = medium.function_space, u.function_space
    if space != own and not (
        _compat.same_mesh(space.mesh, own.mesh)
        and space.ufl_element() == own.ufl_element()
        and np.array_equal(space.dofmap.list, own.dofmap.list)
    ):
        raise ValueError(
            f"medium: must be a Function of u's space {own.ufl_element()}; found one of "
            f"{space.ufl_element()}. Make it with fem.Function(u.function_space)."
        )
    return medium


def _sum(direction: Any) -> Any:
    """The lumped matrix weighs all components alike."""
    if not direction.ufl_shape:
        return direction
    return ufl.inner(ufl.as_vector([1.0] * direction.ufl_shape[0]), direction)
