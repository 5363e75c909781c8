"""Third stage, *refine*: the law on windows that cover the data, by L-BFGS."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .dataset import Block, Windows
from .follow_windows import follow
from .quasi_newton import QuasiNewton
from .reference_energy import measured_free_energy
from .residuals import scaled
from .stage import Material, sampling_error
from .state_terms import StateTerms, state_terms

LARGEST = 160
"""Windows of one block: evenly spaced ones where there are more."""


class Refine(QuasiNewton):
    """L-BFGS on windows: where Adam's steps are too coarse, the curvature of the loss is not.

    The loss is ln(1 + χ²) of α through the windows, of σ and of f. ψ is trained along: means are
    what closes best.
    """

    name = "refine"

    def __init__(self, material: Material, seed: int) -> None:
        law, expert = material.law, material.expert
        super().__init__(material, [law.encoder, law.potentials], expert.refine_steps, seed)
        data = material.data
        with torch.no_grad():
            self.training = Part.of(
                material, data.training, material.energies, self.tolerance, self.generator
            )
            held_out = [measured_free_energy(block, material.physics) for block in data.validation]
            self.validation = Part.of(
                material, data.validation, held_out, self.tolerance, self.generator
            )
        self.begin()

    def terms(self) -> dict[str, Tensor]:
        """Return the terms of the loss."""
        return self._terms(self.training)

    def validation_loss(self) -> Tensor:
        """Return the loss of the validation protocols."""
        part = self.validation if self.material.data.validation else self.training
        return torch.stack(list(self._terms(part).values())).sum()

    def _terms(self, part: Part) -> dict[str, Tensor]:
        law, normalise = self.material.law, self.material.normalisation()
        for states in part.states:
            states.internal = states.of_sites(normalise(law.encoder.raw_mean(states.measures)))
        squares = []
        for block, windows, error in part.windows:
            internal = windows.series(normalise(law.encoder.raw_mean(windows.measures)))
            path = follow(law, block, windows, internal[:, 0])
            away = scaled((path - internal)[:, 1:], error[:, 1:], self.scales["internal"])
            squares.append(away.square().mean())
        terms = {"internal": torch.log1p(torch.stack(squares).mean())}
        return terms | state_terms(part.states, self.scales)

    @torch.no_grad()
    def finish(self) -> None:
        """Take the best state and store its normalisation."""
        super().finish()
        self.material.law.encoder.store(self.material.normalisation())


@dataclass(frozen=True, eq=False)
class Part:
    """Training or validation data of the stage.

    Attributes:
        windows: Of each block: the block, its windows and the standard errors of their α, which are
            those of the encoder as it is at the beginning.
        states: Stress and free energy at some states of each block.
    """

    windows: list[tuple[Block, Windows, Tensor]]
    states: list[StateTerms]

    @classmethod
    def of(
        cls,
        material: Material,
        blocks: Sequence[Block],
        energies: Sequence[Tensor | None],
        tolerance: float,
        generator: torch.Generator,
    ) -> Part:
        """Collect it."""
        windows = []
        for block in blocks:
            pieces = cover(block, material.window(block))
            error = sampling_error(material.law, pieces.measures, block.samples)
            windows.append((block, pieces, pieces.series(error)))
        pairs = zip(blocks, energies, strict=True)
        return cls(windows, [StateTerms(material, *pair, tolerance, generator) for pair in pairs])


def cover(block: Block, window: int) -> Windows:
    """Return windows that begin half a window apart, over all protocols and points."""
    length = window + 1
    starts = torch.arange(0, block.instants - length + 1, max(1, length // 2))
    cases, _, points = block.strain.shape[:3]
    every = torch.cartesian_prod(torch.arange(cases), starts, torch.arange(points))
    chosen = every[:: max(1, len(every) // LARGEST)]
    case, start, point = (column[:, None].to(block.strain.device) for column in chosen.T)
    return Windows.at(block, case, start + torch.arange(length).to(start.device), point)
