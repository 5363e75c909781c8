"""GSD, DCD, XTC and NetCDF: positions as they were written, the origin where it was."""

from __future__ import annotations

import struct
import sys

import numpy as np
import pytest
from foreign_files import TIME_STEP, description, rows_of, trap_paths, write_npz

from ibvonn_train.data import TrajectoryEnsemble
from ibvonn_train.importers import StudyDescription, import_trajectories

ORIGIN = 7.0
"""Of the coordinates: readers that moved it would shift the trap."""
X = trap_paths()
MOVED = f'coordinates = ["x - {ORIGIN}"]'


def record(folder, files, **parts):
    study = StudyDescription.from_toml(description(folder, microstate=MOVED, **parts))
    lines = import_trajectories(files, study, folder / "data.h5")
    return TrajectoryEnsemble.load(folder / "data.h5"), rows_of("\n".join(lines))


def positions(x):
    """Of all frames, float32, ``(n_time, n_particle, 3)``."""
    positions = np.full((*x.shape, 3), 3.0, np.float32)
    positions[:, :, 0] = x + ORIGIN
    return positions


def write_by_mdanalysis(path, x):
    mda = pytest.importorskip("MDAnalysis")
    frames = positions(x)
    atoms = mda.Universe.empty(x.shape[1], trajectory=True).atoms
    with mda.Writer(str(path), x.shape[1], convert_units=False, dt=TIME_STEP) as writer:
        for n, frame in enumerate(frames):
            atoms.universe.trajectory.ts.dimensions = [20, 20, 20, 90, 90, 90]
            atoms.universe.trajectory.ts.time = TIME_STEP * n
            atoms.universe.trajectory.ts.frame = n
            atoms.positions = frame
            writer.write(atoms)
    return path


def write_gsd(path, x, *, lost=0):
    hoomd = pytest.importorskip("gsd.hoomd")
    with hoomd.open(str(path), "w") as file:
        for n, frame in enumerate(positions(x)):
            count = x.shape[1] - (lost if n == len(x) - 1 else 0)
            made = hoomd.Frame()
            made.configuration.step = n
            made.configuration.box = [20, 20, 20, 0, 0, 0]
            made.particles.N = count
            images = np.zeros((count, 3), np.int32)
            images[:, 0] = n % 3 - 1
            wrapped = frame[:count].copy()
            wrapped[:, 0] -= 20 * images[:, 0]
            made.particles.position, made.particles.image = wrapped, images
            made.log["md/Potential Energy"] = np.array([float(n)])
            file.append(made)
    return path


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("ending", "rounding"), [("dcd", 1e-6), ("xtc", 1e-3), ("ncdf", 1e-6)])
def test_mdanalysis_leaves_the_origin_and_says_float32(ending, rounding, tmp_path):
    files = [write_by_mdanalysis(tmp_path / f"{i}.{ending}", x) for i, x in enumerate(X)]
    if ending == "xtc":  # three digits are too few for this spread
        with pytest.raises(ValueError, match=r"must be written to 0.001 of the spread"):
            record(tmp_path, files)
        return
    data, rows = record(tmp_path, files, time="every = 1" if ending == "dcd" else "")
    np.testing.assert_allclose(data.samples[0, :, 0, :, 0], X[0], atol=rounding)
    np.testing.assert_allclose(data.time, TIME_STEP * np.arange(len(X[0])), atol=1e-6)
    assert "(float32)" in rows["read"]


@pytest.mark.filterwarnings("ignore")
def test_xtc_whose_digits_resolve_the_spread_is_read(tmp_path):
    """Guards the test above: ten times the positions, as in ångström, have ten times the digits."""
    files = [write_by_mdanalysis(tmp_path / f"{i}.xtc", 100 * x) for i, x in enumerate(X)]
    place = f'coordinates = ["(x - {ORIGIN})/100"]'
    study = StudyDescription.from_toml(description(tmp_path, microstate=place))
    import_trajectories(files, study, tmp_path / "data.h5")
    data = TrajectoryEnsemble.load(tmp_path / "data.h5")
    np.testing.assert_allclose(data.samples[0, :, 0, :, 0], X[0], atol=6e-6)


