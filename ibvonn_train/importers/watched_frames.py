"""Frames of a trajectory in blocks that fit into memory, and the checks that need every frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from .description import StudyDescription
from .frames import Frame, Trajectory
from .instants import FileClock
from .microstates import FrameBlock, MicrostateReader
from .momenta import MomentumRelaxation, MomentumWatch, require_instants_apart
from .source_checks import OriginWatch, ResolutionGauge, WrapWatch, require_no_gap

BLOCK_BYTES = 2**26
"""Of frames that are held at a time."""


class WatchedFrames:
    """Gives the frames of a file that are taken, and watches all of them as they are read.

    Args:
        trajectory: The file.
        states: Reads its microstates.
        study: What it lacks.
        protocol: Number of its protocol.

    Attributes:
        clock: Times of the frames.
        gauges: Column → the digits in which its values were written.
    """

    def __init__(
        self,
        trajectory: Trajectory,
        states: MicrostateReader,
        study: StudyDescription,
        protocol: int,
    ) -> None:
        self._trajectory, self._states, self._study = trajectory, states, study
        self._constants = study.constants(protocol)
        self._origin = OriginWatch(trajectory.path)
        # Bonds are the nearest images, whatever side their particles are on.
        coordinates = () if study.microstate.bonds else states.coordinates
        self._wrapped = WrapWatch(trajectory.path, coordinates)
        self._momenta: MomentumWatch | None = None
        if states.velocities:
            friction = float(study.parameters["friction"])
            self._momenta = MomentumWatch(trajectory.path, study.microstate.mass, friction)
        self.gauges = {name: ResolutionGauge() for name in states.coordinates}
        counted = getattr(trajectory, "counted", (0, 0))
        self.clock = FileClock(trajectory.path, study.time, counted)

    def blocks(self) -> Iterator[FrameBlock]:
        """Yield the frames that are taken, some at a time.

        Raises:
            ValueError: If the box moves, or a particle leaves it and enters on the other side.
        """
        rows: list[tuple[float, float, Frame]] = []
        size = 0
        columns = self._states.columns
        for frame in self._trajectory.frames(columns):
            time, step, taken = self.clock.next(frame)
            if time is None:
                continue
            self._origin(time, frame.box)
            particles = self._states.taken(_block([(time, step, frame)]))[0]
            for name, gauge in self.gauges.items():
                place = particles[:, columns.index(name)]
                self._wrapped(time, frame.box, name, place)
                if taken:
                    gauge.add(place)
            if self._momenta is not None:
                self._watch(self._momenta, time, step, frame)
            if not taken:
                continue
            rows.append((time, step, frame))
            size += frame.values.nbytes
            if size > BLOCK_BYTES:
                yield _block(rows)
                rows, size = [], 0
        if rows:
            yield _block(rows)

    def _watch(self, watch: MomentumWatch, time: float, step: float, frame: Frame) -> None:
        states = self._states
        one = _block([(time, step, frame)])
        elements = states.elements(one, self._constants)[0]
        columns = [states.columns.index(name) for name in states.velocities]
        watch.add(states.taken(one)[0][:, columns], elements.reshape(-1, elements.shape[-1]))

    def finish(self) -> MomentumRelaxation | None:
        """Check the instants once all frames are read; returns what the velocities say.

        Raises:
            ValueError: If instants are missing, or momenta are remembered from one to the next.
        """
        path, rule = self._trajectory.path, self._study.time
        require_no_gap(path, self.clock.seen(), rule.uneven)
        if self._momenta is None:
            return None
        relaxation = self._momenta.relaxation(self.clock.interval())
        if relaxation is not None:
            require_instants_apart(path, relaxation, rule.thin)
        return relaxation


def _block(rows: Sequence[tuple[float, float, Frame]]) -> FrameBlock:
    frames = [frame for _, _, frame in rows]
    names = set().union(*(frame.observables for frame in frames))
    return FrameBlock(
        np.array([time for time, _, _ in rows]),
        np.array([step for _, step, _ in rows]),
        np.stack([frame.values for frame in frames]),
        [frame.box for frame in frames],
        {name: np.array([f.observables.get(name, np.nan) for f in frames]) for name in names},
    )
