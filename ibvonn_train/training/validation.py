"""Errors on the protocols held out of the training set."""

from __future__ import annotations

import torch
from torch import Tensor

from ..law.learned_law import LearnedLaw
from ..statistical_mechanics.microscopic_energy import Physics
from .block_rollouts import rollouts
from .dataset import Block, TrainingSet
from .losses import negative_log_likelihood

STATES = 2000
"""Random states on which the likelihood is judged."""


def relative_error(value: Tensor, reference: Tensor) -> float:
    """Return the relative L2 error, pooled over all cases, times and sites."""
    return float((value - reference).norm() / reference.norm())


@torch.no_grad()
def validation_record(law: LearnedLaw, data: TrainingSet, physics: Physics) -> dict[str, float]:
    """Return roll-out errors on training and validation protocols.

    Keys are ``SPLIT/DRIVE/QUANTITY`` with stress, strain (averaged only) and internal.
    """
    record: dict[str, float] = {}
    for split, blocks in (("train", data.training), ("validation", data.validation)):
        for number, block in enumerate(blocks):
            name = split if len(blocks) == 1 else f"{split}{number}"
            record |= {f"{name}/{key}": v for key, v in rollout_errors(law, block, physics).items()}
    return record


@torch.no_grad()
def rollout_errors(law: LearnedLaw, block: Block, physics: Physics) -> dict[str, float]:
    """Return relative errors of roll-outs from encoded first states, keys ``DRIVE/QUANTITY``."""
    internal = block.series(law.encoder.gauge(law.encoder.raw_mean(block.measures)))
    truth = {"stress": block.by_site(block.stress)}
    if law.internal_size:
        truth["internal"] = block.by_site(internal)
    if law.strain_kind == "averaged":
        truth["strain"] = block.by_site(block.strain)
    return {
        f"{drive}/{name}": relative_error(getattr(result, name).transpose(0, 1), reference)
        for drive, result in rollouts(law, block, internal, physics).items()
        for name, reference in truth.items()
    }


@torch.no_grad()
def surprise(law: LearnedLaw, block: Block) -> float:
    """Return −⟨ln q⟩ of the decoder over some states, in nats per replica."""
    generator = torch.Generator().manual_seed(5)
    some = block.pick(torch.randperm(block.states, generator=generator)[:STATES])
    internal = law.encoder.gauge(law.encoder.raw_mean(some.measures))
    averaged = law.strain_kind == "averaged"
    measure = some.measures.centred if averaged else some.measures.absolute
    log_density = law.decoder.log_density(measure.positions(), internal)
    return float(negative_log_likelihood(measure, log_density).mean())
