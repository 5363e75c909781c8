"""Encoder: internal variables as ensemble means of learned features of the microstate."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..data.binned_microstates import EmpiricalMeasure, Measures
from .networks import TanhNetwork
from .normalisation import Normalisation


class Encoder(nn.Module):
    """Permutation-invariant map from an ensemble of microstates to internal variables.

    α = M(a − m) with raw means a = (⟨ψ(x)⟩, ⟨χ(x − ⟨x⟩)⟩); ψ and χ are tanh networks of one
    microstate. The first are linear in the distribution of x. The others are frozen under rigid
    translation by construction, as an averaged strain requires, and linear in the distribution of
    x − ε, so f stays convex in α; they come after the first and describe the shape of the
    distribution only: all springs folded and all springs open look the same to them.

    Args:
        microstate_size: n_x.
        internal_size: n_α, 0 allowed.
        centred: How many of the n_α are means of centred features.
        widths: Hidden layers of ψ and χ.
        first_gain: Factor on their initial first layers.
        generator: Source of the initial weights.
    """

    input_centre: Tensor
    input_scale: Tensor
    centred_scale: Tensor
    shift: Tensor
    matrix: Tensor

    def __init__(
        self,
        microstate_size: int,
        internal_size: int,
        *,
        centred: int = 0,
        widths: Sequence[int],
        first_gain: float,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        sizes = (internal_size - centred, centred)
        self.net, self.centred_net = (
            TanhNetwork(microstate_size, widths, n, generator=generator, first_gain=first_gain)
            if n
            else None
            for n in sizes
        )
        self.register_buffer("input_centre", torch.zeros(microstate_size, dtype=torch.float64))
        self.register_buffer("input_scale", torch.ones(microstate_size, dtype=torch.float64))
        self.register_buffer("centred_scale", torch.ones(microstate_size, dtype=torch.float64))
        self.register_buffer("shift", torch.zeros(internal_size, dtype=torch.float64))
        self.register_buffer("matrix", torch.eye(internal_size, dtype=torch.float64))

    @property
    def normalisation(self) -> Normalisation[Tensor]:
        """The stored one."""
        return Normalisation(self.shift, self.matrix)

    def store(self, normalisation: Normalisation[Tensor]) -> None:
        """Make ``normalisation`` the stored one."""
        self.shift.copy_(normalisation.shift.detach())
        self.matrix.copy_(normalisation.matrix.detach())

    def raw_mean(self, measures: Measures) -> Tensor:
        """Return the raw means a of each ensemble, shape ``(n_state, n_α)``."""
        parts = []
        if self.net is not None:
            nodes = measures.absolute.nodes
            parts.append(measures.absolute.mean(self.net(self._scaled(nodes))))
        return self._with_centred(parts, measures)

    def noise(self, measure: EmpiricalMeasure) -> Tensor:
        """Return M⟨ψ'ψ'ᵀ⟩Mᵀ, shape ``(n_state, n_α, n_α)``: what independent noise of x does to α.

        White noise of strength 2 k_BT/η on each replica gives N Var(dα) = 2 k_BT/η times this.
        """
        if self.net is None or self.centred_net is not None:
            raise ValueError("noise: made for encoders without centred features.")
        _, slope = self.net.value_and_jacobian(self._scaled(measure.nodes))
        slope = self.matrix @ (slope / self.input_scale)
        products: Tensor = slope @ slope.mT
        return measure.mean(products.flatten(-2)).reshape(-1, *products.shape[-2:])

    def raw_mean_and_slope(self, measures: Measures) -> tuple[Tensor, Tensor]:
        """Return a and ∂a/∂x under a rigid translation x → x + c of the ensemble.

        Shapes ``(n_state, n_α)`` and ``(n_state, n_α, n_x)``; the slope of centred means is zero.
        """
        measure = measures.absolute
        parts, slopes = [], []
        n_x = measure.nodes.shape[-1]
        if self.net is not None:
            value, slope = self.net.value_and_jacobian(self._scaled(measure.nodes))
            means = measure.mean(torch.cat([value, (slope / self.input_scale).flatten(-2)], -1))
            n = value.shape[-1]
            parts.append(means[:, :n])
            slopes.append(means[:, n:].reshape(-1, n, n_x))
        if self.centred_net is not None:
            n = self.centred_net.weights[-1].shape[0]
            slopes.append(measure.weights.new_zeros(len(measure.weights), n, n_x))
        return self._with_centred(parts, measures), torch.cat(slopes, 1)

    def forward(self, microstate: Tensor) -> Tensor:
        """Return α, shape ``(..., n_α)``, of microstates ``(..., n_replica, n_x)``."""
        parts = []
        if self.net is not None:
            parts.append(torch.mean(self.net(self._scaled(microstate)), -2))
        if self.centred_net is not None:
            centred = microstate - torch.mean(microstate, -2, keepdim=True)
            parts.append(torch.mean(self.centred_net(centred / self.centred_scale), -2))
        if not parts:
            return microstate.new_zeros(*microstate.shape[:-2], 0)
        return self.normalisation(torch.cat(parts, -1))

    def _scaled(self, microstate: Tensor) -> Tensor:
        return (microstate - self.input_centre) / self.input_scale

    def _with_centred(self, parts: list[Tensor], measures: Measures) -> Tensor:
        if self.centred_net is not None:
            nodes = measures.centred.nodes / self.centred_scale
            parts = [*parts, measures.centred.mean(self.centred_net(nodes))]
        if not parts:
            return measures.absolute.weights.new_zeros(len(measures.absolute.weights), 0)
        return torch.cat(parts, -1)
