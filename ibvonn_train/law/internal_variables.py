"""Internal variables of a law: how many there are, of which kind, and where each stands in α.

A class of like elements has populations, fractions of its elements in one of m states, and means of
unbounded features; every class has its own copy of both. α lists them class by class, within a
class the populations first. A population contributes its states 1 … m − 1: state 0 is what is left.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

FloatArray = npt.NDArray[np.float64]


class Jumps(NamedTuple):
    """Pairs of states between which elements jump, over all populations in the order of α.

    With p = ``places`` α + ``offset`` the fractions in the two states of each pair, and S the
    ``incidence``, α̇ = Sᵀ j for the net flux j from the second state of each pair to the first.

    Attributes:
        incidence: S, shape ``(n_pair, n_α)``: +1 for the first state, −1 for the second, nothing
            for a state 0.
        first, second: Fractions as affine functions of α, shape ``(n_pair, n_α)``.
        first_offset, second_offset: Their constants, shape ``(n_pair,)``.
    """

    incidence: Tensor
    first: Tensor
    second: Tensor
    first_offset: Tensor
    second_offset: Tensor


@dataclass(frozen=True)
class InternalVariables:
    """Kinds and numbers of the internal variables of each class.

    Attributes:
        populations: Number m ≥ 2 of states of each population of a class.
        means: Number of means of a class.
        classes: Number of classes.

    Raises:
        ValueError: If a number is out of range.
    """

    populations: tuple[int, ...] = ()
    means: int = 0
    classes: int = 1

    def __post_init__(self) -> None:
        if any(m < 2 for m in self.populations) or self.means < 0 or self.classes < 1:
            raise ValueError(
                "internal variables: each population must have at least 2 states, means must not "
                f"be negative and there must be a class; found populations {self.populations}, "
                f"{self.means} means and {self.classes} classes."
            )

    @property
    def per_class(self) -> int:
        """Components of α of one class."""
        return self.population_components + self.means

    @property
    def population_components(self) -> int:
        """Components of α of one class that are fractions."""
        return sum(m - 1 for m in self.populations)

    @property
    def size(self) -> int:
        """n_α."""
        return self.classes * self.per_class

    @property
    def pairs_per_class(self) -> int:
        """Pairs of states of one class."""
        return sum(m * (m - 1) // 2 for m in self.populations)

    @property
    def groups(self) -> tuple[tuple[int, int], ...]:
        """First component and number of states of every population, in the order of α."""
        groups = []
        for start in range(0, self.size, self.per_class or 1):
            first = start
            for states in self.populations:
                groups.append((first, states))
                first += states - 1
        return tuple(groups)

    @property
    def mean_components(self) -> tuple[int, ...]:
        """Components of α that are means."""
        fractions = self.population_components
        return tuple(
            start + i
            for start in range(0, self.size, self.per_class or 1)
            for i in range(fractions, self.per_class)
        )

    def bounds(self) -> FloatArray:
        """Return the lowest and highest value of each α, ``(n_α, 2)``; infinite for means."""
        rows = np.tile([-np.inf, np.inf], (self.size, 1))
        for first, states in self.groups:
            rows[first : first + states - 1] = 0.0, 1.0
        return rows

    def jumps(self) -> Jumps:
        """Return the pairs of states of all populations, (0, 1), (0, 2) … (m − 2, m − 1) each."""
        rows = []
        for start, states in self.groups:
            rows += [(start, states, i, j) for i in range(states) for j in range(i + 1, states)]
        incidence = torch.zeros(len(rows), self.size, dtype=torch.float64)
        places = torch.zeros(2, len(rows), self.size, dtype=torch.float64)
        offsets = torch.zeros(2, len(rows), dtype=torch.float64)
        for row, (start, states, *pair) in enumerate(rows):
            for side, state in enumerate(pair):
                if state:
                    incidence[row, start + state - 1] = 1.0 - 2.0 * side
                    places[side, row, start + state - 1] = 1.0
                else:
                    places[side, row, start : start + states - 1] = -1.0
                    offsets[side, row] = 1.0
        return Jumps(incidence, *places, *offsets)

    def fractions(self) -> tuple[Tensor, Tensor]:
        """Return B and b with B α + b the fractions of all states of all populations."""
        count = sum(states for _, states in self.groups)
        matrix = torch.zeros(count, self.size, dtype=torch.float64)
        offset = torch.zeros(count, dtype=torch.float64)
        row = 0
        for start, states in self.groups:
            matrix[row, start : start + states - 1] = -1.0
            offset[row] = 1.0
            for state in range(1, states):
                matrix[row + state, start + state - 1] = 1.0
            row += states
        return matrix, offset

    def same_population(self) -> Tensor:
        """Return 1 where two components of α are fractions of one population, ``(n_α, n_α)``."""
        matrix = torch.zeros(self.size, self.size, dtype=torch.float64)
        for start, states in self.groups:
            own = slice(start, start + states - 1)
            matrix[own, own] = 1.0
        return matrix
