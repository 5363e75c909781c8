"""Trajectory ensembles on disk: what is written comes back, and what is wrong is named."""

import json
from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch
from record_files import long_record, record, rewritten
from small_ensembles import small_ensemble

from ibvonn_train.data import ChainDriven, StrainDriven
from ibvonn_train.data.ensemble import TrajectoryEnsemble, open_ensemble
from ibvonn_train.data.same_system import require_alike
from ibvonn_train.simulation import Preparation, SpringChain, TetheredParticle
from ibvonn_train.simulation.families import protocols_for_training
from ibvonn_train.simulation.protocols import (
    ramp,
    random_walk,
    smooth_pull,
    step_and_hold,
    triangle,
)


def test_a_file_returns_what_was_saved(data, file):
    read = TrajectoryEnsemble.load(file)
    for name in ("time", "strain", "stress", "microstate", "energy", "stress_variance"):
        assert np.array_equal(getattr(read, name), getattr(data, name))
    assert np.array_equal(read.drive.strain_rate, data.drive.strain_rate)
    assert read.parameters == data.parameters
    assert read.sha256() == data.sha256()


def test_a_changed_replica_changes_the_hash(data):
    microstate = data.microstate.copy()
    microstate[2, 3, 0, 7, 0] += 1e-3
    assert replace(data, microstate=microstate).sha256() != data.sha256()
    assert replace(data, seed=data.seed + 1).sha256() != data.sha256()
    assert replace(data, time=data.time * (1 + 1e-15)).sha256() != data.sha256()


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
    assert TrajectoryEnsemble.load(file, slice(0, 2)).protocols == 2
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
    data = small_ensemble(
        TetheredParticle(), [ramp(1.0)], duration=0.2, replicas=20, dtype=torch.float64
    )
    data.save(tmp_path / "wide.h5")
    read = TrajectoryEnsemble.load(tmp_path / "wide.h5").microstate
    assert read.dtype == np.float64
    assert np.array_equal(read, data.microstate)


def test_parameters_of_a_system_of_ones_own_are_kept(data):
    own = {**data.parameters, "barrier": 3.0, "stiffness_2": 1.0, "note": "measured"}
    assert replace(data, parameters=own).parameters == own


def test_strain_and_stress_follow_the_kind_of_strain(data):
    rates = [data.drive.strain_rate[case, 0, 0, 0] for case in range(3)]
    assert rates == [0.5, 1.0, 2.0]
    np.testing.assert_allclose(data.strain[:, -1, 0, 0], 0.2 * np.array(rates), rtol=1e-12)
    mean = data.microstate[:, :, 0].mean(2, dtype=float)
    np.testing.assert_allclose(data.stress[:, :, 0], data.strain[:, :, 0] - mean, atol=1e-7)
    chain = record(SpringChain(preparation=(Preparation(10, 0.01),)), [smooth_pull(0.05, 0.2)])
    total = (chain.strain[0, :, :, 0] + 1).sum(-1) * 0.01
    control = chain.drive.control[0]
    np.testing.assert_allclose(total, control, rtol=1e-5)  # strains are single precision
    assert np.array_equal(chain.strain, chain.microstate.mean(3, dtype=float))


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
    assert TrajectoryEnsemble.load(file, [0]).protocols == 1
    with pytest.raises(ValueError, match="microstate: must be a readable HDF5") as caught:
        TrajectoryEnsemble.load(file)
    assert file.name in str(caught.value)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file"):
        TrajectoryEnsemble.load(tmp_path / "none.h5")


def perturb_dataset(name, change):
    def perturb(file):
        values = file[name][:]
        del file[name]
        values = change(values)
        if values is not None:
            file[name] = values

    return perturb


def with_nan(values):
    values[(1, 2, 0, 0) if values.ndim == 4 else (1, 2, 0, 3, 0)] = np.nan
    return values


def perturb_parameters(**wrong):
    def perturb(file):
        file.attrs["parameters"] = json.dumps({**json.loads(file.attrs["parameters"]), **wrong})

    return perturb


