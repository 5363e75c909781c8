"""Roll-outs of a law in training over a block of data."""

from __future__ import annotations

import torch
from torch import Tensor

from ..law.learned_law import LearnedLaw
from ..rollouts.drives import Chain, Record, of_chains, under_strain
from ..rollouts.material_point import Rollout
from ..statistical_mechanics.microscopic_energy import Physics
from .dataset import Block


def rollouts(
    law: LearnedLaw,
    block: Block,
    internal: Tensor,
    physics: Physics,
    *,
    implicit_steps: int = 0,
) -> dict[str, Rollout]:
    """Roll a block out from its first encoded states.

    Args:
        law: The law.
        block: The data.
        internal: Encoded α, shape ``(n_protocol, n_time, n_site, n_α)``.
        physics: Friction and reference length.
        implicit_steps: Linearly implicit steps of a chain between stored instants; 0 for the data's
            own forward Euler scheme.

    Returns:
        Drive ("controlled", or "end" and "force") → trajectories with the axes of the block.
    """
    if block.force is None or block.control_rate is None:
        raise ValueError(
            "roll-outs: need whole protocols and what drove them; found states that were picked. "
            "Take windows of the block."
        )
    record = Record(block.time, block.strain, block.force, block.control_rate, block.strides)
    start, rates = internal[:, 0], law.rates_function()
    if law.strain_kind == "controlled":
        return {"controlled": under_strain(rates, record, start)}
    chain = Chain(physics.friction, physics.reference_length)
    if implicit_steps:
        return of_chains(
            rates, record, start, chain, linearised=law.linearised, substeps=implicit_steps
        )
    stable = record._replace(strides=_stable_strides(law, block, physics))
    return of_chains(rates, stable, start, chain)


@torch.no_grad()
def _stable_strides(law: LearnedLaw, block: Block, physics: Physics) -> tuple[int, ...]:
    """Return the steps in each stored interval: those of the data, or fewer that are stable.

    The stiffest mode of a chain relaxes at the rate 4 (∂σ/∂ε)/(η L0); forward Euler follows the
    slow ones well with half of its time constant.
    """
    if max(block.strides, default=1) == 1:
        return block.strides
    strain = law.energy.strain_centre
    internal = law.encoder.shift.new_zeros(law.internal_size)
    stiffness = float(law.energy.hessian(strain, internal)[0, 0])
    rate = 4.0 * stiffness / (physics.friction * physics.reference_length)
    intervals = block.intervals.reshape(-1, len(block.strides)).amax(0)
    stable = torch.ceil(2.0 * intervals * rate).tolist()
    return tuple(min(own, max(1, int(n))) for own, n in zip(block.strides, stable, strict=True))
