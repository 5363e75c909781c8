"""A particle in two coupled degrees of freedom, one of which is pulled by an imposed strain."""

import torch
from torch import Tensor

from ibvonn_train.simulation import MicroscopicSystem, Preparation


class TwoDegrees(MicroscopicSystem):
    """Energy e(x, y, ε) = k/2 (ε − x)² + a/2 x² + b/2 (x − y)² + c/4 y⁴.

    The light degree x follows the strain ε through a spring and drags the heavy one, y, whose
    spring stiffens; each has a drag coefficient of its own.
    """

    name = "two_degrees"
    friction = 1.0
    degree_friction = (1.0, 5.0)
    thermal_energy = 0.02
    preparation = (Preparation(steps=3000, time_step=0.01),)
    sentence = "a particle in two coupled degrees of freedom, one of which is pulled"

    def __init__(
        self,
        stiffness: float = 1.0,
        tether: float = 0.5,
        coupling: float = 1.0,
        hardening: float = 1.0,
    ) -> None:
        """Parameters come from [simulation.parameters] of the TOML."""
        self.stiffness, self.tether = stiffness, tether
        self.coupling, self.hardening = coupling, hardening

    def energy(self, x: Tensor, control: Tensor) -> Tensor:
        """Energy of each replica; forces follow from it by automatic differentiation."""
        light, heavy = x[:, 0], x[:, 1]
        springs = self.stiffness * (control - light) ** 2 + self.tether * light**2
        springs = springs + self.coupling * (light - heavy) ** 2
        return 0.5 * springs + 0.25 * self.hardening * heavy**4

    def start(self, control: Tensor, n_replica: int, generator: torch.Generator) -> Tensor:
        """Positions before preparation, (n_protocol, n_degree, n_replica)."""
        shape = (len(control), 2, n_replica)
        return 0.1 * torch.randn(shape, generator=generator, dtype=control.dtype)

    def microstate(self, x: Tensor, control: Tensor) -> Tensor:
        """Both positions: (n_protocol, n_site, n_replica, 2)."""
        return x.transpose(1, 2)[:, None]

    def positions(self, microstate: Tensor, control: Tensor) -> Tensor:
        """Return the positions of microstates, for repetitions."""
        return microstate[:, 0].transpose(1, 2)

    def parameters(self) -> dict[str, float]:
        """What the files record."""
        return {
            **super().parameters(),
            "stiffness": self.stiffness,
            "tether": self.tether,
            "coupling": self.coupling,
            "hardening": self.hardening,
            "reference_length": 1.0,
        }

    def microscopic_energy(self, microstate: Tensor, strain: Tensor) -> Tensor:
        """e(x, y, ε): microstates (n_state, n_point, 2), strain (n_state, 1)."""
        return self.energy(microstate.movedim(-1, 1), strain)
