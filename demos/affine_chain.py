"""A chain inside a deforming solid: its drag is relative to the medium, which deforms affinely."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ibvonn_train.simulation import SpringChain


@dataclass(frozen=True)
class AffineChain(SpringChain):
    r"""Chain of two-well springs whose surroundings deform with its ends.

    In a solid the medium between the molecules deforms with them. Bead i at
    :math:`x_i = y_i + i\lambda/N` then obeys
    :math:`\eta\,\mathrm dy_i = (F_{i+1} - F_i)\,\mathrm dt + \text{noise}` in the co-moving
    coordinate :math:`y_i`, and all springs have the mean strain :math:`\lambda/(N L_0) - 1`. The
    integrator's positions are the :math:`y_i`; the external force is N times the force conjugate to
    λ at fixed y: the mean spring force. The arguments are those of a chain.

    Raises:
        ValueError: If the end is pulled by a force.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.drive != "end":
            raise ValueError(
                f"{self.name}: the medium follows the moved end, so drive must be 'end'; found "
                f"{self.drive!r}."
            )

    @classmethod
    def around(cls, chain: SpringChain) -> AffineChain:
        """Return the same chain in a deforming medium."""
        return cls(**vars(replace(chain)))

    def elongations(self, x: Tensor, control: Tensor) -> Tensor:
        """Return u_i, shape ``(n_case, n_spring, n_replica)``."""
        wall = torch.zeros_like(x[:, :1])
        own = torch.diff(torch.cat([wall, x, wall], 1), dim=1)
        return own + (control / self.springs)[:, None] - self.reference_length

    def start(self, control: Tensor, n_replica: int, generator: torch.Generator) -> Tensor:
        """Return the chain's initial co-moving coordinates."""
        return super().start(control, n_replica, generator) - self._medium(control)

    def positions(self, microstate: Tensor, control: Tensor) -> Tensor:
        """Return the co-moving coordinates of the beads."""
        return super().positions(microstate, control) - self._medium(control)

    def external_force(self, x: Tensor, control: Tensor, control_rate: Tensor) -> Tensor:  # noqa: ARG002
        """Return the mean force of all springs."""
        return self.site_force(x, control).mean(-1)

    def _medium(self, control: Tensor) -> Tensor:
        """Positions of the medium at the beads, ``(n_case, n_bead, 1)``."""
        share = torch.arange(1, self.beads + 1, dtype=control.dtype, device=control.device)
        places: Tensor = (control / self.springs * share)[:, :, None]
        return places
