"""A law that is wrong by stated amounts: what an audit must see to be one.

The amounts are chosen as what is detectable, by whoever writes the test; a fifth is what every
audit that judges has to see (:mod:`ibvonn_train.studies.calibration`).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..evaluation.interface import FloatArray, Law
from ..law.rates import Rates
from ..statistical_mechanics.microscopic_energy import Physics


class PerturbedLaw:
    """A law with chosen errors; whatever is not said here is that of the law.

    Args:
        law: The law.
        energy: Factor on f, σ and g together.
        stress: Factor on σ alone.
        force: Factor on g alone.
        dissipation: Factor on φ, its curvature and α̇.
        width: Factor on the spread of the decoder about its mean.
        translation: Added to α: this times the mean strain.
    """

    def __init__(
        self,
        law: Law,
        *,
        energy: float = 1.0,
        stress: float = 1.0,
        force: float = 1.0,
        dissipation: float = 1.0,
        width: float = 1.0,
        translation: float = 0.0,
    ) -> None:
        self.law = law
        self.energy, self.stress, self.force = energy, stress, force
        self.dissipation, self.width, self.translation = dissipation, width, translation

    def __getattr__(self, name: str) -> Any:
        return getattr(self.law, name)

    @property
    def physics(self) -> Physics | None:
        """Those of the law."""
        return self.law.physics

    def encode(self, microstate: Any) -> tuple[FloatArray | None, FloatArray]:
        """Return ε and α, which moves with the microstates."""
        strain, internal = self.law.encode(microstate)
        if not self.translation:
            return strain, internal
        return strain, internal + self.translation * microstate.mean(-2, dtype=np.float64)

    def rates(self, strain: Any, internal: Any) -> Rates[FloatArray]:
        """Return f, σ, g and α̇."""
        f, stress, force, rate = self.law.rates(strain, internal)
        c = self.energy
        return Rates(
            c * f, c * self.stress * stress, c * self.force * force, c * self.dissipation * rate
        )

    def dual_dissipation(
        self, force: Any, strain: Any, internal: Any
    ) -> tuple[FloatArray, FloatArray]:
        """Return φ and ∂²φ/∂g²."""
        value, mobility = self.law.dual_dissipation(force, strain, internal)
        return self.dissipation * value, self.dissipation * mobility

    def _middle(self, strain: FloatArray, internal: FloatArray) -> FloatArray:
        """Return the mean of the decoder: ε of averaged strain, the median of another one."""
        if self.law.averaged:
            mean: FloatArray = (strain + self.law.strain_reference)[:, None]
            return mean
        middle: FloatArray = self.law.sample(np.zeros((len(internal), 1, 1)), strain, internal)
        return middle

    def log_density(
        self, microstate: FloatArray, strain: FloatArray, internal: FloatArray
    ) -> FloatArray:
        """Return ln q."""
        middle = self._middle(strain, internal)
        inner = middle + (microstate - middle) / self.width
        log_density: FloatArray = self.law.log_density(inner, strain, internal)
        widened: FloatArray = log_density - np.log(self.width)
        return widened

    def sample(self, noise: FloatArray, strain: FloatArray, internal: FloatArray) -> FloatArray:
        """Return microstates."""
        middle = self._middle(strain, internal)
        microstate: FloatArray = self.law.sample(noise, strain, internal)
        return middle + self.width * (microstate - middle)
