"""Second stage, *identify*: all parts of the law on short windows of the data."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .dataset import Windows
from .follow_windows import follow, is_explicit
from .likelihood_term import negative_log_likelihood
from .residuals import robust, scaled, without_constant
from .stage import Material, Stage

logger = logging.getLogger(__name__)

FIRST_TOLERANCE = 10.0
"""Tolerance at the beginning over that at the end."""
SUBSTEPS = 2
"""Of a coarse record between stored instants,"""
FINE = 20
"""which the record is not where the slowest feature is remembered for so many of them."""
ANNEALED = 0.6
"""Part of the steps over which the tolerance shrinks."""
HELD = 0.3
"""Part of the steps in which ψ stays as it is encoded, where nothing is known of φ: rates at random
would draw ψ to states that have slow ones."""
VANISHED = 0.5
"""Spread of the populations over that as encoded, below which they count as lost."""
DENSITY_SITES = 96
"""Sites of a batch on which the decoder is evaluated."""


class Identify(Stage):
    """Adam on windows: α under the measured strain, σ, −⟨ln q⟩ and, where it is known, F.

    α starts as it is encoded at the beginning of each window and is integrated through it under the
    measured strain; its error, and that of σ at the encoded states, count in units of their
    sampling errors. The decoder's negative log-likelihood of the microstates is the
    information bottleneck: it draws ψ to what α has to know. f is compared with the free energy of
    the measured distributions where the microscopic energy is known. All weights are one.
    """

    name = "identify"

    def __init__(self, material: Material, seed: int) -> None:
        law, expert = material.law, material.expert
        super().__init__(material, [law.encoder, law.decoder, law.potentials], seed)
        self.total = expert.identify_steps
        self.optimiser = torch.optim.Adam(self.parameters, lr=expert.learning_rate)
        self.internal_scale = self._spread()
        self.first = {name: value.clone() for name, value in law.state_dict().items()}

    def advance(self) -> dict[str, float]:
        """Make one step and return the loss and its terms at its start."""
        self._hold_encoder()
        material, number = self.material, self.pick_block()
        law, block = material.law, material.data.training[number]
        length = material.window(block) + 1
        count = max(1, material.expert.batch // block.classes)
        windows = Windows.random(block, count, length, self.generator)
        normalise = self.material.normalisation()
        internal = windows.series(normalise(law.encoder.raw_mean(windows.measures)))
        variance = law.encoder.raw_variance(windows.measures) @ normalise.matrix.T.square()
        error = windows.series((variance.detach() / block.samples).sqrt())
        tolerance = material.expert.tolerance * self._annealing()
        substeps = 1 if length > FINE else SUBSTEPS
        path = follow(law, windows, internal[:, 0], explicit=is_explicit(block), substeps=substeps)
        values = law(windows.strain, internal)
        scale = tolerance * self.internal_scale
        stress_scale = tolerance * material.data.scales.stress_scale
        terms = {
            "internal": robust(scaled((path - internal)[:, 1:], error[:, 1:], scale)),
            "stress": robust(
                scaled(values.stress - windows.stress, windows.stress_error, stress_scale)
            ),
        }
        reference = material.energies[number]
        if reference is not None:
            difference = without_constant(values.energy - reference[windows.states])
            terms["free_energy"] = robust(difference / material.energy_unit(tolerance))
        loss = torch.stack(list(terms.values())).sum()
        if material.expert.likelihood:
            nats = self._likelihood(windows, internal)
            terms["negative_log_likelihood"] = nats
            loss = loss + material.expert.likelihood * nats
        record = {name: float(term.detach()) for name, term in terms.items()}
        record["loss"] = float(loss.detach())
        self.adam_step(loss, record)
        self.step += 1
        return record

    def _hold_encoder(self) -> None:
        """Hold ψ at first where the potentials begin at random."""
        strain_given = self.material.data.training[0].drive.strain_given
        held = not strain_given and self.step < HELD * self.total
        for parameter in self.material.law.encoder.parameters():
            parameter.requires_grad_(not held)
            if held:
                parameter.grad = None

    @torch.no_grad()
    def finish(self) -> None:
        """Store the normalisation of the trained encoder; take back a law whose states vanished.

        Fractions that hardly move have small errors whatever the law. Where few elements ever
        change their state, ψ can end at a state that nobody is in: then the law is again what
        *encode* has made it.
        """
        law = self.material.law
        law.encoder.store(self.material.normalisation())
        fractions = torch.from_numpy(np.isfinite(law.variables.bounds()[:, 1]))
        fractions = fractions.to(self.internal_scale.device)
        before, after = (
            spread[fractions].norm() for spread in (self.internal_scale, self._spread())
        )
        if after < VANISHED * before:
            logger.info("identify: a population has vanished; the law goes on as it was encoded.")
            law.load_state_dict(self.first)

    def state(self) -> dict[str, Any]:
        """Return what a resumed run needs, the law as it was encoded among it."""
        return {**super().state(), "first": self.first}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        super().restore(state)
        self.first = state["first"]

    @torch.no_grad()
    def _spread(self) -> Tensor:
        """Return the standard deviation of each α over the training data, ``(n_α,)``."""
        blocks = self.material.data.training
        return torch.cat([b.flat(self.material.internal(b)) for b in blocks]).std(0)

    def _annealing(self) -> float:
        progress = min(1.0, self.step / (ANNEALED * self.total))
        return float(FIRST_TOLERANCE ** (1.0 - progress))

    def _likelihood(self, windows: Windows, internal: Tensor) -> Tensor:
        law, every = self.material.law, windows.sites
        of_sites = internal.reshape(len(every), -1)
        context = law.context(windows.strain.flatten(0, 1), of_sites)
        rows = torch.randperm(len(every), generator=self.generator)[:DENSITY_SITES]
        rows = rows.to(internal.device)
        measures = windows.measures.select(every[rows])
        return negative_log_likelihood(law, measures, context[rows], self.generator)
