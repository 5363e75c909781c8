"""Stress and free energy at encoded states of the data, throughout a stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from .dataset import Block
from .residuals import scaled, without_constant
from .stage import Material

STATES = 2000
"""States of each block."""


class StateTerms:
    """σ and f at some states of a block, whose α is given once.

    Args:
        material: The law.
        block: Data.
        energies: Free energies of the measured distributions at its states, where they are known.
        tolerance: Error of f that counts as none, in standard deviations of f.
        generator: Chooses the states.
    """

    def __init__(
        self,
        material: Material,
        block: Block,
        energies: Tensor | None,
        tolerance: float,
        generator: torch.Generator,
    ) -> None:
        self.law = material.law
        rows = torch.randperm(block.states, generator=generator)[:STATES].to(block.strain.device)
        self.strain, self.stress, self.error = (
            block.flat(series)[rows] for series in (block.strain, block.stress, block.stress_error)
        )
        self.measures = block.measures.select(
            block.sites.reshape(-1, block.classes)[rows].flatten()
        )
        self.rows = rows
        self.energies = None if energies is None else energies[rows]
        self.unit = material.energy_unit(tolerance)
        self.internal = self.of_sites(self.law.encode(self.measures))

    def of_sites(self, internal: Tensor) -> Tensor:
        """Return α of sites, ``(n_site, n_class)``, as that of the states, ``(n_state, n_α)``."""
        return internal.reshape(len(self.rows), -1)

    def squares(self, scales: Mapping[str, Tensor]) -> tuple[Tensor, Tensor | None]:
        """Return the mean square errors of σ and of f, each in its unit; None for an unknown f."""
        values = self.law.potentials(self.strain, self.internal)
        stress = scaled(values.stress - self.stress, self.error, scales["stress"])
        if self.energies is None:
            return stress.square().mean(), None
        difference = without_constant(values.energy - self.energies) / self.unit
        return stress.square().mean(), difference.square().mean()


def state_terms(parts: Sequence[StateTerms], scales: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return ln(1 + χ²) of σ and, where it is known, of f over some blocks.

    Args:
        parts: The blocks.
        scales: Errors that count as none.
    """
    squares = [part.squares(scales) for part in parts]
    terms = {"stress": torch.log1p(torch.stack([stress for stress, _ in squares]).mean())}
    energies = [energy for _, energy in squares if energy is not None]
    if energies:
        terms["free_energy"] = torch.log1p(torch.stack(energies).mean())
    return terms
