"""The mobility φ'' that the noise of α implies."""

from __future__ import annotations

from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from ...law.rates import Rates
from ..dataset import Block
from ..training_config import ConfigError
from .term_context import TermContext


class FluctuationTerm:
    """Relative square error of φ'' against M⟨ψ'ψ'ᵀ⟩Mᵀ/η (theory: Einstein).

    Args:
        context: Of the stage.

    Raises:
        ConfigError: If the encoder is trained, or the strain is averaged.
    """

    def __init__(self, context: TermContext) -> None:
        self.context = context
        self._noise: WeakKeyDictionary[Block, Tensor] = WeakKeyDictionary()
        if not (context.encoder_frozen and context.law.strain_kind == "controlled"):
            raise ConfigError(
                "loss.fluctuation: needs a frozen encoder and controlled strain; found "
                f"{context.law.strain_kind} strain. Leave it to a stage that trains energy and "
                "dissipation."
            )

    def __call__(self, block: Block, values: Rates[Tensor], internal: Tensor) -> Tensor:
        """Return the term.

        Args:
            block: States.
            values: Of the law at the states.
            internal: Their α, shape ``(n_state, n_α)``.
        """
        law, physics = self.context.law, self.context.physics
        if block not in self._noise:
            with torch.no_grad():
                noise = law.encoder.noise(block.measures.absolute)
            self._noise[block] = noise / (physics.friction * physics.reference_length)
        target = self._noise[block]
        state = law.energy.state(block.flat(block.strain), internal)
        mobility = law.dissipation.hessian(values.driving_force, state)
        size = torch.linalg.matrix_norm(target)
        error: Tensor = torch.linalg.matrix_norm(mobility - target) / size
        return error.square().mean()
