"""Data files are H5MD at the same time, by virtual datasets on the same numbers."""

from __future__ import annotations

import time
import warnings
from dataclasses import replace

import h5py
import numpy as np
import pytest
from small_ensembles import small_ensemble

from ibvonn_train.data import TrajectoryEnsemble
from ibvonn_train.importers.h5md import H5mdTrajectory
from ibvonn_train.simulation import TetheredParticle
from ibvonn_train.simulation.protocols import ramp


@pytest.fixture
def path(tmp_path):
    data = small_ensemble(
        TetheredParticle(), [ramp(0.5), ramp(-1.0)], duration=0.2, replicas=20, stride=2
    )
    data.save(tmp_path / "data.h5")
    return tmp_path / "data.h5"


def several_sites():
    rng = np.random.default_rng(0)
    strain = np.zeros((2, 4, 3, 2))
    x = rng.normal(size=(2, 4, 3, 5, 2))
    return TrajectoryEnsemble.from_arrays(
        np.arange(4.0), strain, strain, x, system="mine", friction=1.0, thermal_energy=0.1
    )


def test_positions_and_observables_are_those_of_the_record(path):
    data = TrajectoryEnsemble.load(path)
    with h5py.File(path) as file:
        assert tuple(file["h5md"].attrs["version"]) == (1, 1)
        part = file["particles/trajectory/position"]
        expected = data.samples[:, :, 0, :, 0].swapaxes(0, 1).reshape(len(data.time), -1)
        np.testing.assert_array_equal(part["value"][..., 0], expected)
        assert not part["value"][..., 1:].any()
        np.testing.assert_array_equal(part["time"], data.time)
        np.testing.assert_array_equal(part["step"], 2 * np.arange(len(data.time)))
        for name in ("strain", "stress"):
            seen = file[f"observables/{name}/value"][()]
            np.testing.assert_array_equal(seen.swapaxes(0, 1), getattr(data, name))
        assert file["parameters"].attrs["friction"] == 1.0


def test_samples_of_several_sites_stand_side_by_side(tmp_path):
    data = several_sites()
    data.save(tmp_path / "data.h5")
    with h5py.File(tmp_path / "data.h5") as file:
        value = file["particles/trajectory/position/value"]
        assert value.shape == (4, 30, 3)
        np.testing.assert_array_equal(value[:, 15:, :2], data.samples[1].reshape(4, 15, 2))


def test_parameters_that_hdf5_cannot_name_or_hold_as_they_are_do_no_harm(tmp_path):
    data = several_sites()
    odd = {"": 1.0, "a\0b": 2.0, "large": 10**30, "text": "x"}
    changed = replace(data, parameters={**data.parameters, **odd})
    changed.save(tmp_path / "data.h5")
    assert TrajectoryEnsemble.load(tmp_path / "data.h5").parameters["large"] == 10**30
    with h5py.File(tmp_path / "data.h5") as file:
        assert set(file["parameters"].attrs) == {"friction", "thermal_energy", "large"}


def test_the_view_copies_nothing(path):
    with h5py.File(path) as file:
        value = file["particles/trajectory/position/value"]
        assert value.is_virtual
        assert {source.dset_name.lstrip("/") for source in value.virtual_sources()} == {
            "microstate"
        }
        assert {source.file_name for source in value.virtual_sources()} == {"."}


def test_our_own_reader_of_h5md_reads_it(path):
    data = TrajectoryEnsemble.load(path)
    trajectory = H5mdTrajectory(path)
    x = np.stack([frame.values[:, 0] for frame in trajectory.frames(["x"])])
    np.testing.assert_array_equal(x[:, 20:], data.samples[1, :, 0, :, 0])


@pytest.mark.filterwarnings("ignore")
def test_mdanalysis_opens_it(path):
    mda = pytest.importorskip("MDAnalysis")
    data = TrajectoryEnsemble.load(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        universe = mda.Universe.empty(40)
        universe.load_new(str(path), format="H5MD", convert_units=False)
        x = np.stack([frame.positions[:, 0].copy() for frame in universe.trajectory])
        times = [frame.time for frame in universe.trajectory]
        universe.trajectory.close()
    np.testing.assert_array_equal(x[:, 20:], data.samples[1, :, 0, :, 0])
    np.testing.assert_allclose(times, data.time)


def test_the_same_record_gives_the_same_bytes_at_any_time(tmp_path):
    data, files = several_sites(), [tmp_path / name for name in ("first.h5", "second.h5")]
    data.save(files[0])
    time.sleep(1.1)  # HDF5 would store the time of day in whole seconds
    data.save(files[1])
    assert files[0].read_bytes() == files[1].read_bytes()
