"""An implicit step of linear kinetics between the states of populations, to the last digit.

The fractions at the end solve p_s + Σ_j (a_js p_s − a_sj p_j) = b_s with a_sj ≥ 0 the share of j
that flows to s. States are eliminated one by one with sums of positive terms only, so that a
fraction has all its digits, however small. Derivatives are carried along as those of logarithms:
that of a sum is a weighted mean, so that nothing cancels in them either.

References:
    W. K. Grassmann, M. I. Taksar & D. P. Heyman, Operations Research 33 (1985) 1107.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

TINY = 1e-300
"""Least denominator: a sum of nothing has no slope."""


class Positive(NamedTuple):
    """A number ≥ 0 of each population, and the derivative of its logarithm.

    Attributes:
        value: Shape ``(n, 1, g)`` for g populations.
        slope: ∂ ln value/∂G_c, c = 1 … m−1, shape ``(n or 1, m − 1, g)``.
    """

    value: Tensor
    slope: Tensor

    def plus(self, other: Positive) -> Positive:
        """The sum."""
        total = self.value + other.value
        own, others = self.value * self.slope, other.value * other.slope
        return Positive(total, (own + others) / _at_least_tiny(total))

    def times(self, other: Positive) -> Positive:
        """The product."""
        return Positive(self.value * other.value, self.slope + other.slope)

    def over(self, other: Positive) -> Positive:
        """The quotient."""
        return Positive(self.value / other.value, self.slope - other.slope)


class LikePopulations:
    """Populations of one number of states m, which are stepped together.

    Args:
        count: m.
        places: Of each of them: places of its states among all, of its pairs among all, and of its
            components in α.
        sizes: Numbers of all states, pairs and components.
        thermal_energy: θ.
    """

    def __init__(
        self,
        count: int,
        places: Sequence[tuple[Sequence[int], Sequence[int], Sequence[int]]],
        sizes: tuple[int, int, int],
        thermal_energy: float,
    ) -> None:
        self.count = count
        n_state, n_pair, n = sizes
        state, pair, component = (np.array(rows) for rows in zip(*places, strict=True))
        self.states = [_columns(n_state, state[:, s]) for s in range(count)]
        self.pairs = [_columns(n_pair, pair[:, k]) for k in range(pair.shape[1])]
        # Row (c, population), column s_component * n + c_component of a flat matrix over α.
        self.places = [
            torch.cat(
                [_columns(n * n, component[:, s] * n + component[:, c]).T for c in range(count - 1)]
            )
            for s in range(count - 1)
        ]
        half = 0.5 / thermal_energy
        unit = np.concatenate([np.zeros((1, count - 1)), np.eye(count - 1)])
        self.slopes = {
            (i, j): torch.tensor(half * (unit[i] - unit[j]).reshape(1, -1, 1))
            for i, j in combinations(range(count), 2)
        }
        self.still = torch.zeros(1, count - 1, 1, dtype=torch.float64)

    def step(
        self, before: Tensor, forward: Tensor, backward: Tensor, rise: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the fractions among all states, and ∂α/∂G as a flat matrix; zero elsewhere.

        Args:
            before: b of all states, ``(n, n_state)``.
            forward: a_ij of all pairs i < j, from j to i, ``(n, n_pair)``.
            backward: a_ji, from i to j.
            rise: ∂ ln k'/∂y of all pairs, a_ij = k' e^y and a_ji = k' e^−y, ``(n, n_pair)``.
        """
        flow: dict[tuple[int, int], Positive] = {}
        for (i, j), place in zip(combinations(range(self.count), 2), self.pairs, strict=True):
            both, slope = torch.matmul(rise, place).unsqueeze(1), self.slopes[i, j]
            there, back = (torch.matmul(x, place).unsqueeze(1) for x in (forward, backward))
            flow[i, j] = Positive(there, (both + 1.0) * slope)
            flow[j, i] = Positive(back, (both - 1.0) * slope)
        sources = [
            Positive(torch.matmul(before, place).unsqueeze(1), self.still) for place in self.states
        ]
        fractions = eliminated(sources, flow)
        every = [
            torch.matmul(p.value.squeeze(1), place.T)
            for p, place in zip(fractions, self.states, strict=True)
        ]
        width = self.states[0].shape[1] * (self.count - 1)
        moved = [
            torch.matmul(torch.reshape(p.value * p.slope, (-1, width)), place)
            for p, place in zip(fractions[1:], self.places, strict=True)
        ]
        return _total(every), _total(moved)


def eliminated(sources: list[Positive], flow: dict[tuple[int, int], Positive]) -> list[Positive]:
    """Fractions of the states from b_s and the shares a_ij that flow from j to i."""
    sources, flow = list(sources), dict(flow)
    one = Positive(torch.ones_like(sources[0].value), 0.0 * sources[0].slope)
    remains, leaving = [one] * len(sources), [one] * len(sources)
    for k in range(len(sources) - 1, 0, -1):
        leaving[k] = remains[k]
        for i in range(k):
            leaving[k] = leaving[k].plus(flow[i, k])
        shares = [flow[i, k].over(leaving[k]) for i in range(k)]
        for i, share in enumerate(shares):
            sources[i] = sources[i].plus(share.times(sources[k]))
            for j in range(k):
                if j != i:
                    flow[i, j] = flow[i, j].plus(share.times(flow[k, j]))
        stays = remains[k].over(leaving[k])
        for j in range(k):
            remains[j] = remains[j].plus(stays.times(flow[k, j]))
    fractions = [sources[0].over(remains[0])]
    for k in range(1, len(sources)):
        total = sources[k]
        for j in range(k):
            total = total.plus(flow[k, j].times(fractions[j]))
        fractions.append(total.over(leaving[k]))
    return fractions


def _columns(size: int, places: np.ndarray) -> Tensor:
    """Matrix that selects columns: x times this is x at the places."""
    return torch.tensor(np.eye(size)[:, places])


def _total(terms: Sequence[Tensor]) -> Tensor:
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


def _at_least_tiny(value: Tensor) -> Tensor:
    return torch.maximum(value, torch.full_like(value, TINY))
