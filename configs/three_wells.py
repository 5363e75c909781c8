"""A particle over three wells, pulled through a spring by an imposed strain."""

import torch
from torch import Tensor

from ibvonn_train.simulation import MicroscopicSystem, OrderParameter, Preparation


class ThreeWells(MicroscopicSystem):
    """Energy e(x, ε) = k/2 (ε − x)² + W(x), wells of W at −1, 0 and 1 with barriers B between.

    W = B sin²(πx) between the outer wells and B π² (|x| − 1)² beyond them. The strain ε is the
    position of the end of the spring.
    """

    name = "three_wells"
    friction = 1.0
    thermal_energy = 0.05
    preparation = (Preparation(steps=2000, time_step=0.01),)
    sentence = "a particle over three wells, pulled through a spring"

    def __init__(self, stiffness: float = 0.5, barrier: float = 0.3) -> None:
        """Parameters come from [simulation.parameters] of the TOML."""
        self.stiffness, self.barrier = stiffness, barrier

    def energy(self, x: Tensor, control: Tensor) -> Tensor:
        """Energy of each replica; forces follow from it by automatic differentiation."""
        y = x[:, 0]
        outside = (y.abs() - 1.0).clamp(min=0.0)
        inside = y.clamp(-1.0, 1.0)
        wells = torch.sin(torch.pi * inside) ** 2 + (torch.pi * outside) ** 2
        return 0.5 * self.stiffness * (control - y) ** 2 + self.barrier * wells

    def start(self, control: Tensor, n_replica: int, generator: torch.Generator) -> Tensor:
        """Draw positions from the equilibrium at the first strain, by its integral on a grid."""
        grid = torch.linspace(-2.0, 2.0, 4001, dtype=torch.float64)
        energy = self.energy(grid.expand(len(control), 1, -1), control.double())
        weights = torch.softmax(-energy / self.thermal_energy, 1)
        picked = torch.multinomial(weights, n_replica, replacement=True, generator=generator)
        return grid[picked][:, None].to(control.dtype)

    def microstate(self, x: Tensor, control: Tensor) -> Tensor:
        """What encoder and decoder see, dimensionless: (n_protocol, n_site, n_replica, n_x)."""
        return x[..., None]

    def positions(self, microstate: Tensor, control: Tensor) -> Tensor:
        """Return the positions of microstates, for repetitions."""
        return microstate[..., 0]

    def parameters(self) -> dict[str, float]:
        """What the files record."""
        return {
            **super().parameters(),
            "stiffness": self.stiffness,
            "barrier": self.barrier,
            "reference_length": 1.0,
        }

    def microscopic_energy(self, microstate: Tensor, strain: Tensor) -> Tensor:
        """e(x, ε): microstates (n_state, n_point, 1), strain (n_state, 1) → (n_state, n_point)."""
        return self.energy(microstate.movedim(-1, 1), strain)

    def order_parameter(self) -> OrderParameter:
        """Mean number of the well, counted from the middle one."""
        return OrderParameter("mean well", lambda x: x.round().clip(-1, 1))
