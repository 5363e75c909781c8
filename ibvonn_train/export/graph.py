"""The exported graphs of a law as torch modules: rates, and the implicit update of one step.

Backward Euler with the state of φ frozen (theory: incremental minimisation),

    r(α) = α − α_n − Δt ∂φ/∂g(−∂f/∂α(ε, α); ε_n, α_n) = 0,   σ = ∂f/∂ε,
    C = f_εε − f_εα Δt L (I + Δt Lᵀ F L)⁻¹ Lᵀ f_αε,   Φ″ = L Lᵀ, F = f_αα,

solved for all points at once by Newton's method with a safeguarded step. The bracket is symmetric with
eigenvalues ≥ 1, so no pivoting is needed at any Δt.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from .parameters import FloatArray, LawParameters
from .potentials import ConvexEnergy, RidgeDissipation
from .symmetric import cholesky, lower_matrix, solve_lower, solve_upper

CONVERGED = 1e-13
"""Scaled residual at which a point takes its polishing step and stops."""

MAX_PASSES = 100
"""Bound on the passes of the loop; each evaluates the law once at one candidate per point."""

SMALLEST_STEP = 4.0**-15
"""Newton's direction is given up where even this fraction of it does not help."""

SUFFICIENT = 1e-4
"""Share of the decrease that the slope promises which a step must bring."""

CLOSE = 1e-6
"""Scaled residual below which the norm of r decides on a candidate."""

ROUND_OFF = 1e-14
"""Relative round-off in Θ that does not count as an increase."""

HUGE = float(np.finfo(np.float64).max)

INPUTS = ("strain", "strain_old", "statev", "dt")
OUTPUTS = (
    "stress",
    "statev_new",
    "tangent",
    "energy",
    "dissipation",
    "residual",
    "validity",
)


