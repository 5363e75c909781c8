"""Parameters of a law with convex potentials, as plain float64 arrays (``parameters.npz``).

f(x) = F(x) and φ(g; x_n) as in :mod:`ibvonn_train.export.potential_parameters`, with every internal
variable in the ridges. Q positive semidefinite makes f jointly convex in x = (ε, α).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .potential_parameters import FloatArray as FloatArray
from .potential_parameters import PotentialParameters


@dataclass(frozen=True, kw_only=True)
class LawParameters(PotentialParameters):
    """Weights and sizes of one law with jointly convex f; attributes as in the base class."""

    family: ClassVar[str] = "convex_potentials"

    def _check_convexity(self) -> None:
        q = self.energy_quadratic
        lowest = float(np.linalg.eigvalsh(q)[0])
        if lowest < -1e-12 * float(np.max(np.abs(q))):
            raise self._wrong(
                "energy_quadratic must be positive semidefinite, so that f is "
                f"convex; its smallest eigenvalue is {lowest:.3e}. Parametrise it as a square."
            )
