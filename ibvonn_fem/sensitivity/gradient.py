"""Derivative of a scalar of a run by parameters of a law: the adjoint through the stored steps.

A scalar J of displacements u_k and reactions r_k at the ends of the steps, given by its derivatives
∂J/∂u_k and ∂J/∂r_k. From the last step to the first, μ_k is found from

    K_k^T μ_k = −∂J/∂u_k − ∫ H_k · δE(v),   μ_k = ∂J/∂r_k where u is prescribed,

K_k being the consistent tangent at the end of the step and H_k what later steps leave
(:mod:`.point_adjoint`); then

    dJ/dp = Σ_k ∫ δE(μ_k) · ∂S_k/∂p + a_k · ∂α_k/∂p dx.

One solve for each step, whatever the number of parameters (M. Michaleris, D. A. Tortorelli and
C. A. Vidal, Int. J. Numer. Methods Eng. 37, 2471, 1994).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mpi4py import MPI

import numpy as np
from dolfinx import fem

from ..body.law import InternalVariableLaw
from ..body.problem import InternalVariableProblem
from ..body.rank_agreement import on_all_ranks
from ..errors import StepError
from ..kernels.base import FloatArray
from ..stepping.step_record import StepRecord, StepState
from .point_adjoint import PointAdjoint


def parameter_gradient(
    record: StepRecord,
    parameters: Sequence[str],
    *,
    reactions: Mapping[Any, object] | None = None,
    displacements: Sequence[FloatArray] | None = None,
    law: InternalVariableLaw | None = None,
) -> dict[str, float]:
    """Derivative of a scalar of a run by parameters of a law. Collective.

    The start of the run, loads and prescribed displacements are taken as given. u, stress and
    tangent of the problem are as before afterwards.

    Args:
        record: The run.
        parameters: Names: ``stress_scale``, ``time_scale``, ``strain_scale`` of a
            :class:`~ibvonn_fem.Scaled` model, ``density`` of a microsphere or microcircle,
            ``bulk`` of a volumetric part.
        reactions: Dirichlet condition of the problem → ∂J/∂r, shape ``(steps, components)`` as
            :meth:`StepRecord.reactions` has it, or ``(steps,)`` for one component.
        displacements: ∂J/∂u of every step, each of the shape of ``u.x.array``; what stands at
            ghosts does not count.
        law: The law, where the problem has several.

    Returns:
        Name → dJ/dp, the same on all ranks.

    Raises:
        ValueError: If loads depend on a law's stress, conditions changed during the run, the
            derivatives of J do not fit, or the law has no such parameter.
        KernelUnavailableError: If the kernel of a law has no derivatives.
        StepError: If the adjoint equations of a step cannot be solved.
    """
    problem, states = _checked(record)
    chosen = _chosen_law(problem, law)
    if isinstance(parameters, str):
        parameters = (parameters,)
    points = [PointAdjoint(each, parameters if each is chosen else ()) for each in problem.laws]
    with on_all_ranks(problem.comm):
        forces = _by_reaction(record, problem, reactions or {})
        moves = _by_displacement(record, problem, displacements)
    kept = _Kept(problem)
    try:
        solver = _AdjointSolver(problem)
        for k in reversed(range(len(record.steps))):
            before, now = states[k], states[k + 1]
            for i, point in enumerate(points):
                point.linearise(
                    now.measures[i],
                    before.measures[i],
                    now.states[i],
                    before.states[i],
                    record.dt[k],
                )
            if problem.loads_follow_u:  # their derivative is that at the end of the step
                problem.u.x.array[:] = now.u
                for values, then in zip(problem.load_data(), now.loads, strict=True):
                    values[...] = then
            multipliers = solver.solve(
                moves[k], {bc: values[k] for bc, values in forces.items()}, record.dt[k], now.drag
            )
            for point, multiplier in zip(points, multipliers, strict=True):
                point.go_back(multiplier)
    finally:
        kept.restore()
    own = points[problem.laws.index(chosen)].gradient
    return {name: float(problem.comm.allreduce(value, op=MPI.SUM)) for name, value in own.items()}


class _AdjointSolver:
    """Equilibrium of the multipliers of a step."""

    def __init__(self, problem: InternalVariableProblem) -> None:
        self._problem = problem
        space = problem.u.function_space
        self._right, self._given = fem.Function(space), fem.Function(space)
        self._constrained = np.zeros(self._right.x.array.size, dtype=bool)
        for bc in problem.bcs:
            self._constrained[bc.dof_indices()[0]] = True
        self._by_drag = np.zeros(problem.solver.x.getLocalSize())

    def solve(
        self,
        by_u: FloatArray,
        by_reaction: Mapping[Any, FloatArray],
        dt: float,
        drag: FloatArray | None,
    ) -> list[FloatArray]:
        """δE(μ) at the points of each law; ``law.stress`` holds H and ``law.tangent`` dS/dE.

        Drag D (u − u_n)/Δt hands −D μ/Δt to the step before, and what holds dofs in a step of no
        length all that it bears.
        """
        problem, right, given = self._problem, self._right, self._given
        owned = problem.solver.x.getLocalSize()
        problem.assemble_internal(right)
        right.x.array[:owned] = -right.x.array[:owned] - by_u[:owned] - self._by_drag
        given.x.array[:] = 0.0
        for bc, values in by_reaction.items():
            problem.spread(bc, values, given.x.array)
        given.x.scatter_forward()
        product = right.x.petsc_vec.duplicate()
        problem.tangent_matrix(constrained=False).multTranspose(given.x.petsc_vec, product)
        right.x.array[:owned] -= product.array_r
        fixed = self._constrained[:owned]
        right.x.array[:owned][fixed] = problem.stiffness_scale * given.x.array[:owned][fixed]
        matrix, held = problem.tangent_matrix(constrained=True), np.zeros(0, dtype=np.int32)
        if problem.drag is not None and drag is not None:
            np.copyto(problem.drag.diagonal, drag)
            problem.drag.add_derivative(matrix, dt, problem.stiffness_scale)
            if dt == 0.0:
                held = problem.drag.fixed_dofs()
        ksp = problem.solver.snes.ksp
        ksp.setOperators(matrix, matrix)
        ksp.solveTranspose(right.x.petsc_vec, product)
        u = problem.u.x
        u.array[:owned] = product.array_r
        product.destroy()
        reason = int(ksp.getConvergedReason())
        finite = bool(np.isfinite(u.array[:owned]).all())
        if reason < 0 or not problem.comm.allreduce(finite, op=MPI.LAND):
            raise StepError(
                "parameter_gradient: the adjoint equations of a step could not be solved (KSP "
                f"reason {reason}). Use ksp_type preonly and pc_type lu."
            )
        self._by_drag[:] = 0.0
        if drag is not None and dt > 0.0:
            self._by_drag[:] = np.where(fixed, 0.0, -drag[:owned] / dt * u.array[:owned])
        self._by_drag[held] = -problem.stiffness_scale * u.array[held]
        u.array[held] = 0.0
        u.scatter_forward()
        moved = [law.measure_of_u() for law in problem.laws]
        u.array[:] = 0.0
        return [each - law.measure_of_u() for each, law in zip(moved, problem.laws, strict=True)]


class _Kept:
    """Values of u, of the laws' Functions, loads and drag, which the adjoint uses for its own."""

    def __init__(self, problem: InternalVariableProblem) -> None:
        functions = [problem.u, *(f for law in problem.laws for f in (law.stress, law.tangent))]
        self._values = [(function.x.array, function.x.array.copy()) for function in functions]
        self._values += [(values, values.copy()) for values in problem.load_data()]
        if problem.drag is not None:
            diagonal = problem.drag.diagonal
            self._values.append((diagonal, diagonal.copy()))

    def restore(self) -> None:
        for array, values in self._values:
            array[...] = values


