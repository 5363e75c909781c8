"""Stepping a problem through time, with smaller steps where a solve fails.

A step is committed only after the global solve has converged at every point. After a failed step
displacement and state go back to the committed ones, to the bit, and a shorter step is tried. With
a tolerance for the energy audit (:mod:`ibvonn_fem.stepping.step_control`) the steps follow the
process.
"""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..body.argument_checks import require_number
from ..body.energy_balance import EnergyBalance
from ..body.problem import InternalVariableProblem
from ..body.rank_agreement import require_same
from ..errors import EnvelopeError, StepError
from ..model.point_reports import RangeReport
from .histories import Histories
from .step_control import SHORTEST_CUT, AuditControl
from .step_record import StepRecord

logger = logging.getLogger(__name__)

Record = Histories | StepRecord


@dataclass(frozen=True)
class Step:
    """A committed step.

    Attributes:
        time: End of the step [time].
        dt: Length of the step; 0 for an elastic step.
        iterations: Newton iterations.
        local_residual: Largest scaled residual of the law at any point.
        cutbacks: Failed attempts before it succeeded.
        balance: Energy balance of the step.
        ranges: For each law, the points outside the training range.
    """

    time: float
    dt: float
    iterations: int
    local_residual: float
    cutbacks: int
    balance: EnergyBalance
    ranges: tuple[RangeReport, ...] = field(default=())


