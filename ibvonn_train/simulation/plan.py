"""What an engine is asked to do, and the seeds that it draws from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .protocols import FloatArray
from .systems.system import MicroscopicSystem, Preparation


@dataclass(frozen=True)
class Plan:
    """One call of :func:`simulate`, checked.

    Attributes:
        system: The microscopic system.
        control: λ at every step, ``(n_protocol, n_step + 1, n_control)``.
        time_step: Δt [time].
        stride: Steps between stored instants.
        replicas: Of each protocol.
        seed: Every random number follows from it and the index of the protocol.
        first: First microstates instead of a start and its preparation,
            ``(n_protocol, n_site, n, n_x)`` with n a divisor of ``replicas``; or None.
        dtype: Precision of the positions.
        device: Where a torch engine works.
    """

    system: MicroscopicSystem
    control: FloatArray
    time_step: float
    stride: int
    replicas: int
    seed: int
    first: Tensor | None
    dtype: torch.dtype
    device: str

    @property
    def stages(self) -> Sequence[Preparation]:
        """Preparation before time starts."""
        return () if self.first is not None else self.system.preparation

    @property
    def steps(self) -> int:
        """Steps of each protocol, with those of its preparation."""
        return sum(stage.steps for stage in self.stages) + int(self.control.shape[1]) - 1

    def stream(self, case: int) -> int:
        """Return the 64-bit seed of one protocol; that of another call or case is unrelated."""
        words = np.random.SeedSequence([self.seed, case]).generate_state(1, np.uint64)
        return int(words[0])

    def generator(self, case: int) -> torch.Generator:
        """Return the torch generator of one protocol."""
        return torch.Generator(self.device).manual_seed(self.stream(case))

    @property
    def elements(self) -> int:
        """Samples of a site that belong to one replica, as the springs of a cell."""
        λ = torch.tensor(self.control[:1, 0])
        return int(self.system.microstate(self.probe(), λ).shape[2]) // 2

    def probe(self) -> Tensor:
        """Return positions of two replicas before preparation, to look at: always the same."""
        λ = torch.tensor(self.control[:1, 0])
        return self.system.start(λ, 2, torch.Generator().manual_seed(0))

    def start(self, case: int, generator: torch.Generator) -> Tensor:
        """Return the positions of one protocol before preparation, ``(n_degree, n_replica)``."""
        λ = torch.tensor(self.control[case : case + 1, 0], dtype=self.dtype, device=self.device)
        if self.first is None:
            return self.system.start(λ, self.replicas, generator)[0]
        microstate = self.first[case : case + 1].to(λ)
        x = self.system.positions(microstate, λ)
        return x.repeat(1, 1, self.replicas // x.shape[-1])[0]
