"""The update of a law at all quadrature points of a rank, block by block."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from mpi4py import MPI

import numpy as np

from ..errors import LocalSolveError
from ..kinematics import Kinematics
from ..kinematics.evaluation import Evaluation, block_size
from ..model.exported_model import ExportedModel
from ..model.point_reports import FailureReport, RangeReport, find_excursions, find_failures
from .law_state import LawState
from .quadrature import QuadraturePoints, Rows


class PointUpdate:
    """Evaluates a law at the trial measure of all points and writes what follows from it.

    Args:
        name: Name of the law, for messages.
        model: The law.
        kinematics: Map between the measure and the strains of the law.
        points: The quadrature points.
        state: Trial and committed state of the points.
        rows: Values of the quadrature Functions ``stress``, ``tangent``, ``energy``,
            ``dissipation`` and ``validity``, which every call overwrites.

    Attributes:
        evaluation: Evaluates one block.
        ranges: Points of this rank outside the training range at the last call.
        worst_residual: Largest scaled residual of the last call on this rank.
    """

    def __init__(
        self,
        name: str,
        model: ExportedModel,
        kinematics: Kinematics,
        points: QuadraturePoints,
        state: LawState,
        rows: Mapping[str, Rows],
    ) -> None:
        self._name = name
        self._model = model
        self._kinematics = kinematics
        self._points = points
        self._state = state
        self._rows = rows
        block = max(1, min(block_size(kinematics.direction_count), points.size))
        self.evaluation = Evaluation(model, kinematics, state.measure.shape[1], block)
        self.ranges = RangeReport(0, points.size * kinematics.direction_count)
        self.worst_residual = 0.0

    def __call__(self, dt: float) -> None:
        """Take one step of length ``dt`` from the committed state. Collective.

        Raises:
            LocalSolveError: On every rank, if the update of a point on any rank did not converge.
        """
        size, block = self._points.size, self.evaluation.block
        failures, ranges = [], []
        self.worst_residual = 0.0
        for start in range(0, size, block):
            failed, outside = self._update_block(start, min(start + block, size), dt)
            failures.append(failed)
            ranges.append(outside)
        self._state.has_trial = True
        self.ranges = RangeReport.merge(ranges)
        self._agree_on_failures(FailureReport.merge(failures), dt)

    def _update_block(self, start: int, stop: int, dt: float) -> tuple[FailureReport, RangeReport]:
        count, state = self._kinematics.direction_count, self._state
        directions = slice(start * count, stop * count)
        own = self._rows["stress"].view(start, stop), self._rows["tangent"].view(start, stop)
        response = self.evaluation(
            state.measure[start:stop],
            state.measure_old[start:stop],
            state.statev_old[directions],
            dt,
            # A kernel starts at α_n by itself, with one evaluation less than from a given α.
            guess=state.statev[directions] if state.has_trial else None,
            out=own,
        )
        law, strain, strain_old = response.law, response.strain, response.strain_old
        manifest = self._model.manifest
        self.worst_residual = max(self.worst_residual, float(law.residual.max(initial=0.0)))
        failures = find_failures(law, strain, manifest.residual_tolerance, directions.start)
        np.copyto(state.statev[directions], law.statev_new)
        if failures.failed:  # a bad value must not become the next first iterate
            np.copyto(state.statev[directions], state.statev_old[directions])
            np.copyto(state.measure[start:stop], state.measure_old[start:stop])
        if own[0] is None:
            self._rows["stress"].set(response.stress, start, stop)
        if own[1] is None:
            self._rows["tangent"].set(response.tangent, start, stop)
        self._rows["energy"].set(response.energy, start, stop)
        self._rows["dissipation"].set(response.dissipation, start, stop)
        self._rows["validity"].set(response.validity, start, stop)
        return failures, find_excursions(law, strain, strain_old, dt, manifest)

    def _agree_on_failures(self, failures: FailureReport, dt: float) -> None:
        """Raise on every rank or on none."""
        comm = self._points.comm
        if comm.allreduce(failures.failed, op=MPI.SUM) == 0:
            return
        if failures.failed:
            point = failures.worst // self._kinematics.direction_count
            failures = replace(failures, location=f" near {self._points.location(point)}")
        error = FailureReport.merge(comm.allgather(failures)).error(
            self._model.manifest.residual_tolerance, dt
        )
        raise LocalSolveError(
            f"{self._name}: {error}",
            failed=error.failed,
            total=error.total,
            residual=error.residual,
        )
