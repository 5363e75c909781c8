"""Third stage, *polish*, where protocols are many: each in one mode of its drive, by Adam."""

from __future__ import annotations

import math

import torch

from .polish_drive import PolishDrive
from .quasi_newton import CHUNK
from .stage import Material, one_cycle

ITERATIONS = 160
RATE = 5e-3
"""Largest learning rate."""


class PolishInTurn(PolishDrive):
    """Adam on the loss of :class:`PolishDrive`, of many protocols in one mode each.

    L-BFGS needs some hundred roll-outs before its approximate Hessian is good, and meanwhile the
    validation error may rise for longer than its patience. Where protocols are many, roll-outs are
    most of the time of a training, and Adam lowers the error after thirty of them. The best state
    on the validation protocols is kept. The stage ends where a roll-out diverges.
    """

    patience = ITERATIONS

    def __init__(self, material: Material, seed: int) -> None:
        super().__init__(material, seed)
        self.total = math.ceil(min(ITERATIONS, material.expert.polish_steps) / CHUNK)
        self.optimiser = torch.optim.Adam(self.parameters)

    def iterate(self) -> dict[str, float]:
        """Make the iterations of a step and return the loss and its terms at its start."""
        records: list[dict[str, float]] = []
        for number in range(CHUNK):
            self.optimiser.zero_grad()
            terms = self.finite_terms()
            record = {name: float(term.detach()) for name, term in terms.items()}
            records.append({**record, "loss": sum(record.values())})
            if not math.isfinite(records[-1]["loss"]):
                self.require_numbers(records[0])
                self.waited = self.patience
                break
            torch.stack(list(terms.values())).sum().backward()  # type: ignore[no-untyped-call]
            rate = one_cycle(CHUNK * self.step + number, CHUNK * self.total, RATE)
            for group in self.optimiser.param_groups:
                group["lr"] = rate
            self.optimiser.step()
        return records[0]
