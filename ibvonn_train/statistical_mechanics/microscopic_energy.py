"""What a law's training knows of the microscopic system, read from the data's own record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..law.free_energy import MicroscopicEnergy


@dataclass(frozen=True)
class Physics:
    """Microscopic energy and constants.

    Attributes:
        energy: e(x, ε) per unit reference length, or None where it is unknown.
        thermal_energy: k_BT per unit reference length, the effective one of the integrator's step.
        friction: η, needed for roll-outs of chains.
        reference_length: L0, needed for roll-outs of chains.
    """

    energy: MicroscopicEnergy | None
    thermal_energy: float
    friction: float
    reference_length: float


def trap_energy(parameters: dict[str, Any]) -> MicroscopicEnergy:
    """Return e = k/2 (ε − x)² + k/2 x² of the tethered particle, ε the position of the trap."""
    k = float(parameters["stiffness"])

    def energy(x: Tensor, strain: Tensor) -> Tensor:
        y = x[..., 0]
        return 0.5 * k * ((strain[..., :1] - y) ** 2 + y * y)

    return energy


def two_well_energy(parameters: dict[str, Any]) -> MicroscopicEnergy:
    """Return the energy of one two-well spring over L0, x its elongation over L0.

    k u²/2 for u ≤ u_c, else k (u − u_h)²/2 + D, with u = L0 x.
    """
    k, distance, crossing, length = (
        float(parameters[name])
        for name in ("stiffness", "well_distance", "crossing", "reference_length")
    )
    offset = float(parameters.get("offset", 0.0))

    def energy(x: Tensor, strain: Tensor) -> Tensor:  # noqa: ARG001 - an averaged strain is not in e
        u = length * x[..., 0]
        second = 0.5 * k * (u - distance) ** 2 + offset
        return torch.where(u > crossing, second, 0.5 * k * u * u) / length

    return energy


ENERGIES: dict[str, Callable[[dict[str, Any]], MicroscopicEnergy]] = {
    "tethered_particle": trap_energy,
    "double_well_chain": two_well_energy,
    "unfolding_chain": two_well_energy,
}
"""Systems whose microscopic energy follows from the parameters in their files."""


def physics_of(
    system: str, parameters: dict[str, Any], energy: MicroscopicEnergy | None = None
) -> Physics:
    """Return what is known of a system.

    Args:
        system: Name in the data.
        parameters: Parameters in the data: `friction`, `thermal_energy` and, where they differ from
            1 or from it, `reference_length` and `effective_thermal_energy`.
        energy: e(x, ε) per unit reference length of a system that is not known here.

    Raises:
        ValueError: If a parameter is missing.
    """
    missing = [name for name in ("friction", "thermal_energy") if name not in parameters]
    if missing:
        raise ValueError(
            f"data of {system!r}: parameters must hold {missing}; found {sorted(parameters)}."
        )
    length = float(parameters.get("reference_length", 1.0))
    thermal = float(parameters.get("effective_thermal_energy", parameters["thermal_energy"]))
    if energy is None and system in ENERGIES:
        try:
            energy = ENERGIES[system](parameters)
        except KeyError as error:
            raise ValueError(
                f"data of {system!r}: parameters must hold {error}, which its microscopic energy "
                f"needs; found {sorted(parameters)}. Add it, or give the system another name."
            ) from None
    return Physics(energy, thermal / length, float(parameters["friction"]), length)
