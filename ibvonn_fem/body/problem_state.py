"""Displacements and forces of a problem at its last commit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..kernels.base import FloatArray


class ProblemState:
    """What the next step of a problem starts from, apart from the state of its laws.

    Args:
        size: Number of dofs of this rank, ghosts included.
        medium: Displacement of the medium that drags, a Function; None where it is at rest.

    Attributes:
        u: Displacement at the last commit, shape ``(size,)``.
        u_before: Displacement at the commit before it; the same after a start.
        internal_force: Internal force at the last commit.
        external_force: Loads at the last commit.
        dt: Length of the last committed step; 0 after a start.
        stored: Stored energy at the last commit, of all ranks.
    """

    def __init__(self, size: int, medium: Any = None) -> None:
        self._medium = medium
        self._moved: dict[str, FloatArray] = {}
        if medium is not None:
            self._moved = {"medium": np.zeros(size), "medium_before": np.zeros(size)}
        self.u = np.zeros(size)
        self.u_before = np.zeros(size)
        self.internal_force = np.zeros(size)
        self.external_force = np.zeros(size)
        self.dt = 0.0
        self.stored = 0.0

    def start(self, u: FloatArray, force: FloatArray, stored: float) -> None:
        """Start at a displacement in equilibrium, with equal internal and external forces."""
        np.copyto(self.u, u)
        np.copyto(self.u_before, u)
        np.copyto(self.internal_force, force)
        np.copyto(self.external_force, force)
        self.dt = 0.0
        self.stored = stored
        for values in self._moved.values():
            np.copyto(values, self._medium.x.array)

    def commit(
        self, u: FloatArray, internal: FloatArray, external: FloatArray, dt: float, stored: float
    ) -> None:
        """Replace displacement, forces and stored energy by those at the end of a step."""
        np.copyto(self.u_before, self.u)
        np.copyto(self.u, u)
        np.copyto(self.internal_force, internal)
        np.copyto(self.external_force, external)
        self.dt = dt
        self.stored = stored
        if self._moved:
            np.copyto(self._moved["medium_before"], self._moved["medium"])
            np.copyto(self._moved["medium"], self._medium.x.array)

    def arrays(self) -> dict[str, FloatArray]:
        """The arrays by name; not copies."""
        return {
            "u": self.u,
            "u_before": self.u_before,
            "internal_force": self.internal_force,
            "external_force": self.external_force,
            **self._moved,
        }

    def set_arrays(self, arrays: Mapping[str, FloatArray]) -> None:
        """Overwrite the arrays with those of another state."""
        for name, values in self.arrays().items():
            np.copyto(values, arrays[name])

    def carried(self) -> FloatArray:
        """Motion of the medium since the last commit; zero where it is at rest."""
        if not self._moved:
            return np.zeros_like(self.u)
        carried: FloatArray = self._medium.x.array - self._moved["medium"]
        return carried

    def slip(self, u: FloatArray) -> FloatArray:
        """Motion from the last commit to ``u`` relative to the medium."""
        slip: FloatArray = u - self.u
        return slip - self.carried() if self._moved else slip

    def last_slip(self) -> FloatArray:
        """Motion in the last committed step relative to the medium."""
        slip: FloatArray = self.u - self.u_before
        if self._moved:
            slip -= self._moved["medium"] - self._moved["medium_before"]
        return slip

    def velocity(self) -> FloatArray:
        """Mean velocity in the last committed step; zero after a step of length 0."""
        velocity: FloatArray = (self.u - self.u_before) / (self.dt if self.dt > 0.0 else np.inf)
        return velocity
