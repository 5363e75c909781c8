"""Roll-outs of a law in the data's own convention: forward Euler, everything at the old time."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

Rates = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""(strain, internal) → (stress, rate), shapes ``(..., n_ε)`` and ``(..., n_α)``."""


Relaxation = Callable[[Tensor, Tensor], Tensor]
"""(strain, internal) → φ'' ∂²f/∂α², the rates with which α relaxes: ``(..., n_α, n_α)``."""


class Linearised(NamedTuple):
    """A law at given states, and what a change of state adds to first order.

    Attributes:
        stress, rate: σ ``(..., n_ε)`` and α̇ ``(..., n_α)``.
        stiffness: ∂²f/∂ε², shape ``(..., n_ε, n_ε)``.
        coupling: ∂²f/∂ε∂α, shape ``(..., n_ε, n_α)``.
        curvature: ∂²f/∂α², shape ``(..., n_α, n_α)``.
        mobility: φ'', shape ``(..., n_α, n_α)``.
    """

    stress: Tensor
    rate: Tensor
    stiffness: Tensor
    coupling: Tensor
    curvature: Tensor
    mobility: Tensor


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


def controlled(
    rates: Rates, time: Tensor, strain: Tensor, internal: Tensor, *, stride: int = 1
) -> Rollout:
    """Integrate α̇ = ∂φ/∂g under a given strain: α_{n+1} = α_n + Δt_n α̇(ε_n, α_n).

    Args:
        rates: The law.
        time: Instants, shape ``(n_time,)``.
        strain: ε(t), shape ``(n_time, ..., n_ε)``.
        internal: α at the first instant, shape ``(..., n_α)``.
        stride: Steps between instants; the strain is interpolated linearly.
    """
    states, stresses = [], []
    for step, eps in enumerate(strain):
        stress, rate = rates(eps, internal)
        states.append(internal)
        stresses.append(stress)
        if step + 1 < len(time):
            dt = (time[step + 1] - time[step]) / stride
            internal = internal + dt * rate
            for part in range(1, stride):
                between = torch.lerp(eps, strain[step + 1], part / stride)
                internal = internal + dt * rates(between, internal)[1]
    stress = torch.stack(stresses)
    return Rollout(strain, torch.stack(states), stress, stress[..., 0])


def tracking(
    rates: Rates,
    relaxation: Relaxation,
    time: Tensor,
    strain: Tensor,
    internal: Tensor,
    *,
    substeps: int = 1,
) -> Rollout:
    """Integrate α under a given strain with linearly implicit Euler steps, stable for any step.

    (I + Δt φ'' ∂²f/∂α²) (α_{n+1} − α_n) = Δt α̇(ε_{n+1}, α_n): one Newton iteration of the update
    that hosts make. For records that are coarse against the relaxation of α. The matrix on the left
    is held in differentiation: what it adds to a gradient vanishes with the rate.

    Args:
        rates: The law.
        relaxation: Its matrix φ'' ∂²f/∂α².
        time: Instants, shape ``(n_time,)``.
        strain: ε(t), shape ``(n_time, ..., n_ε)``, interpolated linearly.
        internal: α at the first instant, shape ``(..., n_α)``.
        substeps: Steps between instants.
    """
    states, stresses = [internal], [rates(strain[0], internal)[0]]
    identity = torch.eye(internal.shape[-1], dtype=internal.dtype, device=internal.device)
    for step in range(len(time) - 1):
        dt = (time[step + 1] - time[step]) / substeps
        for part in range(1, substeps + 1):
            eps = torch.lerp(strain[step], strain[step + 1], part / substeps)
            with torch.no_grad():
                inverse = torch.linalg.inv(identity + dt * relaxation(eps, internal))
            rate = rates(eps, internal)[1]
            internal = internal + (inverse @ (dt * rate).unsqueeze(-1)).squeeze(-1)
        states.append(internal)
        stresses.append(rates(strain[step + 1], internal)[0])
    stress = torch.stack(stresses)
    return Rollout(strain, torch.stack(states), stress, stress[..., 0])


