"""Third stage, *polish*: the potentials on roll-outs of whole protocols, in all drive modes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..rollouts.drives import Drive, Record
from ..rollouts.material_point import Rollout
from .dataset import Block
from .quasi_newton import QuasiNewton
from .residuals import scaled
from .stage import Material
from .state_terms import StateTerms, state_terms


@dataclass(frozen=True, eq=False)
class Batch:
    """Protocols of one number of instants, of one or more blocks, rolled out together.

    Attributes:
        record: Instants and strains.
        drive: Of the protocols.
        internal: α as encoded.
        references: Quantity → measured values and their standard errors.
        explicit: Whether the record holds every step of the data's own scheme.
    """

    record: Record
    drive: Drive
    internal: Tensor
    references: dict[str, tuple[Tensor, Tensor]]
    explicit: bool


class Polish(QuasiNewton):
    """L-BFGS on the roll-outs of whole protocols; the encoder is held.

    The loss of a protocol and mode is ln(1 + χ²), χ² the mean square of the errors of strain,
    stress and α in units of their sampling errors: no protocol decides alone, and none is given up.
    Stress and free energy at the encoded states stay in the loss. The best state on the validation
    protocols is kept; without such protocols, on those of the training.
    """

    name = "polish"

    def __init__(self, material: Material, seed: int) -> None:
        super().__init__(material, [material.law.potentials], material.expert.polish_steps, seed)
        with torch.no_grad():
            data = material.data
            self.scales["strain"] = self.tolerance * data.scales.strain_scale
            self.training = self._batches(data.training)
            self.validation = self._batches(data.validation)
            self.local = [
                StateTerms(material, block, energies, self.tolerance, self.generator)
                for block, energies in zip(data.training, material.energies, strict=True)
            ]
        self.begin()

    def terms(self) -> dict[str, Tensor]:
        """Return the terms of the loss."""
        return {"rollout": self._rollout_loss(self.training)} | state_terms(self.local, self.scales)

    def validation_loss(self) -> Tensor:
        """Return the loss of the roll-outs of the validation protocols."""
        return self._rollout_loss(self.validation or self.training)

    def _batches(self, blocks: Sequence[Block]) -> list[Batch]:
        """Return the blocks, those of one number of instants together."""
        lengths = sorted({(b.instants, max(b.strides, default=1) == 1) for b in blocks})
        batches = []
        for length, explicit in lengths:
            alike = [
                b
                for b in blocks
                if (b.instants, max(b.strides, default=1) == 1) == (length, explicit)
            ]
            batches.append(self._joined(alike, explicit))
        return batches

    def _joined(self, blocks: Sequence[Block], explicit: bool) -> Batch:
        internal = torch.cat([self.material.internal(b) for b in blocks])
        strain, stress = (torch.cat([getattr(b, k) for b in blocks]) for k in ("strain", "stress"))
        stress_error = torch.cat([b.stress_error for b in blocks])
        references = {
            "stress": (stress, stress_error),
            "internal": (internal, torch.cat([self.material.internal_error(b) for b in blocks])),
        }
        drive = blocks[0].drive.joined([b.drive for b in blocks[1:]])
        if not drive.strain_given:
            references["strain"] = (strain, torch.cat([strain_error(b) for b in blocks]))
        times = torch.cat([b.time.expand(len(b.strain), -1) for b in blocks])
        strides = blocks[0].strides if explicit else ()
        return Batch(Record(times, strain, strides), drive, internal, references, explicit)

    def _rollout_loss(self, batches: Sequence[Batch]) -> Tensor:
        potentials = self.material.law.potentials
        rates, linearised = potentials.rates_function(), potentials.linearised_function()
        losses = []
        for batch in batches:
            runs: dict[str, Rollout] = batch.drive.roll_out(
                rates,
                batch.record,
                batch.internal[:, 0],
                linearised=None if batch.explicit else linearised,
            )
            for run in runs.values():
                squares = [
                    scaled(getattr(run, name) - value, error, self.scales[name])
                    .square()
                    .mean((1, 2, 3))
                    for name, (value, error) in batch.references.items()
                ]
                losses.append(torch.log1p(torch.stack(squares).mean(0)))
        return torch.cat(losses).mean()


def strain_error(block: Block) -> Tensor:
    """Return the standard error of an averaged strain, shape of ``block.strain``."""
    measure = block.measures.absolute
    variance = measure.mean(measure.nodes**2) - measure.mean(measure.nodes) ** 2
    return block.series((variance.clamp(min=0.0) / block.samples).sqrt())
