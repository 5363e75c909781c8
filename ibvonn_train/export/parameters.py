"""Parameters of a law with convex potentials, as plain float64 arrays (``parameters.npz``).

With x = (ε, α), s the softplus and σ its derivative, the law is

    f(x) = c + l·x + ½ xᵀQx + v·h_L,   h_l = s(H_l h_{l−1} + S_l x + b_l),
    φ(g; x_n) = ½ |Λᵀg|² + Σ_j A_j [s(u_j + β_j) − s(β_j) − σ(β_j) u_j],   u = W g,

where a tanh network of x_n gives the lower triangle of Λ (diagonal exponentiated) and ln A.
The class checks everything on which the guarantees of the law rest: H_l, v ≥ 0 and Q positive
semidefinite make f jointly convex; φ is convex with its minimum 0 at g = 0 for any weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..files.parsing import parse_arrays
from ..files.plain_files import read_file, replacing

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class LawParameters:
    """Weights and sizes of one law, named as in ``parameters.npz``.

    Attributes:
        strain_size: n_ε.
        internal_size: n_α; d = n_ε + n_α.
        energy_constant: c, scalar.
        energy_linear: l, shape ``(d,)``.
        energy_quadratic: Q, shape ``(d, d)``, symmetric positive semidefinite.
        energy_skip: S_1 … S_L, each of shape ``(width_l, d)``; empty for a quadratic law.
        energy_bias: b_1 … b_L, each of shape ``(width_l,)``.
        energy_hidden: H_2 … H_L, each of shape ``(width_l, width_{l−1})``, nonnegative.
        energy_output: v, shape ``(width_L,)``, nonnegative; empty if L = 0.
        ridge_weight: W, shape ``(K, n_α)``.
        ridge_bias: β, shape ``(K,)``.
        context_weight: Weights of the context network, the first of d columns, the last of
            n_α (n_α + 1)/2 + K rows.
        context_bias: Its biases.
        internal_scale: Standard deviation of each internal variable in training, ``(n_α,)``.
        envelope: Range of each component of x in training, ``(d, 2)``.
        residual_tolerance: A point has converged where its scaled residual is at most this.

    Raises:
        ValueError: If a shape, a sign or the definiteness of Q is not as required.
    """

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
            value = getattr(self, item.name)
            if item.name in ("strain_size", "internal_size"):
                if int(value) != value or value < 1:
                    raise ValueError(f"LawParameters: {item.name} must be at least 1; got {value}.")
                object.__setattr__(self, item.name, int(value))
            elif isinstance(value, (tuple, list)) and item.name in _FIRST:
                arrays = tuple(_float64(f"{item.name}[{i}]", a) for i, a in enumerate(value))
                object.__setattr__(self, item.name, arrays)
            else:
                array = _float64(item.name, value)
                plain = item.name in ("energy_constant", "residual_tolerance")
                object.__setattr__(self, item.name, float(array) if plain else array)
        self._check_energy()
        self._check_dissipation()
        self._check_ranges()

    @property
    def size(self) -> int:
        """Number d = n_ε + n_α of state components."""
        return self.strain_size + self.internal_size

    @property
    def energy_layers(self) -> int:
        """Number L of hidden layers of f."""
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
        _shape("energy_linear", self.energy_linear, (d,))
        _shape("energy_quadratic", self.energy_quadratic, (d, d))
        q = self.energy_quadratic
        magnitude = float(np.max(np.abs(q)))
        if np.max(np.abs(q - q.T)) > 1e-14 * magnitude:
            raise ValueError("LawParameters: energy_quadratic must be symmetric; symmetrise it.")
        lowest = float(np.linalg.eigvalsh(q)[0])
        if lowest < -1e-12 * magnitude:
            raise ValueError(
                "LawParameters: energy_quadratic must be positive semidefinite, so that f is "
                f"convex; its smallest eigenvalue is {lowest:.3e}. Parametrise it as a square."
            )
        if len(self.energy_bias) != n_layers or len(self.energy_hidden) != max(n_layers - 1, 0):
            raise ValueError(
                f"LawParameters: {n_layers} hidden layers need {n_layers} energy_bias and "
                f"{max(n_layers - 1, 0)} energy_hidden; got {len(self.energy_bias)} and "
                f"{len(self.energy_hidden)}."
            )
        widths = [len(bias) for bias in self.energy_bias]
        for i, (skip, bias) in enumerate(zip(self.energy_skip, self.energy_bias, strict=True)):
            _shape(f"energy_bias_{i + 1}", bias, (widths[i],))
            _shape(f"energy_skip_{i + 1}", skip, (widths[i], d))
        for i, hidden in enumerate(self.energy_hidden):
            _shape(f"energy_hidden_{i + 2}", hidden, (widths[i + 1], widths[i]))
            _nonnegative(f"energy_hidden_{i + 2}", hidden)
        _shape("energy_output", self.energy_output, (widths[-1] if widths else 0,))
        _nonnegative("energy_output", self.energy_output)

    def _check_dissipation(self) -> None:
        n, count = self.internal_size, self.ridge_count
        _shape("ridge_bias", self.ridge_bias, (count,))
        _shape("ridge_weight", self.ridge_weight, (count, n))
        if not self.context_weight or len(self.context_weight) != len(self.context_bias):
            raise ValueError(
                "LawParameters: the context network needs at least one layer, each with a weight "
                f"and a bias; got {len(self.context_weight)} and {len(self.context_bias)}."
            )
        columns = self.size
        for i, (weight, bias) in enumerate(
            zip(self.context_weight, self.context_bias, strict=True), start=1
        ):
            rows = n * (n + 1) // 2 + count if i == self.context_layers else bias.size
            _shape(f"context_bias_{i}", bias, (rows,))
            _shape(f"context_weight_{i}", weight, (rows, columns))
            columns = rows

    def _check_ranges(self) -> None:
        _shape("internal_scale", self.internal_scale, (self.internal_size,))
        _shape("envelope", self.envelope, (self.size, 2))
        if not np.all(self.internal_scale > 0.0):
            raise ValueError(
                f"LawParameters: internal_scale must be positive; got {self.internal_scale}."
            )
        if not np.all(self.envelope[:, 0] < self.envelope[:, 1]):
            raise ValueError(
                "LawParameters: each row of envelope must be [lower, upper] with lower < upper; "
                f"got {self.envelope.tolist()}."
            )
        if not self.residual_tolerance > 0.0:
            raise ValueError(
                "LawParameters: residual_tolerance must be positive; got "
                f"{self.residual_tolerance}."
            )

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return the content of ``parameters.npz``: array name → array."""
        content: dict[str, npt.NDArray[Any]] = {
            name: np.asarray(getattr(self, name), dtype=np.int64)
            for name in ("strain_size", "internal_size", *_COUNTS)
        }
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, tuple):
                first = _FIRST[item.name]
                content |= {f"{item.name}_{first + i}": array for i, array in enumerate(value)}
            elif item.name not in content:
                content[item.name] = np.asarray(value, dtype=np.float64)
        return content

    def save(self, path: str | Path) -> None:
        """Write ``parameters.npz``."""
        with replacing(path) as stream:
            np.savez(stream, **self.arrays())  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: str | Path) -> LawParameters:
        """Read ``parameters.npz``; everything is checked as in the constructor.

        Raises:
            ValueError: If an array is missing, or is not as required.
        """
        return cls.of(parse_arrays(read_file(path)), str(path))

    @classmethod
    def of(
        cls, content: Mapping[str, npt.NDArray[Any]], path: str = "parameters.npz"
    ) -> LawParameters:
        """Take the arrays of ``parameters.npz``; ``path`` is their name in messages.

        Raises:
            ValueError: If an array is missing, or is not as required.
        """
        try:
            layers, context, count = (int(content[name]) for name in _COUNTS)
            n_of = {"energy_hidden": layers - 1, "energy_skip": layers, "energy_bias": layers}
            values: dict[str, Any] = {}
            for item in fields(cls):
                if item.name in _FIRST:
                    first = _FIRST[item.name]
                    number = n_of.get(item.name, context)
                    values[item.name] = tuple(
                        content[f"{item.name}_{first + i}"] for i in range(number)
                    )
                else:
                    values[item.name] = content[item.name]
        except KeyError as error:
            raise ValueError(
                f"{path}: the array {error} is missing. Export the model again."
            ) from None
        law = cls(**values)
        if law.ridge_count != count:
            raise ValueError(
                f"{path}: ridge_count says {count}, but ridge_bias has {law.ridge_count} entries."
            )
        return law


_COUNTS = ("energy_layers", "context_layers", "ridge_count")
_FIRST = {
    "energy_skip": 1,
    "energy_bias": 1,
    "energy_hidden": 2,
    "context_weight": 1,
    "context_bias": 1,
}
"""Number of the first layer that has such an array."""


def _float64(name: str, value: object) -> FloatArray:
    array = np.array(value, dtype=np.float64, order="C")
    if not np.all(np.isfinite(array)):
        raise ValueError(f"LawParameters: {name} must be finite; it has NaN or infinite entries.")
    return array


def _shape(name: str, array: FloatArray, shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise ValueError(f"LawParameters: {name} must have shape {shape}; got {array.shape}.")


def _nonnegative(name: str, array: FloatArray) -> None:
    if np.any(array < 0.0):
        raise ValueError(
            f"LawParameters: {name} must be nonnegative, so that f is convex; its smallest entry "
            f"is {float(np.min(array)):.3e}."
        )
