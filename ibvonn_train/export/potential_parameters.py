"""Arrays that the laws of both families share: the smooth energy, the ridges of φ, the ranges.

    F(x) = c + l·x + ½ xᵀQx + v·h_L,   h_l = s(H_l h_{l−1} + S_l x + b_l),   x = (ε, α),
    φ(g; x_n) = ½ |Λᵀg|² + Σ_j A_j [s(u_j + β_j) − s(β_j) − σ(β_j) u_j],   u = W g,

where a tanh network of x_n gives the lower triangle of Λ (diagonal exponentiated) and ln A. H_l and
v ≥ 0 make v·h_L convex; φ is convex with its minimum 0 at g = 0 for any weights.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from ..files.parsing import parse_arrays
from ..files.plain_files import read_file, replacing

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class PotentialParameters(ABC):
    """Weights and sizes of one law, named as in ``parameters.npz``.

    Attributes:
        strain_size: n_ε.
        internal_size: n_α; d = n_ε + n_α.
        energy_constant: c, scalar.
        energy_linear: l, shape ``(d,)``.
        energy_quadratic: Q, shape ``(d, d)``, symmetric.
        energy_skip: S_1 … S_L, each of shape ``(width_l, d)``; empty for a quadratic energy.
        energy_bias: b_1 … b_L, each of shape ``(width_l,)``.
        energy_hidden: H_2 … H_L, each of shape ``(width_l, width_{l−1})``, nonnegative.
        energy_output: v, shape ``(width_L,)``, nonnegative; empty if L = 0.
        ridge_weight: W, shape ``(K, n_mean)``, n_mean internal variables having ridges.
        ridge_bias: β, shape ``(K,)``.
        context_weight: Weights of the context network, the first of d columns, the last of
            n_mean (n_mean + 1)/2 + K rows; empty where n_mean = 0.
        context_bias: Its biases.
        internal_scale: Standard deviation of each internal variable in training, ``(n_α,)``.
        envelope: Range of each component of x in training, ``(d, 2)``.
        residual_tolerance: A point has converged where its scaled residual is at most this.

    Raises:
        ValueError: If a shape, a sign or a definiteness is not as required.
    """

    family: ClassVar[str] = ""
    """Name of the family in manifests; a family beside the first one is named in the file too."""

    numbers: ClassVar[tuple[str, ...]] = ("energy_constant", "residual_tolerance")
    """Attributes that are plain numbers."""

    layers: ClassVar[dict[str, tuple[str, int]]] = {
        "energy_skip": ("energy_layers", 1),
        "energy_bias": ("energy_layers", 1),
        "energy_hidden": ("energy_layers", 2),
        "context_weight": ("context_layers", 1),
        "context_bias": ("context_layers", 1),
    }
    """Attributes with an array of each layer: name of their count in the file, first layer."""

    strain_size: int
    internal_size: int
    energy_constant: float
    energy_linear: FloatArray
    energy_quadratic: FloatArray
    ridge_weight: FloatArray
    ridge_bias: FloatArray
    context_weight: tuple[FloatArray, ...]
    context_bias: tuple[FloatArray, ...]
    internal_scale: FloatArray
    envelope: FloatArray
    energy_skip: tuple[FloatArray, ...] = ()
    energy_bias: tuple[FloatArray, ...] = ()
    energy_hidden: tuple[FloatArray, ...] = ()
    energy_output: FloatArray = field(default_factory=lambda: np.zeros(0))
    residual_tolerance: float = 1e-10

    def __post_init__(self) -> None:
        for item in fields(self):
            value: Any = getattr(self, item.name)
            if item.name in ("strain_size", "internal_size"):
                if int(value) != value or value < 1:
                    raise self._wrong(f"{item.name} must be at least 1; got {value}.")
                value = int(value)
            elif item.name in self.layers:
                value = tuple(
                    self._float64(f"{item.name}[{i}]", array) for i, array in enumerate(value)
                )
            else:
                value = self._float64(item.name, value)
                value = float(value) if item.name in self.numbers else value
            object.__setattr__(self, item.name, value)
        self._check_energy()
        self._check_dissipation()
        self._check_ranges()

    @property
    def size(self) -> int:
        """Number d = n_ε + n_α of state components."""
        return self.strain_size + self.internal_size

    @property
    def mean_size(self) -> int:
        """Number n_mean of internal variables whose forces the ridges take."""
        return self.internal_size

    @property
    def energy_layers(self) -> int:
        """Number L of hidden layers of F."""
        return len(self.energy_skip)

    @property
    def context_layers(self) -> int:
        """Number M of layers of the context network, the linear one included."""
        return len(self.context_weight)

    @property
    def ridge_count(self) -> int:
        """Number K of ridge functions of φ."""
        return len(self.ridge_bias)

    def _check_energy(self) -> None:
        d, n_layers = self.size, self.energy_layers
        self._shape("energy_linear", self.energy_linear, (d,))
        self._shape("energy_quadratic", self.energy_quadratic, (d, d))
        q = self.energy_quadratic
        if np.max(np.abs(q - q.T)) > 1e-14 * float(np.max(np.abs(q))):
            raise self._wrong("energy_quadratic must be symmetric; symmetrise it.")
        self._check_convexity()
        if len(self.energy_bias) != n_layers or len(self.energy_hidden) != max(n_layers - 1, 0):
            raise self._wrong(
                f"{n_layers} hidden layers need {n_layers} energy_bias and "
                f"{max(n_layers - 1, 0)} energy_hidden; got {len(self.energy_bias)} and "
                f"{len(self.energy_hidden)}."
            )
        widths = [len(bias) for bias in self.energy_bias]
        for i, (skip, bias) in enumerate(zip(self.energy_skip, self.energy_bias, strict=True)):
            self._shape(f"energy_bias_{i + 1}", bias, (widths[i],))
            self._shape(f"energy_skip_{i + 1}", skip, (widths[i], d))
        for i, hidden in enumerate(self.energy_hidden):
            self._shape(f"energy_hidden_{i + 2}", hidden, (widths[i + 1], widths[i]))
            self._nonnegative(f"energy_hidden_{i + 2}", hidden)
        self._shape("energy_output", self.energy_output, (widths[-1] if widths else 0,))
        self._nonnegative("energy_output", self.energy_output)

    @abstractmethod
    def _check_convexity(self) -> None:
        """Raise unless ½ xᵀQx is what the guarantees of the family need."""

    def _check_dissipation(self) -> None:
        n, count = self.mean_size, self.ridge_count
        self._shape("ridge_bias", self.ridge_bias, (count,))
        self._shape("ridge_weight", self.ridge_weight, (count, n))
        rows = n * (n + 1) // 2 + count
        self._network("context", self.size, rows, optional=not rows)

    def _network(self, name: str, columns: int, rows: int, *, optional: bool = False) -> None:
        """Check the layers of a network of ``columns`` inputs and ``rows`` outputs."""
        weights = getattr(self, f"{name}_weight")
        biases = getattr(self, f"{name}_bias")
        if len(weights) != len(biases) or not (weights or optional):
            raise self._wrong(
                f"the {name} network needs at least one layer, each with a weight "
                f"and a bias; got {len(weights)} and {len(biases)}."
            )
        for i, (weight, bias) in enumerate(zip(weights, biases, strict=True), start=1):
            height = rows if i == len(weights) else bias.size
            self._shape(f"{name}_bias_{i}", bias, (height,))
            self._shape(f"{name}_weight_{i}", weight, (height, columns))
            columns = height

    def _check_ranges(self) -> None:
        self._shape("internal_scale", self.internal_scale, (self.internal_size,))
        self._shape("envelope", self.envelope, (self.size, 2))
        if not np.all(self.internal_scale > 0.0):
            raise self._wrong(f"internal_scale must be positive; got {self.internal_scale}.")
        if not np.all(self.envelope[:, 0] < self.envelope[:, 1]):
            raise self._wrong(
                "each row of envelope must be [lower, upper] with lower < upper; "
                f"got {self.envelope.tolist()}."
            )
        if not self.residual_tolerance > 0.0:
            raise self._wrong(
                f"residual_tolerance must be positive; got {self.residual_tolerance}."
            )

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return the content of ``parameters.npz``: array name → array."""
        content: dict[str, npt.NDArray[Any]] = {
            name: np.asarray(getattr(self, name), dtype=np.int64)
            for name in ("strain_size", "internal_size", *self._counts())
        }
        for item in fields(self):
            value = getattr(self, item.name)
            if item.name in self.layers:
                _, first = self.layers[item.name]
                content |= {f"{item.name}_{first + i}": array for i, array in enumerate(value)}
            elif item.name not in content:
                content[item.name] = np.asarray(value)
        return content

    def save(self, path: str | Path) -> None:
        """Write ``parameters.npz``."""
        with replacing(path) as stream:
            np.savez(stream, **self.arrays())  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read ``parameters.npz``; everything is checked as in the constructor.

        Raises:
            ValueError: If an array is missing, or is not as required.
        """
        return cls.of(parse_arrays(read_file(path)), str(path))

    @classmethod
    def of(cls, content: Mapping[str, npt.NDArray[Any]], path: str = "parameters.npz") -> Self:
        """Take the arrays of ``parameters.npz``; ``path`` is their name in messages.

        Raises:
            ValueError: If an array is missing, or is not as required.
        """
        try:
            counts = {name: int(content[name]) for name in cls._counts()}
            values: dict[str, Any] = {}
            for item in fields(cls):
                if item.name in cls.layers:
                    count, first = cls.layers[item.name]
                    values[item.name] = tuple(
                        content[f"{item.name}_{i}"] for i in range(first, counts[count] + 1)
                    )
                else:
                    values[item.name] = content[item.name]
        except KeyError as error:
            raise ValueError(
                f"{path}: the array {error} is missing. Export the model again."
            ) from None
        law = cls(**values)
        if law.ridge_count != counts["ridge_count"]:
            raise ValueError(
                f"{path}: ridge_count says {counts['ridge_count']}, but ridge_bias has "
                f"{law.ridge_count} entries."
            )
        return law

    @classmethod
    def _counts(cls) -> tuple[str, ...]:
        return (*dict.fromkeys(count for count, _ in cls.layers.values()), "ridge_count")

    def _wrong(self, message: str) -> ValueError:
        return ValueError(f"{type(self).__name__}: {message}")

    def _float64(self, name: str, value: object) -> FloatArray:
        array = np.array(value, dtype=np.float64, order="C")
        if not np.all(np.isfinite(array)):
            raise self._wrong(f"{name} must be finite; it has NaN or infinite entries.")
        return array

    def _shape(self, name: str, array: npt.NDArray[Any], shape: tuple[int, ...]) -> None:
        if array.shape != shape:
            raise self._wrong(f"{name} must have shape {shape}; got {array.shape}.")

    def _nonnegative(self, name: str, array: FloatArray) -> None:
        if np.any(array < 0.0):
            raise self._wrong(
                f"{name} must be nonnegative, so that the layers are convex; its smallest entry "
                f"is {float(np.min(array)):.3e}."
            )
