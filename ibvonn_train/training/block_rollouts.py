"""Roll-outs of a law in training over a block of data."""

from __future__ import annotations

import torch
from torch import Tensor

from ..law.learned_law import LearnedLaw
from ..rollouts.drives import Record
from ..rollouts.material_point import Rollout
from .dataset import Block


def rollouts(
    law: LearnedLaw,
    block: Block,
    internal: Tensor,
    *,
    implicit_steps: int = 0,
) -> dict[str, Rollout]:
    """Roll a block out from its first encoded states.

    Args:
        law: The law.
        block: The data.
        internal: Encoded α, shape ``(n_protocol, n_time, n_site, n_α)``.
        implicit_steps: Linearly implicit steps of a chain between stored instants; 0 for the data's
            own forward Euler scheme.

    Returns:
        Drive ("controlled", or "end" and "force") → trajectories with the axes of the block.
    """
    if block.drive is None:
        raise ValueError(
            "roll-outs: need whole protocols and what drove them; found states that were picked. "
            "Take windows of the block."
        )
    start, rates = internal[:, 0], law.rates_function()
    if implicit_steps:
        return block.drive.roll_out(
            rates, block, start, linearised=law.linearised, substeps=implicit_steps
        )
    strides = block.drive.stable_strides(block, lambda: _stiffness(law))
    return block.drive.roll_out(rates, Record(block.time, block.strain, strides), start)


@torch.no_grad()
def _stiffness(law: LearnedLaw) -> Tensor:
    """Return ∂σ/∂ε at the centre of the training strains, ``(n_ε, n_ε)``."""
    internal = law.encoder.shift.new_zeros(law.internal_size)
    hessian: Tensor = law.energy.hessian(law.energy.strain_centre, internal)
    return hessian[: law.strain_size, : law.strain_size]
