"""Strain rates and time steps beyond those of the training data are reported as the rest is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ibvonn_fem.errors import EnvelopeError, EnvelopeWarning
from ibvonn_fem.model.exported_model import ExportedModel
from ibvonn_fem.model.material_point import run_point
from ibvonn_fem.model.microstates import equilibrium_state

pytestmark = pytest.mark.fem


@pytest.fixture
def slow(zener):
    """Factory of Zener laws that were trained at |ε| <= 1, |rate| <= 1 and Δt <= 1."""

    def make(*, strict_range=False):
        manifest = zener().manifest
        envelope = replace(
            manifest.envelope, strain_rate=np.array([[-1.0, 1.0]]), time_step=np.array([0.1, 1.0])
        )
        kernel = zener().kernel
        return ExportedModel(
            replace(manifest, envelope=envelope), kernel, strict_range=strict_range
        )

    return make


def step(model, strain, old, dt):
    n = len(np.atleast_1d(strain))
    columns = [np.reshape(value, (n, 1)) for value in (strain, old)]
    return model.update(*columns, np.zeros((n, 1)), dt)


@pytest.mark.parametrize(
    ("strain", "dt", "excursion", "words"),
    [
        ([0.3, 0.1], 0.1, 2.0, "1 of 2 points .* worst is rate of strain = 3, 2 half widths"),
        ([-0.3, 0.1], 0.1, 2.0, "worst is rate of strain = -3, 2 half widths"),
        ([0.1, 0.1], 1.5, 1.0, "2 of 2 points .* worst is time step = 1.5, 1 half widths"),
        ([0.3, 0.1], np.array([0.1, 1.5]), 2.0, "2 of 2 points .* rate of strain = 3"),
    ],
)
def test_a_rate_or_a_step_beyond_training_is_reported(slow, strain, dt, excursion, words):
    with pytest.warns(EnvelopeWarning, match=words):
        result = step(slow(), strain, [0.0, 0.0], dt)
    assert result.validity.max() == pytest.approx(excursion)
    with pytest.raises(EnvelopeError, match=words):
        step(slow(strict_range=True), strain, [0.0, 0.0], dt)


@pytest.mark.parametrize(
    ("strain", "dt"),
    [([0.1, -0.1], 0.1), ([0.9, -0.9], 0.0), ([1e-7, 0.0], 1e-6), ([0.1, 0.1], 1.0 + 1e-12)],
    ids=["at the fastest", "elastic jump", "short", "longest but for round-off"],
)
def test_steps_within_training_are_not_complained_of(slow, strain, dt):
    result = step(slow(strict_range=True), strain, [0.0, 0.0], dt)
    assert not result.validity.any()


def test_a_history_at_one_material_point_shows_where_it_is_too_fast(slow):
    with pytest.warns(EnvelopeWarning, match="rate of strain = 4"):
        history = run_point(slow(), [0.0, 0.1, 0.2, 0.3], [0.0, 0.05, 0.45, 0.45])
    np.testing.assert_allclose(history.validity, [0.0, 0.0, 3.0, 0.0], atol=1e-12)


@pytest.mark.parametrize(("elongation", "dt", "beyond"), [(0.4, 0.1, 1.0), (0.2, 2.0, 2.0)])
def test_a_body_shows_it_in_its_field_and_refuses_on_demand(slow, bar, elongation, dt, beyond):
    """A bar of length 2: an elongation of 0.4 in 0.1 is twice the fastest rate of training."""
    body = bar(slow())
    body.elongation.value = elongation
    body.problem.solve(dt)
    with pytest.warns(EnvelopeWarning, match=r"rate of strain|time step"):
        body.law.model.report_range(body.law.range_report())
    np.testing.assert_allclose(body.law.validity.x.array, beyond)
    strict = bar(slow(strict_range=True))
    strict.elongation.value = elongation
    strict.problem.solve(dt)
    with pytest.raises(EnvelopeError, match=r"rate of strain|time step"):
        strict.law.model.report_range(strict.law.range_report())


def test_the_way_to_equilibrium_has_no_pace(slow):
    """Its steps grow tenfold beyond all training."""
    statev = equilibrium_state(slow(strict_range=True), np.full((3, 1), 0.5))
    np.testing.assert_allclose(statev, 0.25, rtol=1e-10)
