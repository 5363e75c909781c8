"""Strain histories of an analysis as paths that the microscopic system can follow."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from ..data.point_histories import PointHistories
from ..evaluation.exported_law import ExportedLaw
from ..evaluation.interface import Law
from ..rollouts.converged_path import Updating
from ..simulation.protocols import Protocol as StrainProtocol
from ..simulation.strain_paths import strain_path
from ..simulation.study import own_system, system_of_record
from ..simulation.systems.registry import SYSTEMS, recorded_system
from ..simulation.systems.system import MicroscopicSystem

logger = logging.getLogger(__name__)
FloatArray = npt.NDArray[np.float64]

AT_REST = 1e-3
"""Change of α over the whole history, at its first rate and over its scale, of a law at rest."""


class CheckedLaw(Law, Updating, Protocol):
    """An exported law with its manifest."""

    @property
    def manifest(self) -> dict[str, Any]:
        """The manifest."""


class SteppedPath(NamedTuple):
    """Strictly increasing instants of a history, jumps taking one step each.

    Attributes:
        knots: Instant of each recorded row, from zero, ``(n_time,)``.
        time_step: Of the integrator.
        steps: Steps of the integrator in all.
        fewest: Steps that the stored intervals and the jumps take, however short the history.
    """

    knots: FloatArray
    time_step: float
    steps: int
    fewest: int


def stepped_path(time: FloatArray, longest: float, count: int) -> SteppedPath:
    """Return the instants of the rows, and steps that fill ``count`` stored intervals.

    Args:
        time: Instants of the rows; an instant occurs twice where the strain jumps.
        longest: Step of the integrator at most.
        count: Number of intervals of equal length that are stored.
    """
    jumps = np.concatenate([[0], np.cumsum(np.diff(time) == 0.0)])
    duration = float(time[-1] - time[0])
    steps = count * int(np.ceil((duration / longest + jumps[-1]) / count))
    step = duration / (steps - int(jumps[-1]))
    knots = time - time[0] + step * jumps
    knots[-1] = step * steps
    return SteppedPath(knots, step, steps, count * -(-(int(jumps[-1]) + 1) // count))


def warn_of_shorter_steps(place: str, path: SteppedPath, longest: float) -> None:
    """Say that the history, not the user, gives the step."""
    if path.steps == path.fewest and path.time_step < longest * (1.0 - 1e-9):
        logger.warning(
            "%s: the integrator takes steps of %.4g in place of the time step %.4g that was asked "
            "for, because the history is followed in at least %d steps.",
            place, path.time_step, longest, path.fewest,
        )  # fmt: skip


def between(knots: FloatArray, rows: FloatArray, instants: FloatArray) -> FloatArray:
    """Return the components of rows ``(n_time, n)`` at instants between their knots."""
    return np.stack([np.interp(instants, knots, column) for column in rows.T], -1)


def protocols_of(
    law: Law, histories: PointHistories, path: SteppedPath, repeats: int = 1
) -> list[StrainProtocol]:
    """Return the strain of every point, in the measure of the data, ``repeats`` times each."""
    return [
        strain_path(path.knots.tolist(), (rows + law.strain_reference).tolist(), f"point {number}")
        for number, rows in zip(histories.point, histories.strain, strict=True)
        for _ in range(repeats)
    ]


def default_time_step(manifest: dict[str, Any]) -> float:
    """Return the integrator's step of the training, or the shortest that the law is for."""
    step = (manifest["microscopic"] or {}).get("time_step")
    return float(manifest["envelope"]["time_step"][0] if step is None else step)


def time_step_or_default(place: str, manifest: dict[str, Any], step: float | None) -> float:
    """Return the longest step of the integrator that was asked for.

    Raises:
        ValueError: If it is not positive.
    """
    longest = default_time_step(manifest) if step is None else step
    if not (longest > 0.0 and np.isfinite(longest)):
        raise ValueError(f"{place}: time_step must be positive; found {longest}.")
    return longest


def require_followable(
    place: str, law: CheckedLaw, histories: PointHistories, system: MicroscopicSystem
) -> None:
    """Refuse histories that the system of a law cannot follow.

    Raises:
        ValueError: If the strain of the system is not imposed, or the histories are of another kind
            of law, have no duration, or do not begin at rest.
    """
    if system.drive != "strain":
        raise ValueError(
            f"{place}: the strain of {system.name} is not imposed, its {system.drive} is "
            "driven, so it cannot follow a history of strain. Give a system whose strain is "
            "imposed, as --system FILE.py:CLASS."
        )
    names = tuple(law.manifest["strain"]["components"])
    if names != histories.strain_names or law.internal_size != histories.internal.shape[-1]:
        raise ValueError(
            f"{place}: the histories must be of a law with the strains {list(names)} and "
            f"{law.internal_size} internal variables; they have {list(histories.strain_names)} and "
            f"{histories.internal.shape[-1]} (law {histories.model!r}). Give that law's directory."
        )
    if not histories.time[-1] > histories.time[0]:
        raise ValueError(f"{place}: the histories must have a duration; they have one instant.")
    rate = law.rates(histories.strain[:, 0], histories.internal[:, 0]).rate
    moved = np.abs(rate) * (histories.time[-1] - histories.time[0]) / law.internal_scale
    if not moved.max() <= AT_REST:
        raise ValueError(
            f"{place}: the histories must begin at rest, because the microscopic system does; "
            f"point {histories.point[int(moved.max(1).argmax())]} does not. Record from the start."
        )


def system_of_law(law: ExportedLaw, own: str | None = None) -> MicroscopicSystem:
    """Return the microscopic system of a point whose law names it in its manifest.

    For a law of a chain whose end was moved that is a cell of its springs.

    Args:
        law: The law.
        own: ``FILE.py:CLASS`` of a system of one's own, whose file is run.

    Raises:
        ValueError: If it names none, or one that is not known here.
    """
    micro = law.manifest["microscopic"]
    if micro is None:
        raise ValueError(
            f"{law.directory}: its manifest names no microscopic system, so nothing can be "
            "simulated. Export the law with one."
        )
    name = str(micro["system"])
    parameters = {"thermal_energy": micro["thermal_energy"], **micro["parameters"]}
    if own is not None:
        maker = own_system(own, Path())
        return system_of_record(maker, name, parameters, "strain", f"--system {own}")
    system = recorded_system(name, parameters)
    if system is None:
        raise ValueError(
            f"{law.directory}: its system must be one of {sorted(SYSTEMS)}; found {name!r}. Give "
            "its class with --system FILE.py:CLASS."
        )
    return system.of_imposed_strain()
