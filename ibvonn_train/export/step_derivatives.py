"""Derivatives of a step with respect to its inputs, by the implicit function theorem.

The internal variables of a step solve α⁺ = A(ε⁺, α⁺; ε_n, α_n, Δt), so that

    (I − ∂A/∂α⁺) dα⁺ = ∂A/∂(ε⁺, ε_n, α_n, Δt) d(ε⁺, ε_n, α_n, Δt),   dσ = f_εε dε⁺ + f_εα dα⁺.

No iteration is differentiated. The kernel in C does the same (``law_derivatives.h``).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .constitutive_law import ConstitutiveLaw
from .graphs.forward_mode import Dual, ForwardMode
from .graphs.interfaces import INPUTS
from .graphs.populations import ROUND_OFF
from .graphs.unsymmetric import solve
from .graphs.update import harmless

DERIVATIVE_INPUTS = (*INPUTS, "statev_new")
DERIVATIVE_OUTPUTS = ("stress_derivative", "statev_derivative")


class ImplicitEquation(nn.Module):
    """σ(ε⁺, α⁺) and A(ε⁺, α⁺; ε_n, α_n, Δt) of a law."""

    def __init__(self, law: ConstitutiveLaw) -> None:
        super().__init__()
        self.strain_size, self.kinetics = law.strain_size, law.kinetics
        self.energy = law.energy if law.kinetics is None else law.kinetics.energy
        self.dissipation = law.dissipation

    def forward(
        self, strain: Tensor, strain_old: Tensor, statev: Tensor, dt: Tensor, internal: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return σ ``(n, n_ε)`` and A ``(n, n_α)``."""
        m = self.strain_size
        _, gradient = self.energy.gradient(strain, internal)
        force = -gradient[:, m:]
        if self.kinetics is not None:
            frozen = self.kinetics.prepare(strain_old, statev)
            return gradient[:, :m], self.kinetics.balance(statev, dt, force, *frozen).internal
        frozen = self.dissipation.prepare(strain_old, statev)
        return gradient[:, :m], statev + dt * self.dissipation.derivatives(force, *frozen)[1]


class StepDerivatives(nn.Module):
    """The derivatives as a graph without loops, at the α⁺ that the update has found."""

    def __init__(self, law: ConstitutiveLaw) -> None:
        super().__init__()
        self.sizes = (law.strain_size, law.strain_size, law.internal_size, 1, law.internal_size)
        self.populations = None if law.kinetics is None else law.kinetics.populations
        self.equation = ForwardMode(ImplicitEquation(law))

    @property
    def columns(self) -> int:
        """Number of derivatives of each component: by ε⁺, ε_n, α_n and Δt, in this order."""
        return sum(self.sizes[:-1])

    def forward(
        self, strain: Tensor, strain_old: Tensor, statev: Tensor, dt: Tensor, statev_new: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return those of σ and of α⁺, ``(n, n_ε, columns)`` and ``(n, n_α, columns)``.

        They are NaN where an input is bad.
        """
        both = torch.cat([statev, statev_new], 1)
        outside = None
        if self.populations is not None:
            missing = torch.amax(-self.populations.fractions(statev), 1, keepdim=True)
            outside = torch.where(missing <= ROUND_OFF, torch.zeros_like(dt), 1.0)
        strain, strain_old, both, dt, bad = harmless(strain, strain_old, both, dt, outside)
        m, n, count = self.sizes[0], self.sizes[-1], self.columns
        statev, statev_new = both[:, :n], both[:, n:]
        if self.populations is not None:
            statev = self.populations.within(statev)
            statev_new = self.populations.within(statev_new)
        x = torch.cat([strain, strain_old, statev, dt, statev_new], 1)
        width = sum(self.sizes)
        # A copy of the point for each direction.
        directions = torch.zeros_like(x).unsqueeze(1) + torch.eye(width, dtype=torch.float64)
        points = x.unsqueeze(1) + 0.0 * directions
        inputs, first = [], 0
        for size in self.sizes:
            parts = (y[:, :, first : first + size] for y in (points, directions))
            inputs.append(Dual(*(torch.reshape(part, (-1, size)) for part in parts)))
            first += size
        stress, state = (
            torch.transpose(torch.reshape(y.slope, (-1, width, size)), -1, -2)
            for y, size in zip(self.equation.run(*inputs), (m, n), strict=True)
        )
        implicit = torch.eye(n, dtype=torch.float64) - state[:, :, count:]
        moved = solve(implicit, state[:, :, :count], n)
        by_stress = stress[:, :, :count] + torch.matmul(stress[:, :, count:], moved)
        good = (bad <= 0.0).unsqueeze(2)
        return torch.where(good, by_stress, torch.nan), torch.where(good, moved, torch.nan)
