"""Histories of chosen quadrature points in one file, while an analysis runs.

    record = Histories("plate.h5", [LargestPoints("stress", 4), RandomPoints(4), 17])
    stepping = TimeStepping(problem, loading, record=record)
    stepping.run(times)  # writes plate.h5 at its end

The histories are what ``ibvonn spot-check`` needs to simulate the microscopic system of the law
along the strain that these points have seen.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mpi4py import MPI

import numpy as np
import ufl
from numpy.typing import NDArray

from ..body.law import InternalVariableLaw
from ..body.problem import InternalVariableProblem
from ..body.rank_agreement import on_all_ranks, require_same
from ..errors import HistoryError
from ..files.model_directory import manifest_hash
from ..kernels.base import FloatArray
from ..kinematics.evaluation import strains_of_law
from ..model.scaling import unscaled
from .history_file import SERIES, PointRows, read_histories, write_histories
from .point_choice import Choice, LargestPoints, as_choices, candidates, chosen

MOST_BYTES = 2**31
"""Bytes of histories that one rank keeps at most, estimated when a run begins."""

SAME = 1e-9
"""Relative difference up to which a state is that of a row."""


class Histories:
    """Strain, stress, internal variables, dissipation and validity of chosen points over time.

    Every committed step is recorded, and the state before the first one. The file is written when a
    run ends, also by a :class:`~ibvonn_fem.StepError`, and by :meth:`write`, which belongs beside
    :func:`~ibvonn_fem.write_checkpoint` in the callback of a run that may be killed.

    Which points are the largest is known at the end alone. Until then all points of the law are
    kept in memory where ``points`` has a :class:`LargestPoints`, and the chosen ones otherwise; the
    file always holds the chosen ones as they are at that time. A run that goes on from a checkpoint
    (``resume=True``) keeps the points of the file.

    A point of a network of directions has a row for each direction k, with the strain, stress and
    internal variables that the law has there; its number is (number of the point) × (directions)
    + k. Points are chosen whole: by the largest value of a direction.

    Args:
        path: File to write; an older one is replaced.
        points: Numbers of points, :class:`LargestPoints`, :class:`RandomPoints`, or several of
            them.
        law: The law, where the problem has several.
        resume: Go on with the file that is there, from the instant at which the next run begins;
            what it holds of later instants is dropped. ``points`` are those of the file.

    Raises:
        TypeError: If ``points`` are none of these.
        ValueError: If there are no points, or both ``points`` and ``resume``.

    Attributes:
        path: The file.
    """

    def __init__(
        self,
        path: str | Path,
        points: Choice | Sequence[Choice] | None = None,
        *,
        law: InternalVariableLaw | None = None,
        resume: bool = False,
    ) -> None:
        if (points is None) != resume:
            raise ValueError(
                "Histories: needs points, or resume=True to go on with those of the file, and not "
                "both."
            )
        self.path = Path(path)
        self._choices = () if points is None else as_choices(points)
        self._chosen_law = law
        self._resume = resume
        self._law: InternalVariableLaw | None = None
        self._time: list[float] = []
        self._rows: dict[str, list[FloatArray]] = {name: [] for name in SERIES}
        self._reasons: dict[int, str] = {}

    def begin(self, problem: InternalVariableProblem, time: float, steps: int) -> None:
        """Make ready for a run. Collective; :meth:`TimeStepping.run` calls it.

        Args:
            problem: The problem, at its committed state.
            time: Instant of that state.
            steps: Expected number of steps.

        Raises:
            ValueError: If the problem does not suit.
            HistoryError: If the file, or the state at this instant, does not.
        """
        if self._law is None:
            self._bind(problem)
            if self._resume:
                self._read()
        law = self._of_law()
        columns = 2 * law.model.strain_size + law.model.internal_size + 2
        rows = len(self._mine) * law.kinematics.direction_count
        size = 8.0 * columns * rows * (len(self._time) + steps)
        if law.comm.allreduce(size, op=MPI.MAX) > MOST_BYTES:
            raise ValueError(
                f"Histories: {self.path} needs {size / 2**30:.1f} GiB of memory on a rank; at most "
                f"{MOST_BYTES / 2**30:.0f} GiB are kept. Choose points by number or with "
                "RandomPoints: LargestPoints keeps every point until the end."
            )
        if self._time:
            self._go_back(time)
        else:
            self.add(time)

    def add(self, time: float) -> None:
        """Record the committed state as that of an instant; :class:`TimeStepping` calls it."""
        self._time.append(float(time))
        for name, values in self._state().items():
            self._rows[name].append(values)

    def write(self) -> None:
        """Write the file. Collective.

        Raises:
            ValueError: If nothing was recorded yet.
            OSError: On every rank, if the file cannot be written.
        """
        law = self._of_law()
        reasons = self._reasons or chosen(self._choices, *self._scores())
        local = np.array([number in reasons for number in self._numbers], dtype=bool)
        of_row = np.repeat(local, law.kinematics.direction_count)
        part = (
            self._of_directions(self._numbers[local]),
            np.repeat(self._position[local], law.kinematics.direction_count, axis=0),
            {name: np.stack(rows, 1)[of_row] for name, rows in self._rows.items()},
        )
        parts = law.comm.gather(part)
        failure = ""
        if parts is not None:
            point = np.concatenate([numbers for numbers, _, _ in parts])
            order = np.argsort(point)
            rows = PointRows(
                point[order],
                tuple(self._words(reasons, number) for number in point[order].tolist()),
                np.concatenate([position for _, position, _ in parts])[order],
                np.array(self._time),
                {n: np.concatenate([s[n] for _, _, s in parts])[order] for n in SERIES},
            )
            try:
                write_histories(self.path, self._attributes(), rows)
            except OSError as error:
                failure = str(error)
        failure = law.comm.bcast(failure)
        if failure:
            raise OSError(f"{self.path}: cannot write the histories ({failure}).")

    def _of_law(self) -> InternalVariableLaw:
        if self._law is None:
            raise ValueError(
                f"Histories: {self.path} has nothing to write before the first run. Give the "
                "histories to TimeStepping(record=…)."
            )
        return self._law

    def _bind(self, problem: InternalVariableProblem) -> None:
        """Find the law and the points of this rank that may be chosen."""
        law = self._chosen_law
        if law is None:
            if len(problem.laws) != 1:
                raise ValueError(
                    f"Histories: the problem has {len(problem.laws)} laws; say which with law=."
                )
            law = problem.laws[0]
        if not any(law is other for other in problem.laws):
            raise ValueError(f"Histories: the law {law.name!r} is none of the problem's.")
        require_same(law.comm, "Histories", {"path": str(self.path), "points": self._choices})
        mesh, points = law.points.mesh, law.points
        cells = np.asarray(mesh.topology.original_cell_index, dtype=np.int64)[points.cells]
        own = (cells[:, None] * points.per_cell + np.arange(points.per_cell)).reshape(-1)
        self._all = np.sort(np.concatenate(law.comm.allgather(own)))
        position = points.evaluator(ufl.SpatialCoordinate(mesh))()
        with on_all_ranks(law.comm):
            wanted = self._all if self._resume else candidates(self._choices, self._all)
        self._keep(own, position, np.isin(own, wanted))
        self._law = law

    def _keep(self, own: NDArray[np.int64], position: FloatArray, kept: NDArray[np.bool_]) -> None:
        """Take these points of this rank as the recorded ones."""
        self._mine = np.flatnonzero(kept)
        self._numbers = own[kept]
        self._position = np.array(position)[kept]

    def _of_directions(self, points: NDArray[np.int64]) -> NDArray[np.int64]:
        """Numbers of the rows of points: a row for each direction."""
        count = self._of_law().kinematics.direction_count
        return (points[:, None] * count + np.arange(count)).reshape(-1)

    def _words(self, reasons: dict[int, str], row: int) -> str:
        """Why a row was recorded."""
        point, direction = divmod(row, self._of_law().kinematics.direction_count)
        return reasons[point] + self._direction(direction)

    def _direction(self, direction: int) -> str:
        """The direction of a row in words; empty of a law that sees one strain at a point."""
        several = self._of_law().kinematics.direction_count > 1
        return f", direction {direction}" if several else ""

    def _state(self) -> dict[str, FloatArray]:
        """Committed values at the points of this rank, each of shape ``(rows, components)``."""
        law, mine = self._of_law(), self._mine
        model, directions = law.model, law.kinematics.direction_count
        strain = strains_of_law(model, law.kinematics, law.measure[mine])
        internal = law.internal[mine].reshape(-1, model.internal_size)
        stress = np.zeros_like(strain)
        validity = law.points.rows(law.validity).get()[mine].copy()
        if directions > 1:
            validity = np.zeros((len(strain), 1))
        if len(mine):
            # A step of no length gives σ = ∂f/∂ε in the components of the law, whatever measure
            # of stress the kinematics has, and the excursion of strain and state in a direction;
            # the body has the largest of a point alone.
            update = model.kernel.update(strain, strain, internal, 0.0)
            stress[...] = update.stress
            if directions > 1:
                validity[...] = update.validity.reshape(-1, 1)
        return {
            "strain": strain,
            "stress": stress,
            "internal": internal,
            "dissipated": np.repeat(law.dissipated[mine], directions)[:, None],
            "validity": validity,
        }

    def _go_back(self, time: float) -> None:
        """Drop rows behind the committed state, which must be that of a row of this instant."""
        law, now = self._of_law(), self._state()
        rows = [k for k, at in enumerate(self._time) if at == time]
        fits = np.array([self._is_state(k, now) for k in rows], dtype=np.int32)
        law.comm.Allreduce(MPI.IN_PLACE, fits, op=MPI.MIN)
        if not fits.any():
            reason = "their state there is another one" if rows else "they have no such instant"
            raise HistoryError(
                f"{self.path}: the histories must go on from the state of t = {time:.6g}; {reason} "
                f"(they end at t = {self._time[-1]:.6g}). Go on from the checkpoint of an instant "
                "that was recorded, or record into a new file."
            )
        last = rows[int(np.flatnonzero(fits)[-1])] + 1
        del self._time[last:]
        for values in self._rows.values():
            del values[last:]

    def _is_state(self, row: int, now: dict[str, FloatArray]) -> bool:
        return all(
            np.allclose(self._rows[name][row], now[name], rtol=SAME, atol=SAME**1.5)
            for name in ("strain", "internal", "dissipated")
        )

    def _read(self) -> None:
        """Take the points and rows of the file that is there."""
        law = self._of_law()
        content: Any = None
        message = ""
        if law.comm.rank == 0:
            try:
                attributes, rows = read_histories(self.path)
                message = self._misfit(attributes, rows)
                content = rows
            except HistoryError as error:
                message = str(error)
        message, content = law.comm.bcast((message, content))
        if not message:
            count = law.kinematics.direction_count
            places = {number: at for at, number in enumerate(content.point.tolist())}
            kept = np.isin(self._numbers, content.point // count)
            mine = [places[number] for number in self._of_directions(self._numbers[kept]).tolist()]
            position = np.repeat(self._position[kept], count, axis=0)
            moved = not np.allclose(position, content.position[mine], atol=SAME)
            if law.comm.allreduce(moved, op=MPI.LOR):
                message = f"{self.path}: was recorded on another mesh. Use the mesh of then."
        if message:
            self._law = None
            raise HistoryError(message)
        self._keep(self._numbers, self._position, kept)
        for row, words in zip(content.point.tolist(), content.chosen_for, strict=True):
            point, direction = divmod(row, count)
            self._reasons[point] = words.removesuffix(self._direction(direction))
        self._time = content.time.tolist()
        for name, values in content.series.items():
            self._rows[name] = list(values[mine].transpose(1, 0, 2))

    def _misfit(self, attributes: dict[str, Any], rows: PointRows) -> str:
        """Why a file does not belong to this law; empty if it does."""
        for name, value in self._attributes().items():
            text = value if isinstance(value, str | int) else json.dumps(value, ensure_ascii=False)
            if attributes.get(name) != text:
                return (
                    f"{self.path}: was recorded with another {name.replace('_', ' ')} "
                    f"({attributes.get(name)}); it is {text} now. Set the problem up as it was "
                    "then, or record into a new file."
                )
        points = np.unique(rows.point // self._of_law().kinematics.direction_count)
        absent = np.setdiff1d(points, self._all)
        if len(absent):
            return f"{self.path}: holds points that this law lacks, such as {absent[0]}."
        if not np.array_equal(rows.point, self._of_directions(points)):
            return f"{self.path}: must hold every direction of its points. Record it again."
        return ""

    def _attributes(self) -> dict[str, Any]:
        law = self._of_law()
        manifest = law.model.manifest
        original, scales = unscaled(law.model)
        raw = original.manifest.raw
        directions = law.kinematics.direction_count
        return {
            **({"directions": directions} if directions > 1 else {}),
            "model": original.manifest.name,
            "manifest_sha256": manifest_hash(raw) if raw else "",
            "law": law.name,
            "fingerprint": law.model.fingerprint(),
            "kinematics": type(law.kinematics).__name__,
            "quadrature_degree": law.points.degree,
            "strain_names": list(manifest.strain_components),
            "stress_names": list(manifest.stress_components),
            "internal_names": list(manifest.internal_components),
            "units": dict(manifest.units),
            "scales": scales,
        }

    def _scores(self) -> tuple[NDArray[np.int64], dict[str, FloatArray]]:
        """Numbers of all candidates of all ranks, increasing, and what orders them."""
        law = self._of_law()
        if not any(isinstance(choice, LargestPoints) for choice in self._choices):
            return self._all, {}
        stress = np.stack([np.linalg.norm(values, axis=1) for values in self._rows["stress"]])
        dissipated = self._rows["dissipated"]
        of_rows = {
            "stress": stress.max(0),
            "validity": np.stack(self._rows["validity"])[..., 0].max(0),
            "dissipation": (dissipated[-1] - dissipated[0])[:, 0],
        }
        shape = len(self._mine), law.kinematics.direction_count
        own = {name: values.reshape(shape).max(1) for name, values in of_rows.items()}
        parts = law.comm.allgather((self._numbers, own))
        order = np.argsort(np.concatenate([numbers for numbers, _ in parts]))
        return self._all, {n: np.concatenate([s[n] for _, s in parts])[order] for n in own}
