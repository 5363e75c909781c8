"""``parameters.npz`` as the two flat arrays that the C kernel reads: sizes and weights.

Everything on which the kernel relies is checked here: shapes, finite values, and the signs and the
definiteness that make f convex.
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
        sizes: n_ε, n_α, L, M, K, the L widths of f, the M − 1 hidden widths of the context network.
        weights: Every weight in the order that ``law.c`` states.
        tolerance: A point has converged where its scaled residual is at most this.
    """

    sizes: NDArray[np.int64]
    weights: FloatArray
    tolerance: float

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

    def fail(self, what: str) -> ExportedModelError:
        return ExportedModelError(f"{self.name}: {what}. Export the model again.")

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

    def pack(self) -> PackedLaw:
        n_strain, n = self.count("strain_size", 1), self.count("internal_size", 1)
        layers, context = self.count("energy_layers", 0), self.count("context_layers", 1)
        ridges, d = self.count("ridge_count", 0), n_strain + n

        self.take("energy_constant")
        self.take("energy_linear", d)
        quadratic = self.take("energy_quadratic", d, d)
        magnitude = float(np.max(np.abs(quadratic)))
        if np.max(np.abs(quadratic - quadratic.T)) > 1e-12 * magnitude:
            raise self.fail("energy_quadratic must be symmetric")
        for name, part in (("strain", slice(n_strain)), ("internal", slice(n_strain, d))):
            if np.linalg.eigvalsh(quadratic[part, part])[0] < -1e-10 * magnitude:
                raise self.fail(
                    f"the {name} part of energy_quadratic must be positive semidefinite, else f "
                    "is not convex"
                )
        widths: list[int] = []
        for l in range(1, layers + 1):
            widths.append(self.width(f"energy_bias_{l}"))
            self.take(f"energy_skip_{l}", widths[-1], d)
            self.take(f"energy_bias_{l}", widths[-1])
            if l > 1:
                self.take(f"energy_hidden_{l}", widths[-1], widths[-2], nonnegative=True)
        self.take("energy_output", widths[-1] if widths else 0, nonnegative=True)

        self.take("ridge_weight", ridges, n)
        self.take("ridge_bias", ridges)
        context_widths: list[int] = []
        columns = d
        for l in range(1, context + 1):
            last = l == context
            rows = n * (n + 1) // 2 + ridges if last else self.width(f"context_bias_{l}")
            self.take(f"context_weight_{l}", rows, columns)
            self.take(f"context_bias_{l}", rows)
            columns = rows
            if not last:
                context_widths.append(rows)
        if np.any(self.take("internal_scale", n) <= 0.0):
            raise self.fail("internal_scale must be positive")
        envelope = self.take("envelope", d, 2)
        if np.any(envelope[:, 0] > envelope[:, 1]):
            raise self.fail("envelope must hold pairs [low, high] with low <= high")
        tolerance = self.get("residual_tolerance")
        if tolerance.size != 1 or not tolerance.reshape(-1)[0] > 0.0:
            raise self.fail("residual_tolerance must be one positive number")
        sizes = [n_strain, n, layers, context, ridges, *widths, *context_widths]
        return PackedLaw(
            sizes=np.array(sizes, dtype=np.int64),
            weights=np.concatenate(self.pieces),
            tolerance=float(tolerance.reshape(-1)[0]),
        )