@pytest.mark.parametrize(
    ("perturb", "words"),
    [
        (perturb_dataset("microstate", with_nan), r"microstate must be finite.*\(1, 2, 0, 3, 0\)"),
        (perturb_dataset("stress", with_nan), "stress must be finite"),
        (perturb_dataset("stress", lambda v: v[:, :-1]), "stress must have shape"),
        (perturb_dataset("microstate", lambda v: v[..., 0]), "must have the axes"),
        (perturb_dataset("time", lambda v: v[::-1]), "strictly increasing"),
        (perturb_dataset("strain", lambda _: None), "missing: \\['strain'\\]"),
        (perturb_dataset("strain", lambda v: v.astype("S")), "strain must hold numbers"),
        (perturb_dataset("microstate", lambda v: v.astype(int)), "type float32 or float64"),
        (perturb_dataset("microstate", lambda v: v[:, :, :, :0]), "none of them empty"),
        (perturb_parameters(friction=-1.0), "friction must be a number that is positive.*-1.0"),
        (perturb_parameters(friction="high"), "friction must be a number that is positive.*'high'"),
        (perturb_parameters(thermal_energy=-1.0), "thermal_energy must be .* not negative.*-1.0"),
        (
            perturb_parameters(effective_thermal_energy=float("nan")),
            "effective_thermal_energy must",
        ),
        (perturb_parameters(wel_distance=1.0), "'wel_distance' is not known; .* 'well_distance'"),
        (lambda f: f.attrs.__delitem__("drive"), "missing: \\['drive'\\]"),
        (lambda f: f.attrs.__setitem__("drive", "side"), "drive must be one of"),
        (lambda f: f.attrs.__setitem__("parameters", "{"), "must be a JSON object"),
        (lambda f: f.attrs.__setitem__("format", 3), "written in format 3"),
        (lambda f: f.attrs.__setitem__("drive", "end"), "must have the datasets control"),
        (
            lambda f: f.attrs.__setitem__("strain_names", '["a", "b"]'),
            "strain_names must name the 1",
        ),
        (
            lambda f: f.attrs.__setitem__("classes", '["a", "b"]'),
            "1 points of strain times 2 classes; found 1 sites",
        ),
        (lambda f: f.attrs.__setitem__("symmetry", "[1]"), "symmetry must be a list of objects"),
        (lambda f: f.attrs.__setitem__("reference_volume", -1.0), "reference_volume must be pos"),
        (lambda f: f.attrs.__setitem__("samples_per_replica", 7), "must divide the 20 samples"),
        (lambda f: f.attrs.__setitem__("time_step", 0.0), "time_step must be positive"),
        (lambda f: f.attrs.__setitem__("seed", "one"), "seed must be a number; found 'one'"),
    ],
)
def test_a_malformed_file_is_refused_with_its_name_and_fault(file, perturb, words):
    with h5py.File(file, "r+") as handle:
        perturb(handle)
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
        (lambda d: replace(d, reference_volume=2.0), "reference_volume is 2.0 here"),
        (lambda d: replace(d, strain_measure="log"), "strain_measure is 'log' here"),
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
        data.select([1], slice(11)),
        microstate=data.microstate[1:2, :11, :, :10],
        seed=7,
    )
    started = with_parameters(shorter, initial="uniform", preparation=[], note="on Monday")
    require_alike([data, shorter, started])
    with pytest.raises(ValueError, match="at least one ensemble"):
        require_alike([])


@pytest.mark.parametrize("kind", [">f4", ">f8", "<f4"])
def test_either_byte_order_gives_the_same_numbers_and_hash(data, file, kind):
    arrays = ("time", "strain", "stress", "energy")
    changed = {name: getattr(data, name).astype(kind.replace("4", "8")) for name in arrays}
    rewritten(file, microstate=data.microstate.astype(kind), **changed)
    read = TrajectoryEnsemble.load(file)
    assert read.microstate.dtype.isnative
    assert np.array_equal(read.microstate, data.microstate)
    assert (read.sha256() == data.sha256()) is kind.endswith("4")
    swapped = replace(data, microstate=data.microstate.astype(">f4"), time=data.time.astype(">f8"))
    assert swapped.sha256() == data.sha256()
    torch.from_numpy(swapped.microstate)