def chain(
    rates: Rates,
    time: Tensor,
    strain: Tensor,
    internal: Tensor,
    *,
    moved: Tensor,
    end_velocity: Tensor,
    force: Tensor,
    friction: float,
    reference_length: float,
    stride: int = 1,
) -> Rollout:
    """Roll chains out; the end of each is moved or pulled.

    The momentum balance η v_i = σ_{i+1} − σ_i of the beads is exact for ensemble means: the learned
    law enters through σ and α̇ only. The end bead has a given velocity, and then the external force
    is σ_N + η v_N; or it carries a given force, and then η v_N = F − σ_N. Strains follow from
    ε̇_i = (v_i − v_{i−1})/L0.

    Args:
        rates: The law, called with a site axis: ``(n_case, n_site, ·)``.
        time: Instants, shape ``(n_time,)``.
        strain: ε at the first instant, shape ``(n_case, n_site, 1)``.
        internal: α at the first instant, shape ``(n_case, n_site, n_α)``.
        moved: Whether the end is moved, shape ``(n_case,)``.
        end_velocity: Velocity of the end during each step, shape ``(n_case, n_time)``; read where
            it is moved. The last entry is not used.
        force: External force, shape ``(n_case, n_time)``; read where the end is pulled.
        friction: η.
        reference_length: L0.
        stride: Steps between instants; the velocity is held, the force interpolated linearly.

    Returns:
        Trajectories; `force` is the given one where it is given.
    """
    wall = torch.zeros_like(strain[:, :1])
    strains, states, stresses = [], [], []
    for step in range(len(time)):
        stress, rate = rates(strain, internal)
        strains.append(strain)
        states.append(internal)
        stresses.append(stress)
        if step + 1 == len(time):
            break
        dt = (time[step + 1] - time[step]) / stride
        for part in range(stride):
            if part:
                stress, rate = rates(strain, internal)
            held = force[:, step]
            if part:
                held = torch.lerp(held, force[:, step + 1], part / stride)
            pulled = (held - stress[:, -1, 0]) / friction
            end = torch.where(moved, end_velocity[:, step], pulled)[:, None, None]
            inner = torch.diff(stress, dim=1) / friction
            velocity = torch.cat([wall, inner, end], 1)
            strain = strain + dt / reference_length * torch.diff(velocity, dim=1)
            internal = internal + dt * rate
    stress = torch.stack(stresses)
    drag = stress[..., -1, 0] + friction * end_velocity.T
    return Rollout(
        torch.stack(strains), torch.stack(states), stress, torch.where(moved, drag, force.T)
    )


def implicit_chain(
    linearised: Callable[[Tensor, Tensor], Linearised],
    time: Tensor,
    strain: Tensor,
    internal: Tensor,
    *,
    moved: Tensor,
    end_velocity: Tensor,
    force: Tensor,
    friction: float,
    reference_length: float,
    substeps: int = 1,
) -> Rollout:
    """Roll chains out by linearly implicit Euler steps, stable for any step.

    The balance of :func:`chain` with σ and α̇ at the new time, both to first order in the change of
    state and φ'' frozen: α is eliminated at each site, (I + Δt φ'' ∂²f/∂α²) Δα =
    Δt (α̇ − φ'' ∂²f/∂α∂ε Δε), and the strains of a chain follow from one tridiagonal system. One
    Newton iteration of the step that hosts make: for records that are coarse against the modes of
    the chain.

    Args:
        linearised: The law with its derivatives, of one strain component.
        time: Instants, shape ``(n_time,)``.
        strain: ε at the first instant, shape ``(n_case, n_site, 1)``.
        internal: α at the first instant, shape ``(n_case, n_site, n_α)``.
        moved: Whether the end is moved, shape ``(n_case,)``.
        end_velocity: Velocity of a moved end during each interval, shape ``(n_case, n_time)``.
        force: Force on a pulled end, shape ``(n_case, n_time)``, interpolated linearly.
        friction: η.
        reference_length: L0.
        substeps: Steps between instants.
    """
    sites = strain.shape[1]
    # ε̇ = (B + T σ)/(η L0): bead i feels σ_{i+1} − σ_i, the wall is at rest, and the end has its
    # velocity (η v_N stands in B) or carries its force.
    ones = torch.ones(sites, dtype=strain.dtype, device=strain.device)
    laplacian = torch.diag(-2.0 * ones) + torch.diag(ones[1:], 1) + torch.diag(ones[1:], -1)
    laplacian[0, 0] = -1.0
    end_moved = laplacian.clone()
    end_moved[-1, -1] += 1.0
    balance = torch.where(moved[:, None, None], end_moved, laplacian)
    unit = torch.eye(sites, dtype=strain.dtype, device=strain.device)
    identity = torch.eye(internal.shape[-1], dtype=strain.dtype, device=strain.device)
    strains, states, stresses = [], [], []
    for step in range(len(time)):
        law = linearised(strain, internal)
        strains.append(strain)
        states.append(internal)
        stresses.append(law.stress)
        if step + 1 == len(time):
            break
        dt = (time[step + 1] - time[step]) / substeps
        for part in range(substeps):
            pull = torch.lerp(force[:, step], force[:, step + 1], (part + 1) / substeps)
            drive = torch.where(moved, friction * end_velocity[:, step], pull)
            if part:
                law = linearised(strain, internal)
            # α̇ of the step, and what one unit of Δε takes away from it.
            softening = torch.cat([law.rate.unsqueeze(-1), law.mobility @ law.coupling.mT], -1)
            solved = torch.linalg.solve(
                identity + dt * law.mobility @ law.curvature, dt * softening
            )
            relaxed = law.stress + (law.coupling @ solved[..., :1]).squeeze(-1)
            tangent = (law.stiffness - law.coupling @ solved[..., 1:])[..., 0]
            factor = dt / (friction * reference_length)
            right = balance @ relaxed
            right[:, -1, 0] = right[:, -1, 0] + drive
            change = torch.linalg.solve(unit - factor * balance * tangent.mT, factor * right)
            strain = strain + change
            internal = internal + solved[..., 0] - solved[..., 1] * change
    stress = torch.stack(stresses)
    drag = stress[..., -1, 0] + friction * end_velocity.T
    return Rollout(
        torch.stack(strains), torch.stack(states), stress, torch.where(moved, drag, force.T)
    )
