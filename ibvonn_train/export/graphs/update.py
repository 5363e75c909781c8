"""The exported update of one step: backward Euler with the state of φ frozen.

    r(α) = α − α_n − Δt ∂φ/∂g(−∂f/∂α(ε, α); ε_n, α_n) = 0,   σ = ∂f/∂ε,
    C = f_εε − f_εα Δt L (I + Δt Lᵀ F L)⁻¹ Lᵀ f_αε,   Φ″ = L Lᵀ, F = f_αα.

It is the stationarity of an incremental minimisation, so C is symmetric, and where f is convex the
energy inequality holds for any Δt.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..parameters import FloatArray
from .interfaces import DissipationGraph, EnergyGraph
from .newton import HUGE, MAX_PASSES, NewtonPass, initial_state, inner_matrix
from .symmetric import cholesky, lower_matrix, solve_lower


class Prepare(nn.Module):
    """First part of the update: find bad input, make it harmless, evaluate the frozen state."""

    def __init__(self, dissipation: DissipationGraph) -> None:
        super().__init__()
        self.dissipation = dissipation

    def forward(
        self, strain: Tensor, strain_old: Tensor, statev: Tensor, dt: Tensor
    ) -> tuple[Tensor, ...]:
        """Return the inputs with bad points zeroed, the two frozen tensors, and a 0/1 flag."""
        every = torch.cat([strain, strain_old, statev, dt], 1)
        infinite = torch.where(torch.abs(every) <= HUGE, torch.zeros_like(every), 1.0)
        negative = torch.where(dt >= 0.0, torch.zeros_like(dt), 1.0)
        bad = torch.amax(torch.cat([infinite, negative], 1), 1, keepdim=True)
        good = bad <= 0.0
        strain, strain_old = torch.where(good, strain, 0.0), torch.where(good, strain_old, 0.0)
        statev, dt = torch.where(good, statev, 0.0), torch.where(good, dt, 0.0)
        mobility, amplitude = self.dissipation.prepare(strain_old, statev)
        return strain, statev, dt, mobility, amplitude, bad


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
        energy: EnergyGraph,
        dissipation: DissipationGraph,
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

    def forward(
        self, strain: Tensor, strain_old: Tensor, statev: Tensor, dt: Tensor
    ) -> tuple[Tensor, ...]:
        """Take one step; inputs and outputs as in :mod:`ibvonn_train.export.graphs.interfaces`."""
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
