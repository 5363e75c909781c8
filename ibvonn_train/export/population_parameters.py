"""Parameters of a law with populations, as plain float64 arrays (``parameters.npz``).

Internal variables are *populations*, each of m ≥ 2 states with m − 1 components p_s − p_rest,s
(state 0 is what is left), and *means*. With F, φ_means as in
:mod:`ibvonn_train.export.potential_parameters` and θ the thermal energy per reference volume,

    f(ε, α) = F(ε, α) + θ Σ_groups Σ_s p_s ln p_s,
    φ(g; x_n) = Σ_groups Σ_{i<j} 4 θ k'_ij √(p_i p_j) [cosh((g_i − g_j)/2θ) − 1] + φ_means,

with G = −∂F/∂α, y_ij = (G_i − G_j)/2θ, s the softplus and, in a step, net at the start of it,

    ln k'_ij = net(ε, α, 2y)_ij − s(y_ij − b_ij) − s(−y_ij − b_ij):

the faster of two rates grows no further once the force has removed the barrier b. Rates of a closed
form have a table instead (:mod:`.graphs.tabulated_rates`). f is convex in
α at fixed ε where Q_αα + 2θ (I + 11ᵀ), a lower bound of the entropy's second derivative in each
population, is positive semidefinite; φ ≥ 0 is convex in g for any weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from .potential_parameters import FloatArray, PotentialParameters


@dataclass(frozen=True, kw_only=True)
class PopulationParameters(PotentialParameters):
    """Weights and sizes of one law with populations; further attributes as in the base class.

    Attributes:
        thermal_energy: θ, k_BT per reference volume of one element.
        groups: One row [first component, number of states] for each population, ``(G, 2)``; a
            component in no population is a mean.
        rest: p_rest of every component, 0 for means, ``(n_α,)``; 0 for populations, too, where α is
            the fraction itself.
        rate_weight: Weights of the tanh network of ln k': the first has n_ε + n_α + n_pair columns,
            the last n_pair rows. Pairs are ordered (0, 1), (0, 2), …, (m−2, m−1), group by group.
        rate_bias: Its biases.
        rate_barrier: b of every pair, ``(n_pair,)``; empty for rates without saturation.
        rate_table: A row [left end, coefficients of 1, t, t², t³] for each interval of the size
            of y, of which the last has no end, ``(n, 5)``; empty for rates without a table.
    """

    family: ClassVar[str] = "populations"
    numbers: ClassVar[tuple[str, ...]] = (*PotentialParameters.numbers, "thermal_energy")
    layers: ClassVar[dict[str, tuple[str, int]]] = {
        **PotentialParameters.layers,
        "rate_weight": ("rate_layers", 1),
        "rate_bias": ("rate_layers", 1),
    }

    thermal_energy: float
    groups: npt.NDArray[np.int64]
    rest: FloatArray
    rate_weight: tuple[FloatArray, ...]
    rate_bias: tuple[FloatArray, ...]
    rate_barrier: FloatArray = field(default_factory=lambda: np.zeros(0))
    rate_table: FloatArray = field(default_factory=lambda: np.zeros((0, 5)))

    def __post_init__(self) -> None:
        given = np.asarray(self.groups)
        groups = given.astype(np.int64)
        if (
            groups.ndim != 2
            or groups.shape[1:] != (2,)
            or not len(groups)
            or (groups != given).any()
        ):
            raise self._wrong(
                "groups must hold a row [first component, number of states] for each population, "
                f"at least one; got {given.tolist()}. A law of means alone is one of LawParameters."
            )
        taken: list[int] = []
        for first, states in groups.tolist():
            if states < 2 or first < 0 or first + states - 1 > self.internal_size:
                raise self._wrong(
                    "a population needs two states or more and components that exist, of "
                    f"{self.internal_size}; got {states} states from component {first}."
                )
            taken += range(first, first + states - 1)
        if len(set(taken)) < len(taken):
            raise self._wrong(f"populations share no components; got {groups.tolist()}.")
        super().__post_init__()
        object.__setattr__(self, "groups", groups)
        self._check_populations()
        self._network("rate", self.size + self.pair_count, self.pair_count)
        if len(self.rate_barrier):
            self._shape("rate_barrier", self.rate_barrier, (self.pair_count,))
        self._check_table()

    @property
    def mean_size(self) -> int:
        """Number of means."""
        return self.internal_size - int(sum(states - 1 for _, states in self._groups))

    @property
    def pair_count(self) -> int:
        """Number of pairs of states of all populations."""
        return sum(states * (states - 1) // 2 for _, states in self._groups)

    @property
    def rate_layers(self) -> int:
        """Number of layers of the network of ln k'."""
        return len(self.rate_weight)

    @property
    def _groups(self) -> list[tuple[int, int]]:
        return [(int(first), int(states)) for first, states in np.asarray(self.groups)]

    def entropy_bound(self) -> FloatArray:
        """2θ (I + 11ᵀ) in each population, 0 for means: below the entropy's Hessian everywhere.

        Σ v_s²/p_s ≥ (Σ |v_s|)² ≥ 2 Σ v_s² over the m states, for Σ v_s = 0 and Σ p_s = 1.
        """
        bound = np.zeros((self.internal_size, self.internal_size))
        for first, states in self._groups:
            block = slice(first, first + states - 1)
            bound[block, block] = 2.0 * self.thermal_energy * (np.eye(states - 1) + 1.0)
        return bound

    def _check_convexity(self) -> None:
        if not self.thermal_energy > 0.0:
            raise self._wrong(f"thermal_energy must be positive; got {self.thermal_energy}.")
        m, q = self.strain_size, self.energy_quadratic
        for label, block in (
            ("the strain part of energy_quadratic", q[:m, :m]),
            ("the internal part of energy_quadratic plus that of the mixing entropy, "
             "2 θ (I + 11ᵀ) in each population,", q[m:, m:] + self.entropy_bound()),
        ):  # fmt: skip
            lowest = float(np.linalg.eigvalsh(block)[0])
            if lowest < -1e-12 * float(np.max(np.abs(block))):
                raise self._wrong(
                    f"{label} must be positive semidefinite, so that f is convex in the internal "
                    f"variables; its smallest eigenvalue is {lowest:.3e}. Parametrise it as a "
                    "square, less the part of the entropy."
                )

    def _check_populations(self) -> None:
        self._shape("rest", self.rest, (self.internal_size,))
        means = np.ones(self.internal_size, dtype=bool)
        for first, states in self._groups:
            block = slice(first, first + states - 1)
            means[block] = False
            rest = self.rest[block]
            if not (np.all(rest >= 0.0) and np.sum(rest) < 1.0):
                raise self._wrong(
                    "the populations at rest must not be negative, with a sum below 1 without "
                    f"state 0; got {rest.tolist()} from component {first}."
                )
        if np.any(self.rest[means] != 0.0):
            raise self._wrong(f"rest must be 0 for means; got {self.rest[means].tolist()}.")

    def _check_table(self) -> None:
        table = self.rate_table
        if not len(table):
            return
        self._shape("rate_table", table, (len(table), 5))
        if len(table) < 2 or table[0, 0] != 0.0 or not np.all(np.diff(table[:, 0]) > 0.0):
            raise self._wrong(
                "the left ends in rate_table must rise from 0, in two rows or more; found "
                f"{len(table)} rows that begin with {table[:3, 0].tolist()}."
            )
        if not len(self.rate_barrier) or not np.all(self.rate_barrier > 0.0):
            raise self._wrong(
                "rates with a table need a positive rate_barrier for every pair; found "
                f"{self.rate_barrier.tolist()}."
            )

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return the content of ``parameters.npz``, the name of the family as ASCII codes in it.

        Rates without a table are written without one.
        """
        content = {
            "family": np.frombuffer(self.family.encode(), dtype=np.uint8),
            **super().arrays(),
        }
        if not len(self.rate_table):
            del content["rate_table"]
        return content

    @classmethod
    def of(cls, content: Mapping[str, npt.NDArray[Any]], path: str = "parameters.npz") -> Self:
        """Take the arrays of ``parameters.npz``; ``path`` is their name in messages.

        Raises:
            ValueError: If they are of another family, or an array is missing or not as required.
        """
        kind = family_of(content)
        if kind != cls.family:
            raise ValueError(f"{path}: must be of family '{cls.family}'; found '{kind}'.")
        return super().of({"rate_table": np.zeros((0, 5)), **content}, path)


def family_of(content: Mapping[str, npt.NDArray[Any]]) -> str:
    """Name of the family of the arrays of ``parameters.npz``; the first family is not named."""
    if "family" not in content:
        return "convex_potentials"
    return bytes(np.asarray(content["family"], dtype=np.uint8)).decode("ascii", "replace")
