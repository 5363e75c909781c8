"""Roll-outs of a law under a given strain: in the data's own convention, or by stable steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from ..law.population_potentials import PopulationPotentials
from ..law.potentials import RateFunction, RelaxationFunction
from .compiled_paths import compiled_path, serves
from .relaxation import relaxed_increment


class Relaxing(Protocol):
    """What exponential steps ask of a law."""

    def relaxation_function(self) -> RelaxationFunction:
        """Return (ε, α) ↦ α̇ and its derivative by α."""


class Rollout(NamedTuple):
    """Trajectories of a law.

    Attributes:
        strain: ε, shape ``(n_case, n_time, ..., n_ε)``.
        internal: α, shape ``(n_case, n_time, ..., n_α)``.
        stress: σ, shape ``(n_case, n_time, ..., n_ε)``.
        force: External force, ``(n_case, n_time)``; under a given strain σ of the first site.
    """

    strain: Tensor
    internal: Tensor
    stress: Tensor
    force: Tensor


def interval(time: Tensor, step: int, like: Tensor) -> Tensor:
    """Return the length of an interval, to multiply a tensor whose first axis is the case.

    Args:
        time: Instants, shape ``(n_time,)``, or ``(n_case, n_time)`` where cases have their own.
        step: Number of the interval.
        like: Tensor with the axes of the product, or of ``(n_case, ...)``.
    """
    dt = time[..., step + 1] - time[..., step]
    return dt.reshape(*dt.shape, *(1,) * (like.ndim - dt.ndim))


def steps_in(strides: Sequence[int], step: int) -> int:
    """Return the steps to take in an interval; no entries mean one step in each."""
    return strides[step] if strides else 1


def controlled(
    rates: RateFunction,
    time: Tensor,
    strain: Tensor,
    internal: Tensor,
    *,
    strides: Sequence[int] = (),
) -> Rollout:
    """Integrate α̇ = ∂φ/∂g under a given strain: α_{n+1} = α_n + Δt_n α̇(ε_n, α_n).

    Args:
        rates: The law.
        time: Instants, shape ``(n_time,)``, or ``(n_case, n_time)`` where cases have their own.
        strain: ε(t), shape ``(n_case, n_time, ..., n_ε)``.
        internal: α at the first instant, shape ``(n_case, ..., n_α)``.
        strides: Steps in each interval, by default one; the strain is interpolated linearly.
    """
    states, stresses = [], []
    strains = strain.unbind(1)
    for step, eps in enumerate(strains):
        stress, rate = rates(eps, internal)
        states.append(internal)
        stresses.append(stress)
        if step + 1 < len(strains):
            count = steps_in(strides, step)
            dt = interval(time, step, internal) / count
            internal = internal + dt * rate
            for part in range(1, count):
                between = torch.lerp(eps, strains[step + 1], part / count)
                internal = internal + dt * rates(between, internal)[1]
    stress = torch.stack(stresses, 1)
    return Rollout(strain, torch.stack(states, 1), stress, stress.flatten(2)[..., 0])


def exponential(
    potentials: Relaxing,
    time: Tensor,
    strain: Tensor,
    internal: Tensor,
    *,
    substeps: int = 1,
) -> Tensor:
    """Return α of every instant under a given strain, by exponential Rosenbrock–Euler steps.

    α_{n+1} = α_n + Δt φ₁(Δt J) α̇(ε_{n+1/2}, α_n) with φ₁(x) = (eˣ − 1)/x and J = ∂α̇/∂α: exact for
    variables that relax linearly, of second order for others; stable for any step where no
    eigenvalue of J is positive. Compiled code takes the steps of laws that it knows.

    Args:
        potentials: Of the law.
        time: Instants, shape ``(n_time,)``, or ``(n_case, n_time)`` where cases have their own.
        strain: ε(t), shape ``(n_case, n_time, ..., n_ε)``, interpolated linearly.
        internal: α at the first instant, shape ``(n_case, ..., n_α)``.
        substeps: Steps between instants.

    References:
        Hochbruck & Ostermann (2010), Acta Numerica 19, 209.
    """
    if serves(potentials, internal):
        return _by_compiled_code(potentials, time, strain, internal, substeps)
    relaxation = potentials.relaxation_function()
    strains = strain.unbind(1)
    states = [internal]
    for step in range(len(strains) - 1):
        dt = interval(time, step, internal) / substeps
        for part in range(substeps):
            eps = torch.lerp(strains[step], strains[step + 1], (part + 0.5) / substeps)
            law = relaxation(eps, internal)
            slope = dt.unsqueeze(-1) * law.rate_by_internal
            internal = internal + relaxed_increment(dt * law.rate, slope)
        states.append(internal)
    return torch.stack(states, 1)


def _by_compiled_code(
    potentials: PopulationPotentials, time: Tensor, strain: Tensor, internal: Tensor, substeps: int
) -> Tensor:
    """Take the same steps, one row for each site."""
    cases, instants, sites = len(strain), strain.shape[1], internal[0, ..., 0].numel()
    dt = torch.diff(time).expand(cases, -1) / substeps
    dt = dt.T.repeat_interleave(substeps, 0).repeat_interleave(sites, 1)
    parts = (torch.arange(substeps, dtype=strain.dtype) + 0.5) / substeps
    before, after = (s.unsqueeze(1) for s in (strain[:, :-1], strain[:, 1:]))
    middle = torch.lerp(before, after, parts.reshape(-1, *(1,) * (strain.ndim - 1)))
    # From (case, part, interval, ...) to (step, row, component).
    middle = middle.movedim(0, 2).transpose(0, 1).reshape(dt.shape[0], -1, strain.shape[-1])
    states = compiled_path(potentials, dt, middle, internal.reshape(cases * sites, -1))
    own = states[::substeps].reshape(instants, *internal.shape)
    return own.transpose(0, 1)
