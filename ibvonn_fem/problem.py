"""Balance of forces of a body made of learned laws.

Find u with

    ∫ σ(u; state) · δε(v) dx = loads(v)   for all v,   u = ḡ where prescribed,

with an optional drag ∫ c u̇ · v dx on the left (:mod:`ibvonn_fem.drag`). Newton's method uses the
consistent tangent, through PETSc's SNES. A solve changes only the trial state;
:meth:`InternalVariableProblem.commit` accepts it, :meth:`InternalVariableProblem.restore` goes
back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from mpi4py import MPI
from petsc4py import PETSc

import numpy as np
import ufl
from dolfinx import fem
from dolfinx.fem import petsc as fem_petsc

from . import _compat
from .arguments import check_conditions, check_loads, check_unknown
from .diagnostics import EnergyBalance
from .drag import Drag
from .errors import LocalSolveError
from .kernels.base import FloatArray
from .law import InternalVariableLaw
from .newton import NewtonSolver, SolveReport, mean_diagonal
from .prescribed import Prescribed
from .round_off import range_norm
from .statistics import Statistics


class InternalVariableProblem:
    """Quasi-static or overdamped motion with one or several laws.

    The residual is internal minus external force; where u is prescribed it is the missing
    displacement times a typical stiffness, so that all its entries are forces. Newton's method
    stops as :mod:`ibvonn_fem.newton` says.

    Args:
        law: The law, or several laws on disjoint sets of cells.
        u: Unknown; its current value is the first guess of a solve.
        bcs: Dirichlet conditions; their values are read at every solve.
        loads: External virtual work as a UFL form linear in ``ufl.TestFunction(u.function_space)``;
            it may depend on ``u`` (follower loads; Robin conditions: ``-k * u * v * ds``).
        body_force: Force per unit volume, added as ∫ b · v weight dx.
        drag: Drag coefficient c per unit volume, a number or a UFL expression; needs linear
            elements. For a chain of beads with friction η at distances L0 it is η/L0.
        options: PETSc options without prefix, on top of
            :data:`ibvonn_fem.newton.DEFAULT_OPTIONS`.

    Raises:
        TypeError: If an argument is not of its kind.
        ValueError: If a law was made with another u, or the loads are not linear in one test
            function.

    Attributes:
        internal_force: Assembled ∫ σ · δε(v), a Function of u's space.
        external_force: Assembled loads.
        statistics: Iterations, worst local residual and shares of time since the start.
        solver: Newton's method; ``solver.snes`` is the petsc4py object.
    """

    def __init__(
        self,
        law: InternalVariableLaw | Sequence[InternalVariableLaw],
        u: Any,
        bcs: Sequence[Any] = (),
        loads: Any = None,
        *,
        body_force: Any = None,
        drag: Any = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.laws = tuple(law) if isinstance(law, Sequence) else (law,)
        check_unknown(self.laws, u)
        check_loads(loads)
        self.u = u
        space = u.function_space
        check_conditions(bcs, space)
        self._prescribed = Prescribed(bcs, space)
        self.bcs = self._prescribed.bcs
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
        self.internal_force = fem.Function(space, name="internal_force")
        self.external_force = fem.Function(space, name="external_force")
        self.drag = None if drag is None else Drag(drag, self.laws, u, self.bcs)
        self._u_old = u.x.array.copy()
        self._u_before, self._dt_committed = self._u_old.copy(), 0.0
        self._internal_old = np.zeros_like(self._u_old)
        self._external_old = np.zeros_like(self._u_old)
        self._stored_old = self._stored()
        self._owned = space.dofmap.index_map.size_local * space.dofmap.index_map_bs
        self._dt = 0.0
        self.statistics = Statistics()
        self._stiffness_scale = 0.0
        self._range_norm = range_norm(self.laws, space)
        self._local_failure: LocalSolveError | None = None
        self._last_x = np.full(self._owned, np.nan)
        pattern = fem.form(ufl.inner(du, v) * ufl.dx(domain=space.mesh))
        self.solver = NewtonSolver(
            self, u.x.petsc_vec.duplicate(), fem_petsc.create_matrix(pattern), options
        )

    def solve(self, dt: float) -> SolveReport:
        """Find equilibrium at the end of a step of length ``dt``; nothing is committed. Collective.

        Args:
            dt: Time increment Δt; 0 is an instantaneous elastic step.

        Returns:
            What happened. A failure of the law at a point, or of Newton's method, is reported here
            and not raised: a smaller step may succeed.

        Raises:
            ValueError: If ``dt`` is negative or not finite, or a prescribed displacement not
                finite.
        """
        if not (dt >= 0.0 and np.isfinite(dt)):
            raise ValueError(f"solve: dt must be finite and >= 0; found {dt}.")
        self._prescribed.require_numbers()
        self._dt = float(dt)
        self._local_failure = None
        self._last_x[:] = np.nan
        self._assemble_external()
        self.solver.x.array_w[:] = self.u.x.array[: self._owned]
        if self._stiffness_scale == 0.0 and not self._find_stiffness_scale():
            self.statistics.count(iterations=0, converged=False)
            return SolveReport(False, 0, (), str(self._local_failure))
        with self.statistics.measure("solve"):
            report = self.solver.solve()
            if report.converged:
                self._update_laws(self.solver.x)
        if report.converged:
            worst = self.comm.allreduce(max(law.worst_residual for law in self.laws), op=MPI.MAX)
            report = replace(report, local_residual=worst)
        elif self._local_failure is not None:
            report = replace(report, message=f"{report.message}; {self._local_failure}")
        self.statistics.count(report.iterations, report.converged, report.local_residual)
        return report

    def commit(self) -> EnergyBalance:
        """Accept the solution and every trial state; returns the energy balance. Collective."""
        balance = self.balance()
        for law in self.laws:
            law.commit()
        self._u_before[:], self._dt_committed = self._u_old, self._dt
        np.copyto(self._u_old, self.u.x.array)
        np.copyto(self._internal_old, self.internal_force.x.array)
        np.copyto(self._external_old, self.external_force.x.array)
        self._stored_old = self._stored()
        return balance

    def restore(self) -> None:
        """Go back to the last committed displacement, forces and state."""
        for law in self.laws:
            law.restore()
        self.u.x.array[:] = self._u_old
        self.internal_force.x.array[:] = self._internal_old
        self.external_force.x.array[:] = self._external_old
        if self.drag is not None:
            self.drag.update(self._u_old, self._u_before, self._dt_committed)

    def committed(self) -> dict[str, FloatArray]:
        """Committed displacements and forces by name, without the laws; not copies."""
        return {
            "u": self._u_old,
            "u_before": self._u_before,
            "internal_force": self._internal_old,
            "external_force": self._external_old,
        }

    def committed_scalars(self) -> dict[str, float]:
        """Length of the last committed step and the scales by which a solve is judged."""
        return {
            "last_dt": self._dt_committed,
            "stiffness_scale": self._stiffness_scale,
            "force_scale": self.solver.force_scale,
        }

    def set_committed(self, state: Mapping[str, FloatArray]) -> None:
        """Replace the committed state by one of :meth:`committed`; the laws come first."""
        for name, values in self.committed().items():
            np.copyto(values, state[name])
        self._stored_old = self._stored()
        self.restore()

    def set_committed_scalars(self, scalars: Mapping[str, float]) -> None:
        """Replace what :meth:`committed_scalars` gave."""
        self._dt_committed = scalars["last_dt"]
        self._stiffness_scale = scalars["stiffness_scale"]
        self.solver.force_scale = scalars["force_scale"]
        self.restore()

    def balance(self) -> EnergyBalance:
        """Energy balance between the committed state and the current solution. Collective.

        All ranks get the same bits: the length of the next step may depend on them.
        """
        increment = self.u.x.array[: self._owned] - self._u_old[: self._owned]
        internal = self.internal_force.x.array[: self._owned]
        external = self._prescribed.applied(internal, self.external_force.x.array[: self._owned])
        external_old = self._prescribed.applied(
            self._internal_old[: self._owned], self._external_old[: self._owned]
        )
        dragged = 0.0
        if self.drag is not None:
            dragged = self.drag.dissipated(self.u.x.array, self._u_old)
            drag = self.drag.force.x.array[: self._owned]
            resisting = self._prescribed.applied(drag, np.zeros_like(drag))
            external = external + resisting
            external_old = external_old + resisting  # constant over the step
        works = np.array(
            [
                external @ increment,
                0.5 * (external + external_old) @ increment,
                internal @ increment,
                dragged,
            ]
        )
        self.comm.Allreduce(MPI.IN_PLACE, works, op=MPI.SUM)
        # An eigenstrain acts on the body as loads do.
        eigen = np.sum([law.eigenstrain_work() for law in self.laws], axis=0)
        works[:3] += eigen[[0, 1, 0]]
        found = EnergyBalance(
            external_work=float(works[0]),
            external_work_trapezoidal=float(works[1]),
            internal_work=float(works[2]),
            stored=self._stored() - self._stored_old,
            dissipated=sum(law.step_dissipation() for law in self.laws),
            dragged=float(works[3]),
        )
        agreed: EnergyBalance = self.comm.bcast(found)  # a reduction does not promise equal bits
        return agreed

    def _stored(self) -> float:
        return sum(law.stored_energy() for law in self.laws)

    def reaction(self, bc: Any) -> FloatArray:
        """Force that a Dirichlet condition exerts on the body, one value per component. Collective.

        Args:
            bc: One of the problem's conditions, or any condition on u's space.

        Returns:
            Sum over its dofs of internal and drag minus external force, shape ``(components,)``.
        """
        force = self.internal_force.x.array - self.external_force.x.array
        if self.drag is not None:
            force = force + self.drag.force.x.array
        return self._prescribed.sums(bc, force)[0]

    def velocity(self, bc: Any) -> FloatArray:
        """Mean velocity in the last committed step of the dofs of a condition. Collective.

        Returns:
            One value per component, shape ``(components,)``; zero after a step of length 0.
        """
        if self._dt_committed == 0.0:
            return np.zeros(self.u.function_space.dofmap.index_map_bs)
        velocity = (self._u_old - self._u_before) / self._dt_committed
        total, count = self._prescribed.sums(bc, velocity)
        return np.asarray(total / np.maximum(count, 1.0))

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
            with self.statistics.measure("law"):
                for law in self.laws:
                    law.update(self._dt)
        except LocalSolveError as error:  # raised on all ranks or on none
            self._local_failure = error
            self._last_x[:] = np.nan
            return False
        np.copyto(self._last_x, x.array_r)
        self._assemble(self.internal_force, self._internal_form)
        if self.drag is not None:
            self.drag.update(self.u.x.array, self._u_old, self._dt)
        if self._loads_follow_u:
            self._assemble_external()
        return True

    def _assemble_external(self) -> None:
        if self._external_form is not None:
            self._assemble(self.external_force, self._external_form)

    def _assemble(self, force: Any, form: Any) -> None:
        with self.statistics.measure("assembly"):
            force.x.array[:] = 0.0
            vector = force.x.petsc_vec
            fem_petsc.assemble_vector(vector, form)
            vector.ghostUpdate(addv=PETSc.InsertMode.ADD, mode=PETSc.ScatterMode.REVERSE)
            force.x.scatter_forward()

    def _find_stiffness_scale(self) -> bool:
        """Mean diagonal of the tangent: weighs prescribed displacements as forces."""
        if not self._update_laws(self.solver.x):
            return False
        self._assemble_tangent([])
        self._stiffness_scale = mean_diagonal(self.solver.matrix)
        return True

    def residual(self, x: Any, b: Any) -> None:
        """Write the residual at ``x`` into ``b``; NaN if a law fails there. Collective."""
        if not self._update_laws(x):
            b.set(np.nan)  # SNES stops here, and the caller cuts the step
            return
        with b.localForm() as local:
            local.set(0.0)
        if self.bcs and self._prescribed.misses(x, b):
            with b.localForm() as local:
                local.set(0.0)
            forms, u = self._tangent_forms, self.u.x.petsc_vec  # x, with ghosts up to date
            fem_petsc.apply_lifting(
                b, forms, bcs=[self.bcs] * len(forms), x0=[u] * len(forms), alpha=-1.0
            )
            b.ghostUpdate(addv=PETSc.InsertMode.ADD, mode=PETSc.ScatterMode.REVERSE)
        b.axpy(1.0, self.internal_force.x.petsc_vec)
        b.axpy(-1.0, self.external_force.x.petsc_vec)
        if self.drag is not None:
            self._add_drag(b)
        fem_petsc.set_bc(b, self.bcs, x0=x, alpha=-self._stiffness_scale)

    def _add_drag(self, b: Any) -> None:
        assert self.drag is not None  # noqa: S101
        b.axpy(1.0, self.drag.force.x.petsc_vec)
        if self._dt == 0.0:
            held = self.drag.held()
            away = self.u.x.array[held] - self._u_old[held]
            b.array_w[held] = self._stiffness_scale * away

    def _assemble_tangent(self, bcs: list[Any]) -> None:
        matrix = self.solver.matrix
        matrix.zeroEntries()
        with self.statistics.measure("assembly"):
            for form in self._tangent_forms:
                _compat.add_to_matrix(matrix, form, bcs, self._stiffness_scale)

    def jacobian(self, x: Any) -> None:
        """Assemble the Jacobian at ``x`` into ``solver.matrix``. Collective."""
        self._update_laws(x)
        self._assemble_tangent(self.bcs)
        if self.drag is not None:
            self.drag.add_to(self.solver.matrix, self._dt, self._stiffness_scale)

    def force_norm(self) -> float:
        """Largest norm of internal, external and drag forces. Collective."""
        forces = [self.internal_force, self.external_force]
        if self.drag is not None:
            forces.append(self.drag.force)
        return max(float(force.x.petsc_vec.norm()) for force in forces)

    def round_off(self, x_norm: float) -> float:
        """Rounding error of the residual at a displacement of norm ``x_norm``."""
        epsilon = float(np.finfo(np.float64).eps)
        return epsilon * self._stiffness_scale * (2.0 * x_norm + self._range_norm)


def _external_work(laws: Sequence[InternalVariableLaw], v: Any, loads: Any, body_force: Any) -> Any:
    work = loads
    if body_force is not None:
        for law in laws:
            weight = law.kinematics.weight(law.points.mesh)
            term = ufl.inner(ufl.as_ufl(body_force), v) * weight * law.dx
            work = term if work is None else work + term
    return work
