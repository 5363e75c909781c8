"""The information bottleneck: how well the decoder predicts microstates from α."""

from __future__ import annotations

from torch import Tensor

from ..data.binned_microstates import Measures
from ..law.learned_law import LearnedLaw


def negative_log_likelihood(law: LearnedLaw, measures: Measures, internal: Tensor) -> Tensor:
    """Return −⟨ln q(y | α)⟩ over the samples of some sites, in nats per sample.

    Args:
        law: With its decoder, which describes y = x, or x − ε under an averaged strain.
        measures: Of the sites.
        internal: Their α, shape ``(n_site, n_class)``.
    """
    measure = measures.centred if law.strain_kind == "averaged" else measures.absolute
    log_density = law.decoder.log_density(measure.positions(), internal)
    return -(measure.weights * log_density).sum(-1).mean()
