"""All committed steps of a run in memory: what its adjoint starts from.

record = StepRecord()
TimeStepping(problem, loading, record=record).run(times)
force = record.reactions(pulled)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..body.problem import InternalVariableProblem
from ..kernels.base import FloatArray


@dataclass(frozen=True)
class StepState:
    """State at the end of a step, or at the start of a run.

    Attributes:
        u: Displacement, shape of ``u.x.array``.
        force: Internal and drag minus external force, of the same shape.
        measures: Measure of deformation for each law, shape ``(points, size)``.
        states: Internal variables for each law, shape ``(points * directions, n_α)``.
        conditions: The problem's Dirichlet conditions.
        drag: Diagonal of the drag matrix, of the shape of u; None without drag.
        loads: Values of Constants and Functions in the loads where these follow u.
    """

    u: FloatArray
    force: FloatArray
    measures: tuple[FloatArray, ...]
    states: tuple[FloatArray, ...]
    conditions: tuple[Any, ...]
    drag: FloatArray | None
    loads: tuple[FloatArray, ...]


class StepRecord:
    """The state at the end of every committed step, those between given instants included.

    A record belongs to one problem. Several runs follow each other in it where each begins at the
    state at which the last one ended.

    Attributes:
        problem: The problem; None before the first run.
        time: End of every step [time].
        dt: Length of every step; 0 of an elastic step.
        start: State before the first step.
        steps: State at the end of every step.
    """

    def __init__(self) -> None:
        self.problem: InternalVariableProblem | None = None
        self.time: list[float] = []
        self.dt: list[float] = []
        self.start: StepState | None = None
        self.steps: list[StepState] = []

    def begin(self, problem: InternalVariableProblem, time: float, steps: int) -> None:  # noqa: ARG002
        """Make ready for a run; :meth:`TimeStepping.run` calls it. Collective.

        Raises:
            ValueError: If the record has the steps of another problem, or other ones.
        """
        state = _state_of(problem)
        if self.start is None:
            self.problem, self.start = problem, state
            return
        last = self.steps[-1] if self.steps else self.start
        same = self.problem is problem and np.array_equal(last.u, state.u)
        same = same and all(map(np.array_equal, last.states, state.states))
        if not problem.comm.allreduce(int(same)) == problem.comm.size:
            raise ValueError(
                "StepRecord: a run must begin where the last one in the record ended, with the "
                "same problem. Give each run from another state a record of its own."
            )

    def add(self, time: float) -> None:
        """Record the committed state as that at the end of a step; ``TimeStepping`` calls it."""
        problem = self._of_problem()
        self.time.append(float(time))
        self.dt.append(problem.committed_scalars()["last_dt"])
        self.steps.append(_state_of(problem))

    def write(self) -> None:
        """Nothing: a record is no file."""

    def reactions(self, bc: Any) -> FloatArray:
        """Force that a Dirichlet condition exerted on the body, step by step. Collective.

        It is that at the end of every step, drag included.

        Args:
            bc: A condition on u's space.

        Returns:
            Shape ``(steps, components)``.
        """
        problem = self._of_problem()
        return np.array([problem.summed(bc, state.force) for state in self.steps])

    def _of_problem(self) -> InternalVariableProblem:
        if self.problem is None:
            raise ValueError(
                "StepRecord: has no step before the first run. Give it to TimeStepping(record=…)."
            )
        return self.problem


def _state_of(problem: InternalVariableProblem) -> StepState:
    committed = problem.committed()
    laws = [law.committed() for law in problem.laws]
    force = committed["internal_force"] - committed["external_force"]
    drag = problem.drag
    return StepState(
        committed["u"].copy(),
        force if drag is None else force + drag.force.x.array,
        tuple(law["measure"].copy() for law in laws),
        tuple(law["internal"].copy() for law in laws),
        tuple(problem.bcs),
        None if drag is None else drag.diagonal.copy(),
        tuple(values.copy() for values in problem.load_data()) if problem.loads_follow_u else (),
    )
