"""Balance of forces of a body made of learned laws.

Find u with

    ∫ σ(u; state) · δε(v) dx = loads(v)   for all v,   u = ḡ where prescribed,

with an optional drag ∫ c (u̇ − ḃ) · v dx on the left (:mod:`ibvonn_fem.body.drag`). Newton's
method uses the consistent tangent, through PETSc's SNES. A solve changes only the trial state;
:meth:`InternalVariableProblem.commit` accepts it, ``restore`` goes back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from mpi4py import MPI

import numpy as np

from ..kernels.base import FloatArray
from .argument_checks import check_unknown
from .drag import Drag
from .energy_balance import EnergyBalance, StepForces, balance_of_step
from .expressions import constants_of, functions_of
from .force_balance import ForceBalance
from .forms import add_vectors
from .law import InternalVariableLaw
from .load_checks import check_loads, require_ghosts, require_tagged
from .newton import NewtonSolver, SolveReport
from .prescribed import Prescribed
from .problem_state import ProblemState
from .rank_agreement import on_all_ranks
from .solution_record import SolutionRecord
from .solve_checks import common_displacement, read_step_data, require_finite_functions
from .statistics import Statistics
from .weak_form import weak_form


class InternalVariableProblem:
    """Quasi-static or overdamped motion with one or several laws.

    The residual is internal minus external force; where u is prescribed it is the missing
    displacement times a typical stiffness, so that all its entries are forces. Newton's method
    stops as described in :mod:`ibvonn_fem.body.newton`.

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
        medium: Displacement b of what drags, a Function of u's space; by default it is at rest.
        options: PETSc options without prefix, on top of
            :data:`ibvonn_fem.body.newton.DEFAULT_OPTIONS`.

    The committed state belongs to the laws: a problem starts from what they committed last, also
    where another problem did that.

    Raises:
        TypeError: If an argument is not of its kind.
        ValueError: If a law was made with another u, laws share cells or were committed at
            different displacements, or loads, conditions and expressions do not belong to u's
            space.

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
        medium: Any = None,
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
        self._form = weak_form(self.laws, u, loads, body_force)
        self.drag: Drag | None = None
        if drag is not None:
            self.drag = Drag(drag, self.laws, u, self._form.virtual, self._prescribed, medium)
        elif medium is not None:
            raise ValueError("medium: acts through drag; give a drag coefficient, or no medium.")
        self._owned = space.dofmap.index_map.size_local * space.dofmap.index_map_bs
        self.statistics = Statistics()
        self._committed = ProblemState(u.x.array.size, medium)
        self._equations = ForceBalance(
            self.laws, u, self._form, self._prescribed, self.drag, self._committed, self.statistics
        )
        self.internal_force = self._equations.internal_force
        self.external_force = self._equations.external_force
        self._solution = SolutionRecord(self.comm)
        self._start()
        x = u.x.petsc_vec.duplicate()
        self.solver = NewtonSolver(self._equations, x, self._equations.matrix, options)

    @property
    def bcs(self) -> Sequence[Any]:
        """Dirichlet conditions, read at every solve; the caller's own list."""
        return self._prescribed.conditions

    @bcs.setter
    def bcs(self, bcs: Sequence[Any]) -> None:
        self._prescribed.conditions = bcs

    def _start(self) -> None:
        """Start from what the laws have committed. Collective.

        Raises:
            ValueError: If they were committed at different displacements.
        """
        for law in self.laws:
            law.restore()
        u = common_displacement(self.laws, self.u, self._owned)
        add_vectors(self._form.internal_forms, self.internal_force)
        self._committed.start(u, self.internal_force.x.array, self._stored())
        self._commits = [law.commits for law in self.laws]
        self._solution.clear()

    def _follow_laws(self) -> None:
        """Start anew where another problem, or the user, committed a law. Collective."""
        if self._commits != [law.commits for law in self.laws]:
            self._start()

    def solve(self, dt: float) -> SolveReport:
        """Find equilibrium at the end of a step of length ``dt``; nothing is committed. Collective.

        Args:
            dt: Time increment Δt; 0 is an instantaneous elastic step.

        Returns:
            A report of the solve. A failure of the law at a point, or of Newton's method, is
            reported and not raised: a smaller step may succeed.

        Raises:
            TypeError: If ``dt`` is no number.
            ValueError: If ``dt``, a Constant, a prescribed displacement, the loads or the first
                guess are not finite, or not the same on all ranks; if ``dt`` is negative; if
                nothing resists the motion of a dof.
        """
        self._follow_laws()
        self._solution.clear("the last one was interrupted")
        equations = self._equations
        equations.begin(
            read_step_data(dt, self.laws, self._form.external, self._prescribed, self.drag)
        )
        require_finite_functions(
            self.comm,
            {"the first guess u": self.u, "loads and body_force": self.external_force},
        )
        self.solver.x.array_w[:] = self.u.x.array[: self._owned]
        if equations.stiffness_scale == 0.0 and not equations.find_stiffness_scale(self.solver.x):
            self.statistics.count(iterations=0, converged=False)
            self._solution.clear(f"the last one failed ({equations.failure})")
            return SolveReport(False, 0, (), str(equations.failure))
        with self.statistics.measure("solve"):
            report = self.solver.solve()
            if report.converged and not equations.update_laws(self.solver.x):
                report = replace(report, converged=False)
        if report.converged:
            worst = self.comm.allreduce(max(law.worst_residual for law in self.laws), op=MPI.MAX)
            report = replace(report, local_residual=worst)
            self._solution.store(self.laws)
        elif equations.failure is not None:
            report = replace(report, message=f"{report.message}; {equations.failure}")
        if not report.converged:
            self._solution.clear(f"the last one failed ({report.message})")
        self.statistics.count(report.iterations, report.converged, report.local_residual)
        return report

    def commit(self) -> EnergyBalance:
        """Accept the solution and every trial state; returns the energy balance. Collective.

        Raises:
            StepError: If the state of the laws and u are not those of a solve that converged.
        """
        self._solution.require(self.laws, same_u=self._equations.at_current_u)
        balance = self.balance()
        for law in self.laws:
            law.commit()
        self._commits = [law.commits for law in self.laws]
        self._solution.clear()
        self._committed.commit(
            self.u.x.array,
            self.internal_force.x.array,
            self.external_force.x.array,
            self._equations.dt,
            self._stored(),
        )
        return balance

    def restore(self) -> None:
        """Go back to the last committed displacement, forces and state. Collective."""
        self._follow_laws()
        self._solution.clear()
        for law in self.laws:
            law.restore()
        committed = self._committed
        self.u.x.array[:] = committed.u
        self.internal_force.x.array[:] = committed.internal_force
        self.external_force.x.array[:] = committed.external_force
        if self.drag is not None:
            self.drag.update(committed.last_slip(), committed.dt)

    def committed(self) -> dict[str, FloatArray]:
        """Committed displacements and forces by name, without the laws; not copies. Collective."""
        self._follow_laws()
        return self._committed.arrays()

    def committed_scalars(self) -> dict[str, float]:
        """Length of the last committed step and the scales of the convergence test."""
        return {
            "last_dt": self._committed.dt,
            "stiffness_scale": self._equations.stiffness_scale,
            "force_scale": self.solver.force_scale,
        }

    def set_committed(self, state: Mapping[str, FloatArray]) -> None:
        """Replace the committed state by one of :meth:`committed`; the laws come first."""
        for law in self.laws:
            np.copyto(law.displacement(self.u), state["u"])
        self._follow_laws()
        self._committed.set_arrays(state)
        self._committed.stored = self._stored()
        self.restore()

    def set_committed_scalars(self, scalars: Mapping[str, float]) -> None:
        """Replace what :meth:`committed_scalars` gave."""
        self._committed.dt = scalars["last_dt"]
        self._equations.stiffness_scale = scalars["stiffness_scale"]
        self.solver.force_scale = scalars["force_scale"]
        self.restore()

    def balance(self) -> EnergyBalance:
        """Energy balance between the committed state and the current solution. Collective.

        All ranks get the same bits: the length of the next step may depend on them.
        """
        owned, committed = slice(0, self._owned), self._committed
        applied = self._prescribed.applied
        internal = self.internal_force.x.array[owned]
        external = applied(internal, self.external_force.x.array[owned])
        external_old = applied(committed.internal_force[owned], committed.external_force[owned])
        dragged = carried = 0.0
        if self.drag is not None:
            dragged = self.drag.work(committed.slip(self.u.x.array))
            carried = -self.drag.work(committed.carried())
            drag = self.drag.force.x.array[owned]
            resisting = applied(drag, np.zeros_like(drag))
            external = external + resisting
            external_old = external_old + resisting  # constant over the step
        increment = self.u.x.array[owned] - committed.u[owned]
        forces = StepForces(increment, internal, external, external_old, dragged, carried)
        return balance_of_step(self.comm, forces, self.laws, self._stored() - committed.stored)

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
        total, count = self._prescribed.sums(bc, self._committed.velocity())
        return np.asarray(total / np.maximum(count, 1.0))

    def tangent_matrix(self, *, constrained: bool) -> Any:
        """Assemble the derivative of internal minus external force, at ``law.tangent`` as it is.

        Args:
            constrained: Put a typical stiffness in place of rows and columns where u is prescribed.

        Returns:
            The solver's own matrix, without drag; the next solve overwrites it. Collective.
        """
        self._equations.assemble_tangent(self._prescribed.bcs if constrained else [])
        return self.solver.matrix

    def assemble_internal(self, force: Any) -> None:
        """Assemble ∫ σ · δε(v) with ``law.stress`` as it is into a Function. Collective."""
        add_vectors(self._form.internal_forms, force)

    def summed(self, bc: Any, values: FloatArray) -> FloatArray:
        """Sum of given values over the dofs of a condition, one per component. Collective."""
        return self._prescribed.sums(bc, values)[0]

    def components(self, bc: Any) -> int:
        """Number of components of the part of u that a condition prescribes."""
        return self._prescribed.component_count(bc)

    def spread(self, bc: Any, values: FloatArray, to: FloatArray) -> None:
        """Add a value for each component to the owned dofs of one of the problem's conditions.

        The transposed of :meth:`reaction`.
        """
        self._prescribed.spread(bc, values, to)

    @property
    def loads_follow_u(self) -> bool:
        """Whether the loads depend on u or on the state of a law."""
        return self._form.loads_follow_u

    @property
    def loads_follow_laws(self) -> bool:
        """Whether the loads depend on stress, tangent or energy of a law."""
        return self._form.loads_follow_laws

    def load_data(self) -> list[FloatArray]:
        """Values of the Constants and Functions in the loads, without u; not copies."""
        external = self._form.external
        constants = constants_of("loads", external).values()
        functions = (f for f in functions_of(external) if f is not self.u)
        return [*constants, *(function.x.array for function in functions)]

    @property
    def stiffness_scale(self) -> float:
        """Typical stiffness that weighs prescribed displacements as forces."""
        return self._equations.stiffness_scale

    def residual(self, x: Any, b: Any) -> None:
        """Write the residual at ``x`` into ``b``; NaN if a law fails there. Collective."""
        self._equations.residual(x, b)

    def jacobian(self, x: Any) -> None:
        """Assemble the Jacobian at ``x`` into ``solver.matrix``. Collective."""
        self._equations.jacobian(x)

    def force_norm(self) -> float:
        """Largest norm of internal, external and drag forces. Collective."""
        return self._equations.force_norm()

    def round_off(self, x_norm: float) -> float:
        """Rounding error of the residual at a displacement of norm ``x_norm``."""
        return self._equations.round_off(x_norm)
