"""Newton's method for the implicit update, for all points at once, with a safeguarded step.

The equation is r(α) = α − α_n − Δt ∂φ/∂g(−∂f/∂α(ε, α); ε_n, α_n) = 0 with J = I + Δt Φ″F,
F = f_αα and Φ″ = L Lᵀ, so that

    J⁻¹ = L (I + Δt Lᵀ F L)⁻¹ L⁻¹.

The bracket is symmetric with eigenvalues ≥ 1: no pivoting is needed at any Δt, and nothing cancels
where Δt Φ″F is large.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from ..potential_parameters import FloatArray
from .interfaces import DissipationGraph, EnergyGraph
from .symmetric import cholesky, lower_matrix, solve_lower, solve_upper

MAX_PASSES = 100
"""Bound on the passes of the loop; each evaluates the law once at one candidate per point."""

CONVERGED = 1e-13
"""Scaled residual at which a point takes its polishing step and stops."""

SMALLEST_STEP = 4.0**-15
"""Newton's direction is given up where even this fraction of it does not help."""

SUFFICIENT = 1e-4
"""Share of the decrease that the slope promises which a step must bring."""

ROUND_OFF = 1e-14
"""Change of Θ, relative to the sum of its terms, that may be round-off."""

RESOLVED = 1e-10
"""Promised decrease of Θ, relative to the sum of its terms, below which the norm of r decides."""

HUGE = float(np.finfo(np.float64).max)
"""Largest finite number: a comparison with it fails for infinities and NaN."""


