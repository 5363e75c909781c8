"""The exported update of a law with populations: backward Euler, of φ only ln k' frozen in part.

    r(α) = α − α_n − Δt α̇(α, G(ε, α); frozen_n) = 0,   G = −∂F/∂α,
    C = F_εε − F_εα (I + W F_αα)⁻¹ W F_αε,   W = (I − Δt ∂α̇/∂α)⁻¹ Δt ∂α̇/∂G.

f convex in α gives f(α_n) ≥ f(α⁺) + g⁺·(α⁺ − α_n), and every flow has the sign of its force: in
every step the energy falls by what is dissipated or more, whatever Δt. With two states in every
population C is symmetric.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..potential_parameters import FloatArray
from .newton import CONVERGED, HUGE
from .population_kinetics import PopulationKinetics
from .populations import ROUND_OFF, TINY
from .unsymmetric import solve
from .update import ImplicitUpdate, Verdict, harmless

CLOSE = 1e-6
"""Scaled residual at which a step in α itself is better than α(γ), and a refused one the last."""


SMALL = 1e-3
"""|s|/θ below which W s is the distance to the solution."""

ENOUGH = 0.7
"""Newton's candidate must bring |s| down to this share of what it was."""

FARTHEST = 0.95
"""Largest share of the way to a refused candidate that is tried next; the rest is the smallest."""

STILL = 1e-14
"""Relative change of γ that is none."""


class PopulationPrepare(nn.Module):
    """First part of the update: find bad input, make it harmless, evaluate the frozen state.

    A state outside the bounds of its fractions by more than round-off is bad input.
    """

    def __init__(self, kinetics: PopulationKinetics) -> None:
        super().__init__()
        self.kinetics = kinetics

    def forward(
        self, strain: Tensor, strain_old: Tensor, statev: Tensor, dt: Tensor
    ) -> tuple[Tensor, ...]:
        """Return the inputs with bad points zeroed, the two frozen tensors, and a 0/1 flag."""
        populations = self.kinetics.populations
        missing = torch.amax(-populations.fractions(statev), 1, keepdim=True)
        outside = torch.where(missing <= ROUND_OFF, torch.zeros_like(dt), 1.0)
        strain, strain_old, statev, dt, bad = harmless(strain, strain_old, statev, dt, outside)
        statev = populations.within(statev)
        log_rates, context = self.kinetics.prepare(strain_old, statev)
        return strain, statev, dt, log_rates, context, bad


class PopulationLoop(nn.Module):
    """What start and passes of the loop share: the law at a force, and Newton's next candidate.

    The unknown is the force γ = −∂F/∂α. At given γ the implicit equation is linear in the
    fractions and explicit in the means; its solution α(γ) has no negative fraction. What remains,

        s(γ) = γ + ∂F/∂α(ε, α(γ)) = 0,   s' = I + F_αα W,   W = dα/dγ,

    has no exponentials that grow with γ, since α(γ) saturates. With two states in every
    population W is symmetric and W⁻¹ + F_αα positive definite where f is convex in α: s' is
    regular everywhere, and there is one solution.
    """

    def __init__(self, kinetics: PopulationKinetics, internal_scale: FloatArray) -> None:
        super().__init__()
        self.kinetics = kinetics
        self.size = len(internal_scale)
        scale = torch.tensor(internal_scale)
        self.inverse_scale = 1.0 / scale[None, :]
        self.scale_ratio = scale[None, None, :] / scale[None, :, None]

    def linearise(
        self,
        strain: Tensor,
        statev: Tensor,
        dt: Tensor,
        log_rates: Tensor,
        context: Tensor,
        force: Tensor,
    ) -> tuple[Tensor, ...]:
        """Return α(γ), ln(p_s/p_0), s, the candidate γ − s'⁻¹ s and both measures of the error.

        Where anything is not finite, both are infinite, so that the point is not accepted.
        """
        kinetics, identity = self.kinetics, torch.eye(self.size, dtype=torch.float64)
        end = kinetics.balance(statev, dt, force, log_rates, context)
        _, gradient, stiffness = kinetics.energy.internal(strain, end.internal)
        s = force + gradient
        jacobian = identity + torch.matmul(stiffness, end.compliance)
        direction = -solve(jacobian, s.unsqueeze(2), self.size)
        correction = torch.matmul(end.compliance, direction).squeeze(2)
        r = torch.matmul(end.compliance, s.unsqueeze(2)).squeeze(2)
        direction = direction.squeeze(2)
        size = equation_size(end.compliance, stiffness, self.scale_ratio)
        error = torch.amax(torch.abs(s), 1, keepdim=True) / kinetics.populations.thermal_energy
        scaled = torch.abs(r) * self.inverse_scale
        residual = torch.amax(scaled, 1, keepdim=True) / size
        # W s is the distance to a solution only where s is small.
        residual = torch.where(error <= SMALL, residual, torch.maximum(residual, error))
        # α(γ) of long steps has the round-off of Δt φ'; one step in α itself takes it off.
        internal = torch.where(residual <= CLOSE, end.internal + correction, end.internal)
        # A sum is not finite where any term is not; a maximum may drop a NaN.
        every = torch.sum(torch.abs(direction) + torch.abs(s) + scaled, 1, keepdim=True)
        finite = every + size <= HUGE
        return (
            torch.where(finite, internal, statev),
            kinetics.populations.logits(end.fractions),
            s,
            torch.where(finite, force + direction, force),
            torch.where(finite, error, torch.inf),
            torch.where(finite, residual, torch.inf),
        )


