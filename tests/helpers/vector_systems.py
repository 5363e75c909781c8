"""Systems of any size for tests, whose exact law is linear."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ibvonn_train.simulation import MicroscopicSystem, Protocol
from ibvonn_train.simulation.strain_paths import strain_training_set


class VectorTether(MicroscopicSystem):
    """A point in n_x dimensions on two springs, one of which ends where n_ε strains put it.

    e(x, ε) = ½|Bε − x|² + ½|x|² + ½|ε|² with a fixed matrix B. The exact law has the means m = ⟨x⟩:
    f = e(m, ε), σ = Bᵀ(Bε − m) + ε, ṁ = Bε − 2m; of n_x of them those in the range of B move.
    """

    name = "vector_tether"
    friction = 1.0
    thermal_energy = 0.01

    def __init__(self, microstate_size: int = 1, strain_size: int = 1) -> None:
        self.sizes = microstate_size, strain_size
        rows, columns = np.mgrid[:microstate_size, :strain_size]
        self.matrix = torch.from_numpy(np.cos(1.0 + 2.0 * rows + 3.0 * columns * (rows + 1)))

    def energy(self, x: Tensor, control: Tensor) -> Tensor:
        end = (control @ self.matrix.to(control).T)[:, :, None]
        elastic = ((end - x) ** 2 + x * x).sum(1)
        return 0.5 * (elastic + (control * control).sum(1, keepdim=True))

    def microscopic_energy(self, microstate: Tensor, strain: Tensor) -> Tensor:
        return self.energy(microstate.movedim(-1, 1), strain)

    def start(self, control: Tensor, n_replica: int, generator: torch.Generator) -> Tensor:
        shape = (len(control), self.sizes[0], n_replica)
        noise = torch.randn(shape, generator=generator, dtype=control.dtype)
        rest = (control @ self.matrix.to(control).T)[:, :, None] / 2
        return rest + (self.thermal_energy / 2) ** 0.5 * noise

    def microstate(self, x: Tensor, control: Tensor) -> Tensor:
        return x.transpose(1, 2)[:, None]

    def positions(self, microstate: Tensor, control: Tensor) -> Tensor:
        return microstate[:, 0].transpose(1, 2)

    def parameters(self) -> dict[str, Any]:
        sizes = dict(zip(("microstate_size", "strain_size"), self.sizes, strict=True))
        return {**super().parameters(), **sizes, "reference_length": 1.0}

    def protocols(self, duration: float, seed: int = 1, **numbers: int) -> tuple[Protocol, ...]:
        """Loading, holding, unloading and walks between −1 and 1 of each strain."""
        box = (-1.0,) * self.sizes[1], (1.0,) * self.sizes[1]
        return strain_training_set(*box, duration, seed=seed, **numbers)
