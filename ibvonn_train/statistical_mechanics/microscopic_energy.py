"""What a law's training knows of the microscopic system, read from the data's own record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..law.free_energy import MicroscopicEnergy
from ..simulation.systems.registry import recorded_system


@dataclass(frozen=True)
class Physics:
    """Microscopic energy and constants.

    Attributes:
        energy: e(x, ε) per unit reference length, or None where it is unknown.
        thermal_energy: k_BT per unit reference volume (length), effective at the integrator's step.
        friction: η, needed for roll-outs of chains.
        reference_length: L0, needed for roll-outs of chains.
    """

    energy: MicroscopicEnergy | None
    thermal_energy: float
    friction: float
    reference_length: float


def physics_of(
    system: str, parameters: dict[str, Any], energy: MicroscopicEnergy | None = None
) -> Physics:
    """Return what is known of a system.

    Args:
        system: Name in the data.
        parameters: Parameters in the data: `friction`, `thermal_energy` and, where they differ from
            1 or from it, `reference_length`, `reference_volume` and `effective_thermal_energy`.
        energy: e(x, ε) per unit reference length of a system that is not registered.

    Raises:
        ValueError: If a parameter is missing, or is not that of a system of this name.
    """
    missing = [name for name in ("friction", "thermal_energy") if name not in parameters]
    if missing:
        raise ValueError(
            f"data of {system!r}: parameters must hold {missing}; found {sorted(parameters)}."
        )
    length = float(parameters.get("reference_length", 1.0))
    thermal = float(parameters.get("effective_thermal_energy", parameters["thermal_energy"]))
    if energy is None:
        recorded = recorded_system(system, parameters)
        energy = None if recorded is None else recorded.microscopic_energy
    volume = float(parameters.get("reference_volume", length))
    return Physics(energy, thermal / volume, float(parameters["friction"]), length)
