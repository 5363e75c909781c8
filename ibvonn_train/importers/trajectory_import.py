"""Trajectories of another simulator become a record: read in parts, checked, written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ..data.drive_records import ChainDriven, Drive, StrainDriven
from ..data.ensemble import TrajectoryEnsemble
from ..data.hdf5 import StoredMicrostate, require_finite
from ..files.plain_files import make_folder, require_plain
from ..files.toml_tables import ConfigError
from .description import StudyDescription
from .frames import FloatArray, Trajectory
from .instants import FileClock
from .loads import InstantNames, LoadReader
from .microstates import FrameBlock, MicrostateReader
from .number_tables import NumberTable
from .open_trajectory import open_trajectory
from .replica_store import ReplicaStore
from .series_windows import FileSeries, SeriesWindows
from .single_energy import ElementEnergy, energy_of
from .source_checks import ResolutionGauge, require_resolution
from .understood import Understood, joined, values_of_files
from .watched_frames import WatchedFrames


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
        FileExistsError: If ``out`` is one of the files, or no file.
        ValueError: If a file contradicts itself or the others, or is given twice.
    """
    files, target = [Path(path) for path in paths], Path(out)
    _require_different(files, target)
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
        with h5py.File(scratch, "w") as microstates:
            reading = _Import(study, microstates, len(files) // each)
            for number, path in enumerate(files):
                reading.take(open_trajectory(path, study.layout.group), *divmod(number, each))
            data = reading.record(scratch)
            data.save(target)
            reading.understood.values = values_of_files(files, each, study.values)
            return reading.understood.lines(data, len(files))
    finally:
        scratch.unlink(missing_ok=True)


def _require_different(files: Sequence[Path], target: Path) -> None:
    """Refuse a trajectory that is given twice, and one that would be overwritten."""
    require_plain(target)
    seen: dict[Path, Path] = {}
    for path in files:
        place = path.resolve()
        if place == target.resolve():
            raise FileExistsError(
                f"{target}: must be a new file, or a former one of this command; it is one of the "
                "trajectories, which would be lost. Choose another --out."
            )
        if place in seen:
            raise ValueError(
                f"{path}: each trajectory must be given once; this one is given twice. Name each "
                "file once, in the order of the protocols."
            )
        seen[place] = path


class _Import:
    """The reading of all files of one import."""

    def __init__(self, study: StudyDescription, file: h5py.File, protocols: int) -> None:
        self._study = study
        self._energy: ElementEnergy | None = energy_of(study)
        self._load = LoadReader(study, self._energy)
        self._averaged = study.load.strain_kind == "averaged"
        if study.microstate.elements == "points" and not self._averaged:
            raise ConfigError(
                "[import.microstate]: elements = 'points' must go with averaged strain, of which "
                "each point has its own; found controlled strain. Like elements are 'samples'."
            )
        self.understood = Understood()
        window = study.layout.window
        self._microstates = ReplicaStore(file, protocols, window, study.microstate.precision)
        self._windows = SeriesWindows(protocols, window, averaged=self._averaged)
        self._samples = 1
        self._steps: list[float | None] = []

    def take(self, trajectory: Trajectory, protocol: int, file: int) -> None:
        """Read one file, the given one of a protocol."""
        study, understood = self._study, self.understood
        states = MicrostateReader(study, trajectory)
        table = self._load.table_of(trajectory.path)
        self._load.require_names(table, trajectory)
        frames = WatchedFrames(trajectory, states, study, protocol)
        clock, constants = frames.clock, study.constants(protocol)
        series = FileSeries()
        written, stretch = 0, dict.fromkeys(states.coordinates, 1.0)
        for block in frames.blocks():
            elements = states.elements(block, constants)
            sites = states.sites(elements)
            require_finite(f"{trajectory.path}: microstate", sites)
            self._samples = states.samples_per_replica(elements.shape[2])
            names = self._names(trajectory.path, block, table, clock, constants)
            strain = self._load.imposed(names)
            self._respond(series, names, strain, sites)
            if not written:
                stretch = states.stretch(block, constants)
                self._start(names, strain, sites)
                understood.particles = block.values.shape[1]
            first_window = file * self._windows.count
            self._microstates.write(sites, protocol, first_window, written, trajectory.path)
            written += len(block.time)
        understood.momenta = frames.finish() or understood.momenta
        self._resolve(trajectory.path, frames.gauges, stretch)
        understood.kinds = joined([*understood.kinds, trajectory.kind])
        understood.precision, understood.columns = trajectory.precision, states.columns
        self._steps.append(clock.time_step())
        understood.source = clock.source
        self._windows.add(trajectory.path, protocol, series)

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

    def _respond(
        self,
        series: FileSeries,
        names: InstantNames,
        strain: FloatArray | None,
        sites: FloatArray,
    ) -> None:
        """Append what drove and what answered at some instants."""
        controlled = None if self._averaged else strain
        response = self._load.response(names, controlled, sites, self._samples)
        block = {
            "mean": sites.mean(2),
            "stress": response.stress,
            "strain": strain,
            "rate": self._load.rate(names),
            "square": response.square,
            "energy": response.energy,
            "from_energy": response.from_energy,
            **self._load.chain(names),
        }
        series.add(names.series["t"], block)

    def _start(self, names: InstantNames, strain: FloatArray | None, sites: FloatArray) -> None:
        """Keep the microstates of the first instant, and the slopes of the energy there."""
        first = sites[:1]
        split = (first.shape[1], first.shape[2] // self._samples, self._samples)
        start = self.understood.start
        start.values.append(first[0].reshape(*split, -1))
        if self._energy is None or len(self._study.classes) > 1 or first.shape[3] > 1:
            return
        strain = None if self._averaged or strain is None else strain[:1]
        one = InstantNames(names.constants, {k: v[:1] for k, v in names.series.items()})
        known = one.along_states() | {"x": first[..., 0]}
        mean = first.mean(2, keepdims=True)[..., 0]
        known["strain"] = mean if strain is None else strain[:, None]
        slopes = self._energy.at(first, strain, known, "x")[1]
        start.slopes.append(slopes[0].reshape(split))

    def _resolve(
        self, path: Path, gauges: Mapping[str, ResolutionGauge], stretch: dict[str, float]
    ) -> None:
        """Refuse digits that are too coarse for the spread of the microstates."""
        length = float(self._study.parameters.get("reference_length", 1.0))
        spread = length * self.understood.start.spread()
        if spread == 0.0:  # all replicas start alike
            spread = length * self._microstates.smallest_deviation()
        for name, gauge in gauges.items():
            resolution = gauge.resolution()
            step = None if resolution is None else resolution * stretch[name]
            require_resolution(f"{path}: {name}", step, spread)
            over = None if step is None or spread == 0.0 else step / spread
            self.understood.resolution[name] = over

    def record(self, scratch: Path) -> TrajectoryEnsemble:
        """Return the record of all files, its microstates still on disk."""
        study, load, windows = self._study, self._study.load, self._windows
        self.understood.windows = windows.count
        self.understood.left_over = windows.left_over
        stored = self._microstates.finish(len(windows.time), windows.count * study.layout.files)
        stress, mean = windows.mean("stress"), windows.mean("mean")
        assert stress is not None  # noqa: S101 (every file has one)
        assert mean is not None  # noqa: S101
        replicas = stored.shape[3] // self._samples
        square = windows.mean("square")
        variance = None
        if square is not None and replicas > 1:
            variance = np.maximum(square - stress**2, 0.0) * replicas / (replicas - 1)
        self._compare(stress, windows.mean("from_energy"))
        strain = mean if self._averaged else self._controlled(windows.mean("strain"))
        if self._averaged:
            self._require_imposed(mean, windows.mean("strain"))
        if self._energy is not None and not load.stress:
            self.understood.stress = f"slope of {self._energy.words}"
        else:
            self.understood.stress = f"as described, {', '.join(load.stress)}"
        known = {step for step in self._steps if step is not None}
        step = known.pop() if len(known) == 1 and self.understood.momenta is None else None
        return TrajectoryEnsemble.from_arrays(
            windows.time,
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
            drive=self._drive(stress),
            energy=windows.mean("energy"),
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

    def _drive(self, stress: FloatArray) -> Drive:
        kind, mean = self._study.load.drive, self._windows.mean
        if kind == "strain":
            rate = mean("rate")
            return StrainDriven(None if rate is None else rate[:, :, None])
        control, rate, force = (mean(n) for n in ("control", "control_rate", "force"))
        assert control is not None  # noqa: S101 (the description requires it)
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
