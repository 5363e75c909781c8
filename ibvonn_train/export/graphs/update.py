"""The exported update of one step: backward Euler with the state of φ frozen.

    r(α) = α − α_n − Δt ∂φ/∂g(−∂f/∂α(ε, α); ε_n, α_n) = 0,   σ = ∂f/∂ε,
    C = f_εε − f_εα Δt L (I + Δt Lᵀ F L)⁻¹ Lᵀ f_αε,   Φ″ = L Lᵀ, F = f_αα.

It is the stationarity of an incremental minimisation, so C is symmetric, and where f is convex the
energy inequality holds for any Δt.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..potential_parameters import FloatArray
from .interfaces import DissipationGraph, EnergyGraph
from .newton import HUGE, MAX_PASSES, InitialState, NewtonPass, inner_matrix
from .symmetric import cholesky, lower_matrix, solve_lower


def harmless(
    strain: Tensor,
    strain_old: Tensor,
    statev: Tensor,
    dt: Tensor,
    outside: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Return the inputs with bad points zeroed, and a 0/1 flag of these ``(n, 1)``.

    Bad is what is not finite, a negative Δt, and what ``outside``, ``(n, 1)``, says to be so.
    """
    every = torch.cat([strain, strain_old, statev, dt], 1)
    infinite = torch.where(torch.abs(every) <= HUGE, torch.zeros_like(every), 1.0)
    negative = torch.where(dt >= 0.0, torch.zeros_like(dt), 1.0)
    flags = [infinite, negative] if outside is None else [infinite, negative, outside]
    bad = torch.amax(torch.cat(flags, 1), 1, keepdim=True)
    good = bad <= 0.0
    strain, strain_old = torch.where(good, strain, 0.0), torch.where(good, strain_old, 0.0)
    return strain, strain_old, torch.where(good, statev, 0.0), torch.where(good, dt, 0.0), bad


class Prepare(nn.Module):
    """First part of the update: find bad input, make it harmless, evaluate the frozen state."""

    def __init__(self, dissipation: DissipationGraph) -> None:
        super().__init__()
        self.dissipation = dissipation

    def forward(
        self, strain: Tensor, strain_old: Tensor, statev: Tensor, dt: Tensor
    ) -> tuple[Tensor, ...]:
        """Return the inputs with bad points zeroed, the two frozen tensors, and a 0/1 flag."""
        strain, strain_old, statev, dt, bad = harmless(strain, strain_old, statev, dt)
        mobility, amplitude = self.dissipation.prepare(strain_old, statev)
        return strain, statev, dt, mobility, amplitude, bad


class Verdict(nn.Module):
    """The outputs of a step with what is refused marked in them, and the excursion from training.

    Args:
        envelope: Range of each component of (ε, α) in training, ``(d, 2)``.
    """

    def __init__(self, envelope: FloatArray) -> None:
        super().__init__()
        bounds = torch.tensor(envelope)
        self.middle: Tensor
        self.inverse_half: Tensor
        self.register_buffer("middle", 0.5 * (bounds[:, 0] + bounds[:, 1])[None, :])
        self.register_buffer("inverse_half", 2.0 / (bounds[:, 1] - bounds[:, 0])[None, :])

    def outputs(
        self,
        state: tuple[Tensor, Tensor],
        stress: Tensor,
        tangent: Tensor,
        energies: tuple[Tensor, Tensor, Tensor],
        credit: Tensor,
        residual: Tensor,
        bad: Tensor,
        constant: float,
    ) -> tuple[Tensor, ...]:
        """Return the outputs of ``constitutive.onnx`` in their order.

        Args:
            state: ε⁺ and α⁺.
            stress: σ.
            tangent: dσ/dε.
            energies: f(ε⁺, α⁺), g⁺·(α⁺ − α_n) and f(ε⁺, α_n). A step is refused where the first
                two exceed the third by more than ``credit`` and round-off.
            credit: Part of the dissipation that may come from elsewhere, ``(n, 1)``.
            residual: Scaled residual.
            bad: 1 where the input is no input.
            constant: Magnitude of the constant of f, which cancels in the comparison.
        """
        energy, dissipation, before = energies
        magnitude = torch.abs(energy) + torch.abs(before) + torch.abs(dissipation) + constant
        stable = energy + dissipation - credit <= before + 1e-9 * magnitude
        residual = torch.where(stable, residual, torch.inf)
        strain, internal = state
        excursion = torch.abs(torch.cat([strain, internal], 1) - self.middle) * self.inverse_half
        validity = torch.relu(torch.amax(excursion - 1.0, 1, keepdim=True))
        good = bad <= 0.0
        nan = float("nan")
        return (
            torch.where(good, stress, nan),
            torch.where(good, internal, nan),
            torch.where(good.unsqueeze(2), tangent, nan),
            torch.where(good, energy, nan),
            torch.where(good, dissipation, nan),
            torch.where(good, residual, nan),
            validity,
        )