class PopulationStart(PopulationLoop):
    """State of the loop before the first pass: at the force that keeps α_n as it is."""

    def forward(
        self, strain: Tensor, statev: Tensor, dt: Tensor, log_rates: Tensor, context: Tensor
    ) -> tuple[Tensor, ...]:
        """Return the state of the loop, as :class:`PopulationPass` has it."""
        populations = self.kinetics.populations
        fractions = torch.relu(populations.fractions(statev))
        force = populations.thermal_energy * populations.logits(fractions)
        internal, logits, s, candidate, error, residual = self.linearise(
            strain, statev, dt, log_rates, context, force
        )
        one = torch.ones_like(dt)
        return internal, force, logits, s, candidate, one, error, residual, one


class PopulationPass(PopulationLoop):
    """One pass of the loop: evaluate the candidate γ; accept it, or choose one that lies nearer.

    s may rise steeply between two forces at which the fractions are saturated, and Newton's method
    then jumps from one to the other. As a function of the fractions it is nearly linear there: the
    next candidate has the fractions at which the linear interpolation of s is smallest, between
    those of the last accepted and of the refused candidate.
    """

    def forward(
        self,
        strain: Tensor,
        statev: Tensor,
        dt: Tensor,
        log_rates: Tensor,
        context: Tensor,
        internal: Tensor,
        force: Tensor,
        logits: Tensor,
        s: Tensor,
        candidate: Tensor,
        origin: Tensor,
        error: Tensor,
        residual: Tensor,
        active: Tensor,
    ) -> tuple[Tensor, ...]:
        """Return the state of the loop, ``internal`` to ``active``, after the pass.

        ``origin`` is 0 where the candidate is a shorter step, 1 where it is Newton's own and 2
        where it is so after a shorter step; ``error`` is the largest |s_i|/θ and ``residual`` that
        of the scaled W s over the size of the equation's terms. ``active`` is 1 where a point
        still iterates; the others are left exactly as they are.
        """
        t_internal, t_logits, t_s, t_candidate, t_error, t_residual = self.linearise(
            strain, statev, dt, log_rates, context, candidate
        )
        usable = (active > 0.5) & (t_error <= HUGE)
        enough = torch.where(origin > 0.5, ENOUGH * error, error)
        better = usable & (t_error < enough)
        polished = residual <= CONVERGED
        moved = torch.amax(torch.abs(candidate - force), 1, keepdim=True)
        still = moved <= STILL * (torch.amax(torch.abs(force), 1, keepdim=True) + moved)
        stalled = ~better & ((residual <= CLOSE) | still | (error > HUGE))
        nearer = self.between(
            statev, internal, logits, s, force, t_internal, t_logits, t_s, candidate
        )
        # The second refusal in a row of two candidates of Newton's halves the way; a refused
        # shorter step is quartered, since Newton's direction helps if the step is short enough.
        shorter = torch.where(origin > 1.5, 0.5, 0.25) * (candidate - force)
        estimate = (torch.abs(origin - 1.0) < 0.5) & (t_error <= HUGE)
        nearer = torch.where(estimate, nearer, force + shorter)
        candidate_next = torch.where(better, t_candidate, nearer)
        force = torch.where(better, candidate, force)
        internal = torch.where(better, t_internal, internal)
        logits, s = torch.where(better, t_logits, logits), torch.where(better, t_s, s)
        error = torch.where(better, t_error, error)
        residual = torch.where(better, t_residual, residual)
        active = torch.where(polished | stalled, 0.0, active)
        newton = torch.where(origin > 0.5, torch.ones_like(origin), 2.0)
        origin = torch.where(better, newton, 0.0)
        return internal, force, logits, s, candidate_next, origin, error, residual, active

    def between(
        self,
        statev: Tensor,
        internal: Tensor,
        logits: Tensor,
        s: Tensor,
        force: Tensor,
        t_internal: Tensor,
        t_logits: Tensor,
        t_s: Tensor,
        t_force: Tensor,
    ) -> Tensor:
        """Force at which fractions lie between those of two forces; means move along a line."""
        populations = self.kinetics.populations
        share = _share(-s, t_s - s)
        target = populations.fractions(internal + share * (t_internal - internal))
        span = t_logits - logits
        way = _share(populations.logits(torch.relu(target)) - logits, span)
        # ln(p_s/p_0) changes by γ/2θ or faster where the fractions move at all: where it changes
        # less in all, it does so at the force at which more of the elements have moved.
        moving = 2.0 * populations.thermal_energy * _length(span)
        moving = moving / (_length(torch.matmul(t_force - force, populations.active)) + TINY)
        moving = torch.minimum(moving, torch.ones_like(moving))
        at_start = populations.logits(torch.relu(populations.fractions(statev)))
        ahead = _length(t_logits - at_start) > _length(logits - at_start)
        way = torch.where(ahead, 1.0 - moving * (1.0 - way), moving * way)
        return force + way * (t_force - force)


