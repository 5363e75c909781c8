"""Stages by L-BFGS, which keep the best state on the validation protocols."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..law.learned_law import LearnedLaw
from ..law.normalisation import Normalisation
from .held_features import holds_features
from .stage import Material, Stage
from .state_terms import StateTerms

CHUNK = 10
"""L-BFGS iterations in one step; its history survives from step to step."""
LOSS_SCALE = 1e4
"""torch's L-BFGS drops curvature pairs with y·s below an absolute 1e-10: keep the loss large."""
DIVERGED = 1e30
"""Loss that the line search is given where a roll-out diverges: that of torch fails on NaN."""


FINER = 0.2
"""Tolerance in parts of that of *identify*: second-order steps get closer."""


class QuasiNewton(Stage):
    """L-BFGS with a strong Wolfe line search on a loss that does not change from step to step.

    Populations are held, and means of several components; the encoder of other means is trained
    along: what closes best is one's choice.

    Attributes:
        patience: Steps without a better validation error after which the stage ends.
        noise: Of validation errors that differ by less than this part, the last state is kept.
        encodes: Whether the encoder is trained.
        scales: Errors of stress and α that count as none.
    """

    patience: int
    noise: float = 0.0

    def __init__(self, material: Material, iterations: int, seed: int) -> None:
        law = material.law
        self.encodes = law.variables.means > 0 and not holds_features(law)
        super().__init__(material, self.trained(law), seed)
        self.total = math.ceil(iterations / CHUNK)
        self.optimiser = torch.optim.LBFGS(
            self.parameters,
            max_iter=CHUNK,
            history_size=60,
            tolerance_grad=1e-12,
            tolerance_change=1e-15,
            line_search_fn="strong_wolfe",
        )
        data = material.data
        self.tolerance = FINER * material.expert.tolerance
        with torch.no_grad():
            internal = torch.cat([b.flat(material.internal(b)) for b in data.training])
        self.scales = {
            "stress": self.tolerance * data.scales.stress_scale,
            "internal": self.tolerance * internal.std(0),
        }

    def trained(self, law: LearnedLaw) -> Sequence[nn.Module | nn.Parameter]:
        """Return what is trained: the potentials, and the encoder of means."""
        return [law.encoder, law.potentials] if self.encodes else [law.potentials]

    @abstractmethod
    def terms(self) -> dict[str, Tensor]:
        """Return the terms of the loss, all of weight one."""

    @abstractmethod
    def validation_loss(self) -> Tensor:
        """Return the loss by which the best state is chosen."""

    def encode(self, parts: Sequence[StateTerms], normalise: Normalisation[Tensor]) -> None:
        """Give states the α of a trained encoder."""
        if self.encodes:
            encoder = self.material.law.encoder
            for part in parts:
                part.internal = part.of_sites(normalise(encoder.raw_mean(part.measures)))

    def begin(self) -> None:
        """Take the first state as the best one so far."""
        self.best = self._validated()
        self.kept = [p.detach().clone() for p in self.parameters]
        self.waited = 0

    @property
    def done(self) -> bool:
        """True after the last step, or without progress."""
        return self.step >= self.total or self.waited >= self.patience

    def advance(self) -> dict[str, float]:
        """Make one step and return the loss and its terms at its start."""
        record = self.iterate()
        self.step += 1
        error = self._validated()
        self.waited += 1
        as_good = error < (1.0 + self.noise) * self.best
        if error < self.best:
            self.best, self.waited = error, 0
        if as_good:
            self.kept = [p.detach().clone() for p in self.parameters]
        return {**record, "validation": error}

    def iterate(self) -> dict[str, float]:
        """Make the iterations of a step and return the loss and its terms at its start."""
        records: list[dict[str, float]] = []

        def closure() -> float:
            self.optimiser.zero_grad()
            terms = self.finite_terms()
            record = {name: float(term.detach()) for name, term in terms.items()}
            records.append({**record, "loss": sum(record.values())})
            if not math.isfinite(records[-1]["loss"]):
                for parameter in self.parameters:
                    parameter.grad = torch.zeros_like(parameter)
                return DIVERGED
            loss = torch.stack(list(terms.values())).sum()
            (LOSS_SCALE * loss).backward()  # type: ignore[no-untyped-call]
            return LOSS_SCALE * records[-1]["loss"]

        before = [parameter.detach().clone() for parameter in self.parameters]
        self.optimiser.step(closure)
        self.require_numbers(records[0])
        if all(map(torch.equal, before, self.parameters)):
            # Round-off has made the history of a stiff problem point uphill: begin a new one.
            self.optimiser.state.clear()
            self.optimiser.step(closure)
        return records[0]

    @torch.no_grad()
    def finish(self) -> None:
        """Take the best state and store its normalisation."""
        for parameter, kept in zip(self.parameters, self.kept, strict=True):
            parameter.copy_(kept)
        self.material.law.encoder.store(self.material.normalisation())

    def state(self) -> dict[str, Any]:
        """Return what a resumed run needs, as tensors and plain values."""
        own = {"best": self.best, "kept": self.kept, "waited": self.waited}
        return {**super().state(), **own}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        super().restore(state)
        self.best, self.kept, self.waited = state["best"], state["kept"], state["waited"]

    def finite_terms(self) -> dict[str, Tensor]:
        """Return the terms; an infinite one where a linear system of a roll-out is singular."""
        try:
            return self.terms()
        except torch.linalg.LinAlgError:  # type: ignore[attr-defined]
            return {"loss": torch.tensor(math.inf, dtype=torch.float64)}

    @torch.no_grad()
    def _validated(self) -> float:
        try:
            value = float(self.validation_loss())
        except torch.linalg.LinAlgError:  # type: ignore[attr-defined]
            return DIVERGED
        return value if math.isfinite(value) else DIVERGED
