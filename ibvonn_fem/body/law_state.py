"""State of a law at the points of a mesh: the committed one, and the one of the current trial."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import _compat
from ..kernels.base import FloatArray


class LawState:
    """Arrays of the trial state and of the committed state (suffix ``_old``, index n).

    Args:
        points: Number of quadrature points.
        direction_count: Integration directions at each of them.
        measure_size: Components of the measure of deformation and of the stress.
        statev: α at the start, shape ``(n_α,)``.

    Attributes:
        statev, statev_old: α, shape ``(points * direction_count, n_α)``.
        measure, measure_old: Measure of deformation, shape ``(points, measure_size)``.
        stress_old: Committed stress, shape ``(points, measure_size)``.
        energy_old: Committed free energy, shape ``(points, 1)``.
        dissipated: Dissipation of all committed steps, shape ``(points,)``.
        has_trial: Whether the trial α comes from an update; else it is the committed one.
    """

    def __init__(
        self, points: int, direction_count: int, measure_size: int, statev: FloatArray
    ) -> None:
        self.shape = (points, direction_count, len(statev))
        self.statev = np.tile(statev, (points * direction_count, 1))
        self.statev_old = self.statev.copy()
        self.measure = np.zeros((points, measure_size))
        self.measure_old = np.zeros((points, measure_size))
        self.stress_old = np.zeros((points, measure_size))
        self.energy_old = np.zeros((points, 1))
        self.dissipated = np.zeros(points)
        self.has_trial = False

    @property
    def internal(self) -> FloatArray:
        """Committed α, shape ``(points, directions, n_α)``; a view."""
        return self.statev_old.reshape(self.shape)

    def start_from(self, statev: FloatArray) -> None:
        """Replace trial and committed α by values that broadcast to the shape of `internal`."""
        for values in (self.statev, self.statev_old):
            values.reshape(self.shape)[...] = statev
        self.has_trial = False

    def commit(self, stress: FloatArray, energy: FloatArray, dissipation: FloatArray) -> None:
        """The trial state becomes the start of the next step.

        Args:
            stress: σ, shape ``(points, measure_size)``.
            energy: f, shape ``(points, 1)``.
            dissipation: Of the step, shape ``(points, 1)``.
        """
        np.copyto(self.statev_old, self.statev)
        np.copyto(self.measure_old, self.measure)
        np.copyto(self.stress_old, stress)
        np.copyto(self.energy_old, energy)
        self.dissipated += dissipation[:, 0]
        self.has_trial = False

    def restore(self) -> None:
        """Drop the trial state."""
        np.copyto(self.statev, self.statev_old)
        np.copyto(self.measure, self.measure_old)
        self.has_trial = False

    def committed(self) -> dict[str, FloatArray]:
        """The committed arrays by name; not copies."""
        return {
            "internal": self.statev_old,
            "measure": self.measure_old,
            "stress": self.stress_old,
            "energy": self.energy_old,
            "dissipated": self.dissipated,
        }


class DisplacementState:
    """Values of the Functions on which a law depends, at its last update and its last commit.

    Args:
        functions: The Functions of the displacement.
    """

    def __init__(self, functions: Sequence[Any]) -> None:
        self._functions = list(functions)
        self._trial = [function.x.array.copy() for function in functions]
        self._committed = [function.x.array.copy() for function in functions]

    def read(self) -> None:
        """Take the current values as the trial ones."""
        for trial, function in zip(self._trial, self._functions, strict=True):
            np.copyto(trial, function.x.array)

    def commit(self) -> None:
        """The trial values become the committed ones."""
        for committed, trial in zip(self._committed, self._trial, strict=True):
            np.copyto(committed, trial)

    def restore(self) -> None:
        """Drop the trial values."""
        for committed, trial in zip(self._committed, self._trial, strict=True):
            np.copyto(trial, committed)

    def committed(self, u: Any) -> FloatArray:
        """Committed values of the Function ``u``; the array itself, not a copy.

        Raises:
            ValueError: If ``u`` is none of the Functions.
        """
        for function, values in zip(self._functions, self._committed, strict=True):
            if _compat.share_values(function, u):
                committed: FloatArray = values
                return committed
        raise ValueError("InternalVariableLaw: the law does not depend on this Function.")
