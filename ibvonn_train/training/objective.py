"""The loss of a stage: which terms, on which states, with which parts frozen."""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from ..law.learned_law import LearnedLaw
from ..law.normalisation import Normalisation
from ..statistical_mechanics.microscopic_energy import Physics
from . import losses
from .dataset import Block, TrainingSet
from .encoding_gradients import EncodingGradients
from .terms.equilibrium_term import EquilibriumTerm
from .terms.state_terms import StateTerms
from .terms.term_context import TermContext
from .terms.trajectory_terms import trajectory_terms
from .terms.window_terms import window_terms
from .training_config import StageConfig

PIECE = 8192
"""States evaluated at once: arrays of this length and twenty columns fit into a cache."""


@dataclass(frozen=True)
class Batch:
    """The data on which each group of terms is evaluated; None where it is not.

    Attributes:
        local: Trajectories for stress and weak form.
        decoder: States for the likelihood, the consistency of f and fluctuations.
        windows: Trajectories, with all their sites, for roll-outs. Translation invariance is
            evaluated on the local trajectories, or else on these.
    """

    local: Block | None
    decoder: Block | None
    windows: Block | None


class Objective:
    """Sum of the weighted terms of one stage.

    Args:
        law: The law in training.
        data: Training data.
        physics: What is known of the system.
        stage: Weights of the terms, and how windows are integrated.
    """

    def __init__(
        self,
        law: LearnedLaw,
        data: TrainingSet,
        physics: Physics,
        stage: StageConfig,
    ) -> None:
        self.law = law
        self.data = data
        self.weights = stage.loss
        self.context = TermContext(law, data.scales, physics, stage)
        self.encoder_frozen = self.context.encoder_frozen
        self.time_scale = self._times()
        self._state_terms = StateTerms(self.context)
        self._equilibrium = (
            EquilibriumTerm(self.context, data.training) if self.weights.equilibrium else None
        )
        # What a frozen encoder gives for a block is computed once, and forgotten with the block.
        self._internal: WeakKeyDictionary[Block, Tensor] = WeakKeyDictionary()

    def normalisation(self) -> Normalisation[Tensor]:
        """Return that of α: the stored one of a frozen encoder, else that over the training set."""
        encoder = self.law.encoder
        if self.encoder_frozen or not self.law.internal_size:
            return encoder.normalisation
        return Normalisation.of(
            torch.cat([encoder.raw_mean(anchor) for anchor in self.data.anchors])
        )

    @torch.no_grad()
    def add_entropic_barriers(self) -> None:
        """Place the entropic barrier units of f at the ends of α over the relaxed states."""
        if self._equilibrium is None:
            raise ValueError(
                "entropic barrier units are placed by a stage with loss.equilibrium only."
            )
        internal = self._equilibrium.internal(self.normalisation())
        strain, thermal_energy = (
            self._equilibrium.states.strain,
            self.context.physics.thermal_energy,
        )
        self.law.energy.add_entropic_barriers(strain, internal, thermal_energy)

    @torch.no_grad()
    def _times(self) -> Tensor:
        """Return the times in which each α changes by one standard deviation, as it is now."""
        if not (self.weights.weak_form and self.law.internal_size):
            return self.data.scales.strain_scale.new_ones(self.law.internal_size)
        normalise, squares = self.normalisation(), []
        for block in self.data.training:
            internal = block.series(normalise(self.law.encoder.raw_mean(block.measures)))
            rest = torch.zeros_like(internal)
            pairs = losses.weak_form(internal, rest, block.time)
            squares += [(block.duration_ratio * seen).square().mean((0, 1, 2)) for seen, _ in pairs]
        return torch.stack(squares).mean(0).rsqrt()

    def backward(self, batch: Batch, factor: float = 1.0) -> dict[str, float]:
        """Add the gradient of ``factor`` times the loss; return the loss and its unweighted terms.

        The terms see α through copies, see :class:`.encoding_gradients.EncodingGradients`.
        """
        w, normalise = self.weights, self.normalisation()
        record: dict[str, float] = {}
        gradients = EncodingGradients()
        slope: Tensor | None = None

        def collect(terms: dict[str, Tensor], share: float = 1.0) -> None:
            total = torch.zeros((), dtype=torch.float64, device=normalise.shift.device)
            for name, term in terms.items():
                total = total + share * getattr(w, name) * term
                record[name] = record.get(name, 0.0) + share * float(term.detach())
            if total.requires_grad:
                torch.autograd.backward(factor * total)

        if batch.local is not None:
            block = batch.local
            with_slope = bool(w.translation_invariance)
            internal, slope = self._encode(block, normalise, with_slope=with_slope)
            alpha = block.series(gradients.copy(internal))
            count, states_of_each = len(block.strain), block.states // len(block.strain)
            for first in range(0, count, step := max(1, PIECE // states_of_each)):
                piece = slice(first, first + step)
                terms = trajectory_terms(self.context, block, alpha[piece], piece, self.time_scale)
                collect(terms, min(step, count - first) / count)
        if batch.decoder is not None:
            internal, _ = self._encode(batch.decoder, normalise)
            collect(self._state_terms(batch.decoder, gradients.copy(internal)))
        if batch.windows is not None:
            with_slope = bool(w.translation_invariance) and slope is None
            internal, own_slope = self._encode(batch.windows, normalise, with_slope=with_slope)
            slope = own_slope if slope is None else slope
            collect(window_terms(self.context, batch.windows, gradients.copy(internal)))
        if self._equilibrium is not None:
            internal = self._equilibrium.internal(normalise)
            collect({"equilibrium": self._equilibrium(gradients.copy(internal))})
        if slope is not None:
            term = losses.translation_invariance(normalise, slope, self.data.scales.strain_scale)
            record["translation_invariance"] = float(term.detach())
            gradients.add(factor * w.translation_invariance * term)
        record["loss"] = sum(getattr(w, name) * value for name, value in record.items())
        gradients.backward()
        return record

    def _encode(
        self, block: Block, normalise: Normalisation[Tensor], *, with_slope: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """Return α of every state of a block and, where wanted and trained, ⟨∂ψ/∂x⟩."""
        encoder = self.law.encoder
        if not self.encoder_frozen and self.law.internal_size:
            if with_slope:
                raw, slope = encoder.raw_mean_and_slope(block.measures)
                return normalise(raw), slope
            return normalise(encoder.raw_mean(block.measures)), None
        if block not in self._internal:
            with torch.no_grad():
                self._internal[block] = normalise(encoder.raw_mean(block.measures))
        return self._internal[block], None
