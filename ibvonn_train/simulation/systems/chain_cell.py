"""A periodic chain of two-well springs under a controlled mean strain: one cell of a material."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .bistable_spring import TwoWellSpring, sample_at_length
from .system import (
    MicroscopicSystem,
    OrderParameter,
    Preparation,
    Scheme,
    require_positive,
    require_thermal_energy,
    stationary_factor,
)


@dataclass(frozen=True)
class ChainCell(MicroscopicSystem):
    r"""N springs in a ring whose mean strain ε is imposed; the parameters are those that unfold.

    Beads are at x_i = i(1 + ε) L0 + w_i, periodic in w, and drag acts on the motion relative to the
    affine one, η dw_i = (F_{i+1} − F_i) dt + noise. The microstate is the strain of a spring; all
    springs of a cell are like elements, and their mean strain is ε exactly. The stress is the mean
    spring force, (1/(N L0)) ∂e/∂ε, exactly k (L0 ε − u_h p) with p the open fraction.

    One jump changes the force by k u_h/N: from a hundred springs on, the law of a cell is that of a
    material point, while springs of a short chain with held ends feel each other's jumps.

    Attributes:
        stiffness, well_distance, offset: k, u_h and D of :class:`TwoWellSpring`.
        springs: N.
        reference_length: L0.
        preparation: Stages after an exact draw from the equilibrium at ε(0).
    """

    stiffness: float = 1.0
    well_distance: float = 0.3
    offset: float = 0.0135
    springs: int = 100
    reference_length: float = 1.0
    friction: float = 1.0
    thermal_energy: float = 0.0019
    preparation: Sequence[Preparation] = (Preparation(500, 0.1),)
    name: str = "chain_cell"
    scheme: Scheme = "leimkuhler_matthews"

    strain_kind = "averaged"
    sentence = "a periodic chain of springs with two wells each, whose mean strain is imposed"

    def __post_init__(self) -> None:
        require_positive(
            self.name,
            friction=self.friction,
            reference_length=self.reference_length,
            thermal_energy=self.thermal_energy,
        )
        require_thermal_energy(self.name, self.thermal_energy)
        if self.springs < 2:
            raise ValueError(f"{self.name}: needs at least 2 springs; found {self.springs}.")

    @property
    def spring(self) -> TwoWellSpring:
        """Every spring of the cell."""
        return TwoWellSpring(self.stiffness, self.well_distance, self.offset)

    def elongations(self, x: Tensor, control: Tensor) -> Tensor:
        """Return u_i of the springs, spring i before bead i: shape of ``x``."""
        return x - x.roll(1, 1) + self.reference_length * control[:, None]

    def energy(self, x: Tensor, control: Tensor) -> Tensor:
        """Return the energy of the springs."""
        return self.spring.energy(self.elongations(x, control)).sum(1)

    def force(self, x: Tensor, control: Tensor) -> Tensor:
        """Return F_{i+1} − F_i on each bead."""
        tension = self.spring.force(self.elongations(x, control))
        return tension.roll(-1, 1) - tension

    def start(self, control: Tensor, n_replica: int, generator: torch.Generator) -> Tensor:
        """Return cells in equilibrium at the mean strain."""
        whole = self.springs * self.reference_length * control.double()
        load = whole.expand(-1, n_replica).reshape(-1)
        u = sample_at_length(self.spring, load, self.springs, self.thermal_energy, generator)
        strains = (u / self.reference_length).reshape(len(control), 1, -1, 1)
        return self.positions(strains, control.double()).to(control.dtype)

    def microstate(self, x: Tensor, control: Tensor) -> Tensor:
        """Return spring strains, those of a cell side by side."""
        strain = self.elongations(x, control) / self.reference_length
        return strain.transpose(1, 2).reshape(len(x), 1, -1, 1)

    def positions(self, microstate: Tensor, control: Tensor) -> Tensor:
        """Return w of cells whose beads are zero on average."""
        strain = microstate.reshape(len(microstate), -1, self.springs) - control[:, None]
        w = self.reference_length * strain.cumsum(2)
        return (w - w.mean(2, keepdim=True)).transpose(1, 2)

    def external_force(self, x: Tensor, control: Tensor, control_rate: Tensor) -> Tensor:  # noqa: ARG002
        """Return the stress, the mean spring force."""
        return self.spring.force(self.elongations(x, control)).mean((1, 2))

    def stress_of_replicas(self, x: Tensor, control: Tensor) -> Tensor:
        """Return the mean spring force of each cell."""
        return self.spring.force(self.elongations(x, control)).mean(1)[:, None, :, None]

    def microscopic_energy(self, microstate: Tensor, strain: Tensor) -> Tensor:  # noqa: ARG002
        """Return the energy of one spring over L0; the mean strain of the springs is not in it."""
        return self.spring.energy_per_length(microstate[..., 0], self.reference_length)

    def order_parameter(self) -> OrderParameter:
        """Return the fraction of springs beyond the crossing of their wells."""
        return self.spring.open_fraction(self.reference_length)

    def effective_thermal_energy(self, time_step: float) -> float:
        """Return k_BT, at which the scheme samples harmonic wells whatever its step."""
        fastest = torch.tensor([4 * self.stiffness / self.friction])
        stationary_factor(fastest, time_step, self.name)  # refuses an unstable step
        return self.thermal_energy

    def parameters(self) -> dict[str, Any]:
        """Return what a file records of the system."""
        names = ("stiffness", "well_distance", "offset", "springs", "reference_length")
        return {
            **{name: getattr(self, name) for name in names},
            "crossing": self.spring.crossing,
            "friction": self.friction,
            "thermal_energy": self.thermal_energy,
            "scheme": self.scheme,
        }
