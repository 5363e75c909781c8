"""Equilibrium of a body made of learned laws.

Find u with

    ∫ σ(u; state) · δε(v) dx = loads(v)   for all v,   u = ḡ where prescribed,

by Newton's method with the consistent tangent, through PETSc's SNES. A solve changes only the
trial state; :meth:`InternalVariableProblem.commit` accepts it,
:meth:`InternalVariableProblem.restore` goes back.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mpi4py import MPI
from petsc4py import PETSc

import numpy as np
import ufl
from dolfinx import fem
from dolfinx.fem import petsc as fem_petsc

from . import _compat
from .diagnostics import EnergyBalance
from .errors import LocalSolveError
from .kernels.base import FloatArray
from .law import InternalVariableLaw

DEFAULT_OPTIONS: dict[str, Any] = {
    "snes_type": "newtonls",
    "snes_linesearch_type": "bt",
    "snes_rtol": 1e-10,
    "snes_atol": 1e-50,
    "snes_stol": 1e-14,
    "snes_max_it": 25,
    "ksp_type": "preonly",
    "pc_type": "lu",
}

_prefixes = itertools.count()


@dataclass(frozen=True)
class SolveReport:
    """Outcome of one global solve.

    Attributes:
        converged: Whether equilibrium was reached.
        iterations: Newton iterations.
        residual: Norm of the residual [force].
        residual_history: Norms at every iteration.
        message: Why it stopped.
    """

    converged: bool
    iterations: int
    residual: float
    residual_history: tuple[float, ...]
    message: str


class InternalVariableProblem:
    """Quasi-static equilibrium with one or several laws.

    Newton has converged where ‖residual‖ ≤ ``snes_rtol`` × the largest norm of internal or external
    forces seen so far (or ≤ ``snes_atol``): a measure in units of force that depends neither on the
    first guess nor on the units of length.

    Args:
        law: The law, or several laws on disjoint sets of cells.
        u: Unknown; its current value is the first guess of a solve.
        bcs: Dirichlet conditions; their values are read at every solve.
        loads: External virtual work as a UFL form linear in ``ufl.TestFunction(u.function_space)``;
            it may depend on ``u`` (springs, follower loads).
        body_force: Force per unit volume, added as ∫ b · v weight dx.
        options: PETSc options without prefix, on top of :data:`DEFAULT_OPTIONS`.

    Attributes:
        internal_force: Assembled ∫ σ · δε(v), a Function of u's space.
        external_force: Assembled loads.
        snes: The petsc4py solver, to be configured further if needed.
        matrix: Its Jacobian.
    """

    def __init__(
        self,
        law: InternalVariableLaw | Sequence[InternalVariableLaw],
        u: Any,
        bcs: Sequence[Any] = (),
        loads: Any = None,
        *,
        body_force: Any = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.laws = (law,) if isinstance(law, InternalVariableLaw) else tuple(law)
        self.u = u
        self.bcs = list(bcs)
        space = u.function_space
        self.comm: MPI.Intracomm = space.mesh.comm
        v, du = ufl.TestFunction(space), ufl.TrialFunction(space)
        internal = sum((each.virtual_work(v) for each in self.laws), start=ufl.Form([]))
        tangents = [sum((each.stiffness(du, v) for each in self.laws), start=ufl.Form([]))]
        external = _external_work(self.laws, v, loads, body_force)
        if external is not None:
            for each in self.laws:
                each.points.check_form(external, [each.stress, each.tangent, each.energy])
        self._loads_follow_u = external is not None and u in external.coefficients()
        if self._loads_follow_u:
            tangents.append(-ufl.derivative(external, u, du))
        self._internal_form = fem.form(internal)
        self._external_form = None if external is None else fem.form(external)
        # One form each: DOLFINx refuses measures with different cell tags in a single form.
        self._tangent_forms = [fem.form(tangent) for tangent in tangents]
        self._pattern_form = fem.form(ufl.inner(du, v) * ufl.dx(domain=space.mesh))
        self.internal_force = fem.Function(space, name="internal_force")
        self.external_force = fem.Function(space, name="external_force")
        self._u_old = u.x.array.copy()
        self._internal_old = np.zeros_like(self._u_old)
        self._external_old = np.zeros_like(self._u_old)
        self._stored_old = sum(each.stored_energy() for each in self.laws)
        self._owned = space.dofmap.index_map.size_local * space.dofmap.index_map_bs
        self._dt = 0.0
        self._stiffness_scale = 0.0
        self._force_scale = 0.0
        self._local_failure: LocalSolveError | None = None
        self._history: list[float] = []
        self._last_x = np.full(self._owned, np.nan)
        self._create_solver(options)

    def _create_solver(self, options: Mapping[str, Any] | None) -> None:
        self.matrix = fem_petsc.create_matrix(self._pattern_form)
        self._x = self.u.x.petsc_vec.duplicate()
        self._b = self.u.x.petsc_vec.duplicate()
        self.snes = PETSc.SNES().create(self.comm)
        # Weak, for no cycle: PETSc objects are destroyed collectively, so this must happen when
        # the program drops the problem and not when one rank's garbage collector runs.
        problem = weakref.proxy(self)
        self.snes.setFunction(lambda *call: problem._residual(*call), self._b)
        self.snes.setJacobian(lambda *call: problem._jacobian(*call), self.matrix)
        self.snes.setConvergenceTest(lambda *call: problem._has_converged(*call))
        prefix = f"ibvonn_{next(_prefixes)}_"
        self.snes.setOptionsPrefix(prefix)
        merged = dict(DEFAULT_OPTIONS)
        if self.comm.size > 1 and PETSc.Sys.hasExternalPackage("mumps"):
            merged["pc_factor_mat_solver_type"] = "mumps"  # PETSc's own LU is serial
        merged.update(options or {})
        database = PETSc.Options()
        for key, value in merged.items():
            database[prefix + key] = value
        self.snes.setFromOptions()
        for key in merged:
            database.delValue(prefix + key)

    def __del__(self) -> None:
        for name in ("snes", "matrix", "_x", "_b"):
            handle = getattr(self, name, None)
            if handle is not None:
                handle.destroy()

    def solve(self, dt: float) -> SolveReport:
        """Find equilibrium at the end of a step of length ``dt``; nothing is committed. Collective.

        Args:
            dt: Time increment Δt; 0 is an instantaneous elastic step.

        Returns:
            What happened. A failure of the law at a point, or of Newton's method, is reported here
            and not raised: a smaller step may succeed.

        Raises:
            ValueError: If ``dt`` is negative or not finite.
        """
        if not (dt >= 0.0 and np.isfinite(dt)):
            raise ValueError(f"solve: dt must be finite and >= 0; found {dt}.")
        self._dt = float(dt)
        self._local_failure = None
        self._history = []
        self._last_x[:] = np.nan
        self._assemble_external()
        self._x.array_w[:] = self.u.x.array[: self._owned]
        if self._stiffness_scale == 0.0 and not self._find_stiffness_scale():
            return self._report(converged=False, message=str(self._local_failure))
        self.snes.solve(None, self._x)
        reason = self.snes.getConvergedReason()
        if reason <= 0:
            message = _reason_name(reason)
            if self._local_failure is not None:
                message = f"{message}; {self._local_failure}"
            return self._report(converged=False, message=message)
        self._update_laws(self._x)
        return self._report(converged=True, message=_reason_name(reason))

    def _report(self, *, converged: bool, message: str) -> SolveReport:
        return SolveReport(
            converged=converged,
            iterations=max(len(self._history) - 1, 0),
            residual=self._history[-1] if self._history else float("nan"),
            residual_history=tuple(self._history),
            message=message,
        )

    def commit(self) -> EnergyBalance:
        """Accept the solution and every trial state; returns the energy balance. Collective."""
        balance = self.balance()
        for law in self.laws:
            law.commit()
        np.copyto(self._u_old, self.u.x.array)
        np.copyto(self._internal_old, self.internal_force.x.array)
        np.copyto(self._external_old, self.external_force.x.array)
        self._stored_old += balance.stored
        return balance

    def restore(self) -> None:
        """Go back to the last committed displacement, forces and state."""
        for law in self.laws:
            law.restore()
        self.u.x.array[:] = self._u_old
        self.internal_force.x.array[:] = self._internal_old
        self.external_force.x.array[:] = self._external_old

    def balance(self) -> EnergyBalance:
        """Energy balance between the committed state and the current solution. Collective."""
        increment = self.u.x.array[: self._owned] - self._u_old[: self._owned]
        internal = self.internal_force.x.array[: self._owned]
        external = self._applied(internal, self.external_force.x.array[: self._owned])
        external_old = self._applied(
            self._internal_old[: self._owned], self._external_old[: self._owned]
        )
        works = np.array(
            [
                external @ increment,
                0.5 * (external + external_old) @ increment,
                internal @ increment,
            ]
        )
        self.comm.Allreduce(MPI.IN_PLACE, works, op=MPI.SUM)
        return EnergyBalance(
            external_work=float(works[0]),
            external_work_trapezoidal=float(works[1]),
            internal_work=float(works[2]),
            stored=sum(law.stored_energy() for law in self.laws) - self._stored_old,
            dissipated=sum(law.step_dissipation() for law in self.laws),
        )

    def reaction(self, bc: Any) -> FloatArray:
        """Force that a Dirichlet condition exerts on the body, one value per component. Collective.

        Args:
            bc: One of the problem's conditions, or any condition on u's space.

        Returns:
            Sum over its dofs of internal minus external force, shape ``(components,)``.
        """
        block = self.u.function_space.dofmap.index_map_bs
        dofs, owned = bc.dof_indices()
        dofs = dofs[:owned]
        force = self.internal_force.x.array[dofs] - self.external_force.x.array[dofs]
        total = np.zeros(block)
        np.add.at(total, dofs % block, force)
        self.comm.Allreduce(MPI.IN_PLACE, total, op=MPI.SUM)
        return total

    def _applied(self, internal: FloatArray, external: FloatArray) -> FloatArray:
        """Loads, with the reactions added where u is prescribed."""
        applied = external.copy()
        for bc in self.bcs:
            dofs, owned = bc.dof_indices()
            applied[dofs[:owned]] = internal[dofs[:owned]]
        return applied

    def _assign(self, x: Any) -> None:
        self.u.x.array[: self._owned] = x.array_r
        self.u.x.scatter_forward()

    def _update_laws(self, x: Any) -> bool:
        """Evaluate the laws at ``x`` unless that was the last thing done; False if one failed."""
        same = np.array_equal(self._last_x, x.array_r)
        if self.comm.allreduce(same, op=MPI.LAND):
            return True
        self._assign(x)
        try:
            for law in self.laws:
                law.update(self._dt)
        except LocalSolveError as error:  # raised on all ranks or on none
            self._local_failure = error
            self._last_x[:] = np.nan
            return False
        np.copyto(self._last_x, x.array_r)
        self._assemble(self.internal_force, self._internal_form)
        if self._loads_follow_u:
            self._assemble_external()
        return True

    def _assemble_external(self) -> None:
        if self._external_form is not None:
            self._assemble(self.external_force, self._external_form)

    @staticmethod
    def _assemble(force: Any, form: Any) -> None:
        force.x.array[:] = 0.0
        vector = force.x.petsc_vec
        fem_petsc.assemble_vector(vector, form)
        vector.ghostUpdate(addv=PETSc.InsertMode.ADD, mode=PETSc.ScatterMode.REVERSE)
        force.x.scatter_forward()

    def _find_stiffness_scale(self) -> bool:
        """Mean diagonal of the tangent: weighs prescribed displacements as forces."""
        if not self._update_laws(self._x):
            return False
        self._assemble_tangent([])
        diagonal = self.matrix.getDiagonal()
        diagonal.abs()
        self._stiffness_scale = diagonal.sum() / diagonal.getSize() or 1.0
        diagonal.destroy()
        return True

    def _residual(self, snes: Any, x: Any, b: Any) -> None:  # noqa: ARG002
        if not self._update_laws(x):
            b.set(np.nan)  # SNES stops here, and the caller cuts the step
            return
        with b.localForm() as local:
            local.set(0.0)
        if self.bcs and self._misses_prescribed(x, b):
            with b.localForm() as local:
                local.set(0.0)
            forms = self._tangent_forms
            fem_petsc.apply_lifting(
                b, forms, bcs=[self.bcs] * len(forms), x0=[x] * len(forms), alpha=-1.0
            )
            b.ghostUpdate(addv=PETSc.InsertMode.ADD, mode=PETSc.ScatterMode.REVERSE)
        b.axpy(1.0, self.internal_force.x.petsc_vec)
        b.axpy(-1.0, self.external_force.x.petsc_vec)
        fem_petsc.set_bc(b, self.bcs, x0=x, alpha=-self._stiffness_scale)

    def _misses_prescribed(self, x: Any, b: Any) -> bool:
        fem_petsc.set_bc(b, self.bcs, x0=x, alpha=-1.0)
        return bool(b.norm(PETSc.NormType.INFINITY) > 0.0)

    def _assemble_tangent(self, bcs: list[Any]) -> None:
        self.matrix.zeroEntries()
        for form in self._tangent_forms:
            _compat.add_to_matrix(self.matrix, form, bcs, self._stiffness_scale)

    def _jacobian(self, snes: Any, x: Any, matrix: Any, preconditioner: Any) -> None:  # noqa: ARG002
        self._update_laws(x)
        self._assemble_tangent(self.bcs)

    def _has_converged(self, snes: Any, iteration: int, norms: tuple[float, float, float]) -> int:
        x_norm, step_norm, residual = norms
        if len(self._history) == iteration:
            self._history.append(residual)
        rtol, atol, stol, max_it = snes.getTolerances()
        reasons = PETSc.SNES.ConvergedReason
        for force in (self.internal_force, self.external_force):
            self._force_scale = max(self._force_scale, force.x.petsc_vec.norm())
        if residual <= atol:
            return int(reasons.CONVERGED_FNORM_ABS)
        if residual <= rtol * self._force_scale:
            return int(reasons.CONVERGED_FNORM_RELATIVE)
        if iteration > 0 and step_norm <= stol * x_norm:
            return int(reasons.CONVERGED_SNORM_RELATIVE)
        if iteration >= max_it:
            return int(reasons.DIVERGED_MAX_IT)
        return int(reasons.ITERATING)


def _external_work(laws: Sequence[InternalVariableLaw], v: Any, loads: Any, body_force: Any) -> Any:
    work = loads
    if body_force is not None:
        for law in laws:
            weight = law.kinematics.weight(law.points.mesh)
            term = ufl.inner(ufl.as_ufl(body_force), v) * weight * law.dx
            work = term if work is None else work + term
    return work


def _reason_name(reason: int) -> str:
    for name, value in vars(PETSc.SNES.ConvergedReason).items():
        if not name.startswith("_") and value == reason and name not in ("ITERATING",):
            return f"SNES {name.lower()}"
    return f"SNES reason {reason}"
