"""Where populations and means stand in α, and what jumps between states do to it."""

from __future__ import annotations

import pytest
import torch

from ibvonn_train.law.internal_variables import InternalVariables

MIXED = InternalVariables(populations=(3, 2), means=2, classes=2)


def test_a_class_lists_its_populations_first_and_every_class_has_its_own() -> None:
    assert (MIXED.per_class, MIXED.size) == (5, 10)
    assert MIXED.groups == ((0, 3), (2, 2), (5, 3), (7, 2))
    assert MIXED.mean_components == (3, 4, 8, 9)
    assert MIXED.pairs_per_class == 4


def test_fractions_of_a_population_are_those_of_its_states_and_sum_to_one() -> None:
    matrix, offset = MIXED.fractions()
    internal = torch.arange(1, 11, dtype=torch.float64) / 100.0
    p = matrix @ internal + offset
    expected = [0.97, 0.01, 0.02, 0.97, 0.03, 0.87, 0.06, 0.07, 0.92, 0.08]
    torch.testing.assert_close(p, torch.tensor(expected, dtype=torch.float64))


def test_a_jump_moves_elements_from_one_state_to_another_and_makes_none() -> None:
    """With a flux from the second state of a pair to the first, only these two fractions change."""
    matrix, _ = MIXED.fractions()
    jumps = MIXED.jumps()
    change = jumps.incidence @ matrix.T
    states = [(i, j) for m in (3, 2) for i in range(m) for j in range(i + 1, m)] * 2
    starts = [0, 0, 0, 3, 5, 5, 5, 8]
    for row, (i, j), start in zip(change, states, starts, strict=True):
        expected = torch.zeros(10, dtype=torch.float64)
        expected[start + i], expected[start + j] = 1.0, -1.0
        assert torch.equal(row, expected)


def test_the_fractions_of_a_jump_are_those_of_its_two_states() -> None:
    matrix, offset = MIXED.fractions()
    jumps = MIXED.jumps()
    internal = torch.rand(10, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    p = matrix @ internal + offset
    first = jumps.first @ internal + jumps.first_offset
    second = jumps.second @ internal + jumps.second_offset
    at = {0: (0, 1), 1: (0, 2), 2: (1, 2), 3: (3, 4), 4: (5, 6), 5: (5, 7), 6: (6, 7), 7: (8, 9)}
    for row, (i, j) in at.items():
        torch.testing.assert_close(first[row], p[i])
        torch.testing.assert_close(second[row], p[j])


@pytest.mark.parametrize(
    "numbers", [{"populations": (1,)}, {"means": -1}, {"means": 1, "classes": 0}]
)
def test_numbers_out_of_range_are_refused(numbers: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="must have at least 2 states"):
        InternalVariables(**numbers)  # type: ignore[arg-type]
