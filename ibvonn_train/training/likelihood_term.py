"""The information bottleneck: how well the decoder predicts microstates from what it is given."""

from __future__ import annotations

import torch
from torch import Tensor

from ..data.binned_microstates import EmpiricalMeasure, Measures
from ..law.learned_law import LearnedLaw

DRAWN = 24
"""Microstates drawn of each site where they have several dimensions."""


def negative_log_likelihood(
    law: LearnedLaw, measures: Measures, context: Tensor, generator: torch.Generator
) -> Tensor:
    """Return −⟨ln q(y | c)⟩ over the samples of some sites, in nats per sample.

    In one dimension the mean is over all nodes. In several it is an unbiased estimate: the nodes
    are thousands, of which a site fills few, and the knots of the flow differ at each of them.

    Args:
        law: With its decoder, which describes y = x, or x − ε under an averaged strain.
        measures: Of the sites.
        context: What the decoder is given there, ``(n_site, n_c)``.
        generator: Draws the samples.
    """
    measure = measures.centred if law.strain_kind == "averaged" else measures.absolute
    if measure.nodes.shape[-1] == 1:
        log_density = law.decoder.log_density(measure.positions(), context)
        return -(measure.weights * log_density).sum(-1).mean()
    return -law.decoder.log_density(_drawn(measure, generator), context).mean()


def _drawn(measure: EmpiricalMeasure, generator: torch.Generator) -> Tensor:
    """Return places drawn by the weights of nodes, ``(n_site, DRAWN, n_x)``, evenly along the sum.

    Nodes of a lattice stand for the cells about them, in which the places are uniformly
    distributed: a flow would find the lattice, and have its peaks on it.
    """
    weights = measure.weights
    sums = weights.clamp(min=0.0).cumsum(-1)
    shape = (len(weights), DRAWN)
    levels = torch.rand(shape, generator=generator, dtype=weights.dtype).to(weights.device)
    levels = (torch.arange(DRAWN, device=weights.device) + levels) / DRAWN * sums[:, -1:]
    place = torch.searchsorted(sums, levels).clamp(max=weights.shape[-1] - 1)
    if measure.shared:
        nodes = measure.nodes[place]
        apart = torch.rand(nodes.shape, generator=generator, dtype=nodes.dtype).to(nodes.device)
        return nodes + (apart - 0.5) * lattice_spacing(measure.nodes)
    return torch.take_along_dim(measure.nodes, place.unsqueeze(-1), 1)


def lattice_spacing(nodes: Tensor) -> Tensor:
    """Return the spacing of nodes ``(n_node, n_x)`` along each axis; some may be missing."""
    spacing = []
    for values in nodes.T:
        apart = torch.diff(torch.unique(values))
        spacing.append(apart[apart > 1e-6 * apart.sum()].min())
    return torch.stack(spacing)
