r"""Whether momenta are forgotten before the microstates have moved.

A learned law is that of overdamped dynamics. Where momenta are simulated too, microstates alone
are a state only if momenta relax much faster: the velocity autocorrelation
:math:`C_v(t) = \langle v(s)\,v(s+t)\rangle/\langle v^2\rangle` of fluctuations must have decayed
at a time at which that of the microstates has not, and stored instants must be no closer than that.
A free particle of mass m and drag η has :math:`C_v = e^{-\eta t/m}`.

References:
    Risken (1989), *The Fokker-Planck Equation*, section 10.4 (large friction).
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .frames import FloatArray

FORGOTTEN = 0.1
"""C_v below which momenta count as forgotten."""
REMEMBERED = 0.9
"""C_x above which the microstates count as unmoved."""
LAGS = 50
"""Longest lag that is looked at, in frames."""
MOST_PARTICLES = 2000


@dataclass(frozen=True)
class MomentumRelaxation:
    """What the velocities say.

    Attributes:
        forgotten: Time after which C_v is below :data:`FORGOTTEN` [time].
        velocity: C_v at the first lag.
        microstate: C_x at ``forgotten``.
        frames: ``forgotten`` in frames, at least one.
        thermal_energy: ⟨m v²⟩, None where the mass is not known.
    """

    forgotten: float
    velocity: float
    microstate: float
    frames: int
    thermal_energy: float | None


class MomentumWatch:
    """Collects autocorrelations while a file is read.

    Args:
        path: Of the file, for messages.
        mass: Of a particle, 0 where it is not known.
        friction: η.
    """

    def __init__(self, path: Path, mass: float, friction: float) -> None:
        self._path, self._mass, self._friction = path, mass, friction
        self._past: deque[tuple[FloatArray, FloatArray]] = deque(maxlen=LAGS)
        self._sums = np.zeros((2, LAGS + 1))
        self._counts = np.zeros(LAGS + 1)
        self._kinetic: list[float] = []

    def add(self, velocities: FloatArray, microstates: FloatArray) -> None:
        """Take one instant: velocities ``(n_particle, n)``, microstates ``(n_element, n_x)``."""
        fluctuations = tuple(
            part[:MOST_PARTICLES] - part[:MOST_PARTICLES].mean(0)
            for part in (velocities, microstates)
        )
        now = (fluctuations[0], fluctuations[1])
        self._kinetic.append(float(np.mean(now[0] ** 2)))
        self._past.appendleft(now)
        for lag, then in enumerate(self._past):
            self._counts[lag] += 1
            for kind in (0, 1):
                self._sums[kind, lag] += float(np.mean(now[kind] * then[kind]))

    def relaxation(self, interval: float) -> MomentumRelaxation | None:
        """Return what the velocities say, None where all are zero: formats fill up with zeros.

        Args:
            interval: Between frames [time].

        Raises:
            ValueError: If the dynamics are not overdamped on the scale of the stored instants.
        """
        if self._sums[0, 0] == 0.0:
            return None
        lags = int(np.count_nonzero(self._counts))
        mean = self._sums[:, :lags] / self._counts[:lags]
        of_velocity, of_microstate = mean / np.maximum(mean[:, :1], np.finfo(np.float64).tiny)
        below = np.flatnonzero(np.abs(of_velocity) <= FORGOTTEN)
        if not below.size:
            raise ValueError(
                f"{self._path}: momenta must be forgotten before the microstates move; the "
                f"velocity autocorrelation is still {of_velocity[-1]:.2g} after {lags - 1} frames. "
                "The dynamics are underdamped, or the file is too short: a law of overdamped "
                "dynamics cannot be learned from it."
            )
        first = int(below[0])
        forgotten = first * interval
        if first == 1 and self._mass > 0:  # it may be shorter than what the frames resolve
            forgotten = min(forgotten, -math.log(FORGOTTEN) * self._mass / self._friction)
        correlation = max(float(of_microstate[first]), 0.0) ** (forgotten / (first * interval))
        if correlation < REMEMBERED:
            raise ValueError(
                f"{self._path}: momenta must be forgotten before the microstates move; when the "
                f"velocity autocorrelation has fallen to {of_velocity[first]:.2g}, after t = "
                f"{forgotten:.3g}, that of the microstates is {correlation:.2g}, where at least "
                f"{REMEMBERED} is required. The dynamics are underdamped, or stored too rarely to "
                "tell: raise the friction, or store more often (or give the mass)."
            )
        thermal = self._mass * float(np.mean(self._kinetic)) if self._mass > 0 else None
        return MomentumRelaxation(forgotten, float(of_velocity[1]), correlation, first, thermal)


def require_instants_apart(path: Path, relaxation: MomentumRelaxation, thin: int) -> None:
    """Raise :class:`ValueError` where stored instants are closer than momenta are remembered."""
    if thin < relaxation.frames:
        raise ValueError(
            f"{path}: stored instants must be further apart than momenta are remembered, "
            f"{relaxation.frames} frames (t = {relaxation.forgotten:.3g}); every "
            f"{f'{thin}th' if thin > 1 else 'one'} is taken. Write `thin = {relaxation.frames}` or "
            "more in [import.time]."
        )
