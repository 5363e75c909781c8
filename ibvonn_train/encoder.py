"""Encoder: internal variables as ensemble means, α = M(⟨ψ_θ(x)⟩ − m)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .empirical import EmpiricalMeasure
from .networks import TanhNetwork


@dataclass(frozen=True)
class Gauge:
    """Affine map α = M (a − m) from raw ensemble means a to internal variables.

    Attributes:
        shift: m, shape ``(n_α,)``.
        matrix: M, shape ``(n_α, n_α)``.
    """

    shift: Tensor
    matrix: Tensor

    def __call__(self, raw: Tensor) -> Tensor:
        """Return α, shape ``(..., n_α)``."""
        return (raw - self.shift) @ self.matrix.T


def whitening(raw: Tensor) -> Gauge:
    """Return the gauge with zero mean, unit variance and no correlation over the given states.

    M is the inverse of the lower Cholesky factor of the covariance: α_1 is the first raw mean,
    standardised, and each further one is what is new in it. Differentiable in ``raw``.

    Args:
        raw: Raw ensemble means, shape ``(n_state, n_α)``.
    """
    shift = raw.mean(0)
    centred = raw - shift
    covariance = centred.T @ centred / len(raw)
    # The floor keeps two initially parallel variables from giving an infinite matrix.
    floor = 1e-10 * torch.diagonal(covariance).detach().sum() + 1e-300
    identity = torch.eye(raw.shape[1], dtype=raw.dtype, device=raw.device)
    factor = torch.linalg.cholesky(covariance + floor * identity)
    return Gauge(shift, torch.linalg.solve_triangular(factor, identity, upper=False))


class Encoder(nn.Module):
    """Permutation-invariant map from an ensemble of microstates to internal variables.

    α = M(⟨ψ_θ(x)⟩ − m) is linear in the distribution of x; ψ is a tanh network of one microstate.

    Args:
        microstate_size: n_x.
        internal_size: n_α, 0 allowed.
        widths: Hidden layers of ψ.
        first_gain: Factor on the initial first layer.
        generator: Source of the initial weights.
    """

    input_centre: Tensor
    input_scale: Tensor
    shift: Tensor
    matrix: Tensor

    def __init__(
        self,
        microstate_size: int,
        internal_size: int,
        *,
        widths: Sequence[int],
        first_gain: float,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.net = TanhNetwork(
            microstate_size, widths, internal_size, generator=generator, first_gain=first_gain
        )
        self.register_buffer("input_centre", torch.zeros(microstate_size, dtype=torch.float64))
        self.register_buffer("input_scale", torch.ones(microstate_size, dtype=torch.float64))
        self.register_buffer("shift", torch.zeros(internal_size, dtype=torch.float64))
        self.register_buffer("matrix", torch.eye(internal_size, dtype=torch.float64))

    @property
    def gauge(self) -> Gauge:
        """Stored gauge."""
        return Gauge(self.shift, self.matrix)

    def store(self, gauge: Gauge) -> None:
        """Make ``gauge`` the stored one."""
        self.shift.copy_(gauge.shift.detach())
        self.matrix.copy_(gauge.matrix.detach())

    def features(self, microstate: Tensor) -> Tensor:
        """Return ψ(x), shape ``(..., n_α)``, for microstates ``(..., n_x)``."""
        y: Tensor = self.net((microstate - self.input_centre) / self.input_scale)
        return y

    def features_and_slope(self, microstate: Tensor) -> tuple[Tensor, Tensor]:
        """Return ψ and ∂ψ/∂x, shapes ``(..., n_α)`` and ``(..., n_α, n_x)``."""
        value, jacobian = self.net.value_and_jacobian(
            (microstate - self.input_centre) / self.input_scale
        )
        return value, jacobian / self.input_scale

    def raw_mean(self, measure: EmpiricalMeasure) -> Tensor:
        """Return ⟨ψ⟩ of each measure, shape ``(n_state, n_α)``."""
        return measure.mean(self.features(measure.nodes))

    def raw_mean_and_slope(self, measure: EmpiricalMeasure) -> tuple[Tensor, Tensor]:
        """Return ⟨ψ⟩ and ⟨∂ψ/∂x⟩, shapes ``(n_state, n_α)`` and ``(n_state, n_α, n_x)``."""
        value, slope = self.features_and_slope(measure.nodes)
        means = measure.mean(torch.cat([value, slope.flatten(-2)], -1))
        n = value.shape[-1]
        return means[:, :n], means[:, n:].reshape(-1, *slope.shape[-2:])

    def forward(self, microstate: Tensor) -> Tensor:
        """Return α, shape ``(n_state, n_α)``, of microstates ``(n_state, n_replica, n_x)``."""
        return self.gauge(self.features(microstate).mean(-2))
