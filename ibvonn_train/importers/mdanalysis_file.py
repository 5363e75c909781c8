"""Trajectories in DCD, XTC, TRR and NetCDF files, by the library MDAnalysis.

Nothing is converted: lengths and times are those of the file, as far as the file is in the units
that its format prescribes. These readers leave the origin where it is. LAMMPS text dumps are not
read by MDAnalysis, which moves their origin to the corner of the box.
"""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .frames import Frame, SimulationBox, require_columns, require_count
from .optional_readers import mdanalysis_reader

KINDS = {".dcd": "DCD", ".xtc": "XTC", ".trr": "TRR", ".nc": "NCDF", ".ncdf": "NCDF"}
"""Ending of a file → format."""
WITHOUT_TIME = ("DCD",)
"""Formats whose times are not real: simulators fill them in as they like."""


class MdAnalysisTrajectory:
    """A file that MDAnalysis reads, in single precision.

    Attributes:
        counted: Step of the first frame, and steps between frames, as a DCD says them; else zeros.

    Raises:
        ImportError: If MDAnalysis is not installed.
        ValueError: If it is no such file.
    """

    precision = "float32"
    observables: tuple[str, ...] = ()

    def __init__(self, path: Path) -> None:
        self.path, self._format = path, KINDS[path.suffix.lower()]
        self.kind = "NetCDF" if self._format == "NCDF" else self._format
        reader = self._open()
        try:
            has_velocities = bool(reader.ts.has_velocities)
        finally:
            reader.close()
        self.columns = ("x", "y", "z") + (("vx", "vy", "vz") if has_velocities else ())
        self.counted = _first_and_every(path) if self._format == "DCD" else (0, 0)

    def _open(self) -> Any:
        make = mdanalysis_reader(self.path)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of its own future, and of offsets of XTC
                return make(str(self.path), format=self._format, convert_units=False)
        except Exception as error:  # it raises whatever its formats do
            raise ValueError(
                f"{self.path}: must be a readable {self.kind} file; MDAnalysis says: "
                f"{' '.join(str(error).split())}."
            ) from error

    def frames(self, names: Sequence[str]) -> Iterator[Frame]:
        """Yield the instants one after the other, see :class:`.frames.Trajectory`."""
        require_columns(self.path, names, self.columns)
        reader = self._open()
        whole = 0
        try:
            particles = reader.n_atoms
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                for number, instant in enumerate(reader):  # ends at one that is not whole
                    require_count(self.path, f"frame {number}", instant.n_atoms, particles)
                    columns = np.asarray(instant.positions, np.float64)
                    if len(self.columns) > 3:
                        columns = np.hstack([columns, np.asarray(instant.velocities, np.float64)])
                    values = columns[:, [self.columns.index(name) for name in names]]
                    real = self._format not in WITHOUT_TIME
                    step = instant.data.get("step") if real else None
                    yield Frame(
                        values,
                        None if step is None else int(step),
                        float(instant.time) if real else None,
                        _box(instant.dimensions),
                    )
                    whole = number + 1
            if whole < reader.n_frames:
                raise ValueError(
                    f"{self.path}: every frame must be whole; {whole} of {reader.n_frames} are. "
                    "The file ends within a frame: write it anew, or copy its whole frames."
                )
        finally:
            reader.close()


def _first_and_every(path: Path) -> tuple[int, int]:
    """Return what the head of a DCD says of its steps: the first one, and those between frames."""
    with path.open("rb") as stream:
        head = stream.read(20)
    order = "<" if head[:1] == b"T" else ">"  # 84, the length of the first record
    first, every = struct.unpack(f"{order}i4s3i", head)[3:]
    return first, every


def _box(dimensions: Any) -> SimulationBox | None:
    """Return an upright box; its corner is not in these files."""
    if dimensions is None or not np.all(np.asarray(dimensions[3:]) == 90.0):
        return None
    lengths = np.asarray(dimensions[:3], np.float64)
    if not np.all(lengths > 0):
        return None
    return SimulationBox(np.zeros(3), lengths)
