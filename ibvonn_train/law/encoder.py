"""Encoder: internal variables as ensemble means of learned features of the microstate."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from ..data.binned_microstates import EmpiricalMeasure, Measures
from .internal_variables import InternalVariables
from .networks import TanhNetwork
from .normalisation import Normalisation


class Encoder(nn.Module):
    """Permutation-invariant map from an ensemble of microstates to internal variables of a class.

    Populations are α = ⟨ψ(x)⟩ with ψ in the simplex: the softmax of a tanh network, of which state
    0 is left out. Means are α = M(⟨ψ(x)⟩ − m) with ψ a tanh network. Both are linear in the
    distribution of x. Where the strain is averaged, means are those of χ(x − ⟨x⟩) but for one
    variable of the class: frozen under rigid translation by construction, as an averaged strain
    requires; all elements folded and all elements open look the same to them.

    Args:
        microstate_size: n_x.
        variables: Of the law; every class has the same encoder.
        centred: How many of the means are those of centred features.
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
        variables: InternalVariables,
        *,
        centred: int = 0,
        widths: Sequence[int],
        first_gain: float,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.populations = variables.populations
        self.fractions = variables.population_components
        self.size = variables.per_class
        sizes = (self.size - centred, centred)
        self.net, self.centred_net = (
            TanhNetwork(microstate_size, widths, n, generator=generator, first_gain=first_gain)
            if n
            else None
            for n in sizes
        )
        self.register_buffer("input_centre", torch.zeros(microstate_size, dtype=torch.float64))
        self.register_buffer("input_scale", torch.ones(microstate_size, dtype=torch.float64))
        self.register_buffer("centred_scale", torch.ones(microstate_size, dtype=torch.float64))
        self.register_buffer("shift", torch.zeros(self.size, dtype=torch.float64))
        self.register_buffer("matrix", torch.eye(self.size, dtype=torch.float64))

    @property
    def normalisation(self) -> Normalisation[Tensor]:
        """The stored one."""
        return Normalisation(self.shift, self.matrix)

    def store(self, normalisation: Normalisation[Tensor]) -> None:
        """Make ``normalisation`` the stored one."""
        self.shift.copy_(normalisation.shift.detach())
        self.matrix.copy_(normalisation.matrix.detach())

    def normalisation_of(self, raw: Tensor) -> Normalisation[Tensor]:
        """Return that of the means over some states; populations stay as they are.

        Args:
            raw: Raw means of the states, shape ``(n, n_class)``.
        """
        n = self.fractions
        if n == self.size:
            return self.normalisation
        of_means = Normalisation.of(raw[:, n:])
        matrix = torch.eye(self.size, dtype=raw.dtype, device=raw.device)
        matrix = torch.cat([matrix[:n], nn.functional.pad(of_means.matrix, (n, 0))])
        return Normalisation(torch.cat([raw.new_zeros(n), of_means.shift]), matrix)

    def features(self, microstate: Tensor) -> Tensor:
        """Return ψ of microstates ``(..., n_x)``, shape ``(..., n_class − centred)``."""
        if self.net is None:
            return microstate.new_zeros(*microstate.shape[:-1], 0)
        return self._in_simplex(self.net((microstate - self.input_centre) / self.input_scale))

    def raw_mean(self, measures: Measures) -> Tensor:
        """Return the raw means a of each ensemble, shape ``(n_state, n_class)``."""
        return self._averaged(measures, lambda values: values)

    def raw_variance(self, measures: Measures) -> Tensor:
        """Return the variance of the features within each ensemble, ``(n_state, n_class)``."""
        mean = self.raw_mean(measures)
        return (self._averaged(measures, torch.square) - mean.square()).clamp(min=0.0)

    def noise(self, measure: EmpiricalMeasure) -> Tensor:
        """Return M⟨ψ'ψ'ᵀ⟩Mᵀ, shape ``(n_state, n_class, n_class)``: what noise of x does to α.

        White noise of strength 2 k_BT/η on each replica gives N Var(dα) = 2 k_BT/η times this.
        """
        if self.net is None or self.centred_net is not None or self.populations:
            raise ValueError("noise: made for encoders of means without centred features.")
        scaled = (measure.nodes - self.input_centre) / self.input_scale
        _, slope = self.net.value_and_jacobian(scaled)
        slope = self.matrix @ (slope / self.input_scale)
        products: Tensor = slope @ slope.mT
        return measure.mean(products.flatten(-2)).reshape(-1, *products.shape[-2:])

    def forward(self, microstate: Tensor) -> Tensor:
        """Return α, shape ``(..., n_class)``, of microstates ``(..., n_replica, n_x)``."""
        parts = []
        if self.net is not None or self.centred_net is None:
            parts.append(torch.mean(self.features(microstate), -2))
        if self.centred_net is not None:
            centred = microstate - torch.mean(microstate, -2, keepdim=True)
            parts.append(torch.mean(self.centred_net(centred / self.centred_scale), -2))
        return self.normalisation(torch.cat(parts, -1))

    def _averaged(self, measures: Measures, of: Callable[[Tensor], Tensor]) -> Tensor:
        parts = []
        if self.net is not None:
            parts.append(measures.absolute.mean(of(self.features(measures.absolute.nodes))))
        if self.centred_net is not None:
            nodes = measures.centred.nodes / self.centred_scale
            parts.append(measures.centred.mean(of(self.centred_net(nodes))))
        if not parts:
            return measures.absolute.weights.new_zeros(len(measures.absolute.weights), 0)
        return torch.cat(parts, -1)

    def _in_simplex(self, output: Tensor) -> Tensor:
        parts, first = [], 0
        for states in self.populations:
            logits = output[..., first : first + states - 1]
            zero = torch.zeros_like(logits[..., :1])
            parts.append(torch.softmax(torch.cat([zero, logits], -1), -1)[..., 1:])
            first += states - 1
        return torch.cat([*parts, output[..., first:]], -1) if parts else output
