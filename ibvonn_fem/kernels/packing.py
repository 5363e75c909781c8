"""``parameters.npz`` as the two flat arrays that the C kernel reads: sizes and weights.

Everything on which the kernel relies is checked here: shapes, finite values, and the signs and the
definiteness that make f convex (of a law with populations: in α at fixed ε).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import ExportedModelError
from .base import FloatArray


@dataclass(frozen=True)
class PackedLaw:
    """One law as plain data.

    Attributes:
        sizes: n_ε, n_α, L, M, K, the L widths of f, the M − 1 hidden widths of the context network,
            and what follows them for populations; ``law.c`` states the order.
        weights: Every weight in the order that ``law.c`` states.
        tolerance: A point has converged where its scaled residual is at most this.
    """

    sizes: NDArray[np.int64]
    weights: FloatArray
    tolerance: float

    @property
    def populations(self) -> int:
        """Number of populations among the internal variables; 0 with convex potentials."""
        start = self._population_start
        return int(self.sizes[start + 2]) if start < len(self.sizes) else 0

    @property
    def two_states(self) -> bool:
        """Whether every population has two states, so that tangents are symmetric."""
        return bool(np.all(self.group_rows[:, 1] == 2))

    @property
    def group_rows(self) -> NDArray[np.int64]:
        """[First component, number of states] of each population."""
        first = self._population_start + 3 + len(self.rate_widths)
        rows: NDArray[np.int64] = self.sizes[first : first + 2 * self.populations]
        return rows.reshape(-1, 2)

    @property
    def pair_count(self) -> int:
        """Number of pairs of states of all populations."""
        states = self.group_rows[:, 1]
        return int(np.sum(states * (states - 1) // 2))

    @property
    def mean_size(self) -> int:
        """Number of internal variables that are means."""
        return self.internal_size - int(np.sum(self.group_rows[:, 1] - 1))

    @property
    def rate_widths(self) -> list[int]:
        """Hidden widths of the network of ln k'."""
        start = self._population_start
        if not self.populations:
            return []
        return [int(width) for width in self.sizes[start + 3 : start + 2 + self.sizes[start]]]

    @property
    def context_widths(self) -> list[int]:
        """Hidden widths of the context network."""
        first = 5 + int(self.sizes[2])
        return [int(width) for width in self.sizes[first : self._population_start]]

    @property
    def _population_start(self) -> int:
        layers, context = int(self.sizes[2]), int(self.sizes[3])
        return 5 + layers + max(context - 1, 0)

    @property
    def strain_size(self) -> int:
        """Number of strain components n_ε."""
        return int(self.sizes[0])

    @property
    def internal_size(self) -> int:
        """Number of internal variables n_α."""
        return int(self.sizes[1])


def pack(arrays: Mapping[str, NDArray[np.generic]], name: str = "parameters.npz") -> PackedLaw:
    """Check the arrays of ``parameters.npz`` and lay them out for ``law.c``.

    Args:
        arrays: Content of the archive.
        name: Used in messages.

    Raises:
        ExportedModelError: If an array is missing, has a wrong shape, is not finite, or breaks the
            convexity of f.
    """
    return _Packer(arrays, name).pack()


