"""Estimated errors: intervals that hold, noise that counts, and controls that fail."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ibvonn_train.cli import main
from ibvonn_train.data.point_histories import PointHistories
from ibvonn_train.evaluation import ExportedLaw
from ibvonn_train.files.error_estimate import ErrorEstimate, likeness
from ibvonn_train.simulation import TetheredParticle
from ibvonn_train.studies.error_field import (
    error_field,
    estimated,
    intervals,
    largest_error,
    states_of,
)
from ibvonn_train.studies.gaussian_process import _negative_log_posterior, calibrated, fit
from ibvonn_train.studies.interval_scores import coverage, interval_score
from ibvonn_train.studies.space_filling import space_filling
from tests.helpers.recorded_histories import recorded, write

ROOT = Path(__file__).parents[2]
EXPORTED = ROOT / "exported_models"


class SofterLaw:
    """A law whose stress lacks a part of its cube: the error depends on the strain."""

    def __init__(self, law: ExportedLaw, part: float) -> None:
        self.law, self.part = law, part

    def __getattr__(self, name: str) -> Any:
        return getattr(self.law, name)

    def update(self, strain: Any, strain_old: Any, internal: Any, dt: Any) -> Any:
        stress, state = self.law.update(strain, strain_old, internal, dt)
        return stress - self.part * stress**3, state


@pytest.fixture(scope="module")
def trap() -> ExportedLaw:
    return ExportedLaw(EXPORTED / "exact_trap")


@pytest.fixture(scope="module")
def body(trap: ExportedLaw) -> PointHistories:
    """Forty points that are pulled to different strains, as those of a body."""
    time = np.linspace(0.0, 2.0, 41)
    shape = np.interp(time, [0.0, 0.8, 1.4, 2.0], [0.0, 1.0, 1.0, -0.5])
    size = np.linspace(0.2, 3.0, 40)
    return recorded(trap, time, size[:, None, None] * shape[:, None])


def test_the_slope_of_the_posterior_is_its_derivative() -> None:
    rng = np.random.default_rng(0)
    inputs, errors = rng.normal(size=(12, 3)), rng.normal(size=(12, 2))
    apart = np.stack([((inputs[:, None, g] - inputs[:, g]) ** 2) for g in range(3)])
    paths = np.repeat(np.arange(4), 3)
    same = (paths[:, None] == paths).astype(float)
    noise = 0.3 * rng.uniform(size=(12, 2))
    point, centre = 0.3 * rng.normal(size=6), np.zeros(6)
    _, slope = _negative_log_posterior(point, apart, same, errors, noise, centre)
    for i in range(6):
        step = 1e-5 * np.eye(6)[i]
        up, down = (
            _negative_log_posterior(point + s, apart, same, errors, noise, centre)[0]
            for s in (step, -step)
        )
        assert (up - down) / 2e-5 == pytest.approx(slope[i], rel=1e-5, abs=1e-6)


def regressed(noise_size: float, told: float, seed: int = 0) -> tuple[Any, Any, Any]:
    """A fit to twenty noisy paths of a function of one number, and the truth of sixty others."""
    rng = np.random.default_rng(seed)
    x = np.sort(rng.uniform(-2.0, 2.0, (80, 1, 1)), 0) + 0.3 * np.linspace(0, 1, 6)[:, None]
    truth = np.sin(2.0 * x[..., 0])
    noise = np.full(truth.shape, noise_size)
    values = truth + noise * rng.normal(size=truth.shape)
    some = np.arange(0, 80, 4)
    fitted = fit(
        x[some].reshape(-1, 1), np.zeros(1, int), np.repeat(np.arange(20), 6),
        values[some].reshape(-1, 1), told * noise[some].reshape(-1, 1),
    )  # fmt: skip
    return fitted, x, truth


def test_a_smooth_error_is_found_within_the_noise() -> None:
    fitted, x, truth = regressed(0.2, 1.0)
    rows = x[::4].reshape(-1, 1) / fitted.lengths
    a = fitted.amplitudes[0]
    mean = a**2 * likeness(x.reshape(-1, 1) / fitted.lengths, rows) @ fitted.weights
    assert np.abs(mean[:, 0] - truth.ravel()).mean() < 0.1
    assert np.hypot(*fitted.amplitudes[1:]) < 0.15  # no path and no window has an error of its own


def test_noise_that_is_not_told_passes_for_an_error() -> None:
    """Guards the test above: without the noise of the re-runs the residue would be an error."""
    fitted, _, _ = regressed(0.2, 0.05)
    assert np.hypot(*fitted.amplitudes[1:]) > 0.15


def test_calibration_brings_ninety_of_a_hundred_errors_into_their_intervals() -> None:
    rng = np.random.default_rng(2)
    noise = np.full(4000, 0.5)
    away = rng.normal(size=4000) * np.sqrt(2.0**2 + 0.5**2)
    factor = calibrated(away, np.ones(4000), noise)
    assert factor == pytest.approx(2.0, rel=0.06)
    low, high = intervals(np.zeros(4000), factor * np.ones(4000), noise)
    assert coverage(low, high, away) == pytest.approx(0.9, abs=1e-3)


def test_the_interval_score_is_least_for_the_true_quantiles() -> None:
    values = np.random.default_rng(1).normal(size=20_000)
    scores = [interval_score(-w, w, values) for w in np.full((3, 1), [[1.0], [1.645], [2.5]])]
    assert scores[1] == min(scores)


def test_points_fill_what_is_visited_and_not_what_is_frequent() -> None:
    """Ninety points stay near rest, ten go out along two arms."""
    arms = np.zeros((100, 4, 2))
    arms[90:95, :, 0] = np.linspace(0.0, 1.0, 4)
    arms[95:, :, 1] = np.linspace(0.0, 1.0, 4)
    arms += 1e-3 * np.random.default_rng(0).normal(size=arms.shape)
    chosen = space_filling(arms, 2)
    assert min(chosen) >= 90
    assert (chosen[0] >= 95) != (chosen[1] >= 95)
    assert space_filling(arms, 3, [4])[0] == 4
    with pytest.raises(ValueError, match="between 1 and 100"):
        space_filling(arms, 101)


def test_windows_of_a_history_have_its_mean_strain_and_rate(trap: ExportedLaw) -> None:
    time = np.array([0.0, 0.0, 4.0, 8.0])  # a jump at the start
    strain = np.array([0.0, 2.0, 2.0, 6.0])[None, :, None]
    states = states_of(recorded(trap, time, strain))
    np.testing.assert_allclose(states[0, :4, 0], 2.0)
    np.testing.assert_allclose(states[0, 4:, 2], 1.0)
    np.testing.assert_allclose(states[0, 4:, 0], [2.5, 3.5, 4.5, 5.5])


def test_errors_of_other_points_lie_in_their_intervals(
    trap: ExportedLaw, body: PointHistories, tmp_path: Path
) -> None:
    law = SofterLaw(trap, 0.02)
    field = error_field(
        law, body, TetheredParticle(), points=8, replicas=400, seed=3, progress=False
    )
    others = [int(p) for p in body.point if p not in field.points]
    truth = -0.02 * states_of_stress(law, body.select(others)) ** 3
    mean, deviation = estimated(field.estimate, body.select(others))
    low, high = intervals(mean, deviation, np.zeros_like(mean))
    assert coverage(low[..., 0], high[..., 0], truth) > 0.8
    spread = float(truth.std())
    assert np.abs(mean[..., 0] - truth).mean() < 0.5 * spread  # better than no estimate
    constant = 1.645 * spread
    centre = float(truth.mean())
    flat = interval_score(
        np.full(truth.shape, centre - constant), np.full(truth.shape, centre + constant), truth
    )
    assert interval_score(low[..., 0], high[..., 0], truth) < flat
    # The largest error is expected where the stress is largest.
    worst = body.point[largest_error(field.estimate, body).argmax()]
    assert worst >= body.point[30]
    path = tmp_path / "errors.npz"
    field.estimate.save(path)
    again, _ = estimated(ErrorEstimate.load(path), body.select(others))
    np.testing.assert_array_equal(again, mean)


def states_of_stress(law: SofterLaw, histories: PointHistories) -> Any:
    """Stress of the exact trap in the windows, ``(n_point, 8)``."""
    states = states_of(histories)
    return states[..., 0] - states[..., 1]


def test_the_estimate_of_both_packages_is_one_file() -> None:
    name = "files/error_estimate.py"
    assert (ROOT / "ibvonn_train" / name).read_bytes() == (ROOT / "ibvonn_fem" / name).read_bytes()


def test_the_command_writes_an_estimate_and_refuses_bad_input(
    body: PointHistories, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = write(tmp_path / "body.h5", body), tmp_path / "errors.npz"
    command = ["error-field", str(file), "--model", str(EXPORTED / "exact_trap"), "--out", str(out)]
    record = tmp_path / "errors.json"
    assert main([*command, "--points", "4", "--replicas", "16", "--json", str(record)]) == 0
    assert "4 points were simulated again" in capsys.readouterr().out
    assert json.loads(record.read_text())["states"] == 320
    assert ErrorEstimate.load(out).manifest_sha256 == body.manifest_sha256
    recorded = len(body.point)
    for points in (1, recorded + 1):
        assert main([*command, "--points", str(points)]) == 1
        words = f"points must be at least 2 and at most the {recorded} that were recorded"
        assert f"{words}; found {points}. Give another number," in capsys.readouterr().err
    out.write_bytes(b"no archive")
    with pytest.raises(ValueError, match="must be an estimate of errors"):
        ErrorEstimate.load(out)
