"""Populations among the internal variables: fractions of states, pairs of states, mixing entropy.

α of a population of m states has m − 1 components p_s − p_rest,s, s = 1 … m−1; p_0 = 1 − Σ p_s. A
component in no population is a mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import torch
from torch import Tensor

from ..potential_parameters import FloatArray
from .elimination import LikePopulations

FLOOR = 1e-16
"""1 − Σ p_s has no digits below this; it enters the logarithm as no less."""

LEAST = 1e-60
"""The same for the other states: p_rest + α has all digits at rest, however small p_rest is."""

TINY = 1e-300
"""The same for fractions that are known to all their digits."""

ROUND_OFF = 1e-9
"""A state whose fractions are negative by more than this is no state."""


class Populations:
    """Constant matrices that turn α into fractions and driving forces into those of pairs.

    Args:
        groups: Rows [first component, number of states], ``(G, 2)``.
        rest: p_rest of every component, 0 for means, ``(n_α,)``.
        thermal_energy: θ.

    Attributes:
        states: ∂p/∂α of the fractions of all states, ``(n_state, n_α)``; state 0 of a group first.
        rest: Fractions of all states at α = 0, ``(1, n_state)``.
        incidence: Where a pair begins and ends, two of ``(n_state, n_pair)``: fractions times these
            are p_i and p_j of every pair.
        pairs: Matrix that turns G into G_i − G_j, ``(n_pair, n_α)``; flows from j to i times this
            are rates of α.
        components: Where the component of each state stands in α, ``(n_state, n_α)``; a row of
            zeros for state 0.
        means: Components that are means, ``(n_mean, n_α)``.
        active: Matrix that leaves the components of populations and sets means to zero.
        floor: Least fraction of each state that enters a logarithm, ``(1, n_state)``.
        alike: The populations by their number of states.
        bounds: Lowest and highest value of each component, ``(n_α, 2)``; infinite for means.
    """

    def __init__(
        self, groups: Sequence[Sequence[int]], rest: FloatArray, thermal_energy: float
    ) -> None:
        self.groups = [(int(first), int(count)) for first, count in groups]
        self.thermal_energy = float(thermal_energy)
        size, identity = len(rest), np.eye(len(rest))
        states: list[FloatArray] = []
        components: list[FloatArray] = []
        fractions: list[float] = []
        group: list[int] = []
        ends: list[tuple[int, int]] = []
        means = np.ones(size, dtype=bool)
        self.bounds: FloatArray = np.tile([-np.inf, np.inf], (size, 1))
        for number, (first, count) in enumerate(self.groups):
            block, start = slice(first, first + count - 1), len(states)
            means[block] = False
            components += [np.zeros(size), *identity[block]]
            states += [-identity[block].sum(0), *identity[block]]
            fractions += [1.0 - float(np.sum(rest[block])), *rest[block]]
            group += [number] * count
            ends += [(start + i, start + j) for i, j in combinations(range(count), 2)]
            self.bounds[block] = np.stack([-rest[block], 1.0 - rest[block]], 1)
        begin, end = np.array(ends).T
        every = np.eye(len(states))
        self.states, self.rest = _tensor(np.array(states)), _tensor(np.array([fractions]))
        self.incidence = _tensor(every[:, begin]), _tensor(every[:, end])
        self.components = _tensor(np.array(components))
        self.pairs = self.components[begin] - self.components[end]
        self.means = _tensor(identity[means])
        self.active = _tensor(np.diag(np.where(means, 0.0, 1.0)))
        self.alike = self._alike(len(states), len(ends))
        floor = np.where(np.array(components).any(1), LEAST, FLOOR)
        self.floor = _tensor(floor[None, :])
        self._is_mean = torch.tensor(means[None, :])
        self._same_group = _tensor(np.equal.outer(group, group).astype(np.float64))
        self._rest_internal = _tensor(np.asarray(rest)[None, :])

    def _alike(self, n_state: int, n_pair: int) -> list[LikePopulations]:
        places: dict[int, list[tuple[range, range, range]]] = {}
        state = pair = 0
        for first, count in self.groups:
            pairs = count * (count - 1) // 2
            own = range(state, state + count), range(pair, pair + pairs)
            places.setdefault(count, []).append((*own, range(first, first + count - 1)))
            state, pair = state + count, pair + pairs
        sizes = n_state, n_pair, self.means.shape[1]
        return [
            LikePopulations(count, rows, sizes, self.thermal_energy)
            for count, rows in places.items()
        ]

    @property
    def size(self) -> int:
        """n_α."""
        return self.states.shape[1]

    @property
    def pair_count(self) -> int:
        """Number of pairs of states."""
        return self.pairs.shape[0]

    def fractions(self, internal: Tensor) -> Tensor:
        """Return the fractions of all states, ``(n, n_state)``; round-off may make one negative."""
        return self.rest + torch.matmul(internal, self.states.T)

    def positive(self, internal: Tensor) -> Tensor:
        """Return the fractions of all states, no less than their digits allow."""
        fractions = self.fractions(internal)
        return torch.maximum(fractions, torch.zeros_like(fractions) + self.floor)

    def of_pairs(self, internal: Tensor) -> tuple[Tensor, Tensor]:
        """Return p_i and p_j of every pair, each ``(n, n_pair)``."""
        fractions = self.fractions(internal)
        begin, end = self.incidence
        return torch.matmul(fractions, begin), torch.matmul(fractions, end)

    def drive(self, force: Tensor) -> Tensor:
        """Return (G_i − G_j)/2θ of every pair from G, ``(n, n_pair)``."""
        return torch.matmul(force, self.pairs.T) * (0.5 / self.thermal_energy)

    def relaxed(
        self, before: Tensor, forward: Tensor, backward: Tensor, rise: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Take an implicit step of linear kinetics.

        Args:
            before: Fractions before, shape ``(n, n_state)``.
            forward: Share of j that flows to i in the step, for every pair, ``(n, n_pair)``.
            backward: Share of i that flows to j.
            rise: ∂ ln k'/∂y of every pair: how both depend on y beside e^y and e^−y.

        Returns:
            The fractions after the step ``(n, n_state)``, and dα/dG ``(n, n_α, n_α)``.
        """
        steps = [like.step(before, forward, backward, rise) for like in self.alike]
        fractions, moved = steps[0]
        for others, more in steps[1:]:
            fractions, moved = fractions + others, moved + more
        return fractions, torch.unflatten(moved, -1, (self.size, self.size))

    def logits(self, fractions: Tensor) -> Tensor:
        """Return ln(p_s/p_0) of every component, 0 for means, ``(n, n_α)``."""
        positive = torch.maximum(fractions, torch.full_like(fractions, TINY))
        return torch.matmul(torch.log(positive), self.states)

    def mixing(self, fractions: Tensor) -> tuple[Tensor, Tensor]:
        """Return θ Σ p ln p, ``(n, 1)``, and its derivative by α, ``(n, n_α)``.

        The derivative is θ ln(p_s/p_0); the fractions are positive.
        """
        logarithm = torch.log(fractions) * self.thermal_energy
        entropy = torch.sum(fractions * logarithm, 1, keepdim=True)
        return entropy, torch.matmul(logarithm, self.states)

    def mixing_curvature(self, fractions: Tensor) -> Tensor:
        """Return θ [diag(1/p_s) + 11ᵀ/p_0] of every population, ``(n, n_α, n_α)``."""
        weighted = torch.unsqueeze(self.thermal_energy / fractions, 2) * self.states
        return torch.matmul(self.states.T, weighted)

    def within(self, internal: Tensor) -> Tensor:
        """Return α with the round-off taken off that would make a fraction negative."""
        fractions = self.fractions(internal)
        inside = torch.amax(-fractions, 1, keepdim=True) <= 0.0
        positive = torch.relu(fractions)
        normalised = positive / torch.matmul(positive, self._same_group)
        moved = torch.matmul(normalised, self.components) - self._rest_internal
        moved = torch.where(self._is_mean, internal, moved)
        return torch.where(inside, internal, moved)


def _tensor(array: FloatArray) -> Tensor:
    return torch.tensor(np.ascontiguousarray(array), dtype=torch.float64)