class Finish(nn.Module):
    """Last part of the update: stress, tangent, energies and the verdict on every point."""

    def __init__(
        self,
        energy: EnergyGraph,
        dissipation: DissipationGraph,
        strain_size: int,
        internal_size: int,
        envelope: FloatArray,
    ) -> None:
        super().__init__()
        self.energy, self.dissipation = energy, dissipation
        self.strain_size, self.internal_size = strain_size, internal_size
        self.verdict = Verdict(envelope)

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
        return self.verdict.outputs(
            (strain, internal),
            gradient[:, :m],
            tangent,
            (energy, dissipation, before),
            dt * potential,
            residual,
            bad,
            abs(self.energy.constant),
        )


class ImplicitUpdate(nn.Module):
    """The update of one step: the parts with the loop between them.

    Args:
        prepare: Inputs → ε, α_n, Δt, what is frozen over the step, and a 0/1 flag of bad points.
        start: What ``prepare`` gave but the flag → the state of the loop: α first, last but one the
            scaled residual and last a flag of the points that still iterate.
        newton: One pass of the loop.
        finish: What ``prepare`` gave, α and residual → outputs.
        strain_size: n_ε.
        internal_size: n_α.
    """

    vectors = 2
    """How many tensors of the loop's state, the first ones, have the width of α; others have 1."""

    def __init__(
        self,
        *,
        prepare: nn.Module,
        start: nn.Module,
        newton: nn.Module,
        finish: nn.Module,
        strain_size: int,
        internal_size: int,
    ) -> None:
        super().__init__()
        self.prepare, self.start, self.newton, self.finish = prepare, start, newton, finish
        self.strain_size, self.internal_size = strain_size, internal_size

    def forward(
        self, strain: Tensor, strain_old: Tensor, statev: Tensor, dt: Tensor
    ) -> tuple[Tensor, ...]:
        """Take one step; inputs and outputs as in :mod:`ibvonn_train.export.graphs.interfaces`."""
        prepared = self.prepare(strain, strain_old, statev, dt)
        state = self.start(*prepared[:-1])
        for _ in range(MAX_PASSES):
            state = self.newton(*prepared[:-1], *state)
            if not bool(torch.any(state[-1] > 0.5)):
                break
        outputs: tuple[Tensor, ...] = self.finish(*prepared, state[0], state[-2])
        return outputs


class ConstitutiveUpdate(ImplicitUpdate):
    """The update of a law with convex potentials.

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
        energy: EnergyGraph,
        dissipation: DissipationGraph,
        *,
        strain_size: int,
        internal_scale: FloatArray,
        envelope: FloatArray,
        residual_tolerance: float = 1e-10,
    ) -> None:
        size = len(internal_scale)
        super().__init__(
            prepare=Prepare(dissipation),
            start=InitialState(),
            newton=NewtonPass(energy, dissipation, internal_scale, residual_tolerance),
            finish=Finish(energy, dissipation, strain_size, size, envelope),
            strain_size=strain_size,
            internal_size=size,
        )
