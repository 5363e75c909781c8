"""Directions of a network and their weights: quadrature on the half sphere and the half circle.

A direction n and its opposite −n are the same spring, so averages over the sphere are sums over
half of it, ⟨h⟩ = Σ_k w_k h(n_k) with Σ_k w_k = 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from .kernels.base import FloatArray

LEBEDEV: Mapping[int, int] = MappingProxyType(
    {
        7: 5,
        13: 7,
        19: 9,
        25: 11,
        43: 15,
        55: 17,
        73: 19,
        85: 21,
        97: 23,
        151: 29,
        175: 31,
        217: 35,
        295: 41,
        385: 47,
    }
)
"""Directions on the half sphere → degree of the Lebedev rule."""

_UNUSABLE = {3: "of degree 3, not isotropic for a stiffness", 37: "", 115: "", 133: ""}

Orientation = Callable[[FloatArray], FloatArray]
"""Density of springs by direction: unit vectors (m, 3) → non-negative values (m,)."""


@dataclass(frozen=True)
class Directions:
    """Directions with weights.

    Attributes:
        vectors: Unit vectors, shape ``(m, 3)``; in the plane with third component 0.
        weights: Weights of the directions, shape ``(m,)``, positive, with sum 1.
    """

    vectors: FloatArray
    weights: FloatArray

    def __post_init__(self) -> None:
        vectors = np.array(self.vectors, dtype=np.float64)
        weights = np.array(self.weights, dtype=np.float64)
        if vectors.ndim != 2 or vectors.shape[1] != 3 or weights.shape != (len(vectors),):
            raise ValueError(
                "Directions: vectors must have shape (m, 3) and weights (m,); found "
                f"{vectors.shape} and {weights.shape}."
            )
        length = np.linalg.norm(vectors, axis=1)
        if not (np.abs(length - 1.0) <= 1e-12).all():
            worst = int(np.argmax(np.abs(length - 1.0)))
            raise ValueError(
                "Directions: vectors must have length 1; vector "
                f"{worst} has {length[worst]:.6g}. Divide by it."
            )
        if not (weights > 0.0).all() or not abs(weights.sum() - 1.0) <= 1e-12:
            raise ValueError(
                "Directions: weights must be positive with sum 1; found the "
                f"sum {weights.sum():.6g} and the smallest {weights.min():.6g}."
            )
        object.__setattr__(self, "vectors", vectors)
        object.__setattr__(self, "weights", weights)

    def __len__(self) -> int:
        return len(self.weights)

    def oriented(self, orientation: Orientation, reference: Directions) -> Directions:
        """The same directions, weighted by an orientation density.

        Args:
            orientation: Density by direction; any positive multiple gives the same result.
            reference: A fine rule, with which ⟨n⊗n⟩ of these directions is compared.

        Raises:
            ValueError: If the density is negative or not finite, or if ⟨n⊗n⟩ differs from that of
                the fine rule by more than 0.01.
        """
        result = self._weighted(orientation)
        error = np.abs(result.structure() - reference._weighted(orientation).structure()).max()
        if not error <= 0.01:
            raise ValueError(
                f"orientation: is too sharp for {len(self)} directions, ⟨n⊗n⟩ is off by "
                f"{error:.2g} (allowed: 0.01). Use more directions."
            )
        return result

    def structure(self) -> FloatArray:
        """Structure tensor ⟨n⊗n⟩, shape ``(3, 3)``; a third of the identity if isotropic."""
        return np.asarray((self.weights[:, np.newaxis] * self.vectors).T @ self.vectors)

    def _weighted(self, orientation: Orientation) -> Directions:
        density = np.asarray(orientation(self.vectors), dtype=np.float64)
        if density.shape != self.weights.shape:
            raise ValueError(
                f"orientation: must return one value per direction, shape {self.weights.shape}; "
                f"found {density.shape}."
            )
        if not (np.isfinite(density) & (density >= 0.0)).all() or not density.any():
            raise ValueError(
                "orientation: must be finite and not negative, and positive somewhere; found "
                f"values from {density.min():.6g} to {density.max():.6g}."
            )
        positive = density > 0.0
        weights = self.weights[positive] * density[positive]
        return Directions(self.vectors[positive], weights / weights.sum())


def lebedev(count: int = 55) -> Directions:
    """Lebedev rule on the half sphere.

    Args:
        count: Number of directions: 25 to try, 55 as a rule, 97 to check.

    Raises:
        ValueError: If there is no such rule with positive weights.

    References:
        Lebedev & Laikov (1999), *Doklady Mathematics* 59, 477.
    """
    from scipy.integrate import lebedev_rule

    if count not in LEBEDEV:
        reason = ""
        if count in _UNUSABLE:
            reason = f": that rule is {_UNUSABLE[count] or 'one with a negative weight'}"
        offered = ", ".join(str(number) for number in LEBEDEV)
        raise ValueError(
            f"lebedev: the number of directions must be one of {offered}; found {count}{reason}."
        )
    points, weights = lebedev_rule(LEBEDEV[count])
    x, y, z = np.where(np.abs(points) < 1e-12, 0.0, points)
    half = (z > 0.0) | ((z == 0.0) & ((y > 0.0) | ((y == 0.0) & (x > 0.0))))
    vectors = np.column_stack([x, y, z])[half]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return Directions(vectors, weights[half] / weights[half].sum())


def equispaced(count: int = 16) -> Directions:
    """Equal angles on the half circle; exact for trigonometric polynomials of degree 2 count − 2.

    Args:
        count: Number of directions, at least 3 (fewer are not isotropic for a stiffness).

    Raises:
        ValueError: If ``count`` is less than 3.
    """
    if count < 3:
        raise ValueError(
            f"equispaced: an isotropic plane network needs at least 3 directions; found {count}."
        )
    angle = np.pi / count * np.arange(count)
    vectors = np.column_stack([np.cos(angle), np.sin(angle), np.zeros(count)])
    return Directions(vectors, np.full(count, 1.0 / count))


def around_axis(axis: object, concentration: float) -> Orientation:
    """Transversely isotropic fibres about an axis: density ∝ exp(b ((n·a)² − 1)).

    Args:
        axis: a, three components; its length does not matter.
        concentration: b; 0 is isotropic, positive along the axis, negative across it.

    Raises:
        ValueError: If the axis is zero or not of three components.
    """
    a = np.array(axis, dtype=np.float64)
    if a.shape != (3,) or not np.linalg.norm(a) > 0.0:
        raise ValueError(f"around_axis: axis must be three numbers, not all 0; found {axis}.")
    a /= np.linalg.norm(a)

    def density(vectors: FloatArray) -> FloatArray:
        exponent = concentration * (vectors @ a) ** 2
        return np.asarray(np.exp(exponent - max(concentration, 0.0)))

    return density