class _Packer:
    def __init__(self, arrays: Mapping[str, NDArray[np.generic]], name: str) -> None:
        self.arrays = arrays
        self.name = name
        self.pieces: list[FloatArray] = []

    def fail(self, reason: str) -> ExportedModelError:
        return ExportedModelError(f"{self.name}: {reason}. Export the model again.")

    def get(self, key: str) -> FloatArray:
        if key not in self.arrays:
            raise self.fail(f"the array {key} is missing")
        try:
            value = np.asarray(self.arrays[key], dtype=np.float64)
        except (TypeError, ValueError):
            raise self.fail(f"{key} must hold numbers; found {self.arrays[key].dtype}") from None
        if not np.all(np.isfinite(value)):
            raise self.fail(f"{key} must be finite; it has NaN or infinite entries")
        return value

    def count(self, key: str, least: int) -> int:
        value = self.get(key)
        if value.size != 1 or value.reshape(-1)[0] != np.floor(value.reshape(-1)[0]):
            raise self.fail(f"{key} must be one whole number; found {value.tolist()}")
        number = int(value.reshape(-1)[0])
        if number < least:
            raise self.fail(f"{key} must be at least {least}; found {number}")
        return number

    def take(self, key: str, *shape: int, nonnegative: bool = False) -> FloatArray:
        value = self.get(key)
        if value.shape != shape:
            raise self.fail(f"{key} must have shape {shape}; found {value.shape}")
        if nonnegative and np.any(value < 0.0):
            raise self.fail(f"{key} must be nonnegative, else f is not convex; its least entry is "
                            f"{value.min():.3e}")  # fmt: skip
        self.pieces.append(value.reshape(-1))
        return value

    def width(self, key: str) -> int:
        value = self.get(key)
        if value.ndim != 1 or value.size == 0:
            raise self.fail(f"{key} must be a vector; found shape {value.shape}")
        return value.size

    def family(self) -> str:
        """The family that the arrays name, in ASCII codes; the first one is not named."""
        if "family" not in self.arrays:
            return "convex_potentials"
        codes = self.get("family")
        if np.any((codes < 0) | (codes > 127)):
            raise self.fail("family must be a name in ASCII codes")
        return bytes(codes.astype(np.uint8).reshape(-1)).decode("ascii")

    def groups(self, n: int) -> list[tuple[int, int]]:
        """[First component, number of states] of every population, none of convex potentials."""
        family = self.family()
        if family == "convex_potentials":
            return []
        if family != "populations":
            raise self.fail(
                f"the C kernel knows the families convex_potentials and populations; found {family}"
            )
        rows = self.get("groups")
        if rows.ndim != 2 or rows.shape[1] != 2 or not len(rows) or np.any(rows != np.floor(rows)):
            raise self.fail(
                "groups must hold a row [first component, number of states] of whole numbers for "
                f"each population; found {rows.tolist()}"
            )
        groups = [(int(first), int(states)) for first, states in rows]
        taken = [c for first, states in groups for c in range(first, first + states - 1)]
        if (
            min(states for _, states in groups) < 2
            or not set(taken) <= set(range(n))
            or len(set(taken)) < len(taken)
        ):
            raise self.fail(
                "every population must have two states or more, and components of its own among "
                f"the {n} internal variables; found {groups}"
            )
        return groups

    def energy(
        self, n_strain: int, n: int, layers: int, groups: list[tuple[int, int]]
    ) -> list[int]:
        """Take the arrays of f and return its widths."""
        d = n_strain + n
        self.take("energy_constant")
        self.take("energy_linear", d)
        quadratic = self.take("energy_quadratic", d, d)
        magnitude = float(np.max(np.abs(quadratic)))
        if np.max(np.abs(quadratic - quadratic.T)) > 1e-12 * magnitude:
            raise self.fail("energy_quadratic must be symmetric")
        # 2θ (I + 11ᵀ) in each population is the least second derivative of the mixing entropy.
        bound = np.zeros((d, d))
        for first, states in groups:
            own = slice(n_strain + first, n_strain + first + states - 1)
            bound[own, own] = 2.0 * self.thermal_energy() * (np.eye(states - 1) + 1.0)
        with_entropy = " with that of the mixing entropy" if groups else ""
        for name, part in (("strain", slice(n_strain)), ("internal", slice(n_strain, d))):
            if np.linalg.eigvalsh((quadratic + bound)[part, part])[0] < -1e-10 * magnitude:
                raise self.fail(
                    f"the {name} part of energy_quadratic{with_entropy} must be positive "
                    "semidefinite, else f is not convex"
                )
        widths: list[int] = []
        for l in range(1, layers + 1):
            widths.append(self.width(f"energy_bias_{l}"))
            self.take(f"energy_skip_{l}", widths[-1], d)
            self.take(f"energy_bias_{l}", widths[-1])
            if l > 1:
                self.take(f"energy_hidden_{l}", widths[-1], widths[-2], nonnegative=True)
        self.take("energy_output", widths[-1] if widths else 0, nonnegative=True)
        return widths

    def network(self, name: str, layers: int, columns: int, last_rows: int) -> list[int]:
        """Take weights and biases of a network of tanh layers and return its hidden widths."""
        widths: list[int] = []
        for l in range(1, layers + 1):
            rows = last_rows if l == layers else self.width(f"{name}_bias_{l}")
            self.take(f"{name}_weight_{l}", rows, columns)
            self.take(f"{name}_bias_{l}", rows)
            columns = rows
            widths.append(rows)
        return widths[:-1]

    def thermal_energy(self) -> float:
        value = self.get("thermal_energy")
        if value.size != 1 or not value.reshape(-1)[0] > 0.0:
            raise self.fail("thermal_energy must be one positive number")
        return float(value.reshape(-1)[0])

    def rest(self, n: int, groups: list[tuple[int, int]]) -> None:
        """Take the fractions at α = 0."""
        rest = self.take("rest", n)
        means = np.ones(n, dtype=bool)
        for first, states in groups:
            own = slice(first, first + states - 1)
            means[own] = False
            if np.any(rest[own] < 0.0) or not np.sum(rest[own]) < 1.0:
                raise self.fail(
                    "rest must hold fractions that are not negative, with a sum below 1 in each "
                    f"population; found {rest[own].tolist()}"
                )
        if np.any(rest[means] != 0.0):
            raise self.fail("rest must be 0 of means")

    def populations(self, d: int, groups: list[tuple[int, int]]) -> list[int]:
        """Take what populations have beside f and return the sizes that describe it."""
        self.pieces.append(np.array([self.thermal_energy()]))
        self.rest(d - self.count("strain_size", 1), groups)
        pairs = sum(states * (states - 1) // 2 for _, states in groups)
        layers = self.count("rate_layers", 1)
        widths = self.network("rate", layers, d + pairs, pairs)
        saturates = self.get("rate_barrier").size > 0
        if saturates:
            self.take("rate_barrier", pairs)
        intervals = self.table(saturates) if "rate_table" in self.arrays else 0
        rows = [number for row in groups for number in row]
        kind = 2 if intervals else int(saturates)
        last = [intervals] if intervals else []
        return [layers, kind, len(groups), *widths, *rows, *last]

    def table(self, saturates: bool) -> int:
        """Take a table of rates and return the number of its intervals."""
        rows = self.get("rate_table").size // 5
        table = self.take("rate_table", rows, 5)
        if rows < 2 or table[0, 0] != 0.0 or not np.all(np.diff(table[:, 0]) > 0.0):
            raise self.fail("the left ends in rate_table must rise from 0, in two rows or more")
        if not saturates or np.any(self.get("rate_barrier") <= 0.0):
            raise self.fail("rates with a table need a positive rate_barrier for every pair")
        return rows

    def pack(self) -> PackedLaw:
        n_strain, n = self.count("strain_size", 1), self.count("internal_size", 1)
        groups = self.groups(n)
        means = n - sum(states - 1 for _, states in groups)
        layers = self.count("energy_layers", 0)
        context, ridges = self.count("context_layers", min(means, 1)), self.count("ridge_count", 0)
        if not means and (context or ridges):
            raise self.fail(
                "a law without means has no context network and no ridges; found context_layers "
                f"{context} and ridge_count {ridges}"
            )
        d = n_strain + n
        widths = self.energy(n_strain, n, layers, groups)
        self.take("ridge_weight", ridges, means)
        self.take("ridge_bias", ridges)
        inner = self.network("context", context, d, means * (means + 1) // 2 + ridges)
        if np.any(self.take("internal_scale", n) <= 0.0):
            raise self.fail("internal_scale must be positive")
        envelope = self.take("envelope", d, 2)
        if np.any(envelope[:, 0] > envelope[:, 1]):
            raise self.fail("envelope must hold pairs [low, high] with low <= high")
        tolerance = self.get("residual_tolerance")
        if tolerance.size != 1 or not tolerance.reshape(-1)[0] > 0.0:
            raise self.fail("residual_tolerance must be one positive number")
        sizes = [n_strain, n, layers, context, ridges, *widths, *inner]
        if groups:
            sizes += self.populations(d, groups)
        return PackedLaw(
            sizes=np.array(sizes, dtype=np.int64),
            weights=np.concatenate(self.pieces),
            tolerance=float(tolerance.reshape(-1)[0]),
        )