@pytest.mark.filterwarnings("ignore")
def test_an_xtc_that_ends_within_a_frame_is_refused(tmp_path):
    """MDAnalysis alone would end the series before it, without a word."""
    files = [write_by_mdanalysis(tmp_path / f"{i}.xtc", 100 * x) for i, x in enumerate(X)]
    files[1].write_bytes(files[1].read_bytes()[:-100])
    study = description(tmp_path, microstate=f'coordinates = ["(x - {ORIGIN})/100"]')
    frames = len(X[1])
    with pytest.raises(ValueError, match=rf"must be whole; {frames - 1} of {frames} are"):
        import_trajectories(files, StudyDescription.from_toml(study), tmp_path / "data.h5")


@pytest.mark.filterwarnings("ignore")
def test_dcd_has_no_real_time_and_needs_it_from_the_description(tmp_path):
    files = [write_by_mdanalysis(tmp_path / f"{i}.dcd", x) for i, x in enumerate(X)]
    with pytest.raises(ValueError, match="every and time_step must be given"):
        record(tmp_path, files)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("every", "start"), [(1, 0.03), (5, 0.0)])
def test_a_dcd_that_begins_later_is_not_shifted(every, start, tmp_path):
    """OpenMM's first frame is one interval after the start; other programs fill in anything."""
    files = [write_by_mdanalysis(tmp_path / f"{i}.dcd", x) for i, x in enumerate(X)]
    for path in files:
        content = bytearray(path.read_bytes())
        content[12:20] = struct.pack("<2i", 3, every)  # first step, steps between frames
        path.write_bytes(content)
    data, rows = record(tmp_path, files, time="every = 1")
    assert data.time[0] == pytest.approx(start)
    assert ("the first frame is of step 3" in rows["time"]) == (start > 0)


def test_gsd_is_read_with_its_images_and_its_log(tmp_path):
    files = [write_gsd(tmp_path / f"{i}.gsd", x) for i, x in enumerate(X)]
    place = f'coordinates = ["xu - {ORIGIN}"]'
    load = 'strain = "a*sin(w*t)"\nstress = "strain - x + 0*potential_energy"'
    study = StudyDescription.from_toml(description(tmp_path, microstate=place, load=load))
    lines = import_trajectories(files, study, tmp_path / "data.h5")
    data = TrajectoryEnsemble.load(tmp_path / "data.h5")
    np.testing.assert_allclose(data.samples[0, :, 0, :, 0], X[0], atol=1e-5)
    assert "float32" in rows_of("\n".join(lines))["read"]


def test_gsd_that_loses_particles_is_refused(tmp_path):
    files = [write_gsd(tmp_path / f"{i}.gsd", x, lost=i) for i, x in enumerate(X)]
    with pytest.raises(ValueError, match="must not change; it is 60 in the first frame and 59"):
        record(tmp_path, files)


@pytest.mark.parametrize(
    ("ending", "package"), [("gsd", "gsd"), ("dcd", "MDAnalysis"), ("xtc", "MDAnalysis")]
)
def test_a_missing_package_is_named(ending, package, tmp_path, monkeypatch):
    for module in ("gsd", "gsd.hoomd", "MDAnalysis", "MDAnalysis.coordinates.core"):
        monkeypatch.setitem(sys.modules, module, None)  # as if it were not there
    path = tmp_path / f"a.{ending}"
    path.write_bytes(b"x")
    study = StudyDescription.from_toml(description(tmp_path))
    with pytest.raises(ImportError, match=rf"needs the package {package}, .*ibvonn\[import\]"):
        import_trajectories([path, tmp_path / "b.npz"], study, tmp_path / "data.h5")


def test_files_of_the_wrong_content_are_refused(tmp_path):
    pytest.importorskip("gsd.hoomd")
    path = tmp_path / "a.gsd"
    path.write_bytes(b"not a GSD file" * 100)
    with pytest.raises(ValueError, match="must be a GSD file"):
        record(tmp_path, [path, tmp_path / "b.npz"])
    npz = write_npz(tmp_path / "a.npz", X[0])
    npz.write_bytes(npz.read_bytes()[:100])
    with pytest.raises(ValueError, match="must be an NPZ of numbers"):
        record(tmp_path, [npz, tmp_path / "b.npz"])
