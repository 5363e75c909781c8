"""A law with a wrong interaction of its elements."""

from __future__ import annotations

from typing import Any

import numpy as np


class Interacting:
    """A law whose bonds attract each other, −c Σ p²/2 in f, which those of the data do not.

    Args:
        law: Without that.
        attraction: c in k_BT of a bond.
    """

    def __init__(self, law: Any, attraction: float) -> None:
        self._law, self._c = law, attraction * law.physics.thermal_energy

    def __getattr__(self, name: str) -> Any:
        return getattr(self._law, name)

    def rates(self, strain: Any, internal: Any) -> Any:
        rates, p = self._law.rates(strain, internal), np.asarray(internal)
        return rates._replace(
            energy=rates.energy - 0.5 * self._c * (p**2).sum(-1),
            driving_force=rates.driving_force + self._c * p,
        )

    def energy_hessian(self, strain: Any, internal: Any) -> Any:
        hessian = self._law.energy_hessian(strain, internal)
        size = self._law.strain_size
        hessian[:, size:, size:] -= self._c * np.eye(hessian.shape[-1] - size)
        return hessian
