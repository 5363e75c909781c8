r"""Microscopic systems: energies, forces, observables and the equilibrium they start from.

Positions have shape ``(n_protocol, n_degree, n_replica)``: replicas last, so that every operation
runs over contiguous memory. The control λ has shape ``(n_protocol, 1)`` and broadcasts over
replicas.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

Drive = Literal["end", "force"]
StrainKind = Literal["controlled", "averaged"]


@dataclass(frozen=True)
class Preparation:
    """Steps at the first value of the control before time starts.

    Attributes:
        steps: Number of steps.
        time_step: Their length [time].
        noise_factor: Factor on the noise amplitude; 4 makes 16 times the temperature.
    """

    steps: int
    time_step: float
    noise_factor: float = 1.0


class MicroscopicSystem(ABC):
    r"""An overdamped system with energy e(x, λ).

    :math:`\eta\,\mathrm dx = -\partial_x e(x, \lambda)\,\mathrm dt
    + \sqrt{2\eta k_BT}\,\mathrm dW`. A system of one's own gives
    :meth:`energy`, :meth:`start` and :meth:`microstate`; the force then follows by automatic
    differentiation. Attributes that every system has:

    Attributes:
        name: Name written to files.
        friction: Drag coefficient η [force · time / length], not divided by a mass.
        thermal_energy: k_BT [energy].
        strain_kind: "controlled" (λ enters the energy and is the strain) or "averaged".
        drive: What the control is: a position ("end") or a force ("force").
        preparation: Stages that bring :meth:`start` to the state at time zero.
        units: Name of the unit of each quantity.
    """

    name: str
    friction: float
    thermal_energy: float
    strain_kind: StrainKind = "controlled"
    drive: Drive = "end"
    preparation: Sequence[Preparation] = ()
    units: dict[str, str] = {  # noqa: RUF012 (an override replaces it whole)
        "length": "1",
        "force": "1",
        "time": "1",
        "energy": "1",
    }

    @abstractmethod
    def energy(self, x: Tensor, control: Tensor) -> Tensor:
        """Return e(x, λ) of each replica, shape ``(n_protocol, n_replica)`` [energy]."""

    @abstractmethod
    def start(self, control: Tensor, n_replica: int, generator: torch.Generator) -> Tensor:
        """Return positions before preparation, shape ``(n_protocol, n_degree, n_replica)``."""

    @abstractmethod
    def microstate(self, x: Tensor, control: Tensor) -> Tensor:
        """Return dimensionless microstates, shape ``(n_protocol, n_site, n_replica, n_x)``."""

    def force(self, x: Tensor, control: Tensor) -> Tensor:
        """Return −∂e/∂x, shape of ``x``; by automatic differentiation unless overridden."""
        with torch.enable_grad():
            position = x.detach().requires_grad_()
            (slope,) = torch.autograd.grad(self.energy(position, control).sum(), position)
        return -slope

    def external_force(self, x: Tensor, control: Tensor, control_rate: Tensor) -> Tensor:  # noqa: ARG002
        """Return the mean external force, shape ``(n_protocol,)``: ⟨∂e/∂λ⟩ unless overridden."""
        with torch.enable_grad():
            λ = control.detach().requires_grad_()
            (slope,) = torch.autograd.grad(self.energy(x, λ).mean(-1).sum(), λ)
        return slope[:, 0]

    def site_force(self, x: Tensor, control: Tensor) -> Tensor | None:  # noqa: ARG002
        """Return mean spring forces, shape ``(n_protocol, n_site)``, where there are springs."""
        return None

    def effective_thermal_energy(self, time_step: float) -> float:  # noqa: ARG002
        """Return the thermal energy at which the integrator samples with this step."""
        return self.thermal_energy

    def parameters(self) -> dict[str, Any]:
        """Return what a file records of the system."""
        return {"friction": self.friction, "thermal_energy": self.thermal_energy}


def require_positive(place: str, **values: float) -> None:
    """Raise :class:`ValueError` naming the first value that is not positive and finite."""
    for name, value in values.items():
        if not (value > 0 and math.isfinite(value)):
            raise ValueError(f"{place}: {name} must be positive and finite; found {value}.")


@dataclass(frozen=True)
class TetheredParticle(MicroscopicSystem):
    r"""Particle tied to the origin by a spring and held in a moving optical trap.

    :math:`e = \tfrac k2(\lambda - x)^2 + \tfrac k2 x^2`. Its mean is a Zener solid: a spring k in
    series with a Kelvin unit of a spring k and a dashpot η. Starts in equilibrium at λ = 0.
    """

    stiffness: float = 1.0
    friction: float = 1.0
    thermal_energy: float = 1e-2
    name: str = "tethered_particle"

    def __post_init__(self) -> None:
        require_positive(self.name, stiffness=self.stiffness, friction=self.friction)
        if not self.thermal_energy >= 0:
            raise ValueError(
                f"{self.name}: thermal_energy must not be negative; found {self.thermal_energy}."
            )

    def energy(self, x: Tensor, control: Tensor) -> Tensor:
        """Return e(x, λ)."""
        y = x[:, 0]
        return 0.5 * self.stiffness * ((control - y) ** 2 + y * y)

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

    def external_force(self, x: Tensor, control: Tensor, control_rate: Tensor) -> Tensor:  # noqa: ARG002
        """Return k(λ − ⟨x⟩)."""
        return self.stiffness * (control[:, 0] - x[:, 0].mean(-1))

    def effective_thermal_energy(self, time_step: float) -> float:
        """Return k_BT / (1 − k Δt/η): the stationary variance of the scheme times 2k."""
        return self.thermal_energy / (1 - self.stiffness * time_step / self.friction)

    def parameters(self) -> dict[str, Any]:
        """Return what a file records of the system."""
        return {
            "stiffness": self.stiffness,
            "friction": self.friction,
            "thermal_energy": self.thermal_energy,
            "reference_length": 1.0,
        }


@dataclass(frozen=True)
class TwoWellSpring:
    """Spring with two parabolic wells of one stiffness.

    Energy k u²/2 for u ≤ u_c and k (u − u_h)²/2 + D beyond, continuous at
    u_c = u_h/2 + D/(k u_h). D = 0 gives the symmetric wells of the paper.

    Attributes:
        stiffness: k.
        well_distance: u_h.
        offset: D, energy of the second well above the first.
    """

    stiffness: float = 1.0
    well_distance: float = 0.02
    offset: float = 0.0

    def __post_init__(self) -> None:
        require_positive(
            "TwoWellSpring", stiffness=self.stiffness, well_distance=self.well_distance
        )

    @property
    def crossing(self) -> float:
        """u_c, where the wells meet."""
        return self.well_distance / 2 + self.offset / (self.stiffness * self.well_distance)

    def energy(self, u: Tensor) -> Tensor:
        """Return the energy at elongations u."""
        first = 0.5 * self.stiffness * u * u
        second = 0.5 * self.stiffness * (u - self.well_distance) ** 2 + self.offset
        return torch.where(u > self.crossing, second, first)

    def force(self, u: Tensor) -> Tensor:
        """Return the tension at elongations u."""
        return self.stiffness * torch.where(u > self.crossing, u - self.well_distance, u)


PAPER_PREPARATION = (Preparation(10_000, 0.02, 4.0), Preparation(40_000, 0.01))
"""Uniform chain, hot stage, stage at temperature: part of the published data."""


@dataclass(frozen=True)
class SpringChain(MicroscopicSystem):
    r"""Chain of two-well springs between a wall and an end that is moved or pulled.

    Bead i sits between springs i and i + 1 and obeys η dx_i = (F_{i+1} − F_i) dt + noise. With
    ``drive="end"`` the end position is the control λ and the external force is F_N + η λ̇; with
    ``drive="force"`` the end bead is free and carries the force λ. The microstate of a spring is
    its strain (x_{i+1} − x_i − L0)/L0.
    """

    spring: TwoWellSpring = field(default_factory=TwoWellSpring)
    springs: int = 10
    reference_length: float = 0.01
    friction: float = 0.1
    thermal_energy: float = 5e-6
    drive: Drive = "end"
    preparation: Sequence[Preparation] = PAPER_PREPARATION
    name: str = "double_well_chain"
    strain_kind: StrainKind = "averaged"

    def __post_init__(self) -> None:
        require_positive(self.name, friction=self.friction, reference_length=self.reference_length)
        if not self.thermal_energy >= 0:
            raise ValueError(
                f"{self.name}: thermal_energy must not be negative; found {self.thermal_energy}."
            )
        if self.springs < 2:
            raise ValueError(f"{self.name}: needs at least 2 springs; found {self.springs}.")

    def elongations(self, x: Tensor, control: Tensor) -> Tensor:
        """Return u_i, shape ``(n_protocol, n_spring, n_replica)``."""
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

    def start(self, control: Tensor, n_replica: int, generator: torch.Generator) -> Tensor:  # noqa: ARG002
        """Return uniform chains; preparation makes them thermal."""
        beads = self.springs - 1 if self.drive == "end" else self.springs
        place = torch.arange(1, beads + 1, dtype=control.dtype, device=control.device)
        if self.drive == "end":
            spacing = control / self.springs
        else:
            spacing = torch.full_like(control, self.reference_length)
        return (spacing * place)[:, :, None].expand(-1, -1, n_replica).clone()

    def microstate(self, x: Tensor, control: Tensor) -> Tensor:
        """Return spring strains."""
        return (self.elongations(x, control) / self.reference_length)[..., None]

    def site_force(self, x: Tensor, control: Tensor) -> Tensor:
        """Return ⟨F_i⟩."""
        return self.spring.force(self.elongations(x, control)).mean(-1)

    def external_force(self, x: Tensor, control: Tensor, control_rate: Tensor) -> Tensor:
        """Return ⟨F_N⟩ + η λ̇ for a moved end, λ for a pulled one."""
        if self.drive == "force":
            return control[:, 0]
        return self.site_force(x, control)[:, -1] + self.friction * control_rate[:, 0]

    def site_energy(self, strain: Tensor) -> Tensor:
        """Return the energy of one spring at the microstate ``strain`` [energy]."""
        return self.spring.energy(self.reference_length * strain)

    def effective_thermal_energy(self, time_step: float) -> float:
        """Return k_BT · mean_k 1/(1 − Δt μ_k/2η), μ_k the stiffnesses of the modes in a well.

        A mode of stiffness μ has the stationary variance k_BT/μ / (1 − Δt μ/2η) in the scheme.
        """
        beads = self.springs - 1 if self.drive == "end" else self.springs
        stiffness = torch.zeros(beads, beads, dtype=torch.float64)
        k = self.spring.stiffness
        for bead in range(beads):
            last_free = self.drive == "force" and bead == beads - 1
            stiffness[bead, bead] = k if last_free else 2 * k
            if bead:
                stiffness[bead, bead - 1] = stiffness[bead - 1, bead] = -k
        modes = torch.linalg.eigvalsh(stiffness)
        factor = (1 / (1 - 0.5 * time_step * modes / self.friction)).mean()
        return self.thermal_energy * float(factor)

    def parameters(self) -> dict[str, Any]:
        """Return what a file records of the system."""
        return {
            **asdict(self.spring),
            "crossing": self.spring.crossing,
            "friction": self.friction,
            "thermal_energy": self.thermal_energy,
            "reference_length": self.reference_length,
            "springs": self.springs,
        }


def unfolding_chain(drive: Drive = "end", springs: int = 20) -> SpringChain:
    """Return a chain that is stress-free at rest: folded well, unfolded well at strain 0.3.

    Barriers of about 10 and 3 k_BT; unfolded springs lie 7 k_BT above folded ones, so that a chain
    at rest is folded.
    """
    return SpringChain(
        spring=TwoWellSpring(stiffness=1.0, well_distance=0.3, offset=0.0135),
        springs=springs,
        reference_length=1.0,
        friction=1.0,
        thermal_energy=0.0019,
        drive=drive,
        preparation=(Preparation(20_000, 0.02),),
        name="unfolding_chain",
    )
