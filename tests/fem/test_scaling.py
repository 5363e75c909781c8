"""A dimensionless law in physical units: every quantity, and the energy they derive from."""

import logging

import numpy as np
import pytest
from derivatives import assert_is_derivative
from solid_laws import Point, smooth_law

from ibvonn_fem import EnvelopeWarning, Scaled
from ibvonn_fem.kinematics import Microsphere

STRESS, TIME, STRAIN = 2.5e6, 40.0, 0.02


@pytest.fixture
def law():
    return smooth_law(2)


@pytest.fixture
def scaled(law):
    return Scaled(law, stress_scale=STRESS, time_scale=TIME, strain_scale=STRAIN)


def test_an_update_in_physical_units_is_the_same_update(law, scaled):
    rng = np.random.default_rng(0)
    new, old, state = rng.normal(size=(3, 5, 2))
    new, old = 0.2 * new[:, :1], 0.2 * old[:, :1]
    here = law.update(new, old, 0.3 * state, 0.5)
    there = scaled.update(STRAIN * new, STRAIN * old, 0.3 * state, TIME * 0.5)
    for name, factor in {
        "stress": STRESS,
        "statev_new": 1.0,
        "tangent": STRESS / STRAIN,
        "energy": STRESS * STRAIN,
        "dissipation": STRESS * STRAIN,
        "validity": 1.0,
    }.items():
        np.testing.assert_allclose(
            getattr(there, name), factor * getattr(here, name), rtol=1e-12, err_msg=name
        )


def test_first_iterates_are_passed_on(law, scaled):
    guesses = []
    update = law.kernel.update

    def watched(*arguments, guess=None, **keywords):
        guesses.append(guess)
        return update(*arguments, guess=guess, **keywords)

    law.kernel.update = watched
    guess = np.array([[0.1, 0.2]])
    scaled.update([[0.0]], [[0.0]], np.zeros((1, 2)), 1.0, guess=guess)
    assert guesses[0] is guess


def test_rates_in_physical_units_dissipate_the_scaled_power(law, scaled):
    strain, state = np.array([[0.1]]), np.array([[0.2, -0.3]])
    here, there = law.rates(strain, state), scaled.rates(STRAIN * strain, state)
    power = (here.driving_force * here.rate).sum()
    np.testing.assert_allclose(
        (there.driving_force * there.rate).sum(), power * STRESS * STRAIN / TIME, rtol=1e-12
    )


def test_stress_is_the_derivative_of_the_energy_in_physical_units(scaled):
    strain, state = np.array([0.1 * STRAIN]), np.array([[0.2, -0.3]])
    stress = scaled.rates(strain[np.newaxis], state).stress[0]
    assert_is_derivative(
        stress / STRESS,
        lambda e: scaled.rates(e[np.newaxis], state).energy / STRESS,
        strain,
        h=1e-4 * STRAIN,
        slack=1e-9,
    )


def test_an_inconsistent_energy_scale_is_refused(law):
    scales = {"stress_scale": STRESS, "time_scale": TIME, "strain_scale": STRAIN}
    assert Scaled(law, energy_scale=5e4, **scales).energy_scale == 5e4
    with pytest.raises(ValueError, match=r"stress_scale \* strain_scale = 50000.*Use stress_scale"):
        Scaled(law, energy_scale=6e4, **scales)


@pytest.mark.parametrize("bad", [0.0, -1.0, np.inf, np.nan])
def test_scales_must_be_positive(law, bad):
    with pytest.raises(ValueError, match="time_scale must be positive"):
        Scaled(law, stress_scale=1.0, time_scale=bad)


def test_the_envelope_is_scaled_with_the_law(scaled):
    with pytest.warns(EnvelopeWarning, match=r"worst is strain_0 = 0\.22, 0\.1 half widths"):
        scaled.update([[11.0 * STRAIN]], [[0.0]], [[0.0, 0.0]], 0.0)
    np.testing.assert_allclose(scaled.manifest.envelope.time_step, [0.0, 1e6 * TIME])
    np.testing.assert_allclose(scaled.manifest.envelope.strain_rate[0, 1], 1e6 * STRAIN / TIME)


def test_the_scales_are_stated(law, caplog):
    with caplog.at_level(logging.INFO, logger="ibvonn_fem"):
        scaled = Scaled(
            law, stress_scale=2e6, time_scale=10.0, units={"stress": "Pa", "time": "s"}, name="gel"
        )
    assert scaled.manifest.name == "gel"
    assert scaled.manifest.units["stress"] == "Pa"
    assert "gel: the law smooth with stress × 2e+06 Pa, time × 10 s" in caplog.text
    with pytest.raises(ValueError, match=r"units must be named by.*found pressure"):
        Scaled(law, stress_scale=1.0, time_scale=1.0, units={"pressure": "Pa"})


def test_a_solid_of_the_scaled_law_is_the_scaled_solid(law, scaled):
    """The shift by the initial stress and the warm start go through the scales."""
    strain = np.array([0.1, -0.05, 0.02, 0.03, 0.0, -0.04])
    here, there = Point(law, Microsphere(25)), Point(scaled, Microsphere(25))
    for factor in (0.5, 1.0, 0.7):
        answer = here.step(factor * strain, 0.2)
        expected = there.step(STRAIN * factor * strain, TIME * 0.2)
        np.testing.assert_allclose(expected.stress, STRESS * answer.stress, rtol=1e-10)
        np.testing.assert_allclose(expected.energy, STRESS * STRAIN * answer.energy, rtol=1e-10)
