"""Rules of directions integrate what they promise, and others are refused."""

import numpy as np
import pytest
from derivatives import EPS
from scipy.integrate import lebedev_rule

from ibvonn_fem.directions import LEBEDEV
from ibvonn_fem.kinematics import (
    Directions,
    Microcircle,
    Microsphere,
    equispaced,
    lebedev,
)
from ibvonn_fem.kinematics.strain_maps import mandel_squares

TRACE = np.array([1.0, 1.0, 1.0, 0.0, 0.0, 0.0])

pytestmark = pytest.mark.fem


@pytest.mark.parametrize("count", LEBEDEV)
def test_fourth_moments_of_every_rule_are_isotropic(count):
    rule = lebedev(count)
    rows = mandel_squares(rule.vectors)
    fourth = np.einsum("k,ki,kj->ij", rule.weights, rows, rows)
    isotropic = (np.outer(TRACE, TRACE) + 2.0 * np.eye(6)) / 15.0
    assert len(rule) == count
    assert (rule.weights > 0.0).all()
    assert np.abs(fourth - isotropic).max() < 1e-15


def test_the_default_rule_is_exact_to_degree_17_and_no_further():
    """⟨(n·a)^d⟩ = 1/(d + 1) for even d."""
    rule, axis = lebedev(), np.array([0.36, 0.48, 0.8])
    error = [
        abs(rule.weights @ (rule.vectors @ axis) ** d - 1.0 / (d + 1)) for d in range(2, 22, 2)
    ]
    assert max(error[:8]) < 10.0 * EPS
    assert error[9] > 1e3 * EPS


@pytest.mark.parametrize("count", [3, 12, 16])
def test_equispaced_directions_are_isotropic_in_the_plane(count):
    rule = equispaced(count)
    rows = mandel_squares(rule.vectors)[:, [0, 1, 3]]
    fourth = np.einsum("k,ki,kj->ij", rule.weights, rows, rows)
    trace = np.array([1.0, 1.0, 0.0])
    assert np.abs(fourth - (np.outer(trace, trace) + 2.0 * np.eye(3)) / 8.0).max() < 1e-15


@pytest.mark.parametrize(("count", "degree"), [(37, 13), (115, 25), (133, 27)])
def test_rules_with_a_negative_weight_are_refused_and_they_have_one(count, degree):
    points, weights = lebedev_rule(degree)
    assert points.shape[1] == 2 * count
    assert weights.min() < 0.0
    with pytest.raises(ValueError, match=rf"one of 7, 13.*found {count}: .*negative"):
        Microsphere(count)


def test_other_numbers_of_directions_are_refused_with_those_that_are_offered():
    with pytest.raises(ValueError, match=r"one of 7, 13, 19, 25, 43, 55, 73, 85, 97, 151"):
        lebedev(54)
    with pytest.raises(ValueError, match="not isotropic"):
        lebedev(3)
    with pytest.raises(ValueError, match="at least 3"):
        Microcircle(2)


def test_rules_of_ones_own_are_checked():
    with pytest.raises(ValueError, match="length 1"):
        Directions(np.ones((1, 3)), np.ones(1))
    with pytest.raises(ValueError, match="positive with sum 1"):
        Directions(np.eye(3), np.array([0.5, 0.6, -0.1]))
    with pytest.raises(ValueError, match="shape"):
        Directions(np.eye(2), np.ones(2))
