"""Last stage, *density*: the decoder by its likelihood, ψ and the potentials being held."""

from __future__ import annotations

import torch

from ..law.mixture import MixtureFlow
from .likelihood_term import negative_log_likelihood
from .stage import Material, Stage

SITES = 128
"""Sites of one step."""
MIXTURE_RATE = 3.0
"""Learning rate of a mixture over that of the configuration. What elements in passage between the
states add to the likelihood is little, so that smaller steps do not come to it in time."""


class Density(Stage):
    """Adam on −⟨ln q(y | c)⟩ of random sites: the flow follows the encoder, which has moved."""

    name = "density"

    def __init__(self, material: Material, seed: int) -> None:
        super().__init__(material, [material.law.decoder], seed)
        self.total = material.expert.density_steps
        if isinstance(material.law.decoder, MixtureFlow):
            self.rate_factor = MIXTURE_RATE
        self.optimiser = torch.optim.Adam(self.parameters, lr=material.expert.learning_rate)
        with torch.no_grad():
            blocks = material.data.training
            law = material.law
            self.contexts = [
                law.context(block.flat(block.strain), law.encode(block.measures))
                for block in blocks
            ]

    def advance(self) -> dict[str, float]:
        """Make one step and return the loss at its start."""
        number = self.pick_block()
        block, context = self.material.data.training[number], self.contexts[number]
        rows = torch.randint(len(context), (SITES,), generator=self.generator).to(context.device)
        nats = negative_log_likelihood(
            self.material.law, block.measures.select(rows), context[rows], self.generator
        )
        record = {"negative_log_likelihood": float(nats.detach()), "loss": float(nats.detach())}
        self.adam_step(nats, record)
        self.step += 1
        return record