def test_instants_in_single_precision_are_the_steps_that_they_stand_for(data, file):
    assert not np.array_equal(data.time.astype(np.float32).astype(float), data.time)
    read = TrajectoryEnsemble.load(rewritten(file, time=data.time.astype(np.float32)))
    np.testing.assert_allclose(read.time, data.time, rtol=1e-15)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda rate, _: 0.0 * rate,
        lambda rate, step: rate * step,
        lambda rate, _: -rate,
        lambda rate, _: 1.3 * rate,
        lambda rate, _: rate + 0.5,
    ],
    ids=["zero", "per step", "other sign", "other unit", "of something else"],
)
def test_a_rate_that_is_not_the_slope_of_its_control_is_refused(wrong):
    pull = smooth_pull(0.7, sine=2.0, frequency=1.0)
    time = 0.01 * np.arange(101)
    control, rate = pull.value(time), pull.rate(time)
    long_record(control, rate)
    with pytest.raises(ValueError, match=r"strain_rate of protocol 0, .* must be the slope"):
        long_record(control, wrong(rate, 0.01))


@pytest.mark.parametrize("stride", [1, 5, 20, 50])
def test_rates_of_kinks_steps_and_coarse_records_are_accepted(stride):
    time = 0.01 * stride * np.arange(1000 // stride + 1)
    protocols = [step_and_hold(1.0, 3.33, 0.01), triangle(1.0, 2.34, 1.11)]
    protocols += [random_walk(10.0, 20, -1.0, 1.0, seed) for seed in range(50)]
    protocols += protocols_for_training(-1.0, 1.0, 10.0, start=0.0, seed=3)
    for each in protocols:
        long_record(each.value(time), each.rate(time), stride=stride)


@pytest.mark.parametrize("slope", [np.gradient, lambda v, h: np.diff(v, append=v[-1]) / h])
def test_rates_by_differences_are_accepted(slope):
    """As somebody takes them who has recorded the control only, in single precision."""
    control = np.sin(0.1 * np.arange(100)).astype(np.float32).astype(float)
    long_record(control, slope(control, 0.01))


@pytest.mark.parametrize(("factor", "step"), [(1e-9, 1.0), (1.0, 100.0), (1.5, 1.0)])
def test_instants_that_are_no_whole_steps_are_refused(data, factor, step):
    """Time in seconds and the step in nanoseconds, a step above the interval, one and a half."""
    times = {"time": data.time * factor, "drive": StrainDriven(data.drive.strain_rate / factor)}
    with pytest.raises(ValueError, match="time must be stored every whole number of steps"):
        replace(data, **times, time_step=data.time_step * step)


def test_sites_that_are_no_classes_and_means_that_are_not_the_strain_are_refused(data):
    many = replace(data, microstate=np.repeat(data.microstate, 3, axis=4))
    assert many.microstate_size == 3  # of controlled strain it may have several
    with pytest.raises(ValueError, match=r"averaged strain is the mean .* found .* 3 components"):
        replace(many, strain_kind="averaged")
    with pytest.raises(ValueError, match=r"must be the mean of the microstate; .* differ by"):
        replace(data, strain_kind="averaged")
    with pytest.raises(ValueError, match="1 points of strain times 1 classes; found 2 sites"):
        replace(data, microstate=np.repeat(data.microstate, 2, axis=2))
    with pytest.raises(ValueError, match="at least 2 replicas"):
        replace(data, microstate=data.microstate[:, :, :, :1])
    path, rate = data.drive.path(data.strain)
    chain = ChainDriven("end", path[..., 0], rate[..., 0], data.stress[..., 0, 0])
    with pytest.raises(ValueError, match="a chain must have averaged strain"):
        replace(data, drive=chain)