class TimeStepping:
    """Backward Euler in time with cut-back and re-growth of the step.

    Args:
        problem: The problem to step.
        loading: Called with the time before each attempt; sets loads and boundary values.
        cutback: Factor on the step after a failure, in (0, 1).
        growth: Factor on a step that had been cut, after two successes in a row; with an audit
            the largest factor from one step to the next.
        max_cutbacks: Attempts to shorten one step before giving up.
        audit_tolerance: Choose the steps so that the numerical dissipation of each (the Bregman
            audit, :attr:`EnergyBalance.numerical`, of second order in Δt) is at most this fraction
            of the energy handled so far: change of the stored energy plus dissipation. None: the
            steps are the intervals of ``times``. The first step that handles energy sets the scale
            and is one interval, so choose a short first interval, or give ``energy_scale``, which
            also suits a load that grows from zero: a fraction of a small energy needs small steps.
        energy_scale: Energy that replaces the energy handled [energy].
        record: :class:`Histories` of chosen points, or a :class:`StepRecord` of the whole run, or
            several of them.

    Raises:
        ValueError: If a factor is out of its range.
        TypeError: If an argument is not of its kind.
    """

    def __init__(
        self,
        problem: InternalVariableProblem,
        loading: Callable[[float], object] | None = None,
        *,
        cutback: float = 0.5,
        growth: float = 2.0,
        max_cutbacks: int = 10,
        audit_tolerance: float | None = None,
        energy_scale: float | None = None,
        record: Record | Sequence[Record] = (),
    ) -> None:
        if not hasattr(problem, "solve") or not hasattr(problem, "laws"):
            raise TypeError(
                "TimeStepping: problem must be an InternalVariableProblem; found "
                f"{type(problem).__name__}."
            )
        cutback = require_number("TimeStepping", "cutback", cutback)
        growth = require_number("TimeStepping", "growth", growth)
        if isinstance(max_cutbacks, bool) or not hasattr(max_cutbacks, "__index__"):
            raise TypeError(
                f"TimeStepping: max_cutbacks must be a whole number; found {max_cutbacks!r}."
            )
        if max_cutbacks < 0:
            raise ValueError(f"TimeStepping: max_cutbacks must be >= 0; found {max_cutbacks}.")
        if not 0.0 < cutback < 1.0:
            raise ValueError(f"TimeStepping: cutback must lie between 0 and 1; found {cutback}.")
        if not growth > 1.0:
            raise ValueError(f"TimeStepping: growth must be greater than 1; found {growth}.")
        if loading is not None and not callable(loading):
            raise TypeError(
                "TimeStepping: loading must be a function of time that sets loads and boundary "
                f"values; found {type(loading).__name__}."
            )
        self._records = (record,) if isinstance(record, Record) else tuple(record)
        if not all(isinstance(each, Record) for each in self._records):
            raise TypeError(
                "TimeStepping: record must be Histories or a StepRecord, or several of them; found "
                f"{record!r}."
            )
        self.problem = problem
        self.loading = loading
        self.cutback = cutback
        self.growth = growth
        self.max_cutbacks = max_cutbacks
        self._audit: AuditControl | None = None
        if audit_tolerance is not None:
            self._audit = AuditControl(audit_tolerance, energy_scale)
        elif energy_scale is not None:
            raise ValueError(
                f"TimeStepping: energy_scale = {energy_scale} has a meaning only with an "
                "audit_tolerance. Give one, or leave it out."
            )
        self._longest = math.inf
        self._successes = 0
        self._reported = [0.0] * len(problem.laws)

    def run(
        self,
        times: Sequence[float],
        callback: Callable[[Step], object] | None = None,
        *,
        elastic: bool = True,
    ) -> list[Step]:
        """Step from ``times[0]`` to ``times[-1]``, stopping at every instant in between.

        The first step is elastic (Δt = 0) at ``times[0]``: loads and displacements that are applied
        suddenly act at once, and then time starts. To apply a jump later, call ``run`` again.

        Args:
            times: Increasing instants [time of the model]; each interval is one step unless it
                has to be cut.
            callback: Called with the last step at each of ``times``, after it was committed.
            elastic: Take the elastic step; without it the state is that of ``times[0]`` already,
                as after an earlier ``run`` or
                :func:`~ibvonn_fem.stepping.checkpoint.read_checkpoint`.

        Returns:
            All committed steps, those between the given instants included.

        Raises:
            TypeError: If ``times`` are no numbers, or ``callback`` cannot be called.
            ValueError: If ``times`` are no list, do not increase or differ between ranks.
            StepError: If a step fails at its shortest length. The problem is then at the last
                committed time.
            EnvelopeError: If a point left the training range of a model loaded with
                ``strict_range``; the problem is at the last committed time.
        """
        instants = self._instants(times)
        if callback is not None and not callable(callback):
            raise TypeError(
                f"run: callback must be a function of the step; found {type(callback).__name__}."
            )
        for record in self._records:
            record.begin(self.problem, instants[0], len(instants))
        try:
            steps = self._steps(instants, callback, elastic)
        except (StepError, EnvelopeError):  # raised on all ranks
            self._write_records()
            raise
        self._write_records()
        return steps

    def _steps(
        self, instants: list[float], callback: Callable[[Step], object] | None, elastic: bool
    ) -> list[Step]:
        steps = []
        if elastic:
            steps.append(self._elastic_step(instants[0]))
            if callback is not None:
                callback(steps[-1])
        for before, after in itertools.pairwise(instants):
            steps.extend(self._advance(before, after))
            if callback is not None:
                callback(steps[-1])
        return steps

    def _write_records(self) -> None:
        for record in self._records:
            record.write()

    def step_control(self) -> dict[str, float]:
        """Quantities on which the length of the next step depends."""
        audit = {} if self._audit is None else self._audit.state()
        return {"longest": self._longest, "successes": float(self._successes), **audit}

    def set_step_control(self, control: Mapping[str, float]) -> None:
        """Set the quantities of :meth:`step_control`."""
        self._longest = control["longest"]
        self._successes = int(control["successes"])
        if self._audit is not None:
            self._audit.set_state(control)

    def _instants(self, times: Sequence[float]) -> list[float]:
        require_same(self.problem.comm, "run", {"times": times})
        if np.ndim(times) != 1:
            raise ValueError(
                f"run: times must be a list of instants; found {np.ndim(times)} dimensions."
            )
        instants = [require_number("run", f"times[{k}]", time) for k, time in enumerate(times)]
        for before, after in itertools.pairwise(instants):
            if not after > before:
                raise ValueError(
                    f"run: times must increase; {before:.6g} is followed by {after:.6g}."
                )
        if not instants or not math.isfinite(instants[0]) or not math.isfinite(instants[-1]):
            raise ValueError("run: times must be a non-empty list of finite instants.")
        return instants

    def _elastic_step(self, time: float) -> Step:
        step, message, _ = self._attempt(time, time, 0.0, 0)
        if step is None:
            raise StepError(
                f"time stepping: the elastic step at t = {time:.6g} failed ({message}). "
                "Apply the load in smaller jumps or over a short time, and see that the boundary "
                "conditions hold the body."
            )
        if self._audit is not None:
            self._audit.account(step.balance)
        return step

    def _advance(self, start: float, stop: float) -> list[Step]:
        """Steps from ``start`` to ``stop``, as few as succeed."""
        steps: list[Step] = []
        time, cutbacks = start, 0
        while time < stop:
            end, dt = self._next(time, stop)
            step, message, shorter = self._attempt(time, end, dt, cutbacks)
            if step is not None:
                steps.append(step)
                time, cutbacks = end, 0
                self._grow(step)
                continue
            cutbacks += 1
            # Also where steps succeed in between: halving towards a jump would never arrive.
            shortest = (stop - start) * self._shortest_fraction()
            if cutbacks > self.max_cutbacks or dt <= shortest * (1.0 + 1e-9):
                raise StepError(
                    f"time stepping: the step from t = {time:.6g} failed with dt = {dt:.3g}, cut "
                    f"{cutbacks - 1} times ({message}). The state is that of "
                    f"t = {time:.6g}; check loads and supports."
                )
            self._longest, self._successes = shorter * dt, 0
            logger.info("t = %.6g: step of %.3g failed (%s); cut", time, dt, message)
        return steps

    def _shortest_fraction(self) -> float:
        """Shortest step as a fraction of an interval of ``times``; with the audit far shorter."""
        return self.cutback ** (self.max_cutbacks * (1 if self._audit is None else 2))

    def _grow(self, step: Step) -> None:
        """Length of the steps to come after a success."""
        self._successes += 1
        if self._audit is None:
            if self._successes % 2 == 0:
                self._longest *= self.growth
            return
        # A given instant may have made the step shorter than the audit asked for.
        longest = step.dt if math.isinf(self._longest) else max(step.dt, self._longest)
        self._longest = min(self._audit.factor(step.balance) * step.dt, self.growth * longest)
        self._audit.account(step.balance)

    def _next(self, time: float, stop: float) -> tuple[float, float]:
        """End and length of the next of the equal steps that reach ``stop`` exactly."""
        remaining = stop - time
        parts = max(1, math.ceil(remaining / self._longest * (1.0 - 1e-9)))
        if parts == 1:
            return stop, remaining
        return time + remaining / parts, remaining / parts

    def _attempt(
        self, start: float, end: float, dt: float, cutbacks: int
    ) -> tuple[Step | None, str, float]:
        """Try one step; commit it or go back to the committed state.

        Returns:
            The step, or None with the reason and the factor on its length to try next.
        """
        problem = self.problem
        committed = False
        try:
            if self.loading is not None:
                self.loading(end)
            report = problem.solve(dt)
            if not report.converged:
                return None, report.message, self.cutback
            balance = problem.balance()
            if self._audit is not None and dt > 0.0 and (refusal := self._audit.refusal(balance)):
                return None, refusal, max(SHORTEST_CUT, self._audit.factor(balance))
            ranges = tuple(law.range_report() for law in problem.laws)
            for number, law_ranges in enumerate(ranges):
                self._report_range(number, law_ranges)
            problem.commit()
            committed = True
            for record in self._records:
                record.add(end)
        finally:
            if not committed:
                problem.restore()
                if self.loading is not None:
                    self.loading(start)
        logger.info(
            "t = %.6g, dt = %.3g: %d iterations, local residual %.1e, numerical dissipation %.2e",
            end,
            dt,
            report.iterations,
            report.local_residual,
            balance.numerical,
        )
        step = Step(end, dt, report.iterations, report.local_residual, cutbacks, balance, ranges)
        return step, report.message, 1.0

    def _report_range(self, number: int, report: RangeReport) -> None:
        """Report the excursion of a law when it begins, and whenever it has doubled."""
        law = self.problem.laws[number]
        if law.model.strict_range or not report.excursion <= 2.0 * self._reported[number]:
            law.model.report_range(report, law.comm)
            self._reported[number] = max(
                report.excursion, 0.01
            )  # a small excursion is reported once
