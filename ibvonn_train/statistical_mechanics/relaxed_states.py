"""States at which a law must rest, from the microscopic energy alone (theory D6)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from ..data.binned_microstates import EmpiricalMeasure, Measures
from .boltzmann import Boltzmann
from .microscopic_energy import Physics

STATES = 96
NODES = 4001
SEEN = 0.999
"""Part of an ensemble that must lie among microstates of the data."""


@dataclass(frozen=True)
class EquilibriumStates:
    """Canonical ensembles over a range of strain.

    Attributes:
        strain: ε, shape ``(n, 1)``.
        stress: The equilibrium stress there, shape ``(n, 1)``.
        measures: The ensembles, from which the encoder gives α.
    """

    strain: Tensor
    stress: Tensor
    measures: Measures

    def to(self, device: torch.device) -> EquilibriumStates:
        """Return the same on another device."""
        absolute, centred = (
            EmpiricalMeasure(measure.nodes.to(device), measure.weights.to(device))
            for measure in (self.measures.absolute, self.measures.centred)
        )
        strain, stress = self.strain.to(device), self.stress.to(device)
        return EquilibriumStates(strain, stress, Measures(absolute, centred))


def equilibrium_states(
    physics: Physics,
    strain_kind: Literal["controlled", "averaged"],
    strain_range: tuple[float, float],
    microstate_range: tuple[float, float],
) -> EquilibriumStates:
    """Return what statistical mechanics says of relaxed states.

    Controlled strain: q ∝ exp(−e(x, ε)/k_BT), σ = ⟨∂e/∂ε⟩. Averaged strain: one spring under the
    constant force σ, q ∝ exp(−(e(x) − σ x)/k_BT) with ⟨x⟩ = ε, the limit of many springs.

    Args:
        physics: With a known microscopic energy of one-dimensional microstates.
        strain_kind: Of the data.
        strain_range: Least and largest ε.
        microstate_range: Least and largest x of the data; ensembles beyond are left out.

    Raises:
        ValueError: If the microscopic energy is not known, or no ensemble is within the data.
    """
    if physics.energy is None:
        raise ValueError(
            "training: loss.equilibrium needs a known microscopic energy; found none. Give the "
            "system its microscopic_energy, or set the weight to 0."
        )
    low, high = microstate_range
    reach = high - low
    boltzmann = Boltzmann(physics, physics.energy, low - reach, high + reach, NODES)
    strain = np.linspace(*strain_range, STATES)
    if strain_kind == "averaged":
        weights, stress = boltzmann.averaged_weights(strain)
    else:
        weights, stress = boltzmann.controlled_weights(strain), boltzmann.controlled_stress(strain)
    among = (boltzmann.nodes >= low) & (boltzmann.nodes <= high)
    seen = weights[:, among].sum(1) >= SEEN
    if not seen.any():
        raise ValueError(
            "training: loss.equilibrium needs data that come close to equilibrium; no relaxed "
            f"ensemble lies between the data's microstates {low:.6g} and {high:.6g}."
        )
    strain, stress, weights = strain[seen], stress[seen], weights[seen]
    # Copies: torch's memory is aligned, and BLAS repeats to the bit only on memory that is.
    nodes, weight = torch.tensor(boltzmann.nodes)[:, None], torch.tensor(weights)
    centred = nodes - (weight @ nodes)[:, None]
    return EquilibriumStates(
        torch.tensor(strain)[:, None],
        torch.tensor(stress)[:, None],
        Measures(EmpiricalMeasure(nodes, weight), EmpiricalMeasure(centred, weight)),
    )
