"""The balance of forces as equations for Newton's method: residual, Jacobian and their sizes.

Evaluating the residual updates the laws; a law that fails at a point is remembered and makes the
residual NaN, at which Newton's method stops.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mpi4py import MPI
from petsc4py import PETSc

import numpy as np
from dolfinx import fem
from dolfinx.fem import petsc as fem_petsc

from .. import _compat
from ..errors import LocalSolveError
from .drag import Drag
from .forms import add_vectors, matrix_of
from .law import InternalVariableLaw
from .newton import mean_diagonal
from .prescribed import Prescribed
from .problem_state import ProblemState
from .round_off import range_norm
from .solve_checks import require_resistance
from .statistics import Statistics
from .weak_form import WeakForm


class ForceBalance:
    """Internal plus drag minus external force, and where u is prescribed what u misses, as a force.

    Args:
        laws: The laws.
        u: The unknown.
        form: Their weak form.
        prescribed: Dirichlet conditions.
        drag: Drag on the body.
        committed: State at the start of the step.
        statistics: Receives the time of the laws and of the assembly.

    Attributes:
        internal_force: Assembled ∫ σ · δε(v), a Function of u's space.
        external_force: Assembled loads.
        matrix: Matrix of the Jacobian.
        dt: Length of the step.
        failure: Why a law failed in this step; None if none did.
        stiffness_scale: Typical stiffness that weighs prescribed displacements as forces; 0 before
            the first solve.
    """

    def __init__(
        self,
        laws: Sequence[InternalVariableLaw],
        u: Any,
        form: WeakForm,
        prescribed: Prescribed,
        drag: Drag | None,
        committed: ProblemState,
        statistics: Statistics,
    ) -> None:
        self._laws, self._u, self._form = laws, u, form
        self._prescribed, self._drag = prescribed, drag
        self._committed, self._statistics = committed, statistics
        space = u.function_space
        self._comm: MPI.Intracomm = space.mesh.comm
        self.internal_force = fem.Function(space, name="internal_force")
        self.external_force = fem.Function(space, name="external_force")
        self.matrix = matrix_of(space, across_facets=form.across_facets)
        self.dt = self.stiffness_scale = 0.0
        self.failure: LocalSolveError | None = None
        self._range_norm = range_norm(laws, space)
        self._owned = space.dofmap.index_map.size_local * space.dofmap.index_map_bs
        self._last_x = np.full(self._owned, np.nan)

    def begin(self, dt: float) -> None:
        """Begin a step of length ``dt``: assemble its loads at the current u. Collective."""
        self.dt = dt
        self.failure = None
        self._last_x[:] = np.nan
        self._assemble(self.external_force, self._form.external_forms)

    @property
    def at_current_u(self) -> bool:
        """Whether the laws were evaluated at the current u of this rank."""
        return np.array_equal(self._u.x.array[: self._owned], self._last_x)

    def update_laws(self, x: Any) -> bool:
        """Evaluate the laws at ``x`` unless they are there already; False if one failed."""
        same = np.array_equal(self._last_x, x.array_r)
        if self._comm.allreduce(same, op=MPI.LAND):
            return True
        self._u.x.array[: self._owned] = x.array_r
        self._u.x.scatter_forward()
        try:
            with self._statistics.measure("law"):
                for law in self._laws:
                    law.update(self.dt)
        except LocalSolveError as error:  # raised on all ranks or on none
            self.failure = error
            self._last_x[:] = np.nan
            return False
        np.copyto(self._last_x, x.array_r)
        self._assemble(self.internal_force, self._form.internal_forms)
        if self._drag is not None:
            self._drag.update(self._committed.slip(self._u.x.array), self.dt)
        if self._form.loads_follow_u:
            self._assemble(self.external_force, self._form.external_forms)
        return True

    def _assemble(self, force: Any, forms: Sequence[Any]) -> None:
        if forms:
            with self._statistics.measure("assembly"):
                add_vectors(forms, force)

    def find_stiffness_scale(self, x: Any) -> bool:
        """Take the mean diagonal of the tangent at ``x``; False if a law failed there. Collective.

        Raises:
            ValueError: If nothing resists the motion of a dof.
        """
        if not self.update_laws(x):
            return False
        self.assemble_tangent([])
        require_resistance(self._comm, self.matrix, self._prescribed, self._drag)
        self.stiffness_scale = mean_diagonal(self.matrix)
        return True

    def residual(self, x: Any, b: Any) -> None:
        """Write the residual at ``x`` into ``b``; NaN if a law fails there. Collective."""
        if not self.update_laws(x):
            b.set(np.nan)  # SNES stops here, and the caller cuts the step
            return
        with b.localForm() as local:
            local.set(0.0)
        bcs = self._prescribed.bcs
        if bcs and self._prescribed.misses(x, b):
            with b.localForm() as local:
                local.set(0.0)
            forms, u = self._form.tangent_forms, self._u.x.petsc_vec  # x, with ghosts up to date
            fem_petsc.apply_lifting(
                b, forms, bcs=[bcs] * len(forms), x0=[u] * len(forms), alpha=-1.0
            )
            b.ghostUpdate(addv=PETSc.InsertMode.ADD, mode=PETSc.ScatterMode.REVERSE)
        b.axpy(1.0, self.internal_force.x.petsc_vec)
        b.axpy(-1.0, self.external_force.x.petsc_vec)
        if self._drag is not None:
            slip = self._committed.slip(self._u.x.array)
            self._drag.add_force(b, slip, self.dt, self.stiffness_scale)
        fem_petsc.set_bc(b, bcs, x0=x, alpha=-self.stiffness_scale)

    def jacobian(self, x: Any) -> None:
        """Assemble the Jacobian at ``x`` into :attr:`matrix`. Collective."""
        self.update_laws(x)
        self.assemble_tangent(self._prescribed.bcs)
        if self._drag is not None:
            self._drag.add_derivative(self.matrix, self.dt, self.stiffness_scale)

    def assemble_tangent(self, bcs: list[Any]) -> None:
        """Assemble the derivative of internal minus external force into :attr:`matrix`.

        Args:
            bcs: Conditions whose rows and columns get the typical stiffness alone.
        """
        self.matrix.zeroEntries()
        with self._statistics.measure("assembly"):
            for form in self._form.tangent_forms:
                _compat.add_to_matrix(self.matrix, form, bcs, self.stiffness_scale)

    def force_norm(self) -> float:
        """Largest norm of internal, external and drag forces. Collective."""
        forces = [self.internal_force, self.external_force]
        if self._drag is not None:
            forces.append(self._drag.force)
        return max(float(force.x.petsc_vec.norm()) for force in forces)

    def round_off(self, x_norm: float) -> float:
        """Rounding error of the residual at a displacement of norm ``x_norm``."""
        epsilon = float(np.finfo(np.float64).eps)
        return epsilon * self.stiffness_scale * (2.0 * x_norm + self._range_norm)
