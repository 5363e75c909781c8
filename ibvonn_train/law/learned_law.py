"""The learned law: encoder, decoder, free energy and dissipation in one module."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from .decoder import Decoder
from .dissipation import DualDissipation
from .encoder import Encoder
from .free_energy import FreeEnergy
from .rates import Rates

StrainKind = Literal["controlled", "averaged"]


class Linearised(NamedTuple):
    """A law at given states, and what a change of state adds to first order.

    Attributes:
        stress, rate: σ ``(..., n_ε)`` and α̇ ``(..., n_α)``.
        stiffness: ∂²f/∂ε², shape ``(..., n_ε, n_ε)``.
        coupling: ∂²f/∂ε∂α, shape ``(..., n_ε, n_α)``.
        curvature: ∂²f/∂α², shape ``(..., n_α, n_α)``.
        mobility: φ'', shape ``(..., n_α, n_α)``.
    """

    stress: Tensor
    rate: Tensor
    stiffness: Tensor
    coupling: Tensor
    curvature: Tensor
    mobility: Tensor


class LearnedLaw(nn.Module):
    """Constitutive law with potentials f and φ, encoder ψ and decoder q.

    Args:
        strain_kind: "controlled" (the decoder describes x) or "averaged" (it describes x − ε).
        encoder: α = M(⟨ψ(x)⟩ − m).
        decoder: Density of the microstates given α.
        energy: f(ε, α).
        dissipation: φ(g; ε, α).
    """

    def __init__(
        self,
        strain_kind: StrainKind,
        encoder: Encoder,
        decoder: Decoder,
        energy: FreeEnergy,
        dissipation: DualDissipation,
    ) -> None:
        super().__init__()
        self.strain_kind: StrainKind = strain_kind
        self.encoder = encoder
        self.decoder = decoder
        self.energy = energy
        self.dissipation = dissipation

    @property
    def internal_size(self) -> int:
        """n_α."""
        return self.encoder.shift.numel()

    @property
    def strain_size(self) -> int:
        """n_ε."""
        return self.energy.strain_size

    def forward(self, strain: Tensor, internal: Tensor) -> Rates[Tensor]:
        """Return f, σ, g, α̇ for ε of shape ``(..., n_ε)`` and α of ``(..., n_α)``."""
        energy, stress, force = self.energy(strain, internal)
        if not self.internal_size:
            return Rates(energy, stress, force, torch.zeros_like(force))
        rate = self.dissipation.rate(force, self.energy.state(strain, internal))
        return Rates(energy, stress, force, rate)

    def rates_function(self) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
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

    def relaxation(self, strain: Tensor, internal: Tensor) -> Tensor:
        """Return φ'' ∂²f/∂α², the rates with which α relaxes, shape ``(..., n_α, n_α)``."""
        state = self.energy.state(strain, internal)
        slope, curvature = self.energy.net.gradient_and_hessian(state)
        n, scale = self.strain_size, self.energy.energy_scale
        mobility = self.dissipation.hessian(-scale * slope[..., n:], state)
        matrix: Tensor = mobility @ (scale * curvature[..., n:, n:])
        return matrix

    def linearised(self, strain: Tensor, internal: Tensor) -> Linearised:
        """Return σ, α̇ and their derivatives: what an implicit step needs."""
        energy, n = self.energy, self.strain_size
        state = energy.state(strain, internal)
        slope, hessian = energy.net.gradient_and_hessian(state)
        scale, per_strain = energy.energy_scale, 1.0 / energy.strain_scale
        force = -scale * slope[..., n:]
        return Linearised(
            stress=scale * per_strain * slope[..., :n],
            rate=self.dissipation.rate(force, state),
            stiffness=scale * per_strain * per_strain.unsqueeze(-1) * hessian[..., :n, :n],
            coupling=scale * per_strain.unsqueeze(-1) * hessian[..., :n, n:],
            curvature=scale * hessian[..., n:, n:],
            mobility=self.dissipation.hessian(force, state),
        )

    def dual_dissipation(self, driving_force: Tensor, strain: Tensor, internal: Tensor) -> Tensor:
        """Return φ(g; ε, α), shape ``(...)``."""
        value: Tensor = self.dissipation(driving_force, self.energy.state(strain, internal))
        return value

    def origin(self, strain: Tensor) -> Tensor:
        """Return where the decoder's coordinate starts, shape ``(n_state, 1, n_x)``: ε or 0."""
        start = strain if self.strain_kind == "averaged" else torch.zeros_like(strain[..., :1])
        return start.unsqueeze(-2)

    def log_density(self, microstate: Tensor, strain: Tensor, internal: Tensor) -> Tensor:
        """Return ln q, ``(n_state, n_point)``, of microstates ``(n_state, n_point, n_x)``."""
        return self.decoder.log_density(microstate - self.origin(strain), internal)

    def sample(self, noise: Tensor, strain: Tensor, internal: Tensor) -> Tensor:
        """Return microstates of the shape of ``noise``, ``(n_state, n_sample, n_x)``."""
        return self.decoder.sample(noise, internal) + self.origin(strain)
