"""Terms along trajectories: the stress, and the rates of α in the weak form."""

from __future__ import annotations

from torch import Tensor

from ...law.rates import Rates
from .. import losses
from ..dataset import Block
from .term_context import TermContext


def trajectory_terms(
    context: TermContext, block: Block, internal: Tensor, piece: slice, time_scale: Tensor
) -> dict[str, Tensor]:
    """Return `stress` and, where there are internal variables, `weak_form` on some protocols.

    Args:
        context: Of the stage.
        block: Trajectories.
        internal: α of the piece, shape ``(n_protocol, n_time, n_site, n_α)``.
        piece: Which protocols of the block.
        time_scale: Times in which each α changes by its standard deviation, shape ``(n_α,)``.
    """
    law, scale = context.law, context.scales.stress_scale
    values: Rates[Tensor] = law(block.strain[piece], internal)
    terms = {"stress": losses.normalised_square(values.stress, block.stress[piece], scale)}
    if law.internal_size:
        pairs = losses.weak_form(internal, values.rate, block.time, strides=block.strides)
        terms["weak_form"] = losses.weak_form_loss(pairs, block.duration_ratio * time_scale)
    return terms
