"""Protocols: rates are slopes, splits are the paper's, families cover what they promise."""

import numpy as np
import pytest

from ibvonn_train.simulation import (
    chain_of_paper,
    protocols_for_testing,
    protocols_for_training,
    trap_of_paper,
)
from ibvonn_train.simulation.protocols import (
    from_function,
    hold,
    piecewise_linear,
    ramp,
    ramp_and_hold,
    random_walk,
    sinusoid,
    smooth_pull,
    step_and_hold,
    triangle,
)

TRAINING = protocols_for_training(-0.2, 0.5, 3.0, start=0.0, walks=5, seed=4)
TESTING = protocols_for_testing(-0.2, 0.5, 3.0, start=0.0)
ONE_SIDED = protocols_for_testing(0.1, 0.3, 3.0, start=0.1)


@pytest.mark.parametrize(
    "protocol",
    [
        ramp(0.3, 1.0),
        hold(2.0),
        sinusoid(1.0, 0.7, 0.2),
        ramp_and_hold(1.0, 0.5),
        step_and_hold(1.0, 1.01, 0.02, 0.3),
        triangle(1.0, 0.5, 1.0),
        random_walk(3.0, 6, -1.0, 1.0, seed=2),
        smooth_pull(0.7, 0.2, sine=2.0, frequency=1.0),
        smooth_pull(0.05, 0.2, sine=0.2, frequency=0.5),
        from_function("own", lambda t: t**3),
        from_function("own with rate", np.sin, np.cos),
        *TRAINING,
        *TESTING,
        *ONE_SIDED,
    ],
    ids=lambda p: p.name,
)
def test_the_rate_of_a_protocol_is_the_slope_of_its_value(protocol):
    t = np.linspace(0.013, 2.9, 97)
    slope = (protocol.value(t + 1e-6) - protocol.value(t)) / 1e-6
    np.testing.assert_allclose(protocol.rate(t), slope, atol=1e-4)
    # A control: the slope at another instant.
    if protocol.name == "own":
        assert np.abs(protocol.rate(t + 0.01) - slope).max() > 0.1


def test_a_function_of_ones_own_is_not_asked_for_negative_times():
    root = from_function("root", lambda t: np.sqrt(t) * t)
    assert root.rate(np.array([0.0, 1.0])) == pytest.approx([0.0, 1.5], abs=4e-3)


def test_at_a_kink_the_rate_is_that_of_the_step_ahead():
    """The Euler step from t uses λ̇ ahead of t: its sum is the value where kinks are on the grid."""
    t = np.arange(301) * 0.01
    for protocol in (triangle(1.0, 1.0, 0.5), step_and_hold(1.0, 0.5, 0.25), ramp_and_hold(1, 2.0)):
        summed = np.concatenate([[0.0], np.cumsum(protocol.rate(t)[:-1]) * 0.01])
        np.testing.assert_allclose(summed, protocol.value(t), rtol=0, atol=1e-12)


def test_the_paper_protocols_have_their_formulas():
    t = np.linspace(0, 3, 301)
    trap, chain = trap_of_paper(), chain_of_paper()
    for index, speed in enumerate(np.linspace(0.5, 1, 21)):
        part = trap.train if index % 2 == 0 else trap.test
        expected = speed * t * (1 - np.exp(-t)) * (1 + 2 * np.sin(2 * np.pi * t))
        np.testing.assert_allclose(part[index // 2].value(t), expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(trap.extrapolation[0].value(t), 1.2 * t * (1 - np.exp(-t)))
    lengths = np.linspace(0.1, 0.3, 21)
    for part, indices in ((chain.train, range(2, 19, 2)), (chain.test, range(3, 18, 2))):
        assert len(part) == len(indices)
        for protocol, index in zip(part, indices, strict=True):
            expected = lengths[index] + 0.05 * t * (1 - np.exp(-t))
            np.testing.assert_allclose(protocol.value(t), expected)
    expected = 0.2 + 0.05 * t * (1 - np.exp(-t)) * (1 + 0.2 * np.sin(np.pi * t))
    np.testing.assert_allclose(chain.extrapolation[0].value(t), expected)
    np.testing.assert_allclose(chain_of_paper(20).extrapolation[0].value(t), 2 * expected)


def test_the_splits_of_the_paper_have_their_sizes():
    trap, chain = trap_of_paper(), chain_of_paper()
    assert (len(trap.train), len(trap.test), len(trap.extrapolation)) == (11, 10, 1)
    assert (len(chain.train), len(chain.test), len(chain.extrapolation)) == (9, 8, 1)


@pytest.mark.parametrize(
    "family", [TRAINING, TESTING, ONE_SIDED], ids=["training", "testing", "one-sided"]
)
def test_a_family_stays_in_its_range_and_loads_and_unloads(family):
    low, high = (0.1, 0.3) if family is ONE_SIDED else (-0.2, 0.5)
    t = np.linspace(0, 3, 601)
    values = np.array([p.value(t) for p in family])
    rates = np.array([p.rate(t) for p in family])
    assert values.min() >= low - 1e-12
    assert values.max() <= high + 1e-12
    assert np.ptp(values) > 0.85 * (high - low)
    assert np.allclose(values[:, 0], 0.1 if family is ONE_SIDED else 0.0)
    assert rates.min() < 0 < rates.max()
    assert (rates == 0).any(axis=1).sum() >= 1  # somebody holds
    assert len({p.name for p in family}) == len(family)


def test_random_walks_of_a_family_follow_from_its_seed():
    t = np.linspace(0, 3, 50)
    again, other = (
        protocols_for_training(-0.2, 0.5, 3.0, start=0.0, walks=5, seed=s) for s in (4, 5)
    )
    for first, same, different in zip(TRAINING, again, other, strict=True):
        assert np.array_equal(first.value(t), same.value(t))
        assert np.array_equal(first.value(t), different.value(t)) != ("walk" in first.name)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: piecewise_linear([0.0, 1.0, 1.0], [0.0, 1.0, 2.0]), "times must increase"),
        (lambda: piecewise_linear([0.0, 1.0], [0.0]), "as many values as times"),
        (lambda: step_and_hold(1.0, 0.5, 0.0), "times must increase"),
        (
            lambda: protocols_for_training(0.0, 1.0, 3.0, start=2.0, seed=0),
            "start must lie within",
        ),
        (
            lambda: protocols_for_testing(1.0, 0.0, 3.0, start=0.5),
            "start must lie within",
        ),
    ],
)
def test_protocols_refuse_arguments_without_meaning(make, words):
    with pytest.raises(ValueError, match=words):
        make()
