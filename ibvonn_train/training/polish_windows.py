"""Third stage, *polish*, where the strain is given: windows that cover the data, by L-BFGS."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .dataset import Block, Windows
from .follow_windows import follow, is_explicit
from .quasi_newton import QuasiNewton
from .reference_energy import measured_free_energy
from .refit_energy import refit_energy
from .residuals import scaled
from .stage import Material, sampling_error
from .state_terms import StateTerms, state_terms

LARGEST = 160
"""Windows of one block: evenly spaced ones where there are more."""


class PolishWindows(QuasiNewton):
    """L-BFGS on windows: a dissipative law forgets, so long ones show what whole protocols would.

    The loss is ln(1 + χ²) of α through the windows, of σ and of f. The best state on the validation
    protocols is kept; without such protocols, on those of the training.
    """

    name = "polish"
    patience = 20
    """Populations with barriers of six k_BT: the error rises for eighty iterations before it falls
    to two thirds."""

    def __init__(self, material: Material, seed: int) -> None:
        refit_energy(material)
        super().__init__(material, material.expert.polish_steps, seed)
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
        self.encode(part.states, normalise)
        squares = []
        for batch in part.batches:
            internal = batch.internal
            if self.encodes:
                encoded = [
                    piece.series(normalise(law.encoder.raw_mean(piece.measures)))
                    for piece in batch.pieces
                ]
                internal = torch.cat(encoded)
            path = follow(law, batch, internal[:, 0], explicit=batch.explicit)
            away = scaled((path - internal)[:, 1:], batch.error[:, 1:], self.scales["internal"])
            squares.append(away.square().mean())
        terms = {"internal": torch.log1p(torch.stack(squares).mean())}
        return terms | state_terms(part.states, self.scales)


@dataclass(frozen=True, eq=False)
class WindowBatch:
    """Windows that are integrated together.

    Attributes:
        pieces: Of one block each.
        time, strain: Those of all pieces.
        internal: Their α by the encoder as it is at the beginning.
        error: Standard error of α.
        explicit: Whether the data's own scheme is followed.
    """

    pieces: Sequence[Windows]
    time: Tensor
    strain: Tensor
    internal: Tensor
    error: Tensor
    explicit: bool


@dataclass(frozen=True, eq=False)
class Part:
    """Training or validation data of the stage.

    Attributes:
        batches: Windows of all blocks.
        states: Stress and free energy at some states of each block.
    """

    batches: list[WindowBatch]
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
        law = material.law
        batches = []
        keys = [(material.window(block), is_explicit(block)) for block in blocks]
        for key in sorted(set(keys)):
            alike = [block for block, own in zip(blocks, keys, strict=True) if own == key]
            pieces = [cover(block, key[0]) for block in alike]
            errors = [
                piece.series(sampling_error(law, piece.measures, block.samples))
                for piece, block in zip(pieces, alike, strict=True)
            ]
            batches.append(
                WindowBatch(
                    pieces=pieces,
                    time=torch.cat([piece.time for piece in pieces]),
                    strain=torch.cat([piece.strain for piece in pieces]),
                    internal=torch.cat([p.series(law.encode(p.measures)) for p in pieces]),
                    error=torch.cat(errors),
                    explicit=key[1],
                )
            )
        pairs = zip(blocks, energies, strict=True)
        return cls(batches, [StateTerms(material, *pair, tolerance, generator) for pair in pairs])


def cover(block: Block, window: int) -> Windows:
    """Return windows that begin half a window apart, over all protocols and points."""
    length = window + 1
    starts = torch.arange(0, block.instants - length + 1, max(1, length // 2))
    cases, _, points = block.strain.shape[:3]
    every = torch.cartesian_prod(torch.arange(cases), starts, torch.arange(points))
    chosen = every[:: max(1, -(-len(every) // LARGEST))]
    case, start, point = (column[:, None].to(block.strain.device) for column in chosen.T)
    return Windows.at(block, case, start + torch.arange(length).to(start.device), point)
