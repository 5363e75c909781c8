"""The part of the stress that is linear in strain and fractions, by least squares."""

from __future__ import annotations

import torch
from torch import Tensor

from ..law.learned_law import LearnedLaw
from ..law.population_potentials import PopulationPotentials
from .dataset import TrainingSet


@torch.no_grad()
def start_from_stress(potentials: PopulationPotentials, law: LearnedLaw, data: TrainingSet) -> None:
    """Start the quadratic part of f from a linear fit of the stress to strain and α.

    σ = K ε + C α + s gives M_εε, M_εα and l; M_αα starts where the relaxed modulus vanishes, as for
    elements that carry one force.
    """
    strain, internal, stress, _ = _states(law, data)
    potentials.smooth.start_from_stress(strain, internal, stress)


@torch.no_grad()
def hold_stress(potentials: PopulationPotentials, law: LearnedLaw, data: TrainingSet) -> bool:
    """Fit a linear stress to the encoder as it is, and hold it from then on.

    Only where a linear stress leaves no more than its sampling error.

    Returns:
        Whether the stress is held.
    """
    return potentials.smooth.hold_stress(*_states(law, data))


def _states(law: LearnedLaw, data: TrainingSet) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return strain, α, stress and its standard error at all states of the training data."""
    blocks = data.training
    strain, stress, noise = (
        torch.cat([b.flat(getattr(b, name)) for b in blocks])
        for name in ("strain", "stress", "stress_error")
    )
    internal = torch.cat([b.flat(b.series(law.encode(b.measures))) for b in blocks])
    return strain, internal, stress, noise
