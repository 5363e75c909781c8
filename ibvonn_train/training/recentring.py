"""Origin of the encoder's centred features: the elastic part of the strain."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ..empirical import EmpiricalMeasure, Measures, shifted, uniform_nodes
from ..encoder import Encoder
from ..model import LearnedLaw
from .config import ConfigError
from .dataset import Block, TrainingSet

NEGLIGIBLE = 1e-9
"""Weights below it, in absolute value, are no mass."""


@torch.no_grad()
def recentre(law: LearnedLaw, data: TrainingSet) -> None:
    """Fit σ = C (⟨x⟩ − A⟨ψ⟩) + c to the training data and give A and b to the encoder.

    ⟨x⟩ − A⟨ψ⟩ then moves with a rigid translation, as ⟨x⟩ does, but not with ⟨ψ⟩ alone; b makes the
    mean of x − o zero over the data.

    Raises:
        ConfigError: If the law has no centred features, or microstates of several dimensions.
    """
    encoder = law.encoder
    if encoder.centred_net is None or encoder.net is None or data.microstate_size != 1:
        raise ConfigError(
            "stage.recentre: needs averaged strain, microstates of one dimension, and "
            "0 < centred_features < internal_size."
        )
    if encoder.recentred:
        raise ConfigError("stage.recentre: the centred features have their origin already.")
    strain = torch.cat([block.flat(block.strain) for block in data.training])
    stress = torch.cat([block.flat(block.stress) for block in data.training])
    means = torch.cat([encoder.absolute_mean(b.measures.absolute) for b in data.training])
    columns = torch.cat([strain, means, torch.ones_like(strain)], 1)
    fit = torch.linalg.lstsq(columns, stress).solution
    matrix = -torch.linalg.solve(fit[:1].T, fit[1:-1].T)
    shift = -(means @ matrix.T).mean(0)
    encoder.recentre(matrix, shift, encoder.centred_scale)
    moments = [_moments(b.measures.relative) for b in seen_by(encoder, data).training]
    encoder.centred_scale.copy_(torch.stack(moments).mean(0).sqrt())


@torch.no_grad()
def seen_by(encoder: Encoder, data: TrainingSet) -> TrainingSet:
    """Return the data with the measures of x − o; as they are as long as o is ⟨x⟩."""
    if not encoder.recentred:
        return data
    everything = [m.measures for m in (*data.training, *data.validation)] + list(data.anchors)
    shifts = [encoder.from_mean(measures.absolute)[:, 0] for measures in everything]
    nodes = _nodes(everything, shifts)
    found = iter(
        replace(measures, relative=shifted(measures.centred, shift, nodes))
        for measures, shift in zip(everything, shifts, strict=True)
    )

    def renewed(blocks: tuple[Block, ...]) -> tuple[Block, ...]:
        return tuple(replace(block, measures=next(found)) for block in blocks)

    training, validation = renewed(data.training), renewed(data.validation)
    return replace(data, training=training, validation=validation, anchors=tuple(found))


def _nodes(measures: list[Measures], shifts: list[Tensor]) -> Tensor:
    """Return nodes over the range of x − o, as fine as those of x − ⟨x⟩."""
    low, high = [], []
    for each, shift in zip(measures, shifts, strict=True):
        nodes = each.centred.nodes[:, 0]
        full = each.centred.weights.abs() > NEGLIGIBLE
        first = full.to(torch.uint8).argmax(1)
        last = len(nodes) - 1 - full.flip(1).to(torch.uint8).argmax(1)
        low.append((nodes[first] + shift).min())
        high.append((nodes[last] + shift).max())
    bottom, top = float(torch.stack(low).min()), float(torch.stack(high).max())
    nodes = measures[0].centred.nodes[:, 0]
    count = round((top - bottom) / float(nodes[1] - nodes[0])) + 6
    return uniform_nodes(bottom, top, count).to(nodes.device)


def _moments(measure: EmpiricalMeasure | None) -> Tensor:
    """Return the mean of (x − o)² over all states, shape ``(1,)``."""
    assert measure is not None  # noqa: S101 (the encoder is recentred)
    return measure.mean(measure.nodes**2).mean(0)