class Energy(Protocol):
    """What the update needs of a free energy; :class:`ConvexEnergy` is one."""

    constant: float

    def value(self, strain: Tensor, internal: Tensor) -> Tensor:
        """f, ``(n, 1)``."""

    def internal(self, strain: Tensor, internal: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """f, ∂f/∂α and ∂²f/∂α²."""

    def gradient(self, strain: Tensor, internal: Tensor) -> tuple[Tensor, Tensor]:
        """f and ∂f/∂(ε, α)."""

    def derivatives(self, strain: Tensor, internal: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """f, ∂f/∂(ε, α) and the second derivative."""


class DualDissipation(Protocol):
    """What the update needs of φ; :class:`RidgeDissipation` is one."""

    def prepare(self, strain_old: Tensor, internal_old: Tensor) -> tuple[Tensor, Tensor]:
        """Whatever depends on the frozen state only, as two tensors."""

    def derivatives(
        self, force: Tensor, mobility: Tensor, amplitude: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """φ, ∂φ/∂g, ∂²φ/∂g² (positive definite)."""


class Rates(nn.Module):
    """The law in continuous time: (ε, α) → f, σ, g, α̇ = ∂φ/∂g(g; ε, α)."""

    def __init__(self, energy: Energy, dissipation: DualDissipation, strain_size: int) -> None:
        super().__init__()
        self.energy, self.dissipation, self.strain_size = energy, dissipation, strain_size

    def forward(self, strain: Tensor, statev: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return energy ``(n, 1)``, stress ``(n, n_ε)``, driving force and rate ``(n, n_α)``."""
        energy, gradient = self.energy.gradient(strain, statev)
        force = -gradient[:, self.strain_size :]
        frozen = self.dissipation.prepare(strain, statev)
        _, rate, _ = self.dissipation.derivatives(force, *frozen)
        return energy, gradient[:, : self.strain_size], force, rate


class Prepare(nn.Module):
    """First part of the update: find bad input, make it harmless, evaluate the frozen state."""

    def __init__(self, dissipation: DualDissipation) -> None:
        super().__init__()
        self.dissipation = dissipation

    def forward(
        self, strain: Tensor, strain_old: Tensor, statev: Tensor, dt: Tensor
    ) -> tuple[Tensor, ...]:
        """Return the inputs with bad points zeroed, the two frozen tensors, and a 0/1 flag."""
        every = torch.cat([strain, strain_old, statev, dt], 1)
        finite = torch.where(torch.abs(every) <= HUGE, 0.0, 1.0)
        bad = torch.amax(torch.maximum(finite, torch.where(dt >= 0.0, 0.0, 1.0)), 1, keepdim=True)
        good = bad <= 0.0
        strain, strain_old = torch.where(good, strain, 0.0), torch.where(good, strain_old, 0.0)
        statev, dt = torch.where(good, statev, 0.0), torch.where(good, dt, 0.0)
        mobility, amplitude = self.dissipation.prepare(strain_old, statev)
        return strain, statev, dt, mobility, amplitude, bad


class NewtonPass(nn.Module):
    """One pass of the loop: evaluate the candidate a + t d once; accept it, or shorten t.

    Far from the solution a candidate is judged by the dual incremental energy

        Θ(a) = Δt φ(g) − g·(a − α_n) − f(ε, a),   g = −∂f/∂α(ε, a),

    which has its only minimum at the solution, where f and φ are convex, and falls along every
    Newton direction: dΘ/dt = −rᵀ F J⁻¹ r ≤ 0. The norm of r may fall on the way to nowhere. Close to
    the solution Θ is flat to round-off and the norm of r decides.
    """

    def __init__(
        self,
        energy: Energy,
        dissipation: DualDissipation,
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
        error: Tensor,
        residual: Tensor,
        active: Tensor,
    ) -> tuple[Tensor, ...]:
        """Return the state of the loop, ``internal`` to ``active``, after the pass.

        ``dual`` is Θ and ``slope`` its derivative along the direction; ``error`` is the norm of the
        scaled r and ``residual`` the same over the size of the equation's terms. ``active`` is 1
        where a point still iterates; the others are left exactly as they are.
        """
        trial = internal + step * direction
        t_direction, t_dual, t_slope, t_error, t_residual = self.linearise(
            strain, statev, dt, mobility, amplitude, trial
        )
        lower_dual = t_dual <= dual + SUFFICIENT * step * slope + ROUND_OFF * torch.abs(dual)
        close = residual <= CLOSE
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
        error = torch.where(better, t_error, error)
        residual = torch.where(better, t_residual, residual)
        active = torch.where((active > 0.5) & ~(polished | stalled), 1.0, 0.0)
        return internal, direction, step, dual, slope, error, residual, active

    def linearise(
        self,
        strain: Tensor,
        statev: Tensor,
        dt: Tensor,
        mobility: Tensor,
        amplitude: Tensor,
        internal: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Return −J⁻¹r, Θ, its slope, the error and the scaled backward error at ``internal``.

        Where anything is not finite, all but the direction are infinite, so that the point is not
        accepted.
        """
        energy, gradient, stiffness = self.energy.internal(strain, internal)
        potential, rate, curvature = self.dissipation.derivatives(-gradient, mobility, amplitude)
        change = internal - statev
        r = change - dt * rate
        dual = dt * potential + torch.sum(gradient * change, 1, keepdim=True) - energy
        long_dt = dt.unsqueeze(2)
        coupling = torch.abs(long_dt * torch.matmul(curvature, stiffness)) * self.scale_ratio
        size = 1.0 + torch.amax(torch.sum(coupling, 2), 1, keepdim=True)
        error = torch.amax(torch.abs(r) * self.inverse_scale, 1, keepdim=True)
        lower, lower_t = lower_matrix(cholesky(curvature, self.size), self.size)
        columns = cholesky(inner_matrix(long_dt, lower, lower_t, stiffness, self.size), self.size)
        force = torch.matmul(stiffness, r.unsqueeze(2))
        solution = solve_upper(columns, solve_lower(columns, torch.matmul(lower_t, force)))
        correction = (long_dt * torch.matmul(lower, solution)).reshape(-1, self.size)
        direction = correction - r
        slope = torch.sum(force.reshape(-1, self.size) * direction, 1, keepdim=True)
        # A sum is not finite where any term is not; a maximum may drop a NaN.
        every = torch.sum(torch.abs(direction) + torch.abs(r), 1, keepdim=True)
        finite = every + torch.abs(dual) + torch.abs(slope) + size <= HUGE
        found = [torch.where(finite, x, torch.inf) for x in (dual, slope, error, error / size)]
        return torch.where(finite, direction, 0.0), found[0], found[1], found[2], found[3]


def inner_matrix(
    dt: Tensor, lower: Tensor, lower_t: Tensor, stiffness: Tensor, size: int
) -> Tensor:
    """I + Δt Lᵀ F L, shape ``(n, n_α, n_α)``; ``dt`` of shape ``(n, 1, 1)``."""
    identity = torch.eye(size, dtype=torch.float64)
    return identity + dt * torch.matmul(lower_t, torch.matmul(stiffness, lower))


class Finish(nn.Module):
    """Last part of the update: stress, tangent, energies and the verdict on every point."""

    def __init__(
        self,
        energy: Energy,
        dissipation: DualDissipation,
        strain_size: int,
        internal_size: int,
        envelope: FloatArray,
    ) -> None:
        super().__init__()
        self.energy, self.dissipation = energy, dissipation
        self.strain_size, self.internal_size = strain_size, internal_size
        bounds = torch.tensor(envelope)
        self.middle: Tensor
        self.inverse_half: Tensor
        self.register_buffer("middle", 0.5 * (bounds[:, 0] + bounds[:, 1])[None, :])
        self.register_buffer("inverse_half", 2.0 / (bounds[:, 1] - bounds[:, 0])[None, :])

    def forward(
        self,
        strain: Tensor,
        statev: Tensor,
        dt: Tensor,
        mobility: Tensor,
        amplitude: Tensor,
        bad: Tensor,
        internal: Tensor,
        residual: Tensor,
    ) -> tuple[Tensor, ...]:
        """Return the outputs of ``constitutive.onnx`` in their order."""
        m, n = self.strain_size, self.internal_size
        energy, gradient, hessian = self.energy.derivatives(strain, internal)
        force = -gradient[:, m:]
        potential, _, curvature = self.dissipation.derivatives(force, mobility, amplitude)
        long_dt = dt.unsqueeze(2)
        lower, lower_t = lower_matrix(cholesky(curvature, n), n)
        columns = cholesky(inner_matrix(long_dt, lower, lower_t, hessian[:, m:, m:], n), n)
        mixed = torch.sqrt(long_dt) * torch.matmul(lower_t, hessian[:, m:, :m])
        tangent = hessian[:, :m, :m]
        for row in solve_lower(columns, mixed):
            tangent = tangent - row.reshape(-1, m, 1) * row
        before = self.energy.value(strain, statev)
        dissipation = torch.sum(force * (internal - statev), 1, keepdim=True)
        allowance = 1e-9 * (
            torch.abs(energy)
            + torch.abs(before)
            + torch.abs(dissipation)
            + abs(self.energy.constant)
        )
        stable = energy + dissipation - dt * potential <= before + allowance
        residual = torch.where(stable, residual, torch.inf)
        state = torch.cat([strain, internal], 1)
        excursion = torch.abs(state - self.middle) * self.inverse_half - 1.0
        validity = torch.relu(torch.amax(excursion, 1, keepdim=True))
        good = bad <= 0.0
        nan = float("nan")
        return (
            torch.where(good, gradient[:, :m], nan),
            torch.where(good, internal, nan),
            torch.where(good.unsqueeze(2), tangent, nan),
            torch.where(good, energy, nan),
            torch.where(good, dissipation, nan),
            torch.where(good, residual, nan),
            validity,
        )


class ConstitutiveUpdate(nn.Module):
    """The update of one step: the three parts with the loop between them.

    Args:
        energy: f.
        dissipation: φ.
        strain_size: n_ε.
        internal_scale: Standard deviation of each internal variable in training, ``(n_α,)``.
        envelope: Range of each component of (ε, α) in training, ``(d, 2)``.
        residual_tolerance: A point has converged where its residual is at most this.
    """

    def __init__(
        self,
        energy: Energy,
        dissipation: DualDissipation,
        *,
        strain_size: int,
        internal_scale: FloatArray,
        envelope: FloatArray,
        residual_tolerance: float = 1e-10,
    ) -> None:
        super().__init__()
        size = len(internal_scale)
        self.prepare = Prepare(dissipation)
        self.newton = NewtonPass(energy, dissipation, internal_scale, residual_tolerance)
        self.finish = Finish(energy, dissipation, strain_size, size, envelope)
        self.strain_size, self.internal_size = strain_size, size

    @classmethod
    def of(cls, law: LawParameters) -> ConstitutiveUpdate:
        """Build the update of a law with convex potentials."""
        return cls(
            ConvexEnergy(law),
            RidgeDissipation(law),
            strain_size=law.strain_size,
            internal_scale=law.internal_scale,
            envelope=law.envelope,
            residual_tolerance=law.residual_tolerance,
        )

    def forward(
        self, strain: Tensor, strain_old: Tensor, statev: Tensor, dt: Tensor
    ) -> tuple[Tensor, ...]:
        """Take one step; inputs and outputs as in :data:`INPUTS` and :data:`OUTPUTS`."""
        strain, start, dt, mobility, amplitude, bad = self.prepare(strain, strain_old, statev, dt)
        state = initial_state(start)
        for _ in range(MAX_PASSES):
            state = self.newton(strain, start, dt, mobility, amplitude, *state)
            if not bool(torch.any(state[-1] > 0.5)):
                break
        outputs: tuple[Tensor, ...] = self.finish(
            strain, start, dt, mobility, amplitude, bad, state[0], state[-2]
        )
        return outputs


def initial_state(statev: Tensor) -> tuple[Tensor, ...]:
    """State of the loop before the first pass, which evaluates the law at α_n itself."""
    one = torch.ones_like(statev[:, :1])
    infinite = torch.full_like(one, torch.inf)
    zero = torch.zeros_like(one)
    return statev, torch.zeros_like(statev), one, infinite, zero, infinite, infinite, one
