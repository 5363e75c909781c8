"""Energy of volume change U(J), added to a network that has its own Poisson ratio.

Springs without it give ν = 1/4 in space and 1/3 in the plane; U raises it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ..kernels.base import FloatArray


class Volumetric(Protocol):
    """U(J) per unit reference volume, with U(1) = U'(1) = 0 and U''(1) = ``bulk``."""

    @property
    def bulk(self) -> float:
        """κ [stress]."""
        ...

    def derivatives(self, volume: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """U, U', U'' at the volume ratios J, each of their shape."""
        ...


@dataclass(frozen=True)
class QuadraticVolumetric:
    """U = κ/2 (J − 1)².

    Attributes:
        bulk: κ ≥ 0 [stress].
    """

    bulk: float

    def __post_init__(self) -> None:
        _require_stable(self.bulk)

    def derivatives(self, volume: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """U, U', U''."""
        change = volume - 1.0
        return (
            0.5 * self.bulk * change**2,
            self.bulk * change,
            np.full_like(volume, self.bulk),
        )


@dataclass(frozen=True)
class LogarithmicVolumetric:
    """U = κ/4 (J² − 1 − 2 ln J): it has no bound as J → 0, so that J stays positive.

    Attributes:
        bulk: κ ≥ 0 [stress].
    """

    bulk: float

    def __post_init__(self) -> None:
        _require_stable(self.bulk)

    def derivatives(self, volume: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """U, U', U''; NaN where J ≤ 0, which fails the step."""
        j = np.where(volume > 0.0, volume, np.nan)
        return (
            0.25 * self.bulk * (j**2 - 1.0 - 2.0 * np.log(j)),
            0.5 * self.bulk * (j - 1.0 / j),
            0.5 * self.bulk * (1.0 + 1.0 / j**2),
        )


def _require_stable(bulk: float) -> None:
    if not bulk >= 0.0:
        raise ValueError(
            f"volumetric: the modulus must not be negative (the energy would not be convex); "
            f"found {bulk:.6g}. A Poisson ratio below that of the network needs another law."
        )
