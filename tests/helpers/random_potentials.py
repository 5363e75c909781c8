"""Potentials with random weights of every size: what holds for them holds for any training."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ibvonn_train.law.internal_variables import InternalVariables
from ibvonn_train.law.networks.tied import pair_orbits
from ibvonn_train.law.population_potentials import PopulationPotentials


def random_potentials(
    variables: InternalVariables,
    *,
    strain_size: int = 1,
    seed: int = 0,
    basis: Tensor | None = None,
    permutations: Sequence[Sequence[int]] = (),
    strength: float = 0.5,
    rate_widths: Sequence[int] = (5,),
) -> PopulationPotentials:
    """Untrained potentials, disturbed by normal noise of a given strength, with odd scales."""
    generator = torch.Generator().manual_seed(seed)
    if basis is None:
        basis = torch.eye(strain_size, dtype=torch.float64).expand(variables.classes, -1, -1)
    law = PopulationPotentials(
        strain_size,
        variables,
        orbits=pair_orbits(variables.classes, permutations),
        strain_basis=basis.clone(),
        widths=(5, 4),
        rate_widths=rate_widths,
        ridges=3,
        generator=generator,
    )
    for parameter in law.parameters():
        noise = torch.randn(parameter.shape, dtype=torch.float64, generator=generator)
        parameter.data.add_(strength * noise)
    law.smooth.energy_scale.fill_(0.7)
    law.thermal_energy.fill_(0.2)
    law.time_scale.fill_(3.0)
    if law.means is not None:
        law.means.time_scale.fill_(0.4)
    if basis.abs().sum(-1).max() == 1.0 and variables.classes == 1:
        law.strain_centre.copy_(0.1 + 0.2 * torch.arange(strain_size))
        law.strain_scale.copy_(0.5 + 0.3 * torch.arange(strain_size))
    return law.requires_grad_(False)


def random_states(
    variables: InternalVariables, strain_size: int, count: int, seed: int = 1
) -> tuple[Tensor, Tensor]:
    """Strains and internal variables with every fraction between 0.01 and 0.98 or so."""
    generator = torch.Generator().manual_seed(seed)
    strain = torch.randn(count, strain_size, dtype=torch.float64, generator=generator)
    internal = torch.randn(count, variables.size, dtype=torch.float64, generator=generator)
    for first, states in variables.groups:
        raw = torch.randn(count, states, dtype=torch.float64, generator=generator)
        fractions = 0.97 * torch.softmax(1.5 * raw, -1) + 0.03 / states
        internal[:, first : first + states - 1] = fractions[:, 1:]
    return strain, internal
