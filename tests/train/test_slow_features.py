"""Slow features of processes whose eigenfunctions and time scales are known."""

from __future__ import annotations

import numpy as np
import pytest
from known_processes import FloatArray, jumps, ornstein_uhlenbeck, record

from ibvonn_train.training.slow_features import (
    SlowFeatures,
    crispness,
    memberships,
    slow_features,
    smooth_features,
)

INTERVAL = 0.1
TWO = np.array([[-0.2, 0.2], [0.3, -0.3]])
THREE = np.array([[-0.10, 0.10, 0.0], [0.10, -0.35, 0.25], [0.0, 0.25, -0.25]])


def features_of(x: FloatArray, count: int = 4) -> SlowFeatures:
    data = record(x, INTERVAL)
    return slow_features([(data, range(data.protocols))], count=count, seed=0)


def correlation(features: SlowFeatures, one: FloatArray, other: FloatArray) -> float:
    """Of two functions on the cells, over all samples."""
    weights = features.occupancy
    one, other = one - weights @ one, other - weights @ other
    return float(weights @ (one * other) / np.sqrt((weights @ one**2) * (weights @ other**2)))


def test_features_of_an_ornstein_uhlenbeck_process_are_hermite_polynomials() -> None:
    """μ_k = a^{kτ}: time scales are 1/k of the first, −Δt/ln a."""
    result = features_of(ornstein_uhlenbeck(0.9, (3, 400, 1000)))
    slowest = -INTERVAL / np.log(0.9)
    np.testing.assert_allclose(result.time_scales[:2], slowest / np.array([1.0, 2.0]), rtol=0.05)
    x = result.centres[:, 0]
    assert abs(correlation(result, result.values[:, 0], x)) > 0.99
    assert abs(correlation(result, result.values[:, 1], x**2 - 1.0)) > 0.95
    assert abs(correlation(result, smooth_features(result, 1).values[:, 0], x)) > 0.999


def test_the_motion_of_the_mean_is_no_memory() -> None:
    """The mean moves by three standard deviations; over all states it would remember for ever."""
    result = features_of(ornstein_uhlenbeck(0.9, (3, 400, 1000), drift=3.0))
    np.testing.assert_allclose(result.time_scales[0], -INTERVAL / np.log(0.9), rtol=0.05)
    assert (
        abs(correlation(result, smooth_features(result, 1).values[:, 0], result.centres[:, 0]))
        > 0.99
    )


def test_two_states_have_the_time_scale_of_their_jumps_and_crisp_members() -> None:
    x, state = jumps(TWO, (3, 400, 500))
    result = features_of(x)
    assert result.time_scales[0] == pytest.approx(1.0 / 0.5, rel=0.05)
    assert result.gap > 10.0  # noise without memory
    members = memberships(result, 2)
    np.testing.assert_allclose(members.sum(1), 1.0, atol=1e-12)
    opened = members[:, int(members[np.abs(result.centres[:, 0] - 1.0).argmin()].argmax())]
    right = np.abs(result.centres[:, 0] - 1.0) < 0.25
    left = np.abs(result.centres[:, 0]) < 0.25
    assert opened[right].min() > 0.9
    assert opened[left].max() < 0.1
    assert crispness(result, opened) > 0.95
    assert result.occupancy @ opened == pytest.approx(state.mean(), abs=0.01)


def test_features_of_motion_without_states_have_no_gap_and_are_less_crisp() -> None:
    """Guards the test above."""
    result = features_of(ornstein_uhlenbeck(0.9, (3, 400, 500)))
    assert crispness(result, memberships(result, 2)[:, 0]) < 0.8
    assert result.gap < 2.2


def test_three_states_have_two_time_scales_and_three_members() -> None:
    x, state = jumps(THREE, (3, 600, 500))
    result = features_of(x)
    exact = np.sort(1.0 / -np.sort(np.linalg.eigvals(THREE).real)[:2])[::-1]
    np.testing.assert_allclose(result.time_scales[:2], exact, rtol=0.1)
    assert result.time_scales[1] > 5.0 * result.time_scales[2]
    members = memberships(result, 3)
    own = [int(np.abs(result.centres[:, 0] - s).argmin()) for s in range(3)]
    order = members[own].argmax(1)
    assert sorted(order) == [0, 1, 2]
    part = result.occupancy @ members[:, order]
    np.testing.assert_allclose(part, np.bincount(state.ravel()) / state.size, atol=0.02)


def test_states_in_a_plane_are_found_in_two_components() -> None:
    x, state = jumps(TWO, (3, 300, 400))
    other = np.random.default_rng(2).standard_normal(x.shape)
    turned = np.concatenate([x + other, x - other], -1)  # neither component tells the state alone
    result = features_of(turned)
    assert result.time_scales[0] == pytest.approx(2.0, rel=0.1)
    members = memberships(result, 2)
    share = np.sort(result.occupancy @ members)
    np.testing.assert_allclose(share, np.sort([1.0 - state.mean(), state.mean()]), atol=0.05)
