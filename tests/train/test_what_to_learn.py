"""Which paths are simulated next: where the law is asked what it does not know, once each."""

from __future__ import annotations

import numpy as np
import pytest

from ibvonn_train.studies.what_to_learn import what_to_learn

TIMES = 8


def fan(ends: list[list[float]]) -> np.ndarray:
    """Straight paths from rest to these states."""
    return np.linspace(0.0, 1.0, TIMES)[None, :, None] * np.array(ends)[:, None, :]


def test_what_is_known_everywhere_needs_nothing() -> None:
    states = fan([[1.0, 0.0], [0.0, 1.0]])
    none = np.zeros((2, TIMES))
    assert what_to_learn(states, none, none, 1.0, 2) == []
    assert what_to_learn(states, none, none + 0.4, 1.0, 2) == []  # below half the tolerance


def test_the_point_outside_comes_before_the_one_with_a_small_error() -> None:
    states = fan([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    validity, error = np.zeros((3, TIMES)), np.zeros((3, TIMES))
    validity[1, -1], error[2, -1] = 0.3, 1.5
    assert what_to_learn(states, validity, error, 1.0, 3) == [1, 2]


def test_a_path_beside_a_chosen_one_waits() -> None:
    """Two neighbours have the largest errors; the third, elsewhere, tells more than the second."""
    states = fan([[1.0, 0.0], [1.0, 0.02], [0.0, 1.0]])
    error = np.array([3.0, 2.9, 1.2])[:, None] * np.linspace(0.0, 1.0, TIMES)
    validity = np.zeros_like(error)
    assert what_to_learn(states, validity, error, 1.0, 2) == [0, 2]
    by_error_alone = np.argsort(-error.max(1))[:2].tolist()
    assert by_error_alone == [0, 1]  # guards: the order of errors would take the neighbours


def test_bad_arguments_are_refused() -> None:
    states, none = fan([[1.0, 0.0]]), np.zeros((1, TIMES))
    with pytest.raises(ValueError, match="tolerance must be positive"):
        what_to_learn(states, none, none, 0.0, 1)