class NewtonPass(nn.Module):
    """One pass of the loop: evaluate the candidate a + t d once; accept it, or shorten t.

    Far from the solution a candidate is compared by the dual incremental energy

        Θ(a) = Δt φ(g) − g·(a − α_n) − f(ε, a),   g = −∂f/∂α(ε, a),

    which has its only minimum at the solution, where f and φ are convex, and falls along every
    Newton direction: dΘ/dt = −rᵀ F J⁻¹ r ≤ 0. The norm of r may fall on the way to nowhere.
    Close to the solution Θ is flat to round-off and the norm of r decides.
    """

    def __init__(
        self,
        energy: EnergyGraph,
        dissipation: DissipationGraph,
        internal_scale: FloatArray,
        residual_tolerance: float,
    ) -> None:
        super().__init__()
        self.energy, self.dissipation = energy, dissipation
        self.size = len(internal_scale)
        self.residual_tolerance = residual_tolerance
        scale = torch.tensor(internal_scale)
        self.inverse_scale: Tensor
        self.scale_ratio: Tensor
        self.register_buffer("inverse_scale", 1.0 / scale[None, :])
        self.register_buffer("scale_ratio", scale[None, None, :] / scale[None, :, None])

    def forward(
        self,
        strain: Tensor,
        statev: Tensor,
        dt: Tensor,
        mobility: Tensor,
        amplitude: Tensor,
        internal: Tensor,
        direction: Tensor,
        step: Tensor,
        dual: Tensor,
        slope: Tensor,
        terms: Tensor,
        error: Tensor,
        residual: Tensor,
        active: Tensor,
    ) -> tuple[Tensor, ...]:
        """Return the state of the loop, ``internal`` to ``active``, after the pass.

        ``dual`` is Θ, ``slope`` its derivative along the direction, ``terms`` the sum of the
        magnitudes of its terms, of which round-off is a fraction; ``error`` is the norm of the
        scaled r and ``residual`` the same over the size of the equation's terms. ``active`` is 1
        where a point still iterates; the others are left exactly as they are.
        """
        trial = internal + step * direction
        t_direction, t_dual, t_slope, t_terms, t_error, t_residual = self.linearise(
            strain, statev, dt, mobility, amplitude, trial
        )
        lower_dual = t_dual <= dual + SUFFICIENT * step * slope + ROUND_OFF * terms
        close = -slope <= RESOLVED * terms
        usable = (active > 0.5) & (t_error <= HUGE)
        better = usable & ((lower_dual & ~close) | ((t_error < error) & close))
        polished = residual <= CONVERGED
        # A failed step ends the search where the residual is round-off already, where the step
        # has become negligible, or where not even the starting point could be evaluated.
        hopeless = (residual <= self.residual_tolerance) | (step <= SMALLEST_STEP)
        stalled = ~better & (hopeless | (residual > HUGE))
        grown = torch.minimum(4.0 * step, torch.ones_like(step))
        step = torch.where(better, grown, 0.25 * step)
        internal = torch.where(better, trial, internal)
        direction = torch.where(better, t_direction, direction)
        dual = torch.where(better, t_dual, dual)
        slope = torch.where(better, t_slope, slope)
        terms = torch.where(better, t_terms, terms)
        error = torch.where(better, t_error, error)
        residual = torch.where(better, t_residual, residual)
        active = torch.where(polished | stalled, 0.0, active)
        return internal, direction, step, dual, slope, terms, error, residual, active

    def linearise(
        self,
        strain: Tensor,
        statev: Tensor,
        dt: Tensor,
        mobility: Tensor,
        amplitude: Tensor,
        internal: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Return −J⁻¹r, Θ, its slope and terms, and both measures of the error at ``internal``.

        Where anything is not finite, all but the direction are infinite, so that the point is not
        accepted.
        """
        energy, gradient, stiffness = self.energy.internal(strain, internal)
        potential, rate, curvature = self.dissipation.derivatives(-gradient, mobility, amplitude)
        change = internal - statev
        r = change - dt * rate
        dissipated = dt * potential
        work = torch.sum(gradient * change, 1, keepdim=True)
        dual = dissipated + work - energy
        terms = dt * self.dissipation.magnitude(gradient, mobility, amplitude)
        terms = terms + dissipated + torch.abs(work) + torch.abs(energy) + abs(self.energy.constant)
        long_dt = dt.unsqueeze(2)
        coupling = torch.abs(long_dt * torch.matmul(curvature, stiffness)) * self.scale_ratio
        size = 1.0 + torch.amax(torch.sum(coupling, 2), 1, keepdim=True)
        error = torch.amax(torch.abs(r) * self.inverse_scale, 1, keepdim=True)
        factor = cholesky(curvature, self.size)
        lower, lower_t = lower_matrix(factor, self.size)
        columns = cholesky(inner_matrix(long_dt, lower, lower_t, stiffness, self.size), self.size)
        scaled = torch.cat(solve_lower(factor, r.unsqueeze(2)), 1)
        solution = solve_upper(columns, solve_lower(columns, scaled))
        direction = -torch.matmul(lower, solution).reshape(-1, self.size)
        force = torch.matmul(stiffness, r.unsqueeze(2)).reshape(-1, self.size)
        slope = torch.sum(force * direction, 1, keepdim=True)
        # A sum is not finite where any term is not; a maximum may drop a NaN.
        every = torch.sum(torch.abs(direction) + torch.abs(r), 1, keepdim=True)
        finite = every + torch.abs(dual) + torch.abs(slope) + size <= HUGE
        dual, slope, terms, error = (
            torch.where(finite, x, torch.inf) for x in (dual, slope, terms, error)
        )
        residual = torch.where(finite, error / size, torch.inf)
        return torch.where(finite, direction, 0.0), dual, slope, terms, error, residual


def inner_matrix(
    dt: Tensor, lower: Tensor, lower_t: Tensor, stiffness: Tensor, size: int
) -> Tensor:
    """I + Δt Lᵀ F L, shape ``(n, n_α, n_α)``; ``dt`` of shape ``(n, 1, 1)``."""
    identity = torch.eye(size, dtype=torch.float64)
    return identity + dt * torch.matmul(lower_t, torch.matmul(stiffness, lower))


def initial_state(statev: Tensor) -> tuple[Tensor, ...]:
    """State of the loop before the first pass, which evaluates the law at α_n itself."""
    one = torch.ones_like(statev[:, :1])
    infinite = torch.full_like(one, torch.inf)
    zero = torch.zeros_like(one)
    return statev, torch.zeros_like(statev), one, infinite, zero, zero, infinite, infinite, one


class InitialState(nn.Module):
    """The same as a module, for graphs."""

    def forward(
        self,
        strain: Tensor,  # noqa: ARG002
        statev: Tensor,
        dt: Tensor,  # noqa: ARG002
        mobility: Tensor,  # noqa: ARG002
        amplitude: Tensor,  # noqa: ARG002
    ) -> tuple[Tensor, ...]:
        """Return the state of the loop before the first pass."""
        return initial_state(statev)
