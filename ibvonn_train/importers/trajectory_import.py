"""Trajectories of another simulator become a record: read in parts, checked, written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ..data.control_rates import require_rate
from ..data.drive_records import ChainDriven, Drive, StrainDriven
from ..data.ensemble import TrajectoryEnsemble
from ..data.hdf5 import StoredMicrostate, require_finite
from ..files.plain_files import make_folder
from ..files.toml_tables import ConfigError
from .description import StudyDescription
from .frames import FloatArray, Frame, Trajectory
from .instants import FileClock
from .loads import InstantNames, LoadReader
from .microstates import FrameBlock, MicrostateReader
from .momenta import MomentumWatch, require_instants_apart
from .number_tables import NumberTable
from .open_trajectory import open_trajectory
from .single_energy import ElementEnergy, energy_of
from .source_checks import OriginWatch, ResolutionGauge, require_no_gap, require_resolution
from .understood import Understood, joined

BLOCK_BYTES = 2**26
"""Of frames that are held at a time."""
_AGREE = 1e-6
"""Relative difference of series that should be equal, such as the strains of all replicas."""


def import_trajectories(
    paths: Sequence[str | Path], study: StudyDescription, out: str | Path
) -> list[str]:
    """Read trajectories, check them and write one data file.

    No more than a block of frames is in memory at a time; a file of about the size of ``out`` lies
    beside it until all is read.

    Args:
        paths: Trajectories: those of the first protocol, then those of the second, …
        study: What they lack.
        out: File that is written.

    Returns:
        What was understood, in lines.

    Raises:
        ConfigError: If the description does not fit the files.
        ValueError: If a file contradicts itself or the others.
    """
    files, target = [Path(path) for path in paths], Path(out)
    each = study.layout.files
    if not files or len(files) % each:
        raise ConfigError(
            f"[import.layout]: files = {each} must divide the number of trajectories; found "
            f"{len(files)}."
        )
    study.require_protocols(len(files) // each)
    make_folder(target.parent)
    scratch = target.with_name(f".{target.name}.import")
    try:
        with h5py.File(scratch, "w") as held:
            reading = _Import(study, held, len(files) // each)
            for number, path in enumerate(files):
                reading.take(open_trajectory(path, study.layout.group), *divmod(number, each))
            data = reading.record(scratch)
            data.save(target)
            return reading.understood.lines(data, len(files))
    finally:
        scratch.unlink(missing_ok=True)


@dataclass(eq=False)
class _FileSeries:
    """What one file gives, lists of blocks along its instants."""

    time: list[FloatArray] = field(default_factory=list)
    strain: list[FloatArray] = field(default_factory=list)
    rate: list[FloatArray] = field(default_factory=list)
    mean: list[FloatArray] = field(default_factory=list)
    stress: list[FloatArray] = field(default_factory=list)
    square: list[FloatArray] = field(default_factory=list)
    energy: list[FloatArray] = field(default_factory=list)
    from_energy: list[FloatArray] = field(default_factory=list)
    chain: dict[str, list[FloatArray]] = field(default_factory=dict)


@dataclass(eq=False)
class _Watches:
    """Checks that go along with the reading of one file."""

    origin: OriginWatch
    momenta: MomentumWatch | None
    gauges: dict[str, ResolutionGauge]


class _Import:
    """The reading of all files of one import."""

    def __init__(self, study: StudyDescription, held: h5py.File, protocols: int) -> None:
        self._study, self._held, self._protocols = study, held, protocols
        self._energy: ElementEnergy | None = energy_of(study)
        self._load = LoadReader(study, self._energy)
        self._averaged = study.load.strain_kind == "averaged"
        if study.microstate.elements == "points" and not self._averaged:
            raise ConfigError(
                "[import.microstate]: elements = 'points' must go with averaged strain, of which "
                "each point has its own; found controlled strain. Like elements are 'samples'."
            )
        self.understood = Understood()
        self._stored: Any = None
        self._series: list[list[dict[str, FloatArray]]] = [[] for _ in range(protocols)]
        self._time: FloatArray = np.empty(0)
        self._samples = 1
        self._steps: list[float | None] = []

    def take(self, trajectory: Trajectory, protocol: int, file: int) -> None:
        """Read one file, the given one of a protocol."""
        study, seen = self._study, self.understood
        states = MicrostateReader(study, trajectory)
        table = self._load.table_of(trajectory.path)
        self._load.require_names(table, trajectory)
        friction = float(study.parameters["friction"])
        watch = (
            MomentumWatch(trajectory.path, study.microstate.mass, friction)
            if states.velocities
            else None
        )
        watches = _Watches(
            OriginWatch(trajectory.path),
            watch,
            {name: ResolutionGauge() for name in states.coordinates},
        )
        clock = FileClock(trajectory.path, study.time)
        series = _FileSeries()
        done, first, stretch = 0, True, dict.fromkeys(states.coordinates, 1.0)
        for block in self._blocks(trajectory, states, clock, watches, protocol):
            constants = study.constants(protocol)
            elements = states.elements(block, constants)
            sites = states.sites(elements)
            require_finite(f"{trajectory.path}: microstate", sites)
            self._samples = states.samples_per_replica(elements.shape[2])
            names = self._names(trajectory.path, block, table, clock, constants)
            self._respond(series, names, sites)
            if first:
                stretch = states.stretch(block, constants)
                self._start(series, names, sites)
                seen.particles = block.values.shape[1]
                first = False
            self._write(sites, protocol, file, done, trajectory.path)
            done += len(block.time)
        require_no_gap(trajectory.path, clock.seen(), study.time.uneven)
        if watch is not None:
            momenta = watch.relaxation(clock.interval())
            if momenta is not None:
                require_instants_apart(trajectory.path, momenta, study.time.thin)
                seen.momenta = momenta
        self._resolve(trajectory, watches, stretch)
        seen.kinds = joined([*seen.kinds, trajectory.kind])
        seen.precision, seen.columns = trajectory.precision, states.columns
        self._steps.append(clock.time_step())
        seen.source = clock.source
        self._finish(series, protocol, trajectory.path)

    def _blocks(
        self,
        trajectory: Trajectory,
        states: MicrostateReader,
        clock: FileClock,
        watches: _Watches,
        protocol: int,
    ) -> Iterator[FrameBlock]:
        """Yield the frames that are taken, some at a time."""
        held: list[tuple[float, float, Frame]] = []
        size = 0
        for frame in trajectory.frames(states.columns):
            time, step, taken = clock.next(frame)
            if time is None:
                continue
            watches.origin(time, frame.box)
            if watches.momenta is not None:
                self._watch(watches.momenta, states, frame, time, step, protocol)
            if not taken:
                continue
            for name, gauge in watches.gauges.items():
                gauge.add(frame.values[:, states.columns.index(name)])
            held.append((time, step, frame))
            size += frame.values.nbytes
            if size > BLOCK_BYTES:
                yield _block(held)
                held, size = [], 0
        if held:
            yield _block(held)

    def _watch(
        self,
        watch: MomentumWatch,
        states: MicrostateReader,
        frame: Frame,
        time: float,
        step: float,
        protocol: int,
    ) -> None:
        one = _block([(time, step, frame)])
        elements = states.elements(one, self._study.constants(protocol))[0]
        columns = [states.columns.index(name) for name in states.velocities]
        watch.add(states.taken(one)[0][:, columns], elements.reshape(-1, elements.shape[-1]))

    def _names(
        self,
        path: Path,
        block: FrameBlock,
        table: NumberTable | None,
        clock: FileClock,
        constants: dict[str, float],
    ) -> InstantNames:
        series: dict[str, FloatArray] = {"t": block.time, "step": block.step}
        needed = self._load.needed()
        for name, values in block.beside.items():
            if name not in needed:
                continue
            if np.isnan(values).any():
                at = block.time[int(np.argmax(np.isnan(values)))]
                raise ValueError(
                    f"{path}: {name} must be stored at every instant; it is not at t = {at:g}. "
                    "Store it as often as the particles."
                )
            series[name] = values
        if table is not None and needed & set(table.names):
            steps = None if np.isnan(block.step).any() else block.step
            rows = table.rows_at(steps, block.time + clock.offset, clock.interval())
            series |= {n: table.columns[n][rows] for n in table.names if n in needed}
        return InstantNames(constants, series)

    def _respond(self, series: _FileSeries, names: InstantNames, sites: FloatArray) -> None:
        strain = self._load.imposed(names)
        response = self._load.response(
            names, None if self._averaged else strain, sites, self._samples
        )
        series.time.append(names.series["t"])
        series.mean.append(sites.mean(2))
        series.stress.append(response.stress)
        optional = {
            "strain": strain,
            "rate": self._load.rate(names),
            "square": response.square,
            "energy": response.energy,
            "from_energy": response.from_energy,
        }
        for name, part in optional.items():
            if part is not None:
                getattr(series, name).append(part)
        for name, part in self._load.chain(names).items():
            series.chain.setdefault(name, []).append(part)

    def _start(self, series: _FileSeries, names: InstantNames, sites: FloatArray) -> None:
        """Keep the microstates of the first instant, and the slopes of the energy there."""
        first = sites[:1]
        split = (first.shape[1], first.shape[2] // self._samples, self._samples)
        start = self.understood.start
        start.values.append(first[0].reshape(*split, -1))
        if self._energy is None or len(self._study.classes) > 1 or first.shape[3] > 1:
            return
        strain = None if self._averaged else series.strain[0][:1]
        one = InstantNames(names.constants, {k: v[:1] for k, v in names.series.items()})
        known = one.along_states() | {"x": first[..., 0]}
        mean = first.mean(2, keepdims=True)[..., 0]
        known["strain"] = mean if strain is None else strain[:, None]
        slopes = self._energy.at(first, strain, known, "x")[1]
        start.slopes.append(slopes[0].reshape(split))

    def _write(self, sites: FloatArray, protocol: int, file: int, done: int, path: Path) -> None:
        """Put microstates where they belong: windows are replicas."""
        study = self._study
        count, n_sites, samples, size = sites.shape
        window = study.layout.window
        if self._stored is None:
            rows = max(1, min(64, 2**20 // max(1, n_sites * samples * size * 8)))
            self._stored = self._held.create_dataset(
                "microstate",
                shape=(self._protocols, 0, n_sites, samples, size),
                maxshape=(self._protocols, None, n_sites, None, size),
                chunks=(1, rows, n_sites, samples, size),
                dtype=study.microstate.precision,
            )
        stored = self._stored
        if (n_sites, size) != (stored.shape[2], stored.shape[4]) or stored.chunks[3] != samples:
            raise ValueError(
                f"{path}: all files must have as many particles as the first; found {samples} "
                f"samples of {n_sites} sites where others have {stored.chunks[3]} of "
                f"{stored.shape[2]}. Import files of one kind together."
            )
        row = 0
        while row < count:
            number, at = divmod(done + row, window) if window else (0, done + row)
            run = min(count - row, window - at if window else count)
            begin = (file * self.understood.windows + number) * samples
            if at + run > stored.shape[1]:
                stored.resize(at + run, axis=1)
            if begin + samples > stored.shape[3]:
                stored.resize(begin + samples, axis=3)
            part = sites[row : row + run]
            stored[protocol, at : at + run, :, begin : begin + samples] = part
            row += run

    def _resolve(
        self, trajectory: Trajectory, watches: _Watches, stretch: dict[str, float]
    ) -> None:
        length = float(self._study.parameters.get("reference_length", 1.0))
        spread = length * self.understood.start.spread()
        if spread == 0.0:  # all replicas start alike
            deviations = np.asarray(self._stored[0, -1:], np.float64).std(3)
            spread = length * float(deviations.min())
        for name, gauge in watches.gauges.items():
            found = gauge.resolution()
            step = None if found is None else found * stretch[name]
            require_resolution(f"{trajectory.path}: {name}", step, spread)
            over = None if step is None or spread == 0.0 else step / spread
            self.understood.resolution[name] = over

    def _finish(self, series: _FileSeries, protocol: int, path: Path) -> None:
        """Cut the series of a file into windows and compare them with those of other files."""
        time = np.concatenate(series.time)
        window = self._study.layout.window or len(time)
        windows, left = divmod(len(time), window)
        if not windows:
            raise ValueError(
                f"{path}: must hold a window of {window} instants; it has {len(time)}. Correct "
                "window in [import.layout]."
            )
        if not self._series[0]:
            self.understood.windows, self.understood.left_over = windows, left
            self._time = time[:window]
        if windows != self.understood.windows or window != len(self._time):
            raise ValueError(
                f"{path}: all files must have as many instants as the first, {len(self._time)} in "
                f"{self.understood.windows} windows; found {len(time)}. Import runs of different "
                "durations into files of their own."
            )
        interval = float(np.median(np.diff(self._time)))
        for number in range(windows):
            part = time[number * window : (number + 1) * window]
            if windows > 1:
                part = part - part[0] + self._time[0]
            off = float(np.abs(part - self._time).max())
            if off > 1e-3 * interval:
                raise ValueError(
                    f"{path}: all files must have the instants of the first; they differ by up to "
                    f'{off:.3g}. Write `zero = "first"` in [import.time] where runs begin at '
                    "different times, or import them into files of their own."
                )
            rows = slice(number * window, (number + 1) * window)
            names = ("strain", "rate", "mean", "stress", "square", "energy", "from_energy")
            arrays = {
                name: np.concatenate(blocks)[rows]
                for name in names
                if (blocks := getattr(series, name))
            }
            arrays |= {name: np.concatenate(blocks)[rows] for name, blocks in series.chain.items()}
            self._require_same_load(path, protocol, arrays)
            self._series[protocol].append(arrays)

    def _require_same_load(self, path: Path, protocol: int, arrays: dict[str, FloatArray]) -> None:
        """Refuse replicas of one protocol that were loaded differently."""
        if "rate" in arrays and not self._averaged:
            for i in range(arrays["rate"].shape[1]):
                place = f"{path}: strain_rate, component {i + 1},"
                require_rate(place, self._time, arrays["strain"][:, i], arrays["rate"][:, i])
        if not self._series[protocol]:
            return
        first = self._series[protocol][0]
        for name in ("strain", "control"):
            if name not in arrays:
                continue
            off = float(np.abs(arrays[name] - first[name]).max())
            if off > _AGREE * max(float(np.abs(first[name]).max()), np.finfo(np.float64).tiny):
                raise ValueError(
                    f"{path}: all replicas of protocol {protocol + 1} must have the same {name}; "
                    f"they differ by up to {off:.3g}. Correct files or window in [import.layout]: "
                    "each protocol has its own files, and a window is a whole repetition."
                )

    def record(self, scratch: Path) -> TrajectoryEnsemble:
        """Return the record of all files, its microstates still on disk."""
        study, load = self._study, self._study.load
        stored = self._stored
        stored.resize(len(self._time), axis=1)
        width = stored.chunks[3] * self.understood.windows * study.layout.files
        stored.resize(width, axis=3)  # frames that are left over made no window
        self._held.flush()
        means = [
            {name: np.mean([part[name] for part in parts], axis=0) for name in parts[0]}
            for parts in self._series
        ]

        def together(name: str) -> FloatArray | None:
            return np.stack([part[name] for part in means]) if name in means[0] else None

        stress, mean = together("stress"), together("mean")
        assert stress is not None  # noqa: S101 (every file has one)
        assert mean is not None  # noqa: S101
        replicas = stored.shape[3] // self._samples
        square = together("square")
        variance = None
        if square is not None and replicas > 1:
            variance = np.maximum(square - stress**2, 0.0) * replicas / (replicas - 1)
        self._compare(stress, together("from_energy"))
        strain = mean if self._averaged else self._controlled(together("strain"))
        if self._averaged:
            self._require_imposed(mean, together("strain"))
        if self._energy is not None and not load.stress:
            self.understood.stress = f"slope of {self._energy.words}"
        else:
            self.understood.stress = f"as described, {', '.join(load.stress)}"
        known = {step for step in self._steps if step is not None}
        step = known.pop() if len(known) == 1 and self.understood.momenta is None else None
        return TrajectoryEnsemble.from_arrays(
            self._time,
            strain,
            stress,
            StoredMicrostate(stored, scratch),
            system=study.system,
            strain_kind=load.strain_kind,
            time_step=step,
            seed=None if study.seed < 0 else study.seed,
            **{key: study.parameters[key] for key in ("friction", "thermal_energy")},
            parameters=study.parameters,
            units=study.units,
            drive=self._drive(stress, together),
            energy=together("energy"),
            stress_variance=variance,
            samples_per_replica=self._samples,
            **self._names_of_components(),
        )

    def _controlled(self, strain: FloatArray | None) -> FloatArray:
        assert strain is not None  # noqa: S101 (the description requires it)
        return strain[:, :, None]

    def _names_of_components(self) -> dict[str, Any]:
        study = self._study
        named: dict[str, Any] = {
            "classes": tuple(study.classes),
            "strain_names": tuple(study.strain_names),
            "stress_names": tuple(study.stress_names),
            "strain_measure": study.strain_measure,
        }
        if study.strain_basis is not None:
            named["strain_basis"] = np.asarray(study.strain_basis, np.float64)
        return {name: value for name, value in named.items() if len(value)}

    def _drive(self, stress: FloatArray, together: Any) -> Drive:
        kind = self._study.load.drive
        if kind == "strain":
            rate = together("rate")
            return StrainDriven(None if rate is None else rate[:, :, None])
        control, rate, force = (together(n) for n in ("control", "control_rate", "force"))
        if rate is None:
            raise ConfigError(
                "[import.load]: control_rate must be given where control is not an expression of "
                "t alone."
            )
        if force is None:
            friction = float(self._study.parameters["friction"])
            force = control if kind == "force" else stress[:, :, -1, 0] + friction * rate
        return ChainDriven(kind, control, rate, force)

    def _require_imposed(self, mean: FloatArray, strain: FloatArray | None) -> None:
        """Refuse a strain that is not the mean of the microstates."""
        if strain is None:
            return
        off = float(np.abs(mean.mean(2) - strain).max())
        limit = 1e-3 * float(np.abs(strain).max()) + 1e-3 * self.understood.start.spread()
        if off > limit:
            raise ValueError(
                f"[import.load]: strain must be the mean of the microstates where it is averaged; "
                f"they differ by up to {off:.3g}. Correct the expression, the rest length, or the "
                "time."
            )

    def _compare(self, stress: FloatArray, expected: FloatArray | None) -> None:
        if expected is not None and expected.shape == stress.shape:
            norm = float(np.linalg.norm(expected))
            if norm > 0:
                self.understood.difference = float(np.linalg.norm(stress - expected)) / norm


def _block(held: Sequence[tuple[float, float, Frame]]) -> FrameBlock:
    frames = [frame for _, _, frame in held]
    names = set().union(*(frame.observables for frame in frames))
    return FrameBlock(
        np.array([time for time, _, _ in held]),
        np.array([step for _, step, _ in held]),
        np.stack([frame.values for frame in frames]),
        [frame.box for frame in frames],
        {name: np.array([f.observables.get(name, np.nan) for f in frames]) for name in names},
    )
