"""Potentials of a law of means: f convex in α at fixed ε, φ a sum of softplus ridges."""

from __future__ import annotations

from torch import Tensor

from .dissipation import DualDissipation
from .free_energy import FreeEnergy
from .potentials import Linearised, LinearisedFunction, Potentials, RateFunction
from .rates import Rates


class ConvexPotentials(Potentials):
    """f and φ as input-convex networks.

    Args:
        energy: f(ε, α).
        dissipation: φ(g; ε, α).
    """

    def __init__(self, energy: FreeEnergy, dissipation: DualDissipation) -> None:
        super().__init__()
        self.energy, self.dissipation = energy, dissipation
        self.strain_size = energy.strain_size
        self.internal_size = energy.net.size - energy.strain_size

    @property
    def strain_centre(self) -> Tensor:  # type: ignore[override]
        """Mean of ε in training."""
        return self.energy.strain_centre

    @property
    def strain_scale(self) -> Tensor:  # type: ignore[override]
        """Standard deviation of ε in training."""
        return self.energy.strain_scale

    @property
    def energy_scale(self) -> Tensor:  # type: ignore[override]
        """E of f."""
        return self.energy.energy_scale

    def forward(self, strain: Tensor, internal: Tensor) -> Rates[Tensor]:
        """Return f, σ, g, α̇ for ε of shape ``(..., n_ε)`` and α of ``(..., n_α)``."""
        energy, stress, force = self.energy(strain, internal)
        if not self.internal_size:
            return Rates(energy, stress, force, force)
        rate = self.dissipation.rate(force, self.energy.state(strain, internal))
        return Rates(energy, stress, force, rate)

    def rates_function(self) -> RateFunction:
        """Return (ε, α) ↦ (σ, α̇) with the weights prepared once, for roll-outs."""
        gradient = self.energy.net.gradient_function()
        n, energy = self.strain_size, self.energy
        scale = energy.energy_scale / energy.strain_scale

        def rates(strain: Tensor, internal: Tensor) -> tuple[Tensor, Tensor]:
            state = energy.state(strain, internal)
            slope = gradient(state)
            if not self.internal_size:
                return scale * slope, internal
            rate = self.dissipation.net.gradient(-slope[..., n:], state)
            return scale * slope[..., :n], rate / self.dissipation.time_scale

        return rates

    def linearised_function(self) -> LinearisedFunction:
        """Return (ε, α) ↦ σ, α̇ and their derivatives, for implicit steps."""
        energy, n = self.energy, self.strain_size

        def linearised(strain: Tensor, internal: Tensor) -> Linearised:
            state = energy.state(strain, internal)
            slope, hessian = energy.net.gradient_and_hessian(state)
            scale, per_strain = energy.energy_scale, 1.0 / energy.strain_scale
            force = -scale * slope[..., n:]
            mobility = self.dissipation.hessian(force, state)
            coupling = scale * per_strain.unsqueeze(-1) * hessian[..., :n, n:]
            return Linearised(
                stress=scale * per_strain * slope[..., :n],
                rate=self.dissipation.rate(force, state),
                stiffness=scale * per_strain * per_strain.unsqueeze(-1) * hessian[..., :n, :n],
                coupling=coupling,
                rate_by_strain=-mobility @ coupling.mT,
                rate_by_internal=-mobility @ (scale * hessian[..., n:, n:]),
            )

        return linearised

    def energy_hessian(self, strain: Tensor, internal: Tensor) -> Tensor:
        """Return ∂²f/∂(ε, α)², shape ``(..., n_ε + n_α, n_ε + n_α)``."""
        return self.energy.hessian(strain, internal)

    def dual_dissipation(self, driving_force: Tensor, strain: Tensor, internal: Tensor) -> Tensor:
        """Return φ(g; ε, α), shape ``(...)``."""
        value: Tensor = self.dissipation(driving_force, self.energy.state(strain, internal))
        return value

    def mobility(self, driving_force: Tensor, strain: Tensor, internal: Tensor) -> Tensor:
        """Return ∂²φ/∂g², shape ``(..., n_α, n_α)``."""
        return self.dissipation.hessian(driving_force, self.energy.state(strain, internal))
