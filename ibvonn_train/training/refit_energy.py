"""f of one mean, fitted once more to the states as *identify* has left them encoded."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..law.convex_potentials import ConvexPotentials
from .least_squares import minimise
from .stage import Material

STATES = 400
ENOUGH = 1e-8
"""Mean square error, in units of the spread of stress and f, at which a fit is good enough."""


def refit_energy(material: Material) -> None:
    """Fit f of one mean to the stress and, but for a constant, to the free energy of states.

    The first fit was to another ψ, and Adam's steps have moved f off it since. Laws of several
    components and those without a measured free energy stay as they are: f alone would be anything
    off the surface on which their states lie.

    Args:
        material: Law, which is changed in place, and data.
    """
    law, data = material.law, material.data
    known = [energy for energy in material.energies if energy is not None]
    if not isinstance(law.potentials, ConvexPotentials) or law.potentials.internal_size > 1:
        return
    if data.microstate_size > 1 or len(known) < len(data.training):
        return
    stress_scale, spread = data.scales.stress_scale, torch.cat(known).std()
    inputs, measured, sizes = [], [], []
    for block, energy in zip(data.training, known, strict=True):
        rows = torch.arange(0, block.states, max(1, block.states * len(known) // STATES))
        with torch.no_grad():
            internal = block.flat(material.internal(block))[rows]
        strain, stress = (block.flat(series)[rows] for series in (block.strain, block.stress))
        inputs.append((strain, internal))
        measured.append(torch.cat([stress / stress_scale, energy[rows, None] / spread], 1))
        sizes.append(len(rows))

    def values(rates: Any) -> Tensor:
        return torch.cat([rates.stress / stress_scale, rates.energy[:, None] / spread], 1)

    def errors(difference: Tensor) -> Tensor:
        """Root mean squares of every block; its free energy is known but for a constant."""
        parts = []
        for part in torch.split(difference, sizes):
            energy = part[:, -1:] - part[:, -1:].mean(0)
            parts.append(torch.cat([part[:, :-1], energy], 1).flatten(0, 1) / len(part) ** 0.5)
        return torch.cat(parts)

    minimise(
        law.potentials.energy,
        tuple(torch.cat(parts) for parts in zip(*inputs, strict=True)),
        values,
        errors,
        torch.cat(measured),
        material.expert.polish_steps,
        ENOUGH * len(known),
    )
