"""What a law's potentials f(ε, α) and φ(g; ε, α) answer, whatever their family."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor, nn

from .rates import Rates

RateFunction = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""(ε, α) ↦ (σ, α̇), shapes ``(..., n_ε)`` and ``(..., n_α)``."""


class Linearised(NamedTuple):
    """A law at given states, and what a change of state adds to first order.

    Attributes:
        stress, rate: σ ``(..., n_ε)`` and α̇ ``(..., n_α)``.
        stiffness: ∂²f/∂ε², shape ``(..., n_ε, n_ε)``.
        coupling: ∂²f/∂ε∂α, shape ``(..., n_ε, n_α)``.
        rate_by_strain: ∂α̇/∂ε with the state of φ frozen, shape ``(..., n_α, n_ε)``.
        rate_by_internal: ∂α̇/∂α likewise, shape ``(..., n_α, n_α)``.
    """

    stress: Tensor
    rate: Tensor
    stiffness: Tensor
    coupling: Tensor
    rate_by_strain: Tensor
    rate_by_internal: Tensor


LinearisedFunction = Callable[[Tensor, Tensor], Linearised]


class Relaxation(NamedTuple):
    """What of :class:`Linearised` decides how α goes on under a strain that is given.

    Attributes:
        rate: α̇ ``(..., n_α)``.
        rate_by_internal: ∂α̇/∂α with the state of φ frozen, shape ``(..., n_α, n_α)``.
    """

    rate: Tensor
    rate_by_internal: Tensor


RelaxationFunction = Callable[[Tensor, Tensor], Relaxation]


class Potentials(nn.Module, ABC):
    """Free energy and dual dissipation potential of a law.

    Attributes:
        strain_size, internal_size: n_ε and n_α.
        strain_centre, strain_scale: Mean and standard deviation of ε in training, ``(n_ε,)``.
        energy_scale: Energy of order one, per unit reference volume.
    """

    strain_size: int
    internal_size: int
    strain_centre: Tensor
    strain_scale: Tensor
    energy_scale: Tensor

    @abstractmethod
    def forward(self, strain: Tensor, internal: Tensor) -> Rates[Tensor]:
        """Return f, σ, g, α̇ for ε of shape ``(..., n_ε)`` and α of ``(..., n_α)``."""

    @abstractmethod
    def rates_function(self) -> RateFunction:
        """Return (ε, α) ↦ (σ, α̇) with the weights prepared once, for roll-outs."""

    @abstractmethod
    def linearised_function(self) -> LinearisedFunction:
        """Return (ε, α) ↦ σ, α̇ and their derivatives, for implicit steps."""

    def relaxation_function(self) -> RelaxationFunction:
        """Return (ε, α) ↦ α̇ and its derivative by α, for steps under an imposed strain."""
        linearised = self.linearised_function()

        def relaxation(strain: Tensor, internal: Tensor) -> Relaxation:
            law = linearised(strain, internal)
            return Relaxation(law.rate, law.rate_by_internal)

        return relaxation

    @abstractmethod
    def energy_hessian(self, strain: Tensor, internal: Tensor) -> Tensor:
        """Return ∂²f/∂(ε, α)², shape ``(..., n_ε + n_α, n_ε + n_α)``."""

    @abstractmethod
    def dual_dissipation(self, driving_force: Tensor, strain: Tensor, internal: Tensor) -> Tensor:
        """Return φ(g; ε, α), shape ``(...)``."""

    @abstractmethod
    def mobility(self, driving_force: Tensor, strain: Tensor, internal: Tensor) -> Tensor:
        """Return ∂²φ/∂g², shape ``(..., n_α, n_α)``."""
