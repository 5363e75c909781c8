"""Which reader a file takes."""

from __future__ import annotations

from pathlib import Path

from ..files.plain_files import require_regular
from . import mdanalysis_file
from .frames import Trajectory
from .gsd_file import GsdTrajectory
from .h5md import H5mdTrajectory
from .lammps_dump import LammpsDump, is_lammps_dump
from .mdanalysis_file import MdAnalysisTrajectory
from .number_arrays import CsvTrajectory, NpzTrajectory

_HDF5 = (".h5", ".h5md", ".hdf5")
_TABLES = (".csv", ".tsv")


def open_trajectory(path: Path, group: str = "") -> Trajectory:
    """Return the reader of a file, by its ending; text that begins as a LAMMPS dump is one.

    Args:
        path: Of the file.
        group: Of particles in an H5MD file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If its format is not known, or it is damaged.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such trajectory.")
    require_regular(path)
    ending = path.suffix.lower()
    if ending == ".npz":
        return NpzTrajectory(path)
    if ending in _HDF5:
        return H5mdTrajectory(path, group)
    if ending == ".gsd":
        return GsdTrajectory(path)
    if ending in mdanalysis_file.KINDS:
        return MdAnalysisTrajectory(path)
    if is_lammps_dump(path):
        return LammpsDump(path)
    if ending in _TABLES:
        return CsvTrajectory(path)
    raise ValueError(
        f"{path}: must be a text dump of LAMMPS, or end in .npz, .csv, .gsd, "
        f"{', '.join(_HDF5)} or {', '.join(mdanalysis_file.KINDS)}; it is none of these. Convert "
        "it, or bring arrays with TrajectoryEnsemble.from_arrays."
    )
