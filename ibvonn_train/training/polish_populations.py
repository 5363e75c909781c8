"""*Polish* of populations under an imposed strain: f and φ in turn, on roll-outs of protocols.

Windows, which *identify* has learned from, show rates; whole protocols show where the fractions
come to rest. Trained together on the few protocols of a study, f and φ learn their noise: the error
on other slow protocols rises while the loss falls. One after the other they do so much less.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..law.learned_law import LearnedLaw
from ..law.population_potentials import PopulationPotentials
from .linear_stress import hold_stress
from .polish_drive import PolishDrive
from .stage import Material

NOISE = 0.01
"""Of the validation error of a few protocols: what is as good within it has the smaller loss where
it is later."""
CHANGE = 1e-3
"""Weight of the squares of the changes of φ's weights."""


class PolishEnergy(PolishDrive):
    """f alone; a stress that is linear up to its sampling error is held."""

    name = "polish f"
    noise = NOISE

    def __init__(self, material: Material, seed: int) -> None:
        hold_stress(_potentials(material.law), material.law, material.data)
        super().__init__(material, seed)

    def trained(self, law: LearnedLaw) -> Sequence[nn.Module | nn.Parameter]:
        """Return f."""
        return [_potentials(law).smooth]


class PolishEnergyAgain(PolishEnergy):
    """f once more: the first time it made up for what φ still lacked."""

    name = "polish f again"


class PolishEnergyLast(PolishEnergy):
    """f for the third time, after φ for the second time."""

    name = "polish f last"


class PolishRates(PolishDrive):
    """φ alone: rates and barriers of the jumps.

    Roll-outs hardly feel how fast a state relaxes that they leave at once, so that its rate could
    become anything: the squares of the changes of all weights count, too.
    """

    name = "polish φ"
    noise = NOISE

    def __init__(self, material: Material, seed: int) -> None:
        super().__init__(material, seed)
        self.first = [parameter.detach().clone() for parameter in self.parameters]

    def terms(self) -> dict[str, Tensor]:
        """Return the terms of the loss."""
        pairs = zip(self.parameters, self.first, strict=True)
        change = torch.stack([(now - first).square().sum() for now, first in pairs]).sum()
        return {**super().terms(), "change": CHANGE * change}

    def trained(self, law: LearnedLaw) -> Sequence[nn.Module | nn.Parameter]:
        """Return φ."""
        potentials = _potentials(law)
        return [potentials.rate_net, potentials.barrier]


class PolishRatesAgain(PolishRates):
    """φ once more, for an f that no longer makes up for it."""

    name = "polish φ again"


def _potentials(law: LearnedLaw) -> PopulationPotentials:
    assert isinstance(law.potentials, PopulationPotentials)  # noqa: S101 (recipe asks for it)
    return law.potentials
