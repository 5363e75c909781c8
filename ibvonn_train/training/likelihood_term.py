"""The information bottleneck: how well the decoder predicts microstates from α."""

from __future__ import annotations

from torch import Tensor

from ..data.binned_microstates import EmpiricalMeasure, Measures
from ..law.learned_law import LearnedLaw

LEFT_OUT = 1e-4
"""Weight of a site's emptiest nodes at most, which the decoder is not evaluated on."""


def negative_log_likelihood(law: LearnedLaw, measures: Measures, internal: Tensor) -> Tensor:
    """Return −⟨ln q(y | α)⟩ over the samples of some sites, in nats per sample.

    Args:
        law: With its decoder, which describes y = x, or x − ε under an averaged strain.
        measures: Of the sites.
        internal: Their α, shape ``(n_site, n_class)``.
    """
    measure = measures.centred if law.strain_kind == "averaged" else measures.absolute
    several = measure.nodes.shape[-1] > 1
    nodes, weights = _filled(measure) if several else (measure.positions(), measure.weights)
    return -(weights * law.decoder.log_density(nodes, internal)).sum(-1).mean()


def _filled(measure: EmpiricalMeasure) -> tuple[Tensor, Tensor]:
    """Return the nodes of each site that are not nearly empty, and their weights.

    On a lattice of two dimensions a site fills a small part of the nodes that all share.
    """
    if not measure.shared:
        return measure.nodes, measure.weights
    ordered, place = measure.weights.sort(-1, descending=True)
    kept = int((ordered.cumsum(-1) < 1.0 - LEFT_OUT).sum(-1).max()) + 1
    weights = ordered[:, :kept]
    return measure.nodes[place[:, :kept]], weights / weights.sum(-1, keepdim=True)
