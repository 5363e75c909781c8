"""Roll-outs of a law under what drove the data, in every drive mode of the system."""

from __future__ import annotations

import torch
from torch import Tensor

from .. import dynamics
from ..chain_dynamics import ChainDrive, explicit_chain, implicit_chain
from ..model import LearnedLaw
from ..physics import Physics
from .dataset import Block


def rollouts(
    law: LearnedLaw,
    block: Block,
    internal: Tensor,
    physics: Physics,
    *,
    implicit_steps: int = 0,
) -> dict[str, dynamics.Rollout]:
    """Roll a block out from its first encoded states.

    Args:
        law: The law.
        block: The data.
        internal: Encoded α, shape ``(n_trajectory, n_time, n_α)``.
        physics: Friction and reference length.
        implicit_steps: Linearly implicit steps of a chain between stored instants; 0 for the data's
            own forward Euler scheme.

    Returns:
        Drive ("controlled", or "end" and "force") → trajectories with axes
        ``(n_time, n_protocol, n_site, n)``.
    """
    strain, alpha = block.by_site(block.strain), block.by_site(internal)
    rates = law.rates_function()
    if law.strain_kind == "controlled":
        strain = strain.transpose(0, 1)
        run = dynamics.controlled(rates, block.time, strain, alpha[:, 0], strides=block.strides)
        return {"controlled": run}
    # The velocity that the data's own scheme gave to the end; its zero need not be known.
    end = strain[..., 0].sum(-1) * physics.reference_length
    velocity = torch.diff(end, dim=1) / block.intervals
    cases = len(velocity)
    start = strain[:, 0].repeat(2, 1, 1), alpha[:, 0].repeat(2, 1, 1)
    time = block.time if block.time.ndim == 1 else block.time.repeat(1, 2)
    drive = ChainDrive(
        moved=torch.arange(2 * cases, device=velocity.device) < cases,
        end_velocity=torch.cat([velocity, block.control_rate[:, -1:]], 1).repeat(2, 1),
        force=block.force.repeat(2, 1),
        friction=physics.friction,
        reference_length=physics.reference_length,
    )
    if implicit_steps:
        both = implicit_chain(law.linearised, time, *start, drive, substeps=implicit_steps)
    else:
        strides = _stable_strides(law, block, physics)
        both = explicit_chain(rates, time, *start, drive, strides=strides)
    end_driven = dynamics.Rollout(
        both.strain[:, :cases],
        both.internal[:, :cases],
        both.stress[:, :cases],
        # F = σ_N + η λ̇ with the recorded rate, as in the data.
        both.stress[:, :cases, -1, 0] + physics.friction * block.control_rate.T,
    )
    force_driven = dynamics.Rollout(*(series[:, cases:] for series in both))
    return {"end": end_driven, "force": force_driven}


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
