"""Optimiser of one stage: Adam with a one-cycle rate, or L-BFGS; one call is one step."""

from __future__ import annotations

import math
from typing import Any

import torch

from ..law.learned_law import LearnedLaw
from ..statistical_mechanics.microscopic_energy import Physics
from .dataset import Block, TrainingSet
from .objective import Batch, Objective
from .training_config import PARTS, StageConfig

LBFGS_CHUNK = 10
"""L-BFGS iterations in one step; its history survives from step to step."""

DIVERGED = 1e30
"""Loss that the line search sees where a roll-out has left the numbers: torch's fails on NaN."""

LBFGS_LOSS_SCALE = 1e4
"""torch's L-BFGS drops curvature pairs with y·s below an absolute 1e-10: keep the loss large."""


class StageRun:
    """State of a stage between its steps.

    Args:
        law: The law in training; the parts that the stage does not train are frozen.
        data: Training data.
        physics: What is known of the system.
        config: The stage.
        seed: Seed of the stage's own random numbers.
    """

    def __init__(
        self,
        law: LearnedLaw,
        data: TrainingSet,
        physics: Physics,
        config: StageConfig,
        seed: int,
    ) -> None:
        self.law = law
        self.data = data
        self.config = config
        self.step = 0
        self.generator = torch.Generator().manual_seed(seed)
        train = _usable(law, config.train)
        for part in PARTS:
            getattr(law, part).requires_grad_(part in train)
        self.parameters = [p for p in law.parameters() if p.requires_grad]
        self.objective = Objective(law, data, physics, config)
        self.optimiser: torch.optim.Optimizer
        if config.optimiser == "adam":
            self.optimiser = torch.optim.Adam(self.parameters, lr=config.learning_rate)
            self.total = config.steps
        else:
            self.optimiser = torch.optim.LBFGS(
                self.parameters,
                max_iter=LBFGS_CHUNK,
                history_size=60,
                tolerance_grad=1e-12,
                tolerance_change=1e-15,
                line_search_fn="strong_wolfe",
            )
            self.total = math.ceil(config.steps / LBFGS_CHUNK)
        loss = config.loss
        self.wants_windows = bool(loss.rollout or loss.tracking)
        invariance = loss.translation_invariance and not self.wants_windows
        self.wants_local = bool(loss.stress or loss.weak_form or invariance)
        self.wants_decoder = bool(
            loss.negative_log_likelihood
            or loss.free_energy_consistency
            or loss.driving_force_consistency
            or loss.fluctuation
        )
        self.fixed = [] if config.optimiser == "adam" else [self._fixed(b) for b in data.training]

    @property
    def done(self) -> bool:
        """True after the last step."""
        return self.step >= self.total

    def advance(self) -> dict[str, float]:
        """Make one step and return the loss and its terms at its start."""
        record = self._adam() if self.config.optimiser == "adam" else self._lbfgs()
        self.step += 1
        return record

    def finish(self) -> None:
        """Store the normalisation of the trained encoder."""
        with torch.no_grad():
            self.law.encoder.store(self.objective.normalisation())

    def state(self) -> dict[str, Any]:
        """Return what a resumed run needs, as tensors and plain values."""
        return {
            "step": self.step,
            "optimiser": self.optimiser.state_dict(),
            "generator": self.generator.get_state(),
            "time_scale": self.objective.time_scale,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from `state`; the law's parameters are restored by the caller."""
        self.step = state["step"]
        self.optimiser.load_state_dict(state["optimiser"])
        self.generator.set_state(state["generator"])
        self.objective.time_scale = state["time_scale"].to(self.objective.time_scale)

    def _adam(self) -> dict[str, float]:
        rate = one_cycle(self.step, self.total, self.config.learning_rate)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.zero_grad()
        record = self.objective.backward(self._random_batch())
        self._require_numbers(record)
        self.optimiser.step()
        return record

    def _lbfgs(self) -> dict[str, float]:
        records: list[dict[str, float]] = []
        sizes = [block.states for block in self.data.training]

        def closure() -> float:
            self.optimiser.zero_grad()
            sums: dict[str, float] = {}
            for batch, size in zip(self.fixed, sizes, strict=True):
                share = size / sum(sizes)
                record = self.objective.backward(batch, LBFGS_LOSS_SCALE * share)
                for name, value in record.items():
                    sums[name] = sums.get(name, 0.0) + share * value
            records.append(sums)
            if not math.isfinite(sums["loss"]):
                for parameter in self.parameters:
                    parameter.grad = torch.zeros_like(parameter)
                return DIVERGED
            return LBFGS_LOSS_SCALE * sums["loss"]

        before = [parameter.detach().clone() for parameter in self.parameters]
        self.optimiser.step(closure)
        self._require_numbers(records[0])
        if all(map(torch.equal, before, self.parameters)):
            # Round-off has made the history of a stiff problem point uphill: begin a new one.
            self.optimiser.state.clear()
            self.optimiser.step(closure)
        return records[0]

    def _require_numbers(self, record: dict[str, float]) -> None:
        """Stop the stage before an optimiser makes weights of a loss that is not finite.

        Raises:
            FloatingPointError: If the loss, or its gradient, is not finite.
        """
        wrong = [name for name, value in record.items() if not math.isfinite(value)]
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        if not wrong and all(bool(gradient.isfinite().all()) for gradient in gradients):
            return
        raise FloatingPointError(
            f"training: the loss and its gradient must be finite; in step {self.step} of stage "
            f"{self.config.name!r} {', '.join(wrong) or 'the gradient'} is not. Give the stage a "
            "smaller learning_rate or a shorter window, or a stage without roll-outs before it."
        )

    def _fixed(self, block: Block) -> Batch:
        """Return all trajectories, some states and overlapping windows of a block."""
        length = min(self.config.window or block.instants, block.instants)
        starts = range(0, block.instants - length + 1, max(1, length // 2))
        return Batch(
            local=block if self.wants_local else None,
            decoder=self._some_states(block),
            windows=block.windows(starts, length) if self.wants_windows else None,
        )

    def _random_batch(self) -> Batch:
        blocks = self.data.training
        sizes = torch.tensor([float(block.states) for block in blocks])
        block = blocks[int(torch.multinomial(sizes, 1, generator=self.generator))]
        local, windows, count = None, None, self.config.trajectories
        if self.wants_local:
            local = block
            if 0 < count < block.trajectories:
                order = torch.randperm(block.trajectories, generator=self.generator)
                local = block.trajectories_of(order[:count].to(block.strain.device))
        if self.wants_windows:
            length = min(self.config.window or block.instants, block.instants)
            last = block.instants - length + 1
            starts = torch.randint(last, (self.config.starts,), generator=self.generator)
            windows = block.windows(starts.tolist(), length)
        return Batch(local, self._some_states(block), windows)

    def _some_states(self, block: Block) -> Block | None:
        if not self.wants_decoder:
            return None
        order = torch.randperm(block.states, generator=self.generator)
        return block.pick(order[: self.config.states].to(block.strain.device))


def one_cycle(step: int, total: int, peak: float) -> float:
    """Return the learning rate: cosine from peak/25 up over 30 % of the steps, then to peak/1e4.

    References:
        Smith & Topin (2019), *Super-convergence*, arXiv 1708.07120.
    """
    warm = max(1.0, 0.3 * total)
    if step < warm:
        start, end, phase = peak / 25.0, peak, step / warm
    else:
        start, end, phase = peak, peak / 1e4, (step - warm) / max(1.0, total - warm)
    return end + 0.5 * (start - end) * (1.0 + math.cos(math.pi * phase))


def _usable(law: LearnedLaw, parts: tuple[str, ...]) -> set[str]:
    """Leave out parts without meaning: a law without internal variables has no rate."""
    return set(parts) - (set() if law.internal_size else {"encoder", "dissipation"})
