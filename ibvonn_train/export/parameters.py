"""Parameters of a law with convex potentials, as plain float64 arrays (``parameters.npz``).

f(x) = F(x) and φ(g; x_n) as in :mod:`ibvonn_train.export.potential_parameters`, with every internal
variable in the ridges. The parts of Q in ε and in α are positive semidefinite, so that f is convex
in each of them; a Q that is so as a whole makes it jointly convex.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .potential_parameters import FloatArray as FloatArray
from .potential_parameters import PotentialParameters


@dataclass(frozen=True, kw_only=True)
class LawParameters(PotentialParameters):
    """Weights and sizes of one law with f convex in α; attributes as in the base class."""

    family: ClassVar[str] = "convex_potentials"

    def _check_convexity(self) -> None:
        m, q = self.strain_size, self.energy_quadratic
        for label, block in (("strain", q[:m, :m]), ("internal", q[m:, m:])):
            lowest = float(np.linalg.eigvalsh(block)[0])
            if lowest < -1e-12 * float(np.max(np.abs(q))):
                raise self._wrong(
                    f"the {label} part of energy_quadratic must be positive semidefinite, so that "
                    f"f is convex in it; its smallest eigenvalue is {lowest:.3e}. Parametrise it "
                    "as a square."
                )
