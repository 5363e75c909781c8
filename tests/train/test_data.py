"""Trajectory ensembles on disk: what is written comes back, and what is wrong is named."""

import json
from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch

from ibvonn_train.data import TrajectoryEnsemble, open_ensemble, protocol_slices, require_alike
from ibvonn_train.simulation import Preparation, SpringChain, TetheredParticle, simulate
from ibvonn_train.simulation.protocols import ramp, smooth_pull


def record(system, protocols):
    return simulate(
        system, protocols, duration=0.2, time_step=0.01, replicas=20, seed=1, progress=False
    )


@pytest.fixture(scope="module")
def data():
    return record(TetheredParticle(), [ramp(0.5), ramp(1.0), ramp(2.0)])


@pytest.fixture
def file(data, tmp_path):
    path = tmp_path / "trap with spaces é.h5"
    data.save(path)
    return path


def test_a_file_returns_what_was_saved(data, file):
    read = TrajectoryEnsemble.load(file)
    for name in ("time", "control", "control_rate", "microstate", "force"):
        assert np.array_equal(getattr(read, name), getattr(data, name))
    assert read.parameters == data.parameters
    assert read.sha256() == data.sha256()


def test_a_changed_replica_changes_the_hash(data):
    microstate = data.microstate.copy()
    microstate[2, 3, 0, 7, 0] += 1e-3
    assert replace(data, microstate=microstate).sha256() != data.sha256()
    assert replace(data, seed=data.seed + 1).sha256() != data.sha256()
    assert replace(data, time=data.time * (1 + 1e-15)).sha256() != data.sha256()


def test_slices_of_a_file_make_up_the_whole(data, file):
    parts = list(protocol_slices(file, 2))
    assert [len(part.control) for part in parts] == [2, 1]
    assert np.array_equal(np.concatenate([p.microstate for p in parts]), data.microstate)


def test_an_opened_file_reads_no_more_than_is_asked_for(data, file, monkeypatch):
    sizes = []
    read = h5py.Dataset.__getitem__

    def count(dataset, *arguments):
        values = read(dataset, *arguments)
        sizes.append(np.size(values))
        return values

    monkeypatch.setattr(h5py.Dataset, "__getitem__", count)
    with open_ensemble(file) as stored:
        assert np.array_equal(np.asarray(stored.microstate[1]), data.microstate[1])
        assert np.array_equal(stored.strain, data.strain)
        assert stored.sha256() == data.sha256()
        assert np.array_equal(stored.select([2, 0]).microstate, data.microstate[[2, 0]])
    assert max(sizes) == data.microstate[0].size
    assert np.array_equal(TrajectoryEnsemble.load(file, [1]).microstate, data.microstate[1:2])


def test_an_opened_file_can_be_written_again(data, file, tmp_path):
    with open_ensemble(file) as stored:
        stored.save(tmp_path / "copy.h5")
    assert TrajectoryEnsemble.load(tmp_path / "copy.h5").sha256() == data.sha256()


def test_an_averaged_strain_of_an_opened_file_is_the_replica_mean(tmp_path):
    chain = SpringChain(preparation=())
    data = record(chain, [smooth_pull(0.05, 0.2), smooth_pull(0.05, 0.1)])
    data.save(tmp_path / "chain.h5")
    with open_ensemble(tmp_path / "chain.h5") as stored:
        assert np.array_equal(stored.strain, data.strain)


def test_a_value_that_is_not_finite_is_named_when_it_is_reached(file):
    with h5py.File(file, "r+") as handle:
        handle["microstate"][2, 1, 0, 4, 0] = np.inf
    assert len(TrajectoryEnsemble.load(file, slice(0, 2)).control) == 2
    with open_ensemble(file) as stored, pytest.raises(ValueError, match=r"finite.*\(1, 0, 4, 0\)"):
        stored.microstate[2]


def test_an_ensemble_may_lie_in_a_group_of_a_file(data, file, tmp_path):
    both = tmp_path / "both.h5"
    with h5py.File(both, "w") as target, h5py.File(file) as source:
        source.copy(source["/"], target, "fast")
    assert TrajectoryEnsemble.load(both, group="fast").sha256() == data.sha256()
    with pytest.raises(ValueError, match=r"Name one of the groups \['fast'\]"):
        TrajectoryEnsemble.load(both)
    with pytest.raises(ValueError, match="no group 'slow'"):
        TrajectoryEnsemble.load(both, group="slow")


def test_double_precision_survives_the_file(tmp_path):
    data = simulate(
        TetheredParticle(),
        [ramp(1.0)],
        duration=0.2,
        time_step=0.01,
        replicas=20,
        seed=1,
        dtype=torch.float64,
        progress=False,
    )
    data.save(tmp_path / "wide.h5")
    read = TrajectoryEnsemble.load(tmp_path / "wide.h5").microstate
    assert read.dtype == np.float64
    assert np.array_equal(read, data.microstate)


def test_parameters_of_a_system_of_ones_own_are_kept(data):
    own = {**data.parameters, "barrier": 3.0, "stiffness_2": 1.0, "note": "measured"}
    assert replace(data, parameters=own).parameters == own


def test_strain_and_stress_follow_the_kind_of_strain(data):
    assert np.array_equal(data.strain[..., 0, 0], data.control)
    assert np.array_equal(data.stress[..., 0, 0], data.force)
    chain = record(SpringChain(preparation=(Preparation(10, 0.01),)), [smooth_pull(0.05, 0.2)])
    total = (chain.strain[0, :, :, 0] + 1).sum(-1) * 0.01
    np.testing.assert_allclose(total, chain.control[0], rtol=1e-5)  # strains are single precision
    assert np.array_equal(chain.stress[..., 0], chain.site_force)


