"""Hookean dumbbells in a medium that deforms affinely, in two dimensions at small strain."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .system import (
    MicroscopicSystem,
    OrderParameter,
    Scheme,
    require_positive,
    stationary_factor,
)

ROOT_2 = math.sqrt(2.0)


@dataclass(frozen=True)
class HookeanDumbbell(MicroscopicSystem):
    r"""Two beads on a spring H in a medium whose small strain is imposed: a Maxwell fluid.

    The connector in the coordinates of the undeformed medium, q = F⁻¹Q, has the energy

    .. math::
        e(q, \varepsilon) = \tfrac H2\, q\cdot(I + 2\varepsilon)\,q - k_BT\,\mathrm{tr}\,\varepsilon

    and obeys η dq = −∂e/∂q dt + noise, drag being relative to the affine motion. The last term is
    the pressure of the dumbbells, so that the stress H⟨q⊗q⟩ − k_BT I vanishes at rest. Strain and
    stress have the components 11, 22, √2 12 (Mandel order), the microstate is q, and its second
    moments obey a closed law: `closed_form/dumbbell_law.py`.

    Attributes:
        stiffness: H.
        friction: η of the connector, half of the drag ζ of a bead.
        reference_length: Of the microstates; the reference volume is 1, one dumbbell.
    """

    stiffness: float = 1.0
    friction: float = 1.0
    thermal_energy: float = 1.0
    name: str = "hookean_dumbbell"
    scheme: Scheme = "leimkuhler_matthews"

    sentence = "Hookean dumbbells in a medium that deforms affinely, in two dimensions"
    strain_names = ("11", "22", "√2 12")
    stress_names = ("11", "22", "√2 12")
    strain_measure = "small strain of the medium in two dimensions, Mandel order 11, 22, √2 12"

    def __post_init__(self) -> None:
        require_positive(
            self.name,
            stiffness=self.stiffness,
            friction=self.friction,
            thermal_energy=self.thermal_energy,
        )

    @staticmethod
    def metric(strain: Tensor) -> Tensor:
        """Return C = I + 2ε of strains ``(n, 3)`` in Mandel order, ``(n, 2, 2)``."""
        first, second, shear = strain.unbind(-1)
        rows = [1 + 2 * first, ROOT_2 * shear, ROOT_2 * shear, 1 + 2 * second]
        return torch.stack(rows, -1).reshape(-1, 2, 2)

    def energy(self, x: Tensor, control: Tensor) -> Tensor:
        """Return e(q, ε)."""
        stretched = torch.einsum("nir,nij,njr->nr", x, self.metric(control), x)
        pressure = self.thermal_energy * (control[:, :1] + control[:, 1:2])
        return 0.5 * self.stiffness * stretched - pressure

    def microscopic_energy(self, microstate: Tensor, strain: Tensor) -> Tensor:
        """Return e(q, ε) of microstates ``(n_state, n_point, 2)``."""
        return self.energy(microstate.movedim(-1, 1), strain)

    def force(self, x: Tensor, control: Tensor) -> Tensor:
        """Return −H (I + 2ε) q."""
        return -self.stiffness * (self.metric(control) @ x)

    def start(self, control: Tensor, n_replica: int, generator: torch.Generator) -> Tensor:
        """Return connectors in equilibrium, N(0, k_BT/H C⁻¹)."""
        noise = torch.randn(
            (len(control), 2, n_replica),
            generator=generator,
            dtype=control.dtype,
            device=control.device,
        )
        covariance = torch.linalg.inv(self.metric(control)) * self.thermal_energy / self.stiffness
        root: Tensor = torch.linalg.cholesky(covariance)
        return root @ noise

    def microstate(self, x: Tensor, control: Tensor) -> Tensor:  # noqa: ARG002
        """Return q."""
        return x.transpose(1, 2)[:, None]

    def positions(self, microstate: Tensor, control: Tensor) -> Tensor:  # noqa: ARG002
        """Return q."""
        return microstate[:, 0].transpose(1, 2)

    def stress_of_replicas(self, x: Tensor, control: Tensor) -> Tensor:  # noqa: ARG002
        """Return H q⊗q − k_BT I of each replica."""
        first, second = x.unbind(1)
        moments = torch.stack([first * first, second * second, ROOT_2 * first * second], -1)
        rest = moments.new_tensor([1.0, 1.0, 0.0]) * self.thermal_energy
        return (self.stiffness * moments - rest)[:, None]

    def external_force(self, x: Tensor, control: Tensor, control_rate: Tensor) -> Tensor:  # noqa: ARG002
        """Return the stress H⟨q⊗q⟩ − k_BT I."""
        return self.stress_of_replicas(x, control)[:, 0].mean(1)

    def order_parameter(self) -> OrderParameter | None:
        """Return None: the second moments of q are three, and known in closed form."""
        return None

    def effective_thermal_energy(self, time_step: float) -> float:
        """Return k_BT, at which the scheme samples harmonic wells whatever its step."""
        fastest = torch.tensor([2 * self.stiffness / self.friction])  # at the strain 1/2
        stationary_factor(fastest, time_step, self.name)  # refuses an unstable step
        return self.thermal_energy

    def parameters(self) -> dict[str, Any]:
        """Return what a file records of the system."""
        return {
            "stiffness": self.stiffness,
            "friction": self.friction,
            "thermal_energy": self.thermal_energy,
            "reference_length": 1.0,
            "scheme": self.scheme,
        }
