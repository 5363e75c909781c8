"""Third stage, *polish*, where the strain is a result: roll-outs of whole protocols, by L-BFGS."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..rollouts.drives import Drive, Record
from ..rollouts.material_point import Rollout
from .dataset import Block, TrainingSet
from .follow_windows import is_explicit
from .quasi_newton import QuasiNewton
from .residuals import scaled
from .stage import Material
from .state_terms import StateTerms, state_terms

MANY = 32
"""Protocols from which on each of them is rolled out in one mode of its drive, at random: as many
again in the other modes double the time of every iteration, and tell little more."""

UNCHANGED = 0.15
"""Of the sampling error: a change of roll-outs by shorter steps that does not count."""
MOST_STEPS = 8
"""Between two instants."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Protocols of one number of instants, of one or more blocks, rolled out together.

    Attributes:
        record: Instants and strains.
        drive: Of the protocols.
        blocks: What they come from.
        references: Quantity → measured values, those of α but for a trained encoder, and their
            standard errors.
        explicit: Whether the record holds every step of the data's own scheme.
        turns: Number of the mode in which each protocol is rolled out; None for all modes.
        substeps: Steps between instants where they are not those of the data's own scheme.
    """

    record: Record
    drive: Drive
    blocks: Sequence[Block]
    references: dict[str, tuple[Tensor, Tensor]]
    explicit: bool
    turns: Tensor | None
    substeps: int = 1


class PolishDrive(QuasiNewton):
    """L-BFGS on the roll-outs of whole protocols, in all modes of their drive.

    Where there are many protocols to train on, each of them is rolled out in one mode.

    The loss of a protocol, mode and quantity is ln(1 + χ²), χ² the mean square of the errors of
    strain, stress or α in units of their sampling errors: none decides alone, and none is given up.
    Stress and free energy at the encoded states stay in the loss. The best state on the validation
    protocols is kept; without such protocols, on those of the training.
    """

    name = "polish"
    patience = 6
    """Errors rest on a plateau for some sixty iterations before they fall again."""

    def __init__(self, material: Material, seed: int) -> None:
        super().__init__(material, material.expert.polish_steps, seed)
        with torch.no_grad():
            data = material.data
            self.scales["strain"] = self.tolerance * data.scales.strain_scale
            self.scales["force"] = self.scales["stress"][0]
            self.training = self._batches(data.training, in_turn=takes_turns(data))
            self.validation = self._batches(data.validation)
            self.training = [self._with_steps(batch) for batch in self.training]
            steps = max(batch.substeps for batch in self.training)
            self.validation = [replace(batch, substeps=steps) for batch in self.validation]
            self.local = [
                StateTerms(material, block, energies, self.tolerance, self.generator)
                for block, energies in zip(data.training, material.energies, strict=True)
            ]
        self.begin()

    def terms(self) -> dict[str, Tensor]:
        """Return the terms of the loss."""
        self.encode(self.local, self.material.normalisation())
        return {"rollout": self._rollout_loss(self.training)} | state_terms(self.local, self.scales)

    def validation_loss(self) -> Tensor:
        """Return the loss of the roll-outs of the validation protocols."""
        return self._rollout_loss(self.validation or self.training)

    def _batches(self, blocks: Sequence[Block], *, in_turn: bool = False) -> list[Batch]:
        """Return the blocks, those of one number of instants together."""
        batches = []
        for key in sorted({(block.instants, is_explicit(block)) for block in blocks}):
            alike = [block for block in blocks if (block.instants, is_explicit(block)) == key]
            batches.append(self._joined(alike, key[1], in_turn))
        return batches

    def _joined(self, blocks: Sequence[Block], explicit: bool, in_turn: bool) -> Batch:
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
        force = drive.external_force()
        if force is not None:
            # What is known of the drag on the end adds no noise to that of the last spring.
            references["force"] = (force, stress_error[:, :, -1, 0])
        times = torch.cat([b.time.expand(len(b.strain), -1) for b in blocks])
        strides = blocks[0].strides if explicit else ()
        turns = None
        if in_turn:
            order = torch.randperm(len(strain), generator=self.generator).to(strain.device)
            turns = order % len(drive.modes)
        return Batch(Record(times, strain, strides), drive, blocks, references, explicit, turns)

    def _with_steps(self, batch: Batch) -> Batch:
        """Return the batch with so many steps between instants that more change nothing.

        Roll-outs under an imposed strain, at the law as it is, change by no more than
        ``UNCHANGED`` of the sampling error when each step is halved. Those of chains, whose
        strains are results, keep one step.
        """
        if batch.explicit or not batch.drive.strain_given:
            return batch
        internal, few = self._internal(batch), batch
        coarse = self._roll_out(few, internal)
        while few.substeps < MOST_STEPS:
            more = replace(few, substeps=2 * few.substeps)
            fine = self._roll_out(more, internal)
            changes = [
                scaled(getattr(fine[mode], name) - getattr(run, name), error, self.scales[name])
                for mode, run in coarse.items()
                for name, (_, error) in batch.references.items()
            ]
            if all(float(change.square().mean()) < UNCHANGED**2 for change in changes):
                break
            few, coarse = more, fine
        return few

    def _roll_out(self, batch: Batch, internal: Tensor) -> dict[str, Rollout]:
        potentials = self.material.law.potentials
        return batch.drive.roll_out(
            potentials.rates_function(),
            batch.record,
            internal[:, 0],
            turns=batch.turns,
            implicit=None if batch.explicit else potentials,
            substeps=batch.substeps,
        )

    def _rollout_loss(self, batches: Sequence[Batch]) -> Tensor:
        losses = []
        for batch in batches:
            internal = self._internal(batch)
            for number, (mode, run) in enumerate(self._roll_out(batch, internal).items()):
                rows = slice(None) if batch.turns is None else batch.turns == number
                for name in batch.drive.quantities[mode]:
                    if name not in batch.references:
                        continue
                    measured, error = batch.references[name]
                    value = internal if name == "internal" else measured
                    away = getattr(run, name) - value[rows]
                    away = scaled(away, error[rows], self.scales[name])
                    losses.append(torch.log1p(away.square().flatten(1).mean(1)))
        return torch.cat(losses).mean()

    def _internal(self, batch: Batch) -> Tensor:
        """Return the encoded α of a batch."""
        if not self.encodes:
            return batch.references["internal"][0]
        normalise, encoder = self.material.normalisation(), self.material.law.encoder
        return torch.cat([b.series(normalise(encoder.raw_mean(b.measures))) for b in batch.blocks])


def takes_turns(data: TrainingSet) -> bool:
    """Return whether protocols are so many that each is rolled out in one mode of its drive."""
    return sum(len(block.strain) for block in data.training) >= MANY


def strain_error(block: Block) -> Tensor:
    """Return the standard error of an averaged strain, shape of ``block.strain``."""
    measure = block.measures.absolute
    variance = measure.mean(measure.nodes**2) - measure.mean(measure.nodes) ** 2
    return block.series((variance.clamp(min=0.0) / block.samples).sqrt())
