"""Rounds of analysis, check, simulation and training, until the analysis asks nothing unknown.

    rounds = LearningOnDemand(OnDemandStudy.from_toml("plate.toml"), Path("plate_rounds"))
    verdict = rounds.check()  # trains the first law, runs the analysis, checks points of it
    while not verdict.passes:
        paths = rounds.choose()
        if not paths:
            break  # the budget is spent, or nothing is in need
        rounds.simulate(paths)
        rounds.learn()
        verdict = rounds.check()

Every step leaves its result as a file of its own and does nothing where that is there: an
interrupted run goes on where it was, and every round's law, data and verdict are kept. OUT holds
``study.json``, ``data/`` (one file for each set to start from and each round) and ``round_0/``,
``round_1/``, … with ``run/`` (training), ``law/`` (exported), ``histories.h5``, ``errors.npz``,
``check.json`` and ``paths.json``.
"""

from __future__ import annotations

import dataclasses
import logging
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..data.ensemble import TrajectoryEnsemble, open_ensemble
from ..data.point_histories import PointHistories, read_point_histories
from ..evaluation.exported_law import ExportedLaw
from ..export.from_training import export_trained
from ..files.error_estimate import ErrorEstimate
from ..files.parsing import parse_json
from ..files.plain_files import make_folder, read_file
from ..simulation.study import build_system, run_set
from ..simulation.systems.system import MicroscopicSystem
from ..training.trained_model import TrainedModel
from ..training.trainer import MODEL, train
from .error_field import error_field, estimated, scales_of, states_of
from .on_demand_config import OnDemandStudy
from .results import write_json
from .simulated_paths import simulated_paths
from .warm_start import reason_to_begin_anew
from .what_to_learn import what_to_learn

logger = logging.getLogger(__name__)

ENOUGH_TO_HOLD_OUT = 20
"""Paths to start from, from which on a fifth of them is held out of a training, to decide when it
ends: one or two of few are not like the others, and end it too soon. Paths that were asked for are
never held out: each shows what no other does, and the check of the next round judges the law."""


@dataclass(frozen=True)
class RoundVerdict:
    """Outcome of the check of a round.

    Attributes:
        round: Its number, from 0.
        simulations: New paths that its law has learned from.
        errors: Largest error of each checked point, in % of the largest stress.
        points: Their numbers.
        validity: Largest excursion from the training range in the analysis.
        expected_error: Largest expected error of a point that was not checked, in %.
        tolerance: In %.
    """

    round: int
    simulations: int
    errors: tuple[float, ...]
    points: tuple[int, ...]
    validity: float
    expected_error: float
    tolerance: float

    @property
    def largest_error(self) -> float:
        """Of the checked points."""
        return max(self.errors)

    @property
    def passes(self) -> bool:
        """Whether no checked point is further off than is tolerated.

        An excursion from the training range alone is no failure: the point where it is largest is
        among the checked ones.
        """
        return self.largest_error <= self.tolerance


