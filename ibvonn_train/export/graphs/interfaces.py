"""What a law consists of, the names of its graphs' inputs and outputs, and its rates."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor, nn

INPUTS = ("strain", "strain_old", "statev", "dt")
OUTPUTS = (
    "stress",
    "statev_new",
    "tangent",
    "energy",
    "dissipation",
    "residual",
    "validity",
)

RATES_OUTPUTS = ("energy", "stress", "driving_force", "rate")


class EnergyGraph(Protocol):
    """What the update needs of a free energy; :class:`NetworkEnergy` is one."""

    constant: float

    def value(self, strain: Tensor, internal: Tensor) -> Tensor:
        """Return f, ``(n, 1)``."""

    def internal(self, strain: Tensor, internal: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return f, ∂f/∂α and ∂²f/∂α²."""

    def gradient(self, strain: Tensor, internal: Tensor) -> tuple[Tensor, Tensor]:
        """Return f and ∂f/∂(ε, α)."""

    def derivatives(self, strain: Tensor, internal: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return f, ∂f/∂(ε, α) and the second derivative."""


class DissipationGraph(Protocol):
    """What the update needs of φ; :class:`RidgeDissipation` is one."""

    def prepare(self, strain_old: Tensor, internal_old: Tensor) -> tuple[Tensor, Tensor]:
        """Evaluate what depends on the frozen state only, as two tensors."""

    def derivatives(
        self, force: Tensor, mobility: Tensor, amplitude: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return φ, ∂φ/∂g, ∂²φ/∂g² (positive definite)."""

    def magnitude(self, force: Tensor, mobility: Tensor, amplitude: Tensor) -> Tensor:
        """Bound the terms that cancel in φ, ``(n, 1)``: its round-off is a fraction of them."""


class RatesGraph(nn.Module):
    """The law in continuous time: (ε, α) → f, σ, g, α̇ = ∂φ/∂g(g; ε, α)."""

    def __init__(
        self, energy: EnergyGraph, dissipation: DissipationGraph, strain_size: int
    ) -> None:
        super().__init__()
        self.energy, self.dissipation, self.strain_size = energy, dissipation, strain_size

    def forward(self, strain: Tensor, statev: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return energy ``(n, 1)``, stress ``(n, n_ε)``, driving force and rate ``(n, n_α)``."""
        energy, gradient = self.energy.gradient(strain, statev)
        force = -gradient[:, self.strain_size :]
        frozen = self.dissipation.prepare(strain, statev)
        _, rate, _ = self.dissipation.derivatives(force, *frozen)
        return energy, gradient[:, : self.strain_size], force, rate
