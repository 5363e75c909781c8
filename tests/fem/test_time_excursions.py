"""The quick look at rates and time steps says what the look at every point says."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ibvonn_fem import load_model
from ibvonn_fem.kernels import LocalUpdate
from ibvonn_fem.model.point_reports import watch_time

MODEL = Path(__file__).parents[2] / "exported_models" / "lattice"
RATES = load_model(MODEL).manifest.envelope.strain_rate
LONGEST = float(load_model(MODEL).manifest.envelope.time_step[1])


def validity(strain: np.ndarray[Any, Any], dt: Any) -> np.ndarray[Any, Any]:
    """Validity after the look, of points that a kernel has found inside."""
    update = LocalUpdate.empty(len(strain), 3, 3)
    update.validity[...] = 0.0
    watch_time(update, strain, np.zeros_like(strain), dt, load_model(MODEL).manifest)
    return np.array(update.validity)


@pytest.mark.parametrize("dt", [0.0, 3.0, LONGEST, 1.5 * LONGEST])
@pytest.mark.parametrize("beyond", [0.0, 1e-15, 0.5, np.nan, np.inf])
def test_one_time_step_for_all_is_that_of_every_point(dt: float, beyond: float) -> None:
    """Rates at the ends of their range, and beyond them: an array of equal Δt has no quick look."""
    shares = np.random.default_rng(0).uniform(0.0, 1.0, (50, 3))
    shares[:3], shares[3, 1] = [[0.0] * 3, [1.0] * 3, [0.5] * 3], 1.0 + beyond
    with np.errstate(invalid="ignore"):  # 0 times infinity
        strain = dt * (RATES[:, 0] + shares * (RATES[:, 1] - RATES[:, 0]))
    quick, every = validity(strain, dt), validity(strain, np.full(50, dt))
    np.testing.assert_array_equal(quick, every)
    if dt > 0.0:
        assert (quick[3] > 0.4) == (beyond >= 0.5 or dt > LONGEST) or np.isnan(beyond)


def test_a_manifest_without_a_longest_step_has_none() -> None:
    """Of models that declare no range of Δt: no step is too long."""
    manifest = load_model(MODEL).manifest
    envelope = dataclasses.replace(manifest.envelope, time_step=np.zeros(2))
    update = LocalUpdate.empty(2, 3, 3)
    update.validity[...] = 0.0
    watch_time(
        update, np.zeros((2, 3)), np.zeros((2, 3)), 1e9,
        dataclasses.replace(manifest, envelope=envelope),
    )  # fmt: skip
    np.testing.assert_array_equal(update.validity, 0.0)
