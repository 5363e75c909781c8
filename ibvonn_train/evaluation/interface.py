"""What evaluation and audits ask of a law, wherever it lives."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ..law.normalisation import Normalisation
from ..law.rates import Rates
from ..statistical_mechanics.microscopic_energy import Physics

FloatArray = npt.NDArray[np.float64]


class Law(Protocol):
    """A law with its encoder and, where it has one, its decoder.

    All states are rows: ε ``(n, n_ε)`` and α ``(n, n_α)``.
    """

    @property
    def name(self) -> str:
        """Name for tables and messages."""

    @property
    def averaged(self) -> bool:
        """Whether ε is an ensemble mean of the microstates; else it is controlled."""

    @property
    def strain_size(self) -> int:
        """n_ε."""

    @property
    def strain_reference(self) -> FloatArray:
        """Strain, in the measure of the data, that the law calls zero: ``(n_ε,)``."""

    @property
    def internal_size(self) -> int:
        """n_α."""

    @property
    def internal_scale(self) -> FloatArray:
        """Standard deviation of each α over the training set, ``(n_α,)``."""

    @property
    def envelope(self) -> FloatArray:
        """Training range of each component of (ε, α), ``(n_ε + n_α, 2)``."""

    @property
    def physics(self) -> Physics | None:
        """What is known of the microscopic system."""

    @property
    def system(self) -> str | None:
        """Name of the microscopic system that it is a law of, None where it does not say."""

    @property
    def training_normalisation(self) -> Normalisation[FloatArray] | None:
        """Normalisation of α over the training set, where the law knows it."""

    @property
    def has_decoder(self) -> bool:
        """Whether `log_density` and `sample` can be asked."""

    @property
    def has_potentials(self) -> bool:
        """Whether `dual_dissipation` and `energy_hessian` can be asked."""

    def encode(
        self, microstate: npt.NDArray[np.floating[Any]]
    ) -> tuple[FloatArray | None, FloatArray]:
        """Return ε (None if controlled) and α of ensembles ``(..., n_replica, n_x)``.

        A law of several classes takes ``(..., n_class, n_replica, n_x)``.
        """

    def rates(self, strain: npt.ArrayLike, internal: npt.ArrayLike) -> Rates[FloatArray]:
        """Return f ``(n,)``, σ ``(n, n_ε)``, g and α̇ ``(n, n_α)``."""

    def dual_dissipation(
        self, force: npt.ArrayLike, strain: npt.ArrayLike, internal: npt.ArrayLike
    ) -> tuple[FloatArray, FloatArray]:
        """Return φ(g; ε, α) ``(n,)`` and ∂²φ/∂g² ``(n, n_α, n_α)``."""

    def energy_hessian(self, strain: npt.ArrayLike, internal: npt.ArrayLike) -> FloatArray:
        """Return ∂²f/∂(ε, α)², ``(n, d, d)``."""

    def log_density(
        self, microstate: FloatArray, strain: FloatArray, internal: FloatArray
    ) -> FloatArray:
        """Return ln q, ``(n_state, n_sample)``, of microstates ``(n_state, n_sample, n_x)``."""

    def sample(self, noise: FloatArray, strain: FloatArray, internal: FloatArray) -> FloatArray:
        """Return microstates of the shape of ``noise``."""
