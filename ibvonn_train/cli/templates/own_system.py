"""A particle in a stiffening well, pulled through a spring by a trap: a system of one's own."""

import torch
from torch import Tensor

from ibvonn_train.simulation import MicroscopicSystem, Preparation


class StiffeningWell(MicroscopicSystem):
    """Energy e(x, λ) = k/2 (λ − x)² + c/4 x⁴; the control λ is the strain."""

    name = "stiffening_well"
    friction = 1.0
    thermal_energy = 0.01
    preparation = (Preparation(steps=1000, time_step=0.01),)

    def __init__(self, stiffness: float = 1.0, hardening: float = 1.0) -> None:
        """Parameters come from [simulation.parameters] of the TOML."""
        self.stiffness, self.hardening = stiffness, hardening

    def energy(self, x: Tensor, control: Tensor) -> Tensor:
        """Energy of each replica; forces follow from it by automatic differentiation."""
        y = x[:, 0]
        return 0.5 * self.stiffness * (control - y) ** 2 + 0.25 * self.hardening * y**4

    def start(self, control: Tensor, n_replica: int, generator: torch.Generator) -> Tensor:
        """Positions before preparation, (n_protocol, n_degree, n_replica)."""
        shape = (len(control), 1, n_replica)
        return 0.1 * torch.randn(shape, generator=generator, dtype=control.dtype)

    def microstate(self, x: Tensor, control: Tensor) -> Tensor:
        """What encoder and decoder see, dimensionless: (n_protocol, n_site, n_replica, n_x)."""
        return x[..., None]

    def positions(self, microstate: Tensor, control: Tensor) -> Tensor:
        """Return the positions of microstates, for repetitions of an ensemble from its start."""
        return microstate[..., 0]

    def parameters(self) -> dict[str, float]:
        """What the files record."""
        return {
            **super().parameters(),
            "stiffness": self.stiffness,
            "hardening": self.hardening,
            "reference_length": 1.0,
        }

    def microscopic_energy(self, microstate: Tensor, strain: Tensor) -> Tensor:
        """e(x, ε), with which f is made consistent with the decoder; leave it out if unknown.

        Microstates (n_state, n_point, n_x) and strain (n_state, n_ε) give (n_state, n_point).
        """
        return self.energy(microstate.movedim(-1, 1), strain)