def test_an_interrupted_write_leaves_the_old_file(data, file, monkeypatch):
    before = file.read_bytes()

    def fail(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(h5py.Group, "create_dataset", fail)
    with pytest.raises(KeyboardInterrupt):
        data.save(file)
    assert file.read_bytes() == before
    assert [each.name for each in file.parent.iterdir()] == [file.name]


def test_a_truncated_file_is_refused(file):
    file.write_bytes(file.read_bytes()[:2000])
    with pytest.raises(ValueError, match="truncated"):
        TrajectoryEnsemble.load(file)


def test_a_damaged_block_is_refused(data, file):
    """Microstates are compressed: a block that does not unpack is noticed."""
    with h5py.File(file) as handle:
        block = handle["microstate"].id.get_chunk_info(1)
    with file.open("r+b") as raw:
        raw.seek(block.byte_offset)
        raw.write(b"\xff" * block.size)
    assert len(TrajectoryEnsemble.load(file, [0]).control) == 1
    with pytest.raises(ValueError, match="damaged") as caught:
        TrajectoryEnsemble.load(file)
    assert file.name in str(caught.value)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file"):
        TrajectoryEnsemble.load(tmp_path / "none.h5")


def spoil_dataset(name, change):
    def spoil(file):
        values = file[name][:]
        del file[name]
        values = change(values)
        if values is not None:
            file[name] = values

    return spoil


def with_nan(values):
    values[(1,) * values.ndim if values.ndim == 2 else (1, 2, 0, 3, 0)] = np.nan
    return values


def spoil_parameters(**wrong):
    def spoil(file):
        file.attrs["parameters"] = json.dumps({**json.loads(file.attrs["parameters"]), **wrong})

    return spoil


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (spoil_dataset("microstate", with_nan), r"microstate must be finite.*\(1, 2, 0, 3, 0\)"),
        (spoil_dataset("force", with_nan), "force must be finite"),
        (spoil_dataset("force", lambda v: v[:, :-1]), "force must have shape"),
        (spoil_dataset("microstate", lambda v: v[..., 0]), "must have the axes"),
        (spoil_dataset("time", lambda v: v[::-1]), "strictly increasing"),
        (spoil_dataset("control", lambda _: None), "missing: \\['control'\\]"),
        (spoil_dataset("control", lambda v: v.astype("S")), "control must hold numbers"),
        (spoil_dataset("microstate", lambda v: v.astype(int)), "type float32 or float64"),
        (spoil_dataset("microstate", lambda v: v[:, :, :, :0]), "none of them empty"),
        (spoil_parameters(friction=-1.0), "friction must be a number that is positive.*-1.0"),
        (spoil_parameters(friction="high"), "friction must be a number that is positive.*'high'"),
        (spoil_parameters(thermal_energy=-1.0), "thermal_energy must be .* not negative.*-1.0"),
        (spoil_parameters(effective_thermal_energy=float("nan")), "effective_thermal_energy must"),
        (spoil_parameters(wel_distance=1.0), "'wel_distance' is not known; .* 'well_distance'"),
        (lambda f: f.attrs.__delitem__("drive"), "missing: \\['drive'\\]"),
        (lambda f: f.attrs.__setitem__("drive", "side"), "drive must be one of"),
        (lambda f: f.attrs.__setitem__("parameters", "{"), "must be a JSON object"),
        (lambda f: f.attrs.__setitem__("format", 2), "written in format 2"),
        (lambda f: f.attrs.__setitem__("time_step", 0.0), "time_step must be positive"),
        (lambda f: f.attrs.__setitem__("seed", "one"), "seed must be a number; found 'one'"),
    ],
)
def test_a_malformed_file_is_refused_with_its_name_and_fault(file, spoil, words):
    with h5py.File(file, "r+") as handle:
        spoil(handle)
    with pytest.raises(ValueError, match=words) as caught:
        TrajectoryEnsemble.load(file)
    assert file.name in str(caught.value)


def with_parameters(data, **changed):
    return replace(data, parameters={**data.parameters, **changed})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: with_parameters(d, thermal_energy=100.0), "thermal_energy is 100.0 here and"),
        (lambda d: with_parameters(d, friction=3.0), "friction is 3.0 here and 1.0 there"),
        (lambda d: with_parameters(d, reference_length=1e-10), "reference_length is 1e-10 here"),
        (lambda d: with_parameters(d, barrier=2), "parameter barrier is 2 here and None there"),
        (lambda d: replace(d, units={**d.units, "length": "m"}), "unit of length is 'm' here"),
        (lambda d: replace(d, units={}), "unit of energy is None here"),
        (lambda d: replace(d, system="another"), "system is 'another' here"),
        (lambda d: replace(d, drive="force"), "drive is 'force' here"),
        (lambda d: replace(d, time_step=0.005), "time_step is 0.005 here and 0.01 there"),
        (
            lambda d: replace(d, microstate=np.repeat(d.microstate, 2, axis=4)),
            "components of a microstate is 2 here and 1 there",
        ),
    ],
)
def test_ensembles_of_another_system_or_unit_do_not_belong_together(data, change, words):
    with pytest.raises(ValueError, match=f"second.h5: must be of the same system.*{words}"):
        require_alike([data, change(data)], ["first.h5", "second.h5"])


def test_ensembles_may_differ_in_protocols_duration_seed_and_start(data):
    shorter = replace(
        data.select([1]),
        **{name: getattr(data, name)[1:2, :11] for name in ("control", "control_rate", "force")},
        time=data.time[:11],
        microstate=data.microstate[1:2, :11, :, :10],
        seed=7,
    )
    started = with_parameters(shorter, initial="uniform", preparation=[], note="on Monday")
    require_alike([data, shorter, started])
    with pytest.raises(ValueError, match="at least one ensemble"):
        require_alike([])
