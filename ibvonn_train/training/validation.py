"""Errors on the protocols held out of the training set."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..law.learned_law import LearnedLaw
from .block_rollouts import rollouts
from .dataset import Block, TrainingSet
from .losses import negative_log_likelihood
from .training_config import TrainingConfig

LARGEST_ERROR = 20.0
"""Of roll-outs on the law's own data, in per cent of the error of a constant."""
ROLLOUTS = "roll-outs on the training data"

STATES = 2000
"""Random states on which the likelihood is evaluated."""


def relative_error(value: Tensor, reference: Tensor) -> float:
    """Return the relative L2 error, pooled over all cases, times and sites."""
    return float((value - reference).norm() / reference.norm())


@torch.no_grad()
def validation_record(law: LearnedLaw, data: TrainingSet) -> dict[str, float]:
    """Return roll-out errors on training and validation protocols.

    Keys are ``SPLIT/DRIVE/QUANTITY`` with stress, strain (averaged only) and internal.
    """
    record: dict[str, float] = {}
    for split, blocks in (("train", data.training), ("validation", data.validation)):
        for number, block in enumerate(blocks):
            name = split if len(blocks) == 1 else f"{split}{number}"
            record |= {f"{name}/{key}": v for key, v in rollout_errors(law, block).items()}
    return record


@torch.no_grad()
def rollout_errors(law: LearnedLaw, block: Block) -> dict[str, float]:
    """Return relative errors of roll-outs from encoded first states, keys ``DRIVE/QUANTITY``."""
    internal = block.series(law.encoder.normalisation(law.encoder.raw_mean(block.measures)))
    reference = {"stress": block.stress}
    if law.internal_size:
        reference["internal"] = internal
    if law.strain_kind == "averaged":
        reference["strain"] = block.strain
    return {
        f"{drive}/{name}": relative_error(getattr(result, name), series)
        for drive, result in rollouts(law, block, internal).items()
        for name, series in reference.items()
    }


@torch.no_grad()
def rollout_verdict(law: LearnedLaw, data: TrainingSet) -> dict[str, Any]:
    """Return an audit of the roll-outs on the data that the law was trained and chosen on.

    The error of stress and averaged strain is given in per cent of what their mean alone would
    show: a law that fails here has learned rates and stresses at the measured states, and leaves
    these states when it goes its own way. α is not compared: its noise depends on the replicas.
    """
    errors_of: dict[str, list[float]] = {}
    for block in (*data.training, *data.validation):
        internal = block.series(law.encoder.normalisation(law.encoder.raw_mean(block.measures)))
        references = {"stress": block.stress}
        if law.strain_kind == "averaged":
            references["strain"] = block.strain
        for drive, result in rollouts(law, block, internal).items():
            for name, reference in references.items():
                away = getattr(result, name) - reference
                constant = (reference - reference.mean((0, 1, 2))).norm()
                errors_of.setdefault(f"{drive} {name}", []).append(
                    100 * float(away.norm() / constant)
                )
    errors = {key: float(np.max(values)) for key, values in errors_of.items()}  # NaN is the largest
    value = float(np.max(list(errors.values())))
    words = ", ".join(f"{key} {error:.3g}" for key, error in errors.items())
    return {
        "audit": ROLLOUTS,
        "value": value if math.isfinite(value) else None,
        "acceptance_range": [None, LARGEST_ERROR],
        "verdict": "pass" if value <= LARGEST_ERROR else "fail",
        "detail": "largest error in % of that of a constant, over the durations of training and "
        f"validation data: {words}",
    }


def advice(verdict: dict[str, Any], config: TrainingConfig) -> str:
    """Return what to say of roll-outs that fail."""
    losses = [stage.loss for stage in config.stages]
    weak = max((loss.weak_form for loss in losses), default=0.0)
    options = []
    if weak < 1.0:
        options.append(f"raise loss.weak_form (at most {weak:g} here) to 1")
    if not any(loss.rollout or loss.tracking for loss in losses):
        options.append("add a stage with loss.rollout")
    options.append("train longer, from another seed or on more replicas")
    return (
        f"the law's own {ROLLOUTS} must be within {LARGEST_ERROR:g} % of the error of a constant; "
        f"they fail: {verdict['detail'].split(': ', 1)[1]} %. Do not use this law: "
        f"{', or '.join(options)}."
    )


@torch.no_grad()
def decoder_negative_log_likelihood(law: LearnedLaw, block: Block) -> float:
    """Return −⟨ln q⟩ of the decoder over some states, in nats per replica."""
    generator = torch.Generator().manual_seed(5)
    states = block.pick(torch.randperm(block.states, generator=generator)[:STATES])
    internal = law.encoder.normalisation(law.encoder.raw_mean(states.measures))
    averaged = law.strain_kind == "averaged"
    measure = states.measures.centred if averaged else states.measures.absolute
    log_density = law.decoder.log_density(measure.positions(), internal)
    return float(negative_log_likelihood(measure, log_density).mean())
