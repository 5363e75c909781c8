"""What the stages of the recipe have in common."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..law.learned_law import LearnedLaw
from ..law.normalisation import Normalisation
from ..statistical_mechanics.microscopic_energy import Physics
from .dataset import Block, TrainingSet
from .reference_energy import measured_free_energy
from .training_config import ExpertConfig

SHORTEST, LONGEST = 10, 32
"""Stored steps of a window at least and at most; between, it is the slowest feature's memory."""
ENERGY_UNIT = 0.1
"""Error of f that counts as one, in k_BT of one element: what a histogram's entropy is good for."""


@dataclass(frozen=True)
class Material:
    """What every stage works on.

    Attributes:
        law: The law in training.
        data: Training data.
        physics: What is known of the system.
        expert: Steps, sizes, tolerance.
        slow_time: Time scale of the slowest feature [time].
        energies: Free energy of the measured distribution at every state of each training block,
            ``(n_state,)``, or None where it is not known.
    """

    law: LearnedLaw
    data: TrainingSet
    physics: Physics
    expert: ExpertConfig
    slow_time: float
    energies: tuple[Tensor | None, ...]

    @classmethod
    def of(
        cls,
        law: LearnedLaw,
        data: TrainingSet,
        physics: Physics,
        expert: ExpertConfig,
        slow_time: float,
    ) -> Material:
        """Collect it."""
        energies = tuple(measured_free_energy(block, physics) for block in data.training)
        return cls(law, data, physics, expert, slow_time, energies)

    def window(self, block: Block) -> int:
        """Return the length of windows in stored steps: about the slowest feature's memory."""
        memory = round(self.slow_time / float(torch.diff(block.time).median()))
        return min(max(memory, SHORTEST), LONGEST, block.instants - 1)

    def normalisation(self) -> Normalisation[Tensor]:
        """Return that of α over the training data by the encoder as it is, with its gradient."""
        encoder = self.law.encoder
        if encoder.fractions == encoder.size:
            return encoder.normalisation
        return encoder.normalisation_of(
            torch.cat([encoder.raw_mean(anchor) for anchor in self.data.anchors])
        )

    def internal(self, block: Block) -> Tensor:
        """Return α of a block, stored normalisation, ``(n_protocol, n_time, n_point, n_α)``."""
        return block.series(self.law.encode(block.measures))

    def internal_error(self, block: Block) -> Tensor:
        """Return the standard error of α, shape of :meth:`internal`."""
        return block.series(sampling_error(self.law, block.measures, block.samples))

    def energy_unit(self, tolerance: float) -> Tensor:
        """Return the error of f that counts as none.

        Args:
            tolerance: In standard deviations of the energies.
        """
        known = [energies for energies in self.energies if energies is not None]
        spread = torch.cat(known).std() if known else torch.zeros(())
        smallest = ENERGY_UNIT * self.physics.thermal_energy
        return (smallest**2 + (tolerance * spread) ** 2).sqrt()


def sampling_error(law: LearnedLaw, measures: Any, samples: int) -> Tensor:
    """Return the standard error of the α of sites, ``(n_site, n_class)``, ψ being held."""
    variance = law.encoder.raw_variance(measures) @ law.encoder.normalisation.matrix.T.square()
    return (variance / samples).sqrt().detach()


class Stage(ABC):
    """One optimisation; a call of :meth:`advance` is one step.

    Attributes:
        name: In the log.
        total: Number of steps.
        step: Steps taken.
        rate_factor: Largest learning rate of Adam over that of the configuration.
    """

    name: str
    total: int
    step: int = 0
    rate_factor: float = 1.0
    optimiser: torch.optim.Optimizer
    generator: torch.Generator

    def __init__(
        self, material: Material, trained: Iterable[nn.Module | nn.Parameter], seed: int
    ) -> None:
        self.material = material
        material.law.requires_grad_(False)
        for part in trained:
            part.requires_grad_(True)
        self.parameters = [p for p in material.law.parameters() if p.requires_grad]
        self.generator = torch.Generator().manual_seed(seed)

    @property
    def done(self) -> bool:
        """True after the last step."""
        return self.step >= self.total

    @abstractmethod
    def advance(self) -> dict[str, float]:
        """Make one step and return the loss and its terms at its start."""

    def finish(self) -> None:  # noqa: B027 (a stage may have nothing to do)
        """Leave the law as the next stage takes it."""

    def state(self) -> dict[str, Any]:
        """Return what a resumed run needs, as tensors and plain values."""
        return {
            "step": self.step,
            "optimiser": self.optimiser.state_dict(),
            "generator": self.generator.get_state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from `state`; the law's parameters are restored by the caller."""
        self.step = state["step"]
        self.optimiser.load_state_dict(state["optimiser"])
        self.generator.set_state(state["generator"])

    def pick_block(self) -> int:
        """Return the number of a training block, each as likely as it has states."""
        sizes = torch.tensor([float(block.states) for block in self.material.data.training])
        return int(torch.multinomial(sizes, 1, generator=self.generator))

    def adam_step(self, loss: Tensor, record: dict[str, float]) -> None:
        """Take a step of Adam with its one-cycle learning rate.

        Raises:
            FloatingPointError: If the loss or its gradient is not finite.
        """
        peak = self.rate_factor * self.material.expert.learning_rate
        rate = one_cycle(self.step, self.total, peak)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.require_numbers(record)
        self.optimiser.step()

    def require_numbers(self, record: dict[str, float]) -> None:
        """Stop before an optimiser makes weights of a loss that is not finite.

        Raises:
            FloatingPointError: If the loss, or its gradient, is not finite.
        """
        wrong = [name for name, value in record.items() if not math.isfinite(value)]
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        if not wrong and all(bool(gradient.isfinite().all()) for gradient in gradients):
            return
        raise FloatingPointError(
            f"training: the loss and its gradient must be finite; in step {self.step} of "
            f"{self.name!r} {', '.join(wrong) or 'the gradient'} is not. Give "
            "training.expert.learning_rate a smaller value, or look for outliers in the data."
        )


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
