"""Where the law comes to rest, and its stress there, against statistical mechanics."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ...law.normalisation import Normalisation
from ...statistical_mechanics.relaxed_states import equilibrium_states
from .. import losses
from ..dataset import Block
from ..training_config import ConfigError
from .term_context import TermContext


class EquilibriumTerm:
    """Mean squares of (∂²f/∂α²)⁻¹g and of the error of σ at the relaxed states.

    To first order the former is how far α is from where the law would come to rest. The force
    itself says less: near the ends of α of a two-state system it is as large as one likes.

    Args:
        context: Of the stage.
        blocks: Training data, whose mean strains are those of the relaxed states.

    Raises:
        ConfigError: If the relaxed states are not known.
    """

    def __init__(self, context: TermContext, blocks: Sequence[Block]) -> None:
        self.context = context
        strain = torch.cat([block.strain.mean(2).flatten(0, 1) for block in blocks])
        nodes = torch.cat([block.measures.absolute.nodes for block in blocks])
        if not strain.shape[-1] == nodes.shape[-1] == 1 or nodes.ndim != 2:
            raise ConfigError(
                "loss.equilibrium: needs one strain and microstates of one dimension; found "
                f"{strain.shape[-1]} and {nodes.shape[-1]}. Set the weight to 0."
            )
        ranges = [(float(values.min()), float(values.max())) for values in (strain, nodes)]
        kind = context.law.strain_kind
        self.states = equilibrium_states(context.physics, kind, *ranges).to(strain.device)
        self._frozen_internal: Tensor | None = None

    def internal(self, normalise: Normalisation[Tensor]) -> Tensor:
        """Return α of the relaxed states; a frozen encoder gives it once."""
        if self._frozen_internal is not None:
            return self._frozen_internal
        internal = normalise(self.context.law.encoder.raw_mean(self.states.measures))
        if self.context.encoder_frozen:
            self._frozen_internal = internal.detach()
        return internal

    def __call__(self, internal: Tensor) -> Tensor:
        """Return the term, α of the relaxed states given, shape ``(n_state, n_α)``."""
        states, energy = self.states, self.context.law.energy
        values, scale = energy(states.strain, internal), self.context.scales.stress_scale
        error = losses.normalised_square(values.stress, states.stress, scale)
        if not self.context.law.internal_size:
            return error
        n = self.context.law.strain_size
        stiffness = energy.hessian(states.strain, internal)[:, n:, n:]
        away: Tensor = torch.linalg.solve(stiffness, values.driving_force)
        return error + away.square().mean()
