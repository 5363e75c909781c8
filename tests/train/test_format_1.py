"""Files of format 1 are read as the records that they hold."""

import json

import h5py
import numpy as np
import pytest
from record_files import long_record, record

from ibvonn_train.data import ChainDriven
from ibvonn_train.data.ensemble import TrajectoryEnsemble
from ibvonn_train.simulation import SpringChain, TetheredParticle
from ibvonn_train.simulation.protocols import (
    ramp,
    smooth_pull,
)


def as_format_1(data, path):
    """Write a record as version 1 of the format had it."""
    chain = isinstance(data.drive, ChainDriven)
    control, rate = (series[..., 0] for series in data.drive.path(data.strain))
    with h5py.File(path, "w") as file:
        file["time"], file["control"], file["control_rate"] = data.time, control, rate
        file["microstate"] = data.microstate
        file["force"] = data.drive.external_force(data.stress)
        if chain:
            file["site_force"] = data.stress[..., 0]
        file.attrs["format"] = 1
        file.attrs["drive"] = data.drive.kind if chain else "end"
        for name in ("system", "strain_kind", "time_step", "seed"):
            file.attrs[name] = getattr(data, name)
        for name in ("parameters", "units"):
            file.attrs[name] = json.dumps(getattr(data, name), sort_keys=True)


@pytest.mark.parametrize(
    "drive", [None, "end", "force"], ids=["trap", "chain by its end", "chain by a force"]
)
def test_a_file_of_format_1_is_read_as_the_same_record(drive, tmp_path):
    if drive is None:
        data = record(TetheredParticle(), [ramp(0.5), ramp(1.0)])
    else:
        pull = smooth_pull(0.05, 0.2) if drive == "end" else ramp(1e-3)
        data = record(SpringChain(drive=drive, preparation=()), [pull, pull])
    as_format_1(data, tmp_path / "old.h5")
    read = TrajectoryEnsemble.load(tmp_path / "old.h5")
    for name in ("time", "strain", "stress", "microstate"):
        assert np.array_equal(getattr(read, name), getattr(data, name))
    for name, series in data.drive.datasets().items():
        assert np.array_equal(getattr(read.drive, name), series)
    assert read.sha256() == data.sha256()
    read.save(tmp_path / "new.h5")
    with h5py.File(tmp_path / "new.h5") as file:
        assert file.attrs["format"] == 2
    assert TrajectoryEnsemble.load(tmp_path / "new.h5").sha256() == data.sha256()


def test_the_hash_of_a_record_that_format_1_holds_is_the_one_it_always_had():
    """Exported models name their training data by it. Two rows, written out by hand."""
    data = long_record(np.array([0.0, 0.1]), np.array([10.0, 10.0]))
    assert data.sha256() == "86813822112f43a9fc60b0d0d6fd88955d31b84770b50e0a9f3bd00eebb2a5b8"


@pytest.mark.parametrize(
    ("perturbation", "words"),
    [
        (lambda f: f.attrs.__setitem__("drive", "side"), "drive must be one of"),
        (lambda f: f.__delitem__("control"), "missing: \\['control'\\]"),
        (lambda f: f.attrs.__setitem__("strain_kind", "averaged"), "needs site_force"),
        (lambda f: f.attrs.__setitem__("strain_kind", "other"), "strain_kind must be one of"),
    ],
)
def test_a_malformed_file_of_format_1_is_refused(data, tmp_path, perturbation, words):
    as_format_1(data, tmp_path / "old.h5")
    with h5py.File(tmp_path / "old.h5", "r+") as file:
        perturbation(file)
    with pytest.raises(ValueError, match=words):
        TrajectoryEnsemble.load(tmp_path / "old.h5")