def _checked(record: StepRecord) -> tuple[InternalVariableProblem, list[StepState]]:
    """The problem of a record, and its states from the start on."""
    problem = record.problem
    if problem is None or record.start is None or not record.steps:
        raise ValueError(
            "parameter_gradient: the record must hold a run; it has no step. Give it to "
            "TimeStepping(record=…) and run."
        )
    if problem.loads_follow_laws:
        raise ValueError(
            "parameter_gradient: loads must not depend on stress, tangent or energy of a law; "
            "those of the problem do. Give loads that depend on u alone, or not even on u."
        )
    if any(state.conditions != tuple(problem.bcs) for state in record.steps):
        raise ValueError(
            "parameter_gradient: the Dirichlet conditions must be the same in all steps; they "
            "changed in the run. Change their values and not the list."
        )
    return problem, [record.start, *record.steps]


def _chosen_law(
    problem: InternalVariableProblem, law: InternalVariableLaw | None
) -> InternalVariableLaw:
    if law is None:
        if len(problem.laws) != 1:
            raise ValueError(
                f"parameter_gradient: the problem has {len(problem.laws)} laws; say which with "
                "law=."
            )
        return problem.laws[0]
    if not any(law is other for other in problem.laws):
        raise ValueError(f"parameter_gradient: the law {law.name!r} is none of the problem's.")
    return law


def _by_reaction(
    record: StepRecord, problem: InternalVariableProblem, reactions: Mapping[Any, object]
) -> dict[Any, FloatArray]:
    arrays = {}
    for bc, values in reactions.items():
        if not any(bc is other for other in problem.bcs):
            raise ValueError(
                "parameter_gradient: reactions must be of conditions of the problem; found one "
                "that is not among its bcs."
            )
        array = np.asarray(values, dtype=np.float64)
        array = array[:, np.newaxis] if array.ndim == 1 else array
        components = problem.components(bc)
        if array.shape != (len(record.steps), components) or not np.isfinite(array).all():
            raise ValueError(
                "parameter_gradient: the derivatives by a reaction must be finite numbers of "
                f"shape ({len(record.steps)}, {components}), (steps, components); found shape "
                f"{array.shape}."
            )
        arrays[bc] = array
    return arrays


def _by_displacement(
    record: StepRecord,
    problem: InternalVariableProblem,
    displacements: Sequence[FloatArray] | None,
) -> list[FloatArray]:
    size = problem.u.x.array.size
    if displacements is None:
        return [np.zeros(size)] * len(record.steps)
    arrays = [np.asarray(values, dtype=np.float64) for values in displacements]
    if len(arrays) != len(record.steps) or any(array.shape != (size,) for array in arrays):
        raise ValueError(
            f"parameter_gradient: displacements must be {len(record.steps)} arrays of "
            f"{size} numbers, one for each step and dof; found {len(arrays)} of "
            f"{sorted({array.shape for array in arrays})}."
        )
    return arrays
