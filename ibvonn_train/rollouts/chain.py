"""Roll-outs of whole chains: the balance of the beads is known, the law of a spring enters.

η v_i = σ_{i+1} − σ_i of the beads is exact for ensemble means: the learned law enters through σ and
α̇ only. The end bead has a given velocity, and then the external force is σ_N + η v_N; or it carries
a given force, and then η v_N = F − σ_N. Strains follow from ε̇_i = (v_i − v_{i−1})/L0. Explicitly in
the data's own convention, or by implicit steps where records are coarse.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..law.networks.products import product
from ..law.potentials import LinearisedFunction, RateFunction
from .material_point import Rollout, interval, steps_in


class ChainDrive(NamedTuple):
    """What resists the beads, and what drives the end of each chain.

    Attributes:
        moved: Whether the end is moved, shape ``(n_case,)``; else it is pulled.
        end_velocity: Velocity of the end during each interval, shape ``(n_case, n_time)``; read
            where it is moved. The last entry is not used.
        force: External force, shape ``(n_case, n_time)``; read where the end is pulled, and
            interpolated linearly between the instants.
        friction: η.
        reference_length: L0.
    """

    moved: Tensor
    end_velocity: Tensor
    force: Tensor
    friction: float
    reference_length: float

    def pull(self, step: int, fraction: float) -> Tensor:
        """Return the external force within an interval, shape ``(n_case,)``."""
        return torch.lerp(self.force[:, step], self.force[:, step + 1], fraction)

    def rollout(
        self, strain: Sequence[Tensor], internal: Sequence[Tensor], stress: Sequence[Tensor]
    ) -> Rollout:
        """Return states as trajectories; the force is the given one where it is given."""
        strains, states, stresses = (
            torch.stack(list(part), 1) for part in (strain, internal, stress)
        )
        drag = stresses[:, :, -1, 0] + self.friction * self.end_velocity
        force = torch.where(self.moved[:, None], drag, self.force)
        return Rollout(strains, states, stresses, force)


def explicit_chain(
    rates: RateFunction,
    time: Tensor,
    strain: Tensor,
    internal: Tensor,
    drive: ChainDrive,
    *,
    strides: Sequence[int] = (),
) -> Rollout:
    """Roll chains out by forward Euler, everything at the old time.

    Args:
        rates: The law, called with a site axis: ``(n_case, n_site, ·)``.
        time: Instants, shape ``(n_time,)``, or ``(n_case, n_time)`` where cases have their own.
        strain: ε at the first instant, shape ``(n_case, n_site, 1)``.
        internal: α at the first instant, shape ``(n_case, n_site, n_α)``.
        drive: Of the chains.
        strides: Steps in each interval, by default one.
    """
    wall = torch.zeros_like(strain[:, :1])
    strains, states, stresses = [], [], []
    for step in range(time.shape[-1]):
        stress, rate = rates(strain, internal)
        strains.append(strain)
        states.append(internal)
        stresses.append(stress)
        if step + 1 == time.shape[-1]:
            break
        count = steps_in(strides, step)
        dt = interval(time, step, strain) / count
        for part in range(count):
            if part:
                stress, rate = rates(strain, internal)
            pulled = (drive.pull(step, part / count) - stress[:, -1, 0]) / drive.friction
            end = torch.where(drive.moved, drive.end_velocity[:, step], pulled)[:, None, None]
            inner = torch.diff(stress, dim=1) / drive.friction
            velocity = torch.cat([wall, inner, end], 1)
            strain = strain + dt / drive.reference_length * torch.diff(velocity, dim=1)
            internal = internal + dt * rate
    return drive.rollout(strains, states, stresses)


def implicit_chain(
    linearised: LinearisedFunction,
    time: Tensor,
    strain: Tensor,
    internal: Tensor,
    drive: ChainDrive,
    *,
    substeps: int = 1,
) -> Rollout:
    """Roll chains out by linearly implicit Euler steps, stable for any step.

    σ and α̇ at the new time, both to first order in the change of state: α is eliminated at each
    site, (I − Δt ∂α̇/∂α) Δα = Δt (α̇ + ∂α̇/∂ε Δε), and the strains of a chain follow from one
    tridiagonal system. One Newton iteration of the step that hosts make.

    Args:
        linearised: The law with its derivatives, of one strain component.
        time: Instants, shape ``(n_time,)``, or ``(n_case, n_time)`` where cases have their own.
        strain: ε at the first instant, shape ``(n_case, n_site, 1)``.
        internal: α at the first instant, shape ``(n_case, n_site, n_α)``.
        drive: Of the chains.
        substeps: Steps between instants.
    """
    balance = _balance(drive.moved, strain)
    unit = torch.eye(strain.shape[1], dtype=strain.dtype, device=strain.device)
    identity = torch.eye(internal.shape[-1], dtype=strain.dtype, device=strain.device)
    strains, states, stresses = [], [], []
    for step in range(time.shape[-1]):
        law = linearised(strain, internal)
        strains.append(strain)
        states.append(internal)
        stresses.append(law.stress)
        if step + 1 == time.shape[-1]:
            break
        dt = interval(time, step, strain) / substeps
        matrix_dt = dt.unsqueeze(-1)
        factor = dt / (drive.friction * drive.reference_length)
        moving = drive.friction * drive.end_velocity[:, step]
        for part in range(substeps):
            if part:
                law = linearised(strain, internal)
            # α̇ of the step, and what one unit of Δε adds to it.
            change_of = torch.cat([law.rate.unsqueeze(-1), law.rate_by_strain], -1)
            matrix = identity - matrix_dt * law.rate_by_internal
            right = matrix_dt * change_of
            # LAPACK takes ten times as long to divide by a number.
            solved = right / matrix if len(identity) == 1 else torch.linalg.solve(matrix, right)
            relaxed = law.stress + product(law.coupling, solved[..., :1]).squeeze(-1)
            tangent = (law.stiffness + product(law.coupling, solved[..., 1:]))[..., 0]
            forces = balance @ relaxed
            end = torch.where(drive.moved, moving, drive.pull(step, (part + 1) / substeps))
            forces[:, -1, 0] = forces[:, -1, 0] + end
            change = torch.linalg.solve(unit - factor * balance * tangent.mT, factor * forces)
            strain = strain + change
            internal = internal + solved[..., 0] + solved[..., 1] * change
    return drive.rollout(strains, states, stresses)


def _balance(moved: Tensor, strain: Tensor) -> Tensor:
    """Return T of ε̇ = (T σ + end)/(η L0), shape ``(n_case, n_site, n_site)``.

    Bead i feels σ_{i+1} − σ_i and the wall is at rest. The velocity of a moved end does not depend
    on σ_N; its η v_N, or the force on a pulled end, is added to the last row.
    """
    ones = torch.ones(strain.shape[1], dtype=strain.dtype, device=strain.device)
    laplacian = torch.diag(-2.0 * ones) + torch.diag(ones[1:], 1) + torch.diag(ones[1:], -1)
    laplacian[0, 0] = -1.0
    end_moved = laplacian.clone()
    end_moved[-1, -1] += 1.0
    return torch.where(moved[:, None, None], end_moved, laplacian)
