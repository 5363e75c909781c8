"""Roll-outs of a law under what drove the data, in every drive mode of the system."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..law.potentials import LinearisedFunction
from .chain import ChainDrive, explicit_chain, implicit_chain
from .material_point import RateFunction, Rollout, controlled


class Record(NamedTuple):
    """What drove some protocols, and the strains that were measured.

    Attributes:
        time: Instants, shape ``(n_time,)``, or ``(n_protocol, n_time)`` where each has its own.
        strain: ε, shape ``(n_protocol, n_time, n_site, n_ε)``.
        force: External force, shape ``(n_protocol, n_time)``.
        end_rate: λ̇ of the end of a chain as recorded, same shape; None where the end was pulled.
        strides: Steps in each interval.
    """

    time: Tensor
    strain: Tensor
    force: Tensor
    end_rate: Tensor | None
    strides: Sequence[int]

    @property
    def intervals(self) -> Tensor:
        """Δt between instants, ``(n_time − 1,)``, or ``(n_protocol, n_time − 1)``."""
        return torch.diff(self.time)


class Chain(NamedTuple):
    """What a chain of springs between a wall and an end needs besides the law: η and L0."""

    friction: float
    reference_length: float


def under_strain(rates: RateFunction, record: Record, internal: Tensor) -> Rollout:
    """Roll out under the measured strain.

    Args:
        rates: The law.
        record: The protocols.
        internal: First α, shape ``(n_protocol, n_site, n_α)``.

    Returns:
        Trajectories with axes ``(n_protocol, n_time, n_site, n)``.
    """
    return controlled(rates, record.time, record.strain, internal, strides=record.strides)


def of_chains(
    rates: RateFunction,
    record: Record,
    internal: Tensor,
    chain: Chain,
    *,
    drives: Sequence[str] = ("end", "force"),
    linearised: LinearisedFunction | None = None,
    substeps: int = 1,
) -> dict[str, Rollout]:
    """Roll chains out from their first strains, all drive modes in one batch.

    Args:
        rates: The law.
        record: The protocols.
        internal: First α, shape ``(n_protocol, n_site, n_α)``.
        chain: Friction and reference length.
        drives: "end": the end moves as it did in the data; "force": it carries the recorded force.
        linearised: The law with its derivatives, for linearly implicit steps; None for the data's
            own forward Euler scheme.
        substeps: Implicit steps in each interval.

    Returns:
        Drive → trajectories with axes ``(n_protocol, n_time, n_site, n)``.
    """
    cases, modes = len(record.strain), len(drives)
    # The velocity that the data's own scheme gave to the end; its zero need not be known.
    end = record.strain[..., 0].sum(-1) * chain.reference_length
    velocity = torch.diff(end, dim=1) / record.intervals
    last = velocity[:, -1:] if record.end_rate is None else record.end_rate[:, -1:]
    moved = torch.tensor([mode == "end" for mode in drives], device=end.device)
    drive = ChainDrive(
        moved=moved.repeat_interleave(cases),
        end_velocity=torch.cat([velocity, last], 1).repeat(modes, 1),
        force=record.force.repeat(modes, 1),
        friction=chain.friction,
        reference_length=chain.reference_length,
    )
    start = record.strain[:, 0].repeat(modes, 1, 1), internal.repeat(modes, 1, 1)
    time = record.time if record.time.ndim == 1 else record.time.repeat(modes, 1)
    if linearised is None:
        run = explicit_chain(rates, time, *start, drive, strides=record.strides)
    else:
        run = implicit_chain(linearised, time, *start, drive, substeps=substeps)
    results = {}
    for number, mode in enumerate(drives):
        own = slice(number * cases, (number + 1) * cases)
        result = Rollout(*(series[own] for series in run))
        if mode == "end" and record.end_rate is not None:
            # F = σ_N + η λ̇ with the recorded rate, as in the data.
            drag = chain.friction * record.end_rate
            result = result._replace(force=result.stress[:, :, -1, 0] + drag)
        results[mode] = result
    return results
