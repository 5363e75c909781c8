"""Errors on the protocols held out of the training set."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..law.learned_law import LearnedLaw
from ..rollouts.drives import Record
from ..rollouts.material_point import Rollout
from .dataset import Block, TrainingSet
from .likelihood_term import negative_log_likelihood
from .polish_drive import strain_error

LARGEST_ERROR = 10.0
"""Of roll-outs on the law's own data, in per cent of the error of a constant."""
ROLLOUTS = "roll-outs on the training data"

SUBSTEPS = 4
"""Between instants of a coarse record: the error of the steps is far below that of the law."""
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
    measured = {name: series for name, (series, _) in references(block).items()}
    measured["internal"] = internal
    return {
        f"{mode}/{name}": relative_error(getattr(run, name), series)
        for mode, run in rollouts(law, block, internal).items()
        for name, series in measured.items()
    }


def rollouts(law: LearnedLaw, block: Block, internal: Tensor) -> dict[str, Rollout]:
    """Roll a block out from its first states, by steps that are stable whatever the record."""
    if max(block.strides, default=1) == 1:
        record = Record(block.time, block.strain, block.strides)
        return block.drive.roll_out(law.potentials.rates_function(), record, internal[:, 0])
    return block.drive.roll_out(
        law.potentials.rates_function(),
        Record(block.time, block.strain),
        internal[:, 0],
        implicit=law.potentials,
        substeps=SUBSTEPS,
    )


def references(block: Block) -> dict[str, tuple[Tensor, Tensor]]:
    """Return what roll-outs are compared with, and its standard errors."""
    stress = {"stress": (block.stress, block.stress_error)}
    if block.drive.strain_given:
        return stress
    return {"strain": (block.strain, strain_error(block)), **stress}


@torch.no_grad()
def rollout_verdict(law: LearnedLaw, data: TrainingSet) -> dict[str, Any]:
    """Return an audit of the roll-outs on the data that the law was trained and chosen on.

    The error of stress and averaged strain is given in per cent of what their mean alone would
    show: a law that fails here has learned rates and stresses at the measured states, and leaves
    these states when it goes its own way. Beside it stands what a perfect law would show for the
    sampling error of the data. α is not compared: its noise depends on the replicas.
    """
    parts = {"validation": data.validation, "training": data.training}
    comparisons = {name: _comparison(law, blocks) for name, blocks in parts.items() if blocks}
    value = float(np.max([error for part in comparisons.values() for error, _ in part.values()]))
    words = "; ".join(
        f"{name} data: "
        + ", ".join(
            f"{key} {error:.3g} (sampling error {floor:.2g})"
            for key, (error, floor) in part.items()
        )
        for name, part in comparisons.items()
    )
    return {
        "audit": ROLLOUTS,
        "value": value if math.isfinite(value) else None,
        "acceptance_range": [None, LARGEST_ERROR],
        "verdict": "pass" if value <= LARGEST_ERROR else "fail",
        "detail": f"error in % of that of a constant, the largest over the durations: {words}",
    }


def _comparison(law: LearnedLaw, blocks: Sequence[Block]) -> dict[str, tuple[float, float]]:
    """Return "MODE QUANTITY" → error and sampling error, the largest over some blocks."""
    comparisons: dict[str, list[tuple[float, float]]] = {}
    for block in blocks:
        internal = block.series(law.encode(block.measures))
        for mode, run in rollouts(law, block, internal).items():
            for name, (reference, error) in references(block).items():
                constant = (reference - reference.mean((0, 1, 2))).norm()
                away = getattr(run, name) - reference
                pair = (
                    100.0 * float(away.norm() / constant),
                    100.0 * float(error.norm() / constant),
                )
                comparisons.setdefault(f"{mode} {name}", []).append(pair)
    return {  # NaN is the largest
        key: (float(np.max([e for e, _ in pairs])), float(np.max([f for _, f in pairs])))
        for key, pairs in comparisons.items()
    }


def conclusion(verdict: dict[str, Any]) -> str:
    """Return in words whether a law can be trusted."""
    if verdict["verdict"] == "fail":
        return f"this law cannot be trusted: {advice(verdict)}"
    return (
        "this law can be trusted within the ranges of its training data, as far as its own "
        f"roll-outs tell: {verdict['detail']}; at most {LARGEST_ERROR:g} % is required. `ibvonn "
        "evaluate` judges its physics on unseen data."
    )


def advice(verdict: dict[str, Any]) -> str:
    """Return what to say of roll-outs that fail, and what to do about them."""
    return (
        f"the law's own {ROLLOUTS} must be within {LARGEST_ERROR:g} % of the error of a constant; "
        f"they fail ({verdict['detail']}). Do not use this law. Where training data fail, too, "
        "choose other internal variables, for example internal = { populations = 2 } or "
        "{ means = 2 }, or store the states more often; where validation data alone fail, train on "
        "more protocols; where the sampling error is large, on more replicas."
    )


@torch.no_grad()
def decoder_negative_log_likelihood(law: LearnedLaw, block: Block) -> float:
    """Return −⟨ln q⟩ of the decoder over some sites, in nats per sample."""
    generator = torch.Generator().manual_seed(5)
    context = law.context(block.flat(block.strain), law.encode(block.measures))
    rows = torch.randperm(len(context), generator=generator)[:STATES].to(context.device)
    measures = block.measures.select(rows)
    return float(negative_log_likelihood(law, measures, context[rows], generator))
