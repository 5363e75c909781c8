"""Records from NumPy arrays: axes that are one are added, what is not known stays unknown."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_ensembles import small_ensemble

from ibvonn_train.audits.audit_data import Evidence, lacks_time_step
from ibvonn_train.audits.entropy_production import fluctuation_dissipation
from ibvonn_train.data import TrajectoryEnsemble
from ibvonn_train.data.ensemble import open_ensemble
from ibvonn_train.data.same_system import require_alike
from ibvonn_train.evaluation import evaluate, open_law
from ibvonn_train.simulation import TetheredParticle
from ibvonn_train.simulation.protocols import ramp

ROOT = Path(__file__).resolve().parents[2]

TIME = 0.1 * np.arange(5)
STRAIN = np.stack([TIME, -TIME])
X = np.random.default_rng(0).normal(size=(2, 5, 3)) + STRAIN[:, :, None]
KNOWN = {"system": "mine", "friction": 1.0, "thermal_energy": 0.01}


def record(strain=STRAIN, stress=STRAIN, x=X, **given):
    return TrajectoryEnsemble.from_arrays(TIME, strain, stress, x, **{**KNOWN, **given})


def test_short_axes_and_all_axes_make_the_same_record():
    short = record(strain_rate=np.stack([np.ones(5), -np.ones(5)]), time_step=0.1, seed=1)
    whole = record(
        STRAIN[:, :, None, None],
        STRAIN[:, :, None, None],
        X[:, :, None, :, None],
        strain_rate=np.stack([np.ones(5), -np.ones(5)])[:, :, None, None],
        time_step=0.1,
        seed=1,
    )
    assert short.sha256() == whole.sha256()
    assert short.strain.shape == (2, 5, 1, 1)
    assert short.samples.shape == (2, 5, 1, 3, 1)
    assert short.not_recorded == ()


def test_averaged_strain_is_the_mean_of_the_microstates():
    made = record(None, strain_kind="averaged")
    np.testing.assert_allclose(made.strain[..., 0, 0], X.mean(2))
    with pytest.raises(ValueError, match="strain must be given where it is controlled"):
        record(None)


def test_what_is_not_given_is_said_to_be_unknown_also_in_a_file(tmp_path):
    made = record()
    made.save(tmp_path / "mine.h5")
    read = TrajectoryEnsemble.load(tmp_path / "mine.h5")
    for data in (made, read):
        assert data.not_recorded == ("seed", "time_step")
        assert data.stride == 10
        evidence = Evidence(data, None)
        assert lacks_time_step(evidence) is not None
    assert read.sha256() == made.sha256()


def test_a_known_time_step_lacks_nothing():
    """Guards the test above."""
    assert lacks_time_step(Evidence(record(time_step=0.1), None)) is None


def test_records_of_unknown_steps_and_several_intervals_belong_together():
    fast = record()
    slow = TrajectoryEnsemble.from_arrays(3 * TIME, STRAIN, STRAIN, X, **KNOWN)
    assert fast.time_step != slow.time_step
    require_alike([fast, slow])
    with pytest.raises(ValueError, match="time_step"):
        require_alike([fast, record(time_step=0.1)])


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"strain": TIME}, "strain must have the axes"),
        ({"x": X[0]}, "microstate must have the axes"),
        ({"strain_rate": -STRAIN * 0 + 7}, "must be the slope of the control"),
        ({"stress": STRAIN[:, :4]}, "stress must have shape"),
    ],
)
def test_what_contradicts_the_conventions_is_refused(wrong, words):
    with pytest.raises(ValueError, match=words):
        record(**wrong)


def test_nothing_but_seed_and_time_step_may_be_unknown():
    with pytest.raises(ValueError, match="not_recorded must name some of"):
        replace(record(), not_recorded=("friction",))


def test_a_protocol_larger_than_a_block_is_copied_whole(tmp_path):
    """Blocks of instants are read from one file and written to another: none is left out."""
    rng = np.random.default_rng(1)
    time = np.arange(50.0)
    x = rng.normal(size=(2, 50, 20_000))
    strain = np.zeros((2, 50))
    made = TrajectoryEnsemble.from_arrays(time, strain, strain, x, **KNOWN)
    made.save(tmp_path / "a.h5")
    with open_ensemble(tmp_path / "a.h5") as stored:
        stored.save(tmp_path / "b.h5")
    again = TrajectoryEnsemble.load(tmp_path / "b.h5")
    np.testing.assert_array_equal(again.samples, made.samples)


def test_a_record_without_rate_and_step_is_evaluated_with_audits_not_available():
    law = open_law(ROOT / "exported_models/trap")
    full = small_ensemble(
        TetheredParticle(), [ramp(0.5), ramp(-1.0)], duration=0.6, replicas=100, stride=2
    )
    bare = TrajectoryEnsemble.from_arrays(
        full.time,
        full.strain,
        full.stress,
        full.samples,
        system=full.system,
        friction=1.0,
        thermal_energy=0.01,
        parameters=full.parameters,
    )
    verdicts = []
    for data in (full, bare):
        result = evaluate(law, data)
        audit = fluctuation_dissipation(law, Evidence(data, result.measured))
        verdicts.append((bool(result.sampling_error), audit.verdict == "not available"))
        assert result.errors["controlled/stress"] < 3.0
    assert verdicts == [(True, False), (False, True)]
