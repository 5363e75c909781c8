"""Chains of two-well springs: the bistable chain of the paper and one that unfolds."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, Self

import torch
from torch import Tensor

from .bistable_spring import TwoWellSpring, sample_at_force, sample_at_length
from .chain_cell import ChainCell
from .system import (
    MicroscopicSystem,
    OrderParameter,
    Preparation,
    StrainKind,
    require_positive,
    require_thermal_energy,
    stationary_factor,
)

PAPER_PREPARATION = (Preparation(10_000, 0.02, 4.0), Preparation(40_000, 0.01))
"""Hot stage, stage at temperature: part of the published data."""

Initial = Literal["uniform", "equilibrium"]
End = Literal["end", "force"]


@dataclass(frozen=True)
class SpringChain(MicroscopicSystem):
    r"""Chain of two-well springs between a wall and an end that is moved or pulled.

    Bead i sits between springs i and i + 1 and obeys η dx_i = (F_{i+1} − F_i) dt + noise. With
    ``drive="end"`` the end position is the control λ and the external force is F_N + η λ̇; with
    ``drive="force"`` the end bead is free and carries the force λ. The microstate of a spring is
    its strain (x_{i+1} − x_i − L0)/L0.

    Attributes:
        spring: Every spring of the chain.
        springs: Their number N.
        reference_length: L0 of a spring.
        initial: "uniform" (all springs alike, then ``preparation``) or "equilibrium" (exact draws
            from the Boltzmann distribution at λ(0), then ``preparation``).
    """

    spring: TwoWellSpring = field(default_factory=TwoWellSpring)
    springs: int = 10
    reference_length: float = 0.01
    friction: float = 0.1
    thermal_energy: float = 5e-6
    drive: End = "end"
    preparation: Sequence[Preparation] = PAPER_PREPARATION
    initial: Initial = "uniform"
    name: str = "double_well_chain"
    strain_kind: StrainKind = "averaged"

    sentence = "a chain of springs with two wells each, in a heat bath"

    def __post_init__(self) -> None:
        require_positive(self.name, friction=self.friction, reference_length=self.reference_length)
        require_thermal_energy(self.name, self.thermal_energy)
        if self.springs < 2:
            raise ValueError(f"{self.name}: needs at least 2 springs; found {self.springs}.")
        if self.drive not in ("end", "force"):
            raise ValueError(f"{self.name}: drive must be 'end' or 'force'; found {self.drive!r}.")
        if self.initial not in ("uniform", "equilibrium"):
            raise ValueError(
                f"{self.name}: initial must be 'uniform' or 'equilibrium'; found {self.initial!r}."
            )
        if self.initial == "equilibrium" and not self.thermal_energy > 0:
            raise ValueError(
                f"{self.name}: an equilibrium start needs a positive thermal_energy; found 0. "
                "Use initial='uniform'."
            )

    @property
    def beads(self) -> int:
        """Beads that move."""
        return self.springs - 1 if self.drive == "end" else self.springs

    def from_equilibrium(self, time_step: float, steps: int = 1500) -> SpringChain:
        """Return the chain with an exact equilibrium start instead of a long preparation.

        The few steps that follow the draw let the wells' interior settle at the temperature of the
        scheme. Not for the paper's data, whose preparation leaves the end springs out of
        equilibrium.
        """
        stages = (Preparation(steps, time_step),)
        return replace(self, initial="equilibrium", preparation=stages)

    def elongations(self, x: Tensor, control: Tensor) -> Tensor:
        """Return u_i, shape ``(n_case, n_spring, n_replica)``."""
        wall = torch.zeros_like(x[:, :1])
        parts = [wall, x]
        if self.drive == "end":
            parts.append(control[:, None].expand_as(wall))
        return torch.diff(torch.cat(parts, 1), dim=1) - self.reference_length

    def energy(self, x: Tensor, control: Tensor) -> Tensor:
        """Return the energy of the springs, minus the work of a held force."""
        total = self.spring.energy(self.elongations(x, control)).sum(1)
        return total - control * x[:, -1] if self.drive == "force" else total

    def force(self, x: Tensor, control: Tensor) -> Tensor:
        """Return F_{i+1} − F_i on each bead."""
        tension = self.spring.force(self.elongations(x, control))
        if self.drive == "force":
            tension = torch.cat([tension, control[:, None].expand_as(tension[:, :1])], 1)
        return torch.diff(tension, dim=1)

    def start(self, control: Tensor, n_replica: int, generator: torch.Generator) -> Tensor:
        """Return uniform chains, or chains in equilibrium at the control."""
        if self.initial == "uniform":
            place = torch.arange(1, self.beads + 1, dtype=control.dtype, device=control.device)
            spacing = control / self.springs
            if self.drive == "force":
                spacing = torch.full_like(control, self.reference_length)
            return (spacing * place)[:, :, None].expand(-1, -1, n_replica).clone()
        load = control.double()
        if self.drive == "end":
            load = load - self.springs * self.reference_length
        sample = sample_at_length if self.drive == "end" else sample_at_force
        load = load.expand(-1, n_replica).reshape(-1)
        u = sample(self.spring, load, self.springs, self.thermal_energy, generator)
        x = (u + self.reference_length).cumsum(1)[:, : self.beads]
        return x.reshape(len(control), n_replica, self.beads).transpose(1, 2).to(control.dtype)

    def microstate(self, x: Tensor, control: Tensor) -> Tensor:
        """Return spring strains."""
        return (self.elongations(x, control) / self.reference_length)[..., None]

    def positions(self, microstate: Tensor, control: Tensor) -> Tensor:  # noqa: ARG002
        """Return the positions of the beads that move."""
        x = self.reference_length * (microstate[..., 0] + 1).cumsum(1)
        return x[:, : self.beads]

    def site_force(self, x: Tensor, control: Tensor) -> Tensor:
        """Return ⟨F_i⟩."""
        return self.spring.force(self.elongations(x, control)).mean(-1)

    def stress_of_replicas(self, x: Tensor, control: Tensor) -> Tensor:
        """Return F_i of each replica."""
        return self.spring.force(self.elongations(x, control))[..., None]

    def external_force(self, x: Tensor, control: Tensor, control_rate: Tensor) -> Tensor:
        """Return ⟨F_N⟩ + η λ̇ for a moved end, λ for a pulled one."""
        if self.drive == "force":
            return control[:, 0]
        return self.site_force(x, control)[:, -1] + self.friction * control_rate[:, 0]

    def microscopic_energy(self, microstate: Tensor, strain: Tensor) -> Tensor:  # noqa: ARG002
        """Return the energy of one spring over L0; the mean strain of the springs is not in it."""
        return self.spring.energy_per_length(microstate[..., 0], self.reference_length)

    def order_parameter(self) -> OrderParameter:
        """Return the fraction of springs beyond the crossing of their wells."""
        return self.spring.open_fraction(self.reference_length)

    def effective_thermal_energy(self, time_step: float) -> float:
        """Return k_BT · mean_k 1/(1 − Δt μ_k/2η), μ_k the stiffnesses of the modes in a well."""
        k = self.spring.stiffness
        diagonal = torch.full((self.beads,), 2 * k, dtype=torch.float64)
        if self.drive == "force":
            diagonal[-1] = k
        side = torch.full((self.beads - 1,), -k, dtype=torch.float64)
        stiffness = torch.diag(diagonal) + torch.diag(side, 1) + torch.diag(side, -1)
        rates = torch.linalg.eigvalsh(stiffness) / self.friction
        return self.thermal_energy * stationary_factor(rates, time_step, self.name)

    def parameters(self) -> dict[str, Any]:
        """Return what a file records of the system."""
        return {
            **asdict(self.spring),
            "crossing": self.spring.crossing,
            "friction": self.friction,
            "thermal_energy": self.thermal_energy,
            "reference_length": self.reference_length,
            "springs": self.springs,
            "initial": self.initial,
            "preparation": [list(asdict(stage).values()) for stage in self.preparation],
        }

    def of_imposed_strain(self) -> MicroscopicSystem:
        """Return a periodic cell of the same springs, a hundred of them, at the same k_BT."""
        return ChainCell(
            stiffness=self.spring.stiffness,
            well_distance=self.spring.well_distance,
            offset=self.spring.offset,
            reference_length=self.reference_length,
            friction=self.friction,
            thermal_energy=self.thermal_energy,
            preparation=(Preparation(500, 0.1 * self.friction / self.spring.stiffness),),
        )

    @classmethod
    def of_record(cls, name: str, parameters: Mapping[str, Any], drive: str) -> Self:
        """Return the chain that a file records, up to how its first microstates were made.

        Without ``offset`` the wells meet where the file says; without ``springs``, as of a law of
        one spring, there are as many as in the paper's chain. A subclass with a constructor of its
        own is read by its arguments.
        """
        if "spring" not in inspect.signature(cls).parameters:
            return super().of_record(name, parameters, drive)
        needed = ("stiffness", "well_distance", "reference_length", "friction", "thermal_energy")
        missing = [key for key in needed if key not in parameters]
        if missing:
            raise ValueError(
                f"must record {missing} to be a chain of two-well springs; the data record "
                f"{sorted(parameters)}."
            )
        spring = TwoWellSpring(parameters["stiffness"], parameters["well_distance"])
        offset = parameters.get("offset")
        if offset is None:
            beyond = parameters.get("crossing", spring.crossing) - spring.crossing
            offset = beyond * spring.stiffness * spring.well_distance
        return cls(
            spring=replace(spring, offset=offset),
            springs=int(parameters.get("springs", cls.springs)),
            reference_length=parameters["reference_length"],
            friction=parameters["friction"],
            thermal_energy=parameters["thermal_energy"],
            drive="force" if drive == "force" else "end",
            name=name,
        )


def spring_chain(
    *,
    stiffness: float = TwoWellSpring.stiffness,
    well_distance: float = TwoWellSpring.well_distance,
    offset: float = TwoWellSpring.offset,
    springs: int = SpringChain.springs,
    reference_length: float = SpringChain.reference_length,
    friction: float = SpringChain.friction,
    thermal_energy: float = SpringChain.thermal_energy,
    drive: End = "end",
    preparation: Sequence[Preparation] = PAPER_PREPARATION,
    initial: Initial = "uniform",
) -> SpringChain:
    """Return a chain; its springs are described by keys of their own, as in a file."""
    return SpringChain(
        TwoWellSpring(stiffness, well_distance, offset),
        springs,
        reference_length,
        friction,
        thermal_energy,
        drive,
        preparation,
        initial,
    )


def unfolding_chain(drive: End = "end", springs: int = 20) -> SpringChain:
    """Return a chain that is stress-free at rest: folded well, unfolded well at strain 0.3.

    Barriers of 10 and 3 k_BT; unfolded springs lie 7 k_BT above folded ones, so that a chain at
    rest is folded. It starts in equilibrium. A time step of 0.02 runs the wells 2 % hot, 0.05 does
    5 %; the slowest mode of 20 springs relaxes in 41 units of time.
    """
    return SpringChain(
        spring=TwoWellSpring(stiffness=1.0, well_distance=0.3, offset=0.0135),
        springs=springs,
        reference_length=1.0,
        friction=1.0,
        thermal_energy=0.0019,
        drive=drive,
        preparation=(Preparation(2000, 0.02),),
        initial="equilibrium",
        name="unfolding_chain",
    )