def _length(vector: Tensor) -> Tensor:
    return torch.sqrt(torch.sum(torch.square(vector), 1, keepdim=True))


def _share(part: Tensor, whole: Tensor) -> Tensor:
    """Share of one vector that another is, by least squares and within (0, 1), ``(n, 1)``."""
    share = torch.sum(part * whole, 1, keepdim=True)
    share = share / (torch.sum(torch.square(whole), 1, keepdim=True) + TINY)
    share = torch.maximum(share, torch.full_like(share, 1.0 - FARTHEST))
    return torch.minimum(share, torch.full_like(share, FARTHEST))


def equation_size(compliance: Tensor, stiffness: Tensor, scale_ratio: Tensor) -> Tensor:
    """1 + largest row sum of |W F_αα| in scaled components: what round-off is measured by."""
    coupling = torch.abs(torch.matmul(compliance, stiffness)) * scale_ratio
    return 1.0 + torch.amax(torch.sum(coupling, 2), 1, keepdim=True)


class PopulationFinish(nn.Module):
    """Last part of the update: stress, tangent, energies and the verdict on every point."""

    def __init__(
        self,
        kinetics: PopulationKinetics,
        strain_size: int,
        internal_scale: FloatArray,
        envelope: FloatArray,
    ) -> None:
        super().__init__()
        self.kinetics, self.strain_size = kinetics, strain_size
        self.size = kinetics.populations.size
        self.verdict = Verdict(envelope)
        scale = torch.tensor(internal_scale)
        self.inverse_scale = 1.0 / scale[None, :]
        self.scale_ratio = scale[None, None, :] / scale[None, :, None]

    def forward(
        self,
        strain: Tensor,
        statev: Tensor,
        dt: Tensor,
        log_rates: Tensor,
        context: Tensor,
        bad: Tensor,
        internal: Tensor,
        residual: Tensor,
    ) -> tuple[Tensor, ...]:
        """Return the outputs of ``constitutive.onnx`` in their order."""
        m, kinetics, populations = self.strain_size, self.kinetics, self.kinetics.populations
        internal = populations.within(internal)
        smooth, gradient, hessian = kinetics.energy.derivatives(strain, internal)
        end = kinetics.balance(statev, dt, -gradient[:, m:], log_rates, context)
        stiffness, mixed = hessian[:, m:, m:], hessian[:, m:, :m]
        jacobian = torch.eye(self.size, dtype=torch.float64)
        jacobian = jacobian + torch.matmul(end.compliance, stiffness)
        moved = solve(jacobian, torch.matmul(end.compliance, mixed), self.size)
        tangent = hessian[:, :m, :m] - torch.matmul(hessian[:, :m, m:], moved)
        size = equation_size(end.compliance, stiffness, self.scale_ratio)
        r = torch.abs(internal - end.internal) * self.inverse_scale
        backward_error = torch.amax(r, 1, keepdim=True) / size
        # p_0 = 1 − Σ p_s has lost its digits where it is small; the balance has not.
        before = _positive(populations.fractions(statev))
        entropy, logarithms = populations.mixing(_positive(end.fractions))
        entropy_before, _ = populations.mixing(before)
        energy = smooth + entropy
        energy_before = kinetics.energy.value(strain, statev) + entropy_before
        force = -gradient[:, m:] - logarithms
        dissipation = torch.sum(force * (internal - statev), 1, keepdim=True)
        return self.verdict.outputs(
            (strain, internal),
            gradient[:, :m],
            tangent,
            (energy, dissipation, energy_before),
            torch.zeros_like(dt),
            torch.where(residual <= HUGE, backward_error, torch.inf),
            bad,
            abs(kinetics.energy.constant),
        )


class PopulationUpdate(ImplicitUpdate):
    """The update of a law with populations.

    Args:
        kinetics: The law.
        strain_size: n_ε.
        internal_scale: Standard deviation of each internal variable in training, ``(n_α,)``.
        envelope: Range of each component of (ε, α) in training, ``(d, 2)``.
    """

    vectors = 5

    def __init__(
        self,
        kinetics: PopulationKinetics,
        *,
        strain_size: int,
        internal_scale: FloatArray,
        envelope: FloatArray,
    ) -> None:
        super().__init__(
            prepare=PopulationPrepare(kinetics),
            start=PopulationStart(kinetics, internal_scale),
            newton=PopulationPass(kinetics, internal_scale),
            finish=PopulationFinish(kinetics, strain_size, internal_scale, envelope),
            strain_size=strain_size,
            internal_size=len(internal_scale),
        )


def _positive(fractions: Tensor) -> Tensor:
    return torch.maximum(fractions, torch.full_like(fractions, TINY))
