"""Free energies of the measured distributions, with which f is made consistent."""

from __future__ import annotations

import torch
from torch import Tensor

from ..statistical_mechanics.microscopic_energy import Physics
from .dataset import Block


def measured_free_energy(block: Block, physics: Physics) -> Tensor | None:
    r"""Return F = ⟨e⟩ + k_BT ⟨ln q⟩ of every state of a block, q its own histogram.

    Of one-dimensional microstates of one class with a known energy; else None: f then follows from
    stress and kinetics.

    Args:
        block: Data.
        physics: What is known of the system.

    Returns:
        Shape ``(n_state,)``, per unit reference volume, or None.
    """
    measure = block.measures.absolute
    if physics.energy is None or block.classes > 1 or not measure.shared:
        return None
    if measure.nodes.shape[-1] != 1 or not physics.thermal_energy > 0:
        return None
    spacing = measure.nodes[1, 0] - measure.nodes[0, 0]
    weights = measure.weights.clamp(min=0.0)  # those of cubic binning may be a little negative
    strain = block.flat(block.strain)
    parts = []
    for rows, eps in zip(torch.split(weights, 1024), torch.split(strain, 1024), strict=True):
        energy = physics.energy(measure.nodes.expand(len(eps), *measure.nodes.shape), eps)
        entropy = torch.special.xlogy(rows, rows / spacing)
        parts.append((rows * energy + physics.thermal_energy * entropy).sum(-1))
    return torch.cat(parts)
