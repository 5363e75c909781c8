"""Roll-outs of a law in the data's own convention: forward Euler, everything at the old time."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

Rates = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""(strain, internal) → (stress, rate), shapes ``(..., n_ε)`` and ``(..., n_α)``."""


class Rollout(NamedTuple):
    """Trajectories of a law.

    Attributes:
        strain: ε, shape ``(n_time, ..., n_ε)``.
        internal: α, shape ``(n_time, ..., n_α)``.
        stress: σ, shape ``(n_time, ..., n_ε)``.
        force: External force, ``(n_time, ...)`` with the site axis removed.
    """

    strain: Tensor
    internal: Tensor
    stress: Tensor
    force: Tensor


def controlled(rates: Rates, time: Tensor, strain: Tensor, internal: Tensor) -> Rollout:
    """Integrate α̇ = ∂φ/∂g under a given strain: α_{n+1} = α_n + Δt_n α̇(ε_n, α_n).

    Args:
        rates: The law.
        time: Instants, shape ``(n_time,)``.
        strain: ε(t), shape ``(n_time, ..., n_ε)``.
        internal: α at the first instant, shape ``(..., n_α)``.
    """
    states, stresses = [], []
    for step, eps in enumerate(strain):
        stress, rate = rates(eps, internal)
        states.append(internal)
        stresses.append(stress)
        if step + 1 < len(time):
            internal = internal + (time[step + 1] - time[step]) * rate
    stress = torch.stack(stresses)
    return Rollout(strain, torch.stack(states), stress, stress[..., 0])


def end_driven(
    rates: Rates,
    time: Tensor,
    length: Tensor,
    length_rate: Tensor,
    strain: Tensor,
    internal: Tensor,
    *,
    friction: float,
    reference_length: float,
) -> Rollout:
    """Roll a chain out whose end position is given.

    The momentum balance η dX_i/dt = σ_{i+1} − σ_i of the interior beads is exact for ensemble means
    (the learned law enters through σ and α̇ only). The last strain follows from the end position
    λ(t), and the external force is σ_N + η λ̇.

    Args:
        rates: The law, called with a site axis: ``(n_case, n_site, ·)``.
        time: Instants, shape ``(n_time,)``.
        length: λ(t), position of the end, shape ``(n_case, n_time)``.
        length_rate: λ̇(t), same shape.
        strain: ε at the first instant, shape ``(n_case, n_site, 1)``.
        internal: α at the first instant, shape ``(n_case, n_site, n_α)``.
        friction: η.
        reference_length: L0, the length of a spring at ε = 0.
    """
    sum_of_strains = length / reference_length - strain.shape[1]

    def move(step: int, eps: Tensor, stress: Tensor, dt: Tensor) -> Tensor:
        jump = dt / (friction * reference_length) * (stress[:, 1:] - stress[:, :-1])
        inner = eps[:, :-1].clone()
        inner = inner + jump
        inner = torch.cat([inner[:, :1], inner[:, 1:] - jump[:, :-1]], 1)
        last = sum_of_strains[:, step + 1, None, None] - inner.sum(1, keepdim=True)
        return torch.cat([inner, last], 1)

    result = _march(rates, time, strain, internal, move)
    force = result.stress[..., -1, 0] + friction * length_rate.T
    return result._replace(force=force)


def force_driven(
    rates: Rates,
    time: Tensor,
    force: Tensor,
    strain: Tensor,
    internal: Tensor,
    *,
    friction: float,
    reference_length: float,
) -> Rollout:
    """Roll a chain out whose end carries a given force: η dX_N/dt = F_ex − σ_N.

    Args:
        rates: The law, called with a site axis: ``(n_case, n_site, ·)``.
        time: Instants, shape ``(n_time,)``.
        force: External force, shape ``(n_case, n_time)``.
        strain: ε at the first instant, shape ``(n_case, n_site, 1)``.
        internal: α at the first instant, shape ``(n_case, n_site, n_α)``.
        friction: η.
        reference_length: L0.
    """

    def move(step: int, eps: Tensor, stress: Tensor, dt: Tensor) -> Tensor:
        right = torch.cat([stress[:, 1:], force[:, step, None, None]], 1)
        velocity = (right - stress) / (friction * reference_length)
        fixed = torch.zeros_like(velocity[:, :1])
        return eps + dt * (velocity - torch.cat([fixed, velocity[:, :-1]], 1))

    return _march(rates, time, strain, internal, move)._replace(force=force.T)


def _march(
    rates: Rates,
    time: Tensor,
    strain: Tensor,
    internal: Tensor,
    move: Callable[[int, Tensor, Tensor, Tensor], Tensor],
) -> Rollout:
    strains, states, stresses = [], [], []
    for step in range(len(time)):
        stress, rate = rates(strain, internal)
        strains.append(strain)
        states.append(internal)
        stresses.append(stress)
        if step + 1 < len(time):
            dt = time[step + 1] - time[step]
            strain = move(step, strain, stress, dt)
            internal = internal + dt * rate
    stress = torch.stack(stresses)
    return Rollout(torch.stack(strains), torch.stack(states), stress, stress[..., -1, 0])
