"""Balance of forces of a body made of learned laws.

Find u with

    ∫ σ(u; state) · δε(v) dx = loads(v)   for all v,   u = ḡ where prescribed,

with an optional drag ∫ c u̇ · v dx on the left (:mod:`ibvonn_fem.body.drag`). Newton's method uses
the consistent tangent, through PETSc's SNES. A solve changes only the trial state;
:meth:`InternalVariableProblem.commit` accepts it, :meth:`InternalVariableProblem.restore` goes
back.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from mpi4py import MPI
from petsc4py import PETSc

import numpy as np
import ufl
from dolfinx import fem
from dolfinx.fem import petsc as fem_petsc

from .. import _compat
from ..errors import LocalSolveError, StepError
from ..kernels.base import FloatArray
from .argument_checks import check_unknown, require_finite, time_step
from .drag import Drag
from .energy_balance import EnergyBalance
from .expressions import constants_of, expression_of, functions_of, in_terms_of
from .forms import add_vectors, compiled, matrix_of
from .law import InternalVariableLaw
from .load_checks import check_loads, require_ghosts, require_tagged
from .newton import NewtonSolver, SolveReport, mean_diagonal
from .prescribed import Prescribed
from .rank_agreement import on_all_ranks, require_same
from .round_off import range_norm
from .statistics import Statistics


class InternalVariableProblem:
    """Quasi-static or overdamped motion with one or several laws.

    The residual is internal minus external force; where u is prescribed it is the missing
    displacement times a typical stiffness, so that all its entries are forces. Newton's method
    stops as :mod:`ibvonn_fem.body.newton` says.

    Args:
        law: The law, or several laws on disjoint sets of cells.
        u: Unknown; its current value is the first guess of a solve.
        bcs: Dirichlet conditions; the list and their values are read at every solve.
        loads: External virtual work as a UFL form linear in ``ufl.TestFunction(u.function_space)``;
            it may depend on ``u`` (follower loads; Robin conditions: ``-k * u * v * ds``).
        body_force: Force per unit volume, added as ∫ b · v weight dx.
        drag: Drag coefficient c per unit volume, a number or a UFL expression; needs linear
            elements. For a chain of beads with friction η at distances L0 it is η/L0. Its Constants
            and Functions are read at every solve.
        options: PETSc options without prefix, on top of
            :data:`ibvonn_fem.body.newton.DEFAULT_OPTIONS`.

    The committed state belongs to the laws: a problem starts from what they committed last, also
    where another problem did that.

    Raises:
        TypeError: If an argument is not of its kind.
        ValueError: If a law was made with another u, laws share cells or stand at different
            displacements, or loads, conditions and expressions do not belong to u's space.

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
        self.u = u
        space = u.function_space
        self.comm: MPI.Intracomm = space.mesh.comm
        with on_all_ranks(self.comm):
            check_loads(loads, u)
        require_tagged(self.comm, loads)
        require_ghosts(space.mesh, loads)
        self._prescribed = Prescribed(bcs, space)
        v, du = ufl.TestFunction(space), ufl.TrialFunction(space)
        virtual, tried = (_directions(self.laws, u, each) for each in (v, du))
        internal, tangent = ufl.Form([]), ufl.Form([])
        for each, δ, Δ in zip(self.laws, virtual, tried, strict=True):
            internal += each.virtual_work(δ)
            tangent += each.stiffness(Δ, δ)
        self._external = in_terms_of(u, _external_work(self.laws, virtual, loads, body_force))
        watched = [[each.stress, each.tangent, each.energy] for each in self.laws]
        for each, of_law in zip(self.laws, watched, strict=True):
            each.points.check_form(self._external, of_law)
        following = {u, *itertools.chain(*watched)}
        self._loads_follow_u = not following.isdisjoint(functions_of(self._external))
        follower = ufl.algorithms.expand_derivatives(ufl.derivative(self._external, u, du))
        self._internal_forms = compiled(internal)
        self._external_forms = compiled(self._external)
        self._tangent_forms = [*compiled(tangent), *compiled(-follower)]
        self.internal_force = fem.Function(space, name="internal_force")
        self.external_force = fem.Function(space, name="external_force")
        self.drag = None
        if drag is not None:
            self.drag = Drag(drag, self.laws, u, virtual, self._prescribed)
        self._owned = space.dofmap.index_map.size_local * space.dofmap.index_map_bs
        self._dt = 0.0
        self.statistics = Statistics()
        self._u_old, self._u_before, self._internal_old, self._external_old = (
            np.zeros_like(u.x.array) for _ in range(4)
        )
        self._start()
        self._stiffness_scale = 0.0
        self._range_norm = range_norm(self.laws, space)
        self._local_failure: LocalSolveError | None = None
        self._last_x = np.full(self._owned, np.nan)
        across = any(each.integral_type() == "interior_facet" for each in follower.integrals())
        matrix = matrix_of(space, across_facets=across)
        self.solver = NewtonSolver(self, u.x.petsc_vec.duplicate(), matrix, options)

    @property
    def bcs(self) -> Sequence[Any]:
        """Dirichlet conditions, read at every solve; the caller's own list."""
        return self._prescribed.given

    @bcs.setter
    def bcs(self, bcs: Sequence[Any]) -> None:
        self._prescribed.given = bcs

    def _start(self) -> None:
        """Start from what the laws have committed. Collective.

        Raises:
            ValueError: If they were committed at different displacements.
        """
        for law in self.laws:
            law.restore()
        committed = [law.displacement(self.u) for law in self.laws]
        owned = committed[0][: self._owned]
        same = all(np.array_equal(owned, other[: self._owned]) for other in committed[1:])
        if not self.comm.allreduce(same, op=MPI.LAND):
            names = ", ".join(repr(law.name) for law in self.laws)
            raise ValueError(
                f"InternalVariableProblem: the laws {names} were committed at different "
                "displacements, so that there is no common start. Solve with all of them, or make "
                "them at the same u."
            )
        np.copyto(self._u_old, committed[0])
        np.copyto(self._u_before, self._u_old)
        self._dt_committed = 0.0
        add_vectors(self._internal_forms, self.internal_force)
        np.copyto(self._internal_old, self.internal_force.x.array)
        np.copyto(self._external_old, self._internal_old)  # it was in equilibrium
        self._stored_old = self._stored()
        self._commits = [law.commits for law in self.laws]
        self._solution: list[int] | None = None
        self._why_none = "there was none since the last commit or restore"

    def _follow_laws(self) -> None:
        """Start anew where another problem, or the user, committed a law. Collective."""
        if self._commits != [law.commits for law in self.laws]:
            self._start()

    def solve(self, dt: float) -> SolveReport:
        """Find equilibrium at the end of a step of length ``dt``; nothing is committed. Collective.

        Args:
            dt: Time increment Δt; 0 is an instantaneous elastic step.

        Returns:
            What happened. A failure of the law at a point, or of Newton's method, is reported here
            and not raised: a smaller step may succeed.

        Raises:
            TypeError: If ``dt`` is no number.
            ValueError: If ``dt``, a Constant, a prescribed displacement, the loads or the first
                guess are not finite, or not the same on all ranks; if ``dt`` is negative; if
                nothing resists the motion of a dof.
        """
        self._follow_laws()
        self._solution, self._why_none = None, "the last one was interrupted"
        self._dt = self._read_data(dt)
        self._local_failure = None
        self._last_x[:] = np.nan
        self._assemble_external()
        self._require_finite_vectors()
        self.solver.x.array_w[:] = self.u.x.array[: self._owned]
        if self._stiffness_scale == 0.0 and not self._find_stiffness_scale():
            self.statistics.count(iterations=0, converged=False)
            self._why_none = f"the last one failed ({self._local_failure})"
            return SolveReport(False, 0, (), str(self._local_failure))
        with self.statistics.measure("solve"):
            report = self.solver.solve()
            if report.converged and not self._update_laws(self.solver.x):
                report = replace(report, converged=False)
        if report.converged:
            worst = self.comm.allreduce(max(law.worst_residual for law in self.laws), op=MPI.MAX)
            report = replace(report, local_residual=worst)
        elif self._local_failure is not None:
            report = replace(report, message=f"{report.message}; {self._local_failure}")
        if report.converged:
            self._solution = [law.revision for law in self.laws]
        else:
            self._why_none = f"the last one failed ({report.message})"
        self.statistics.count(report.iterations, report.converged, report.local_residual)
        return report

    def commit(self) -> EnergyBalance:
        """Accept the solution and every trial state; returns the energy balance. Collective.

        Raises:
            StepError: If the state of the laws and u are not those of a solve that converged.
        """
        self._require_solution()
        balance = self.balance()
        for law in self.laws:
            law.commit()
        self._commits = [law.commits for law in self.laws]
        self._solution, self._why_none = None, "there was none since the last commit or restore"
        self._u_before[:], self._dt_committed = self._u_old, self._dt
        np.copyto(self._u_old, self.u.x.array)
        np.copyto(self._internal_old, self.internal_force.x.array)
        np.copyto(self._external_old, self.external_force.x.array)
        self._stored_old = self._stored()
        return balance

    def restore(self) -> None:
        """Go back to the last committed displacement, forces and state. Collective."""
        self._follow_laws()
        self._solution, self._why_none = None, "there was none since the last commit or restore"
        for law in self.laws:
            law.restore()
        self.u.x.array[:] = self._u_old
        self.internal_force.x.array[:] = self._internal_old
        self.external_force.x.array[:] = self._external_old
        if self.drag is not None:
            self.drag.update(self._u_old, self._u_before, self._dt_committed)

    def committed(self) -> dict[str, FloatArray]:
        """Committed displacements and forces by name, without the laws; not copies. Collective."""
        self._follow_laws()
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
        for law in self.laws:
            np.copyto(law.displacement(self.u), state["u"])
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

    def _read_data(self, dt: Any) -> float:
        """Read what may have changed since the last solve; alike on all ranks, or refused."""
        self._prescribed.read()
        with on_all_ranks(self.comm):
            for law in self.laws:
                law.points.require_unmoved()
        constants = constants_of("loads and body_force", self._external)
        if self.drag is not None:
            constants |= constants_of("drag", self.drag.coefficient)
        for law in self.laws:
            constants |= law.constants()
        values = {"dt": dt, **constants, **self._prescribed.constants()}
        require_same(self.comm, "solve", values)
        length = time_step("solve", dt)
        require_finite("solve", constants)
        self._prescribed.require_numbers()
        if self.drag is not None:
            self.drag.read()
        return length

    def _require_finite_vectors(self) -> None:
        places = {"the first guess u": self.u, "loads and body_force": self.external_force}
        wrong = np.array([float((~np.isfinite(each.x.array)).sum()) for each in places.values()])
        self.comm.Allreduce(MPI.IN_PLACE, wrong, op=MPI.MAX)
        for name, count in zip(places, wrong, strict=True):
            if count:
                raise ValueError(
                    f"solve: {name} must be finite; found NaN or infinity at {count:.0f} dofs. "
                    "Mend the data, restore() and solve again."
                )

    def _require_resistance(self) -> None:
        """Raise where a dof is neither prescribed nor has a stiffness; uses the tangent."""
        free = np.ones(self._owned, dtype=bool)
        for bc in self._prescribed.bcs:
            free[_compat.owned_dofs(bc, self._owned)] = False
        if self.drag is not None:
            free &= self.drag.diagonal[: self._owned] == 0.0
        zero = self.solver.matrix.findZeroRows()
        rows = zero.getIndices() if zero else np.zeros(0, dtype=np.int64)  # null where none is
        loose = int(free[rows - self.solver.matrix.getOwnershipRange()[0]].sum())
        if (loose := self.comm.allreduce(loose, op=MPI.SUM)) > 0:
            raise ValueError(
                f"solve: nothing resists the motion of {loose} of {self.solver.matrix.size[0]} "
                "dofs: they are not prescribed, and no law or load has a stiffness there. Give "
                "every cell a law, prescribe u where there is none, or take a submesh."
            )

    def _require_solution(self) -> None:
        if self._solution is None:
            raise StepError(
                f"commit: needs a solve that converged; {self._why_none}. Solve with a shorter "
                "step, or restore()."
            )
        unchanged = np.array_equal(self.u.x.array[: self._owned], self._last_x)
        unchanged = self.comm.allreduce(unchanged, op=MPI.LAND)
        if not unchanged or self._solution != [law.revision for law in self.laws]:
            what = "a law was updated, restored or committed" if unchanged else "u was changed"
            raise StepError(
                f"commit: needs the state of the solve; {what} since then. Solve again."
            )

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
        dt = self._dt_committed
        velocity = (self._u_old - self._u_before) / (dt if dt > 0.0 else np.inf)
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
        self._assemble(self.internal_force, self._internal_forms)
        if self.drag is not None:
            self.drag.update(self.u.x.array, self._u_old, self._dt)
        if self._loads_follow_u:
            self._assemble_external()
        return True

    def _assemble_external(self) -> None:
        if self._external_forms:
            self._assemble(self.external_force, self._external_forms)

    def _assemble(self, force: Any, forms: Sequence[Any]) -> None:
        with self.statistics.measure("assembly"):
            add_vectors(forms, force)

    def _find_stiffness_scale(self) -> bool:
        """Mean diagonal of the tangent: weighs prescribed displacements as forces."""
        if not self._update_laws(self.solver.x):
            return False
        self._assemble_tangent([])
        self._require_resistance()
        self._stiffness_scale = mean_diagonal(self.solver.matrix)
        return True

    def residual(self, x: Any, b: Any) -> None:
        """Write the residual at ``x`` into ``b``; NaN if a law fails there. Collective."""
        if not self._update_laws(x):
            b.set(np.nan)  # SNES stops here, and the caller cuts the step
            return
        with b.localForm() as local:
            local.set(0.0)
        bcs = self._prescribed.bcs
        if bcs and self._prescribed.misses(x, b):
            with b.localForm() as local:
                local.set(0.0)
            forms, u = self._tangent_forms, self.u.x.petsc_vec  # x, with ghosts up to date
            fem_petsc.apply_lifting(
                b, forms, bcs=[bcs] * len(forms), x0=[u] * len(forms), alpha=-1.0
            )
            b.ghostUpdate(addv=PETSc.InsertMode.ADD, mode=PETSc.ScatterMode.REVERSE)
        b.axpy(1.0, self.internal_force.x.petsc_vec)
        b.axpy(-1.0, self.external_force.x.petsc_vec)
        if self.drag is not None:
            self._add_drag(b)
        fem_petsc.set_bc(b, bcs, x0=x, alpha=-self._stiffness_scale)

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
        self._assemble_tangent(self._prescribed.bcs)
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


def _directions(laws: Sequence[InternalVariableLaw], u: Any, direction: Any) -> list[Any]:
    """What each law strains, with ``direction`` in place of u: of a mixed u it is a part."""
    strained = (in_terms_of(u, ufl.as_ufl(law.u)) for law in laws)
    return [
        ufl.algorithms.expand_derivatives(ufl.derivative(each, u, direction)) for each in strained
    ]


def _external_work(
    laws: Sequence[InternalVariableLaw], virtual: Sequence[Any], loads: Any, body_force: Any
) -> Any:
    work = ufl.Form([]) if loads is None else ufl.algorithms.expand_derivatives(loads)
    if body_force is not None:
        for law, v in zip(laws, virtual, strict=True):
            mesh = law.points.mesh
            force = expression_of("body_force", body_force, v.ufl_shape, mesh)
            work += ufl.inner(force, v) * law.kinematics.weight(mesh) * law.dx
    return work
