"""The field of stress errors is the estimate at the states of the body."""

from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
import pytest

from ibvonn_fem import FieldWriter, Scaled, load_model
from ibvonn_fem.body.stress_errors import StressErrors
from ibvonn_fem.files.error_estimate import ErrorEstimate
from ibvonn_fem.files.model_directory import manifest_hash
from ibvonn_fem.stepping import EveryPoint, Histories

EXPORTED = Path(__file__).resolve().parents[2] / "exported_models"

pytestmark = pytest.mark.fem


def estimate_of(model):
    """Three windows of one component, known without noise but for c."""
    inputs = np.array([[0.2, 0.1, 1.0], [0.5, 0.3, 0.5], [1.0, 0.4, 0.0]])
    a, b, c = 0.1, 0.02, 0.01
    squares = ((inputs[:, None] - inputs) ** 2).sum(-1)
    covariance = a**2 * np.exp(-0.5 * squares) + (b**2 + c**2) * np.eye(3)
    precision = np.linalg.inv(covariance)
    errors = np.array([0.05, -0.02, 0.1])
    return ErrorEstimate(
        law=np.frombuffer(manifest_hash(model.manifest.raw).encode(), dtype=np.uint8),
        sizes=np.array([1, 1]),
        scales=np.ones(3),
        inputs=inputs,
        weights=(precision @ errors)[:, None],
        precision=precision[None],
        amplitudes=np.array([a, b, c]),
        calibration=np.array(1.5),
    )


def closed(estimate, strain, alpha, rate):
    """Mean and deviation at one state, written out."""
    a, b, c = estimate.amplitudes
    like = np.exp(-0.5 * ((np.array([strain, alpha, rate]) - estimate.inputs) ** 2).sum(1))
    known = a**4 * like @ estimate.precision[0] @ like
    mean = a**2 * like @ estimate.weights[:, 0]
    return mean, 1.5 * np.sqrt(a**2 + b**2 + c**2 - known)


def test_an_error_is_less_uncertain_near_a_re_run_than_far_from_it():
    model = load_model(EXPORTED / "exact_trap")
    estimate = estimate_of(model)
    states = np.array([[0.2, 0.1, 1.0], [9.0, 9.0, 9.0]])
    mean, deviation = estimate.at(states[:, :1], states[:, 1:2], states[:, 2:])
    np.testing.assert_allclose(mean[0, 0], closed(estimate, *states[0])[0])
    assert abs(mean[1, 0]) < 1e-12
    assert deviation[0, 0] < 0.5 * deviation[1, 0]
    assert deviation[1, 0] == pytest.approx(1.5 * np.sqrt(0.1**2 + 0.02**2 + 0.01**2))


@pytest.mark.parametrize("scaled", [False, True])
def test_the_field_is_the_estimate_at_strain_state_and_rate(bar, tmp_path, scaled):
    original = load_model(EXPORTED / "exact_trap")
    model, factors = original, (1.0, 1.0, 1.0)
    if scaled:
        factors = 0.5, 7.0, 10.0
        model = Scaled(original, strain_scale=0.5, stress_scale=7.0, time_scale=10.0)
    strain_unit, stress_unit, time_unit = factors
    body = bar(model)
    estimate = estimate_of(original)
    estimate.save(tmp_path / "errors.npz")
    errors = StressErrors(body.law, tmp_path / "errors.npz")
    times = np.array([0.0, 0.3, 0.5]) * time_unit
    with FieldWriter(tmp_path / "bar.xdmf", body.law, body.u, errors=errors) as fields:
        fields.write(0.0)
        for before, now in pairwise(times):
            body.elongation.value = 2.0 * strain_unit * now / time_unit  # a bar of length 2
            body.problem.solve(now - before)
            body.problem.commit()
            fields.write(now)
    alpha = body.law.internal[:, 0, 0]
    with h5py.File(tmp_path / "bar.h5") as file:
        name = body.law.name
        groups = {key: file[f"Function/{name}_{key}"] for key in
                  ("stress_error", "stress_error_deviation")}  # fmt: skip
        last = sorted(groups["stress_error"], key=lambda text: float(text.replace("_", ".")))[-1]
        mean, deviation = (groups[key][last][:, 0] for key in groups)
    expected = closed(estimate, 0.5, float(alpha[0]), 1.0)  # an even bar, pulled at the rate 1
    np.testing.assert_allclose(mean, stress_unit * abs(expected[0]), rtol=1e-6)
    np.testing.assert_allclose(deviation, stress_unit * expected[1], rtol=1e-6)


def test_an_estimate_of_another_law_is_refused(bar, zener, tmp_path):
    estimate = estimate_of(load_model(EXPORTED / "exact_trap"))
    body = bar(load_model(EXPORTED / "trap"))
    with pytest.raises(ValueError, match="must be an estimate of the law"):
        StressErrors(body.law, estimate)
    with pytest.raises(ValueError, match="must be an estimate of the law"):
        StressErrors(bar(zener()).law, estimate)  # a law of Python has no manifest
    own, other = (bar(load_model(EXPORTED / "exact_trap")) for _ in range(2))
    with pytest.raises(ValueError, match="must be those of its laws"):
        FieldWriter(tmp_path / "bar.xdmf", own.law, own.u, errors=StressErrors(other.law, estimate))


def test_every_point_is_recorded(bar, tmp_path):
    from ibvonn_fem import TimeStepping

    body = bar(load_model(EXPORTED / "exact_trap"), cells=3)
    record = Histories(tmp_path / "bar.h5", EveryPoint())
    stepping = TimeStepping(
        body.problem, lambda t: setattr(body.elongation, "value", t), record=record
    )
    stepping.run(np.linspace(0.0, 0.1, 3))
    with h5py.File(tmp_path / "bar.h5") as file:
        np.testing.assert_array_equal(file["point"], np.arange(len(body.law.internal)))