class LearningOnDemand:
    """A run of a study in a folder; see the text of the module.

    Args:
        study: The study.
        out: Folder of all results.
        progress: Show progress bars.

    Raises:
        ValueError: If the folder holds rounds of another study. The budget, the checks and the
            tolerance may change.
    """

    def __init__(self, study: OnDemandStudy, out: str | Path, *, progress: bool = True) -> None:
        self.study, self.out, self.progress = study, Path(out), progress
        make_folder(self.out / "data")
        file, record = self.out / "study.json", study.record()
        if not file.is_file():
            write_json(file, record)
        there = _read(file)
        differing = [key for key in record if there.get(key) != record[key]]
        if differing:
            raise ValueError(
                f"{self.out}: holds rounds of another study; it differs in {differing}. Take "
                "another folder, or the study of then."
            )

    @cached_property
    def system(self) -> MicroscopicSystem:
        """The microscopic system of the study."""
        return build_system(self.study.simulation, self.study.folder)

    @property
    def round(self) -> int:
        """Number of the current round: as many as there are data of new paths."""
        number = 0
        while self._data(number + 1).is_file():
            number += 1
        return number

    @property
    def simulations(self) -> int:
        """New paths that were simulated."""
        return sum(len(self._paths(number)) for number in range(self.round))

    @property
    def verdicts(self) -> list[RoundVerdict]:
        """Verdicts of all rounds that were checked."""
        return [
            _verdict(_read(self._folder(number) / "check.json"))
            for number in range(self.round + 1)
            if (self._folder(number) / "check.json").is_file()
        ]

    def learn(self) -> Path:
        """Train and export the law of the current round; return its directory."""
        number = self.round
        law = self._folder(number) / "law"
        if (law / "manifest.json").is_file():
            return law
        run = self._folder(number) / "run"
        make_folder(self._folder(number))
        if not (run / MODEL).is_file():
            self._train(number, run)
        export_trained(
            TrainedModel.load(run), law, name=f"{self.study.training.name}_round_{number}"
        )
        return law

    def analyse(self) -> Path:
        """Run the analysis with the law of the current round; return the file of its histories.

        Raises:
            RuntimeError: If the command fails or writes no histories.
        """
        law, folder = self.learn(), self._folder(self.round)
        histories = folder / "histories.h5"
        if histories.is_file():
            return histories
        # The analysis may write its file bit by bit, so that it is not trusted before the end.
        part = folder / "unfinished.h5"
        part.unlink(missing_ok=True)
        places = {"model": law, "histories": part, "folder": folder}
        command = self.study.command(**{name: path.resolve() for name, path in places.items()})
        logger.info("analysis: %s", " ".join(command))
        done = subprocess.run(command, cwd=self.study.folder, check=False)
        if done.returncode != 0 or not part.is_file():
            wrong = f"ended with code {done.returncode}" if done.returncode else "wrote no file"
            raise RuntimeError(
                f"learn-on-demand: the analysis must end well and write {part.name}; it {wrong}. "
                f"Run it by hand: {' '.join(command)}"
            )
        part.rename(histories)
        return histories

    def check(self) -> RoundVerdict:
        """Check points of the analysis of the current round, and estimate the error elsewhere."""
        folder = self._folder(self.round)
        file, settings = folder / "check.json", self.study.on_demand
        if file.is_file():
            return _verdict(_read(file))
        histories = read_point_histories(self.analyse())
        law = ExportedLaw(folder / "law")
        farthest = int(histories.validity.max(1).argmax())
        field = error_field(
            law,
            histories,
            self.system,
            points=min(settings.checked, len(histories.point)),
            include=[farthest] if histories.validity[farthest].max() > 0.0 else [],
            replicas=settings.check_replicas,
            tolerance=settings.tolerance,
            seed=settings.seed + 1000 * self.round,
            time_step=self.study.simulation.time_step,
            progress=self.progress,
        )
        field.estimate.save(folder / "errors.npz")
        mean, _ = estimated(field.estimate, histories)
        size = np.linalg.norm(mean, axis=-1).max(1)
        others = size[~np.isin(histories.point, field.points)]
        verdict = RoundVerdict(
            self.round,
            self.simulations,
            tuple(point.error for point in field.check.points),
            field.points,
            float(histories.validity.max()),
            float(100.0 * others.max(initial=0.0) / field.check.largest_stress),
            settings.tolerance,
        )
        write_json(
            file,
            {
                **dataclasses.asdict(verdict),
                "largest_stress": field.check.largest_stress,
                "checked": [dataclasses.asdict(point) for point in field.check.points],
            },
        )
        return verdict

    def choose(self) -> list[int]:
        """Return the points whose paths are simulated next; none where the budget is spent."""
        number, settings = self.round, self.study.on_demand
        left = min(settings.paths, settings.simulations - self.simulations)
        if left < 1 or number >= settings.rounds:
            return []
        file = self._folder(number) / "paths.json"
        if file.is_file():
            return self._paths(number)
        self.check()
        histories = read_point_histories(self._folder(number) / "histories.h5")
        estimate = ErrorEstimate.load(self._folder(number) / "errors.npz")
        states = states_of(histories)
        base = scales_of(states, *(int(size) for size in estimate.sizes))
        mean, _ = estimated(estimate, histories)
        largest = float(np.linalg.norm(histories.stress, axis=-1).max())
        chosen = what_to_learn(
            states / base,
            _in_windows(histories, states.shape[1]),
            np.linalg.norm(mean, axis=-1),
            settings.tolerance / 100.0 * largest,
            left,
        )
        points = [int(histories.point[place]) for place in chosen]
        write_json(file, {"points": points})
        return points

    def simulate(self, points: Sequence[int]) -> Path:
        """Simulate the paths of points of the current round, with which the next one begins.

        Raises:
            ValueError: If there are no points, or one was not recorded.
        """
        if not points:
            raise ValueError("learn-on-demand: there must be a path to simulate; found none.")
        number, settings = self.round, self.study.on_demand
        histories = read_point_histories(self._folder(number) / "histories.h5").select(points)
        law = ExportedLaw(self._folder(number) / "law")
        write_json(self._folder(number) / "paths.json", {"points": [int(p) for p in points]})
        data = simulated_paths(
            self.system,
            histories,
            law.strain_reference,
            time_step=self.study.simulation.time_step,
            instants=settings.instants,
            replicas=settings.replicas or self.study.simulation.replicas,
            seed=settings.seed + 1000 * number + 500,
            progress=self.progress,
        )
        path = self._data(number + 1)
        data.save(path)
        return path

    def run(self) -> list[RoundVerdict]:
        """Go on until the check passes or the budget is spent; return all verdicts."""
        while not self.check().passes:
            paths = self.choose()
            if not paths:
                break
            self.simulate(paths)
        return self.verdicts

    def _train(self, number: int, run: Path) -> None:
        with ExitStack() as files:
            group = [files.enter_context(open_ensemble(path)) for path in self._files(number)]
            warm = None if number == 0 else self._warm_start(number - 1, group)
            first = sum(data.protocols for data in group[: len(self.study.on_demand.start)])
            train(
                self.study.training if warm is None else self.study.warm_training(),
                group,
                run,
                resume=True,
                start=warm,
                validation=range(2, first, 5) if first >= ENOUGH_TO_HOLD_OUT else (),
                progress=self.progress,
                tensorboard=False,
            )

    def _warm_start(self, last: int, group: list[TrajectoryEnsemble]) -> TrainedModel | None:
        """Return the law of the last round, or None where its networks do not fit the data."""
        reason = reason_to_begin_anew(ExportedLaw(self._folder(last) / "law"), group)
        if reason:
            logger.info("round %d: %s; the law is trained anew.", last + 1, reason)
            return None
        return TrainedModel.load(self._folder(last) / "run")

    def _files(self, number: int) -> list[Path]:
        """Return the data of a round's law; those to start from are simulated where missing."""
        files = []
        for name in self.study.on_demand.start:
            path = self.out / "data" / f"start_{name}.h5"
            if not path.is_file():
                run_set(
                    self.study.simulation,
                    self.study.simulation.pick(name),
                    folder=self.study.folder,
                    progress=self.progress,
                ).save(path)
            files.append(path)
        return [*files, *(self._data(each) for each in range(1, number + 1))]

    def _folder(self, number: int) -> Path:
        return self.out / f"round_{number}"

    def _data(self, number: int) -> Path:
        return self.out / "data" / f"round_{number}.h5"

    def _paths(self, number: int) -> list[int]:
        """Return the points of a round whose paths were simulated, or are to be."""
        points = _read(self._folder(number) / "paths.json")["points"]
        return [int(point) for point in points]


def _in_windows(histories: PointHistories, windows: int) -> np.typing.NDArray[np.float64]:
    """Return the largest validity of each window, ``(n_point, windows)``."""
    time = histories.time
    part = (time - time[0]) / (time[-1] - time[0]) * windows
    number = np.clip(np.ceil(part).astype(int) - 1, 0, windows - 1)
    largest = np.zeros((len(histories.point), windows))
    for column, window in enumerate(number):
        np.maximum(largest[:, window], histories.validity[:, column], out=largest[:, window])
    return largest


def _read(path: Path) -> dict[str, Any]:
    """Return what a step has written.

    Raises:
        ValueError: If it is not JSON, as after a change by hand.
    """
    try:
        record: dict[str, Any] = parse_json(read_file(path))
    except ValueError as error:
        raise ValueError(
            f"{path}: must be what learn-on-demand wrote; {error}. Remove it, and run again."
        ) from error
    return record


def _verdict(record: dict[str, Any]) -> RoundVerdict:
    names = [each.name for each in dataclasses.fields(RoundVerdict)]
    values = {name: record[name] for name in names}
    values["errors"], values["points"] = tuple(values["errors"]), tuple(values["points"])
    return RoundVerdict(**values)
