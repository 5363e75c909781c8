"""Errors on the protocols held out of the training set."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..law.learned_law import LearnedLaw
from ..rollouts.drives import Record
from ..rollouts.material_point import Rollout
from .dataset import Block, TrainingSet
from .likelihood_term import negative_log_likelihood

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

    Keys are ``SPLIT/MODE/QUANTITY``.
    """
    record: dict[str, float] = {}
    for split, blocks in (("train", data.training), ("validation", data.validation)):
        for number, block in enumerate(blocks):
            name = split if len(blocks) == 1 else f"{split}{number}"
            record |= {f"{name}/{key}": v for key, v in rollout_errors(law, block).items()}
    return record


@torch.no_grad()
def rollout_errors(law: LearnedLaw, block: Block) -> dict[str, float]:
    """Return relative errors of roll-outs from encoded first states, keys ``MODE/QUANTITY``."""
    internal = block.series(law.encode(block.measures))
    references = _references(law, block) | {"internal": internal}
    return {
        f"{mode}/{name}": relative_error(getattr(run, name), series)
        for mode, run in rollouts(law, block, internal).items()
        for name, series in references.items()
    }


def rollouts(law: LearnedLaw, block: Block, internal: Tensor) -> dict[str, Rollout]:
    """Roll a block out from its first states, by steps that are stable whatever the record."""
    linearised = law.potentials.linearised_function()
    if max(block.strides, default=1) == 1:
        record = Record(block.time, block.strain, block.strides)
        return block.drive.roll_out(law.potentials.rates_function(), record, internal[:, 0])
    record = Record(block.time, block.strain)
    return block.drive.roll_out(
        law.potentials.rates_function(), record, internal[:, 0], linearised=linearised
    )


def _references(law: LearnedLaw, block: Block) -> dict[str, Tensor]:  # noqa: ARG001
    given = block.drive.strain_given
    return {"stress": block.stress} if given else {"stress": block.stress, "strain": block.strain}


@torch.no_grad()
def rollout_verdict(law: LearnedLaw, data: TrainingSet) -> dict[str, Any]:
    """Return an audit of the roll-outs on the data that the law was trained and chosen on.

    The error of stress and averaged strain is given in per cent of what their mean alone would
    show: a law that fails here has learned rates and stresses at the measured states, and leaves
    these states when it goes its own way. α is not compared: its noise depends on the replicas.
    """
    errors_of: dict[str, list[float]] = {}
    for block in (*data.training, *data.validation):
        internal = block.series(law.encode(block.measures))
        references = _references(law, block)
        for mode, run in rollouts(law, block, internal).items():
            for name, reference in references.items():
                away = getattr(run, name) - reference
                constant = (reference - reference.mean((0, 1, 2))).norm()
                errors_of.setdefault(f"{mode} {name}", []).append(
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


def advice(verdict: dict[str, Any]) -> str:
    """Return what to say of roll-outs that fail."""
    return (
        f"the law's own {ROLLOUTS} must be within {LARGEST_ERROR:g} % of the error of a constant; "
        f"they fail: {verdict['detail'].split(': ', 1)[1]} %. Do not use this law: choose other "
        "internal variables, for example internal = { populations = 2 }, train on more replicas, "
        "or store the states more often."
    )


@torch.no_grad()
def decoder_negative_log_likelihood(law: LearnedLaw, block: Block) -> float:
    """Return −⟨ln q⟩ of the decoder over some sites, in nats per sample."""
    generator = torch.Generator().manual_seed(5)
    count = len(block.measures.absolute.weights)
    rows = torch.randperm(count, generator=generator)[:STATES].to(block.strain.device)
    measures = block.measures.select(rows)
    return float(negative_log_likelihood(law, measures, law.encode(measures)))
