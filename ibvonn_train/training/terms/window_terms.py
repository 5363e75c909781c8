"""Terms of roll-outs over windows of the trajectories."""

from __future__ import annotations

from torch import Tensor

from ...rollouts import material_point
from .. import losses
from ..block_rollouts import rollouts
from ..dataset import Block
from .term_context import TermContext


def window_terms(context: TermContext, block: Block, internal: Tensor) -> dict[str, Tensor]:
    """Return those of `rollout` and `tracking` that have a weight.

    Args:
        context: Of the stage.
        block: Windows, with all their sites.
        internal: α of each state, shape ``(n_state, n_α)``.
    """
    alpha, weights = block.series(internal), context.weights
    terms: dict[str, Tensor] = {}
    if weights.rollout:
        terms["rollout"] = rollout_term(context, block, alpha)
    if weights.tracking:
        terms["tracking"] = tracking_term(context, block, alpha)
    return terms


def rollout_term(context: TermContext, block: Block, alpha: Tensor) -> Tensor:
    """Return the mean square error of roll-outs, over all drive modes."""
    scales, stage = context.scales, context.stage
    error = alpha.new_zeros(())
    # Where every step of the scheme is stored the scheme itself is affordable, and exact.
    steps = stage.substeps if max(block.strides, default=1) > 1 else 0
    results = rollouts(context.law, block, alpha, implicit_steps=steps)
    for result in results.values():
        error = error + stage.internal_weight * (result.internal - alpha).square().mean()
        error = error + losses.normalised_square(result.stress, block.stress, scales.stress_scale)
        error = error + losses.normalised_square(result.strain, block.strain, scales.strain_scale)
    return error / len(results)


def tracking_term(context: TermContext, block: Block, alpha: Tensor) -> Tensor:
    """Return the mean square error of α and σ over windows under the measured strain."""
    law, scale = context.law, context.scales.stress_scale
    result = material_point.tracking(
        law.rates_function(),
        law.relaxation,
        block.time,
        block.strain,
        alpha[:, 0],
        substeps=context.stage.substeps,
    )
    error = (result.internal - alpha).square().mean()
    return error + losses.normalised_square(result.stress, block.stress, scale)
