"""Tethered particle in an optical trap: the smallest solid with one internal variable."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .system import (
    MicroscopicSystem,
    OrderParameter,
    require_positive,
    require_thermal_energy,
    stationary_factor,
)


@dataclass(frozen=True)
class TetheredParticle(MicroscopicSystem):
    r"""Particle tied to the origin by a spring and held in a moving optical trap.

    :math:`e = \tfrac k2(\lambda - x)^2 + \tfrac k2 x^2`. Its mean is a Zener solid: a spring k in
    series with a Kelvin unit of a spring k and a dashpot η. It starts in equilibrium at λ(0).
    """

    stiffness: float = 1.0
    friction: float = 1.0
    thermal_energy: float = 1e-2
    name: str = "tethered_particle"

    sentence = "a Brownian particle tethered to the origin, in a moving optical trap"

    def __post_init__(self) -> None:
        require_positive(self.name, stiffness=self.stiffness, friction=self.friction)
        require_thermal_energy(self.name, self.thermal_energy)

    def energy(self, x: Tensor, control: Tensor) -> Tensor:
        """Return e(x, λ)."""
        y = x[:, 0]
        return 0.5 * self.stiffness * ((control - y) ** 2 + y * y)

    def microscopic_energy(self, microstate: Tensor, strain: Tensor) -> Tensor:
        """Return e(x, ε), the strain being the position of the trap."""
        return self.energy(microstate.movedim(-1, 1), strain)

    def order_parameter(self) -> OrderParameter:
        """Return the mean position of the particle."""
        return OrderParameter("mean position", lambda x: x)

    def force(self, x: Tensor, control: Tensor) -> Tensor:
        """Return k(λ − 2x)."""
        return self.stiffness * (control[:, None] - 2 * x)

    def start(self, control: Tensor, n_replica: int, generator: torch.Generator) -> Tensor:
        """Return equilibrium positions, N(λ/2, k_BT/2k)."""
        noise = torch.randn(
            (len(control), 1, n_replica),
            generator=generator,
            dtype=control.dtype,
            device=control.device,
        )
        spread = math.sqrt(self.thermal_energy / (2 * self.stiffness))
        return control[:, None] / 2 + spread * noise

    def microstate(self, x: Tensor, control: Tensor) -> Tensor:  # noqa: ARG002
        """Return positions over the reference length, which is 1."""
        return x[..., None]

    def positions(self, microstate: Tensor, control: Tensor) -> Tensor:  # noqa: ARG002
        """Return positions."""
        return microstate[..., 0]

    def external_force(self, x: Tensor, control: Tensor, control_rate: Tensor) -> Tensor:  # noqa: ARG002
        """Return k(λ − ⟨x⟩)."""
        return self.stiffness * (control[:, 0] - x[:, 0].mean(-1))

    def stress_of_replicas(self, x: Tensor, control: Tensor) -> Tensor:
        """Return k(λ − x)."""
        return (self.stiffness * (control[:, None] - x))[..., None]

    def effective_thermal_energy(self, time_step: float) -> float:
        """Return k_BT / (1 − k Δt/η): the stationary variance of the scheme times 2k."""
        rates = torch.tensor([2 * self.stiffness / self.friction])
        return self.thermal_energy * stationary_factor(rates, time_step, self.name)

    def parameters(self) -> dict[str, Any]:
        """Return what a file records of the system."""
        return {
            "stiffness": self.stiffness,
            "friction": self.friction,
            "thermal_energy": self.thermal_energy,
            "reference_length": 1.0,
        }
