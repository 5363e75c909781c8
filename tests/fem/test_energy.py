"""Energy balance: the second law in every step, and the scheme's own dissipation (theory A6)."""

from pathlib import Path

import numpy as np
import pytest

from ibvonn_fem import TimeStepping, load_model
from ibvonn_fem.body.energy_balance import total

pytestmark = pytest.mark.fem


EXPORTED = Path(__file__).resolve().parents[2] / "exported_models"


@pytest.fixture(params=["closed form", "trap", "unfolding_chain"])
def loaded_bar(request, zener, bar):
    """A bar of the exact law with a quartic term, or of a learned one, with a body force."""
    if request.param == "closed form":
        return bar(zener(quartic=2.0), body_force=0.2)
    return bar(load_model(EXPORTED / request.param), body_force=0.02)


# The learned chain rests a little outside its training range, which it says at every start.
@pytest.mark.filterwarnings("ignore::ibvonn_fem.errors.EnvelopeWarning")
@pytest.mark.parametrize("dt", 10.0 ** np.arange(-3.0, 3.1))
def test_free_energy_never_grows_at_fixed_ends_whatever_the_step(loaded_bar, dt):
    body = loaded_bar
    stepping = TimeStepping(body.problem, lambda t: setattr(body.elongation, "value", 0.9))
    steps = stepping.run(dt * np.arange(6))
    for step in steps[1:]:
        balance = step.balance
        assert balance.dissipated >= 0.0
        assert balance.stored - balance.external_work <= 1e-12
        assert balance.numerical >= -1e-12


@pytest.mark.filterwarnings("ignore::ibvonn_fem.errors.EnvelopeWarning")
def test_external_work_equals_internal_work_at_equilibrium(loaded_bar):
    body = loaded_bar
    stepping = TimeStepping(body.problem, lambda t: setattr(body.elongation, "value", 0.5 * t))
    for step in stepping.run(np.linspace(0.0, 1.0, 11)):
        np.testing.assert_allclose(
            step.balance.external_work, step.balance.internal_work, rtol=1e-9, atol=1e-14
        )


def test_reactions_balance_the_loads(zener, bar):
    """A force of 0.2 per length on a length of 2, carried by both ends."""
    body = bar(zener(quartic=2.0), body_force=0.2)
    body.elongation.value = 0.3
    body.problem.solve(0.1)
    ends = body.problem.reaction(body.left)[0] + body.problem.reaction(body.right)[0]
    np.testing.assert_allclose(ends, -0.4, rtol=1e-9)


def test_numerical_dissipation_is_the_bregman_distance_of_the_energy(zener, bar):
    """F is quadratic: D_f(s_n, s⁺) = ½ Δs · H Δs with H = [[1, −1], [−1, 2]]."""
    body = bar(zener(), drive="end")
    stepping = TimeStepping(body.problem, lambda t: setattr(body.elongation, "value", 0.5 * t))
    states = []

    def record(step):
        states.append((body.strain.copy(), body.law.internal[:, 0, 0].copy()))

    steps = stepping.run(np.linspace(0.0, 1.0, 6), record)
    for step, (ε0, α0), (ε1, α1) in zip(steps[1:], states, states[1:], strict=False):
        dε, dα = ε1 - ε0, α1 - α0
        density = 0.5 * (dε**2 - 2.0 * dε * dα + 2.0 * dα**2)
        expected = density @ body.law.volumes
        np.testing.assert_allclose(step.balance.numerical, expected, rtol=1e-9)


def test_numerical_dissipation_vanishes_at_first_order_and_faster_with_trapezoidal_work(zener, bar):
    sums, trapezoidal = [], []
    for intervals in (20, 40, 80):
        body = bar(zener())
        stepping = TimeStepping(
            body.problem,
            lambda t, body=body: setattr(body.elongation, "value", 0.5 * np.sin(3.0 * t)),
        )
        balance = total(step.balance for step in stepping.run(np.linspace(0, 2, intervals + 1)))
        sums.append(balance.numerical / balance.dissipated)
        trapezoidal.append(abs(balance.numerical_trapezoidal) / balance.dissipated)
    ratios = np.array(sums[:-1]) / sums[1:]
    assert np.all(np.abs(ratios - 2.0) < 0.2), ratios
    assert trapezoidal[-1] < 0.5 * sums[-1]


def test_a_closed_elastic_cycle_dissipates_nothing_and_does_no_trapezoidal_work(zener, bar):
    body = bar(zener())
    balances = []
    for elongation in (0.2, 0.5, 0.3, 0.0):
        body.elongation.value = elongation
        assert body.problem.solve(0.0).converged
        balances.append(body.problem.commit())
    cycle = total(balances)
    assert cycle.dissipated == 0.0
    assert abs(cycle.stored) < 1e-15
    assert abs(cycle.external_work_trapezoidal) < 1e-15


def test_dissipation_with_the_wrong_sign_fails_the_test_above(zener, bar):
    """Guards the tests above: W − ΔΨ + D is far from the Bregman distance."""
    body = bar(zener())
    stepping = TimeStepping(body.problem, lambda t: setattr(body.elongation, "value", 0.5))
    balance = stepping.run([0.0, 0.01])[-1].balance
    wrong = balance.external_work - balance.stored + balance.dissipated
    assert wrong > 10.0 * balance.numerical


def test_the_dissipation_since_the_start_is_the_sum_over_steps(zener, bar):
    body = bar(zener())
    stepping = TimeStepping(body.problem, lambda t: setattr(body.elongation, "value", 0.5))
    steps = stepping.run([0.0, 0.1, 0.3])
    np.testing.assert_allclose(
        body.law.dissipated @ body.law.volumes, total(s.balance for s in steps).dissipated
    )
