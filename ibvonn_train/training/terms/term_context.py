"""What every term of a stage is made of."""

from __future__ import annotations

from dataclasses import dataclass

from ...law.learned_law import LearnedLaw
from ...statistical_mechanics.microscopic_energy import Physics
from ..dataset import Scales
from ..training_config import LossWeights, StageConfig


@dataclass(frozen=True)
class TermContext:
    """The law in training and what its stage knows besides the data.

    Attributes:
        law: With its frozen parts marked: their parameters need no gradient.
        scales: Of the training data.
        physics: What is known of the system.
        stage: Weights of the terms, and how windows are integrated.
    """

    law: LearnedLaw
    scales: Scales
    physics: Physics
    stage: StageConfig

    @property
    def weights(self) -> LossWeights:
        """Of the terms."""
        return self.stage.loss

    @property
    def encoder_frozen(self) -> bool:
        """Whether the stage leaves the encoder as it is."""
        return not any(p.requires_grad for p in self.law.encoder.parameters())

    @property
    def decoder_frozen(self) -> bool:
        """Whether the stage leaves the decoder as it is."""
        return not any(p.requires_grad for p in self.law.decoder.parameters())
