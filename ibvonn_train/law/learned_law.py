"""The learned law: encoder, decoder and potentials in one module."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from ..data.binned_microstates import Measures
from .class_features import ClassFeatures
from .decoder import Decoder
from .encoder import Encoder
from .internal_variables import InternalVariables
from .population_potentials import PopulationPotentials
from .potentials import Potentials
from .rates import Rates

StrainKind = Literal["controlled", "averaged"]


class LearnedLaw(nn.Module):
    """Constitutive law with potentials f and φ, encoder ψ and decoder q.

    Args:
        strain_kind: "controlled" (the decoder describes x) or "averaged" (it describes x − ε).
        variables: Kinds and numbers of the internal variables.
        encoder: Of the elements of one class.
        decoder: Density of their microstates given the context of their class.
        potentials: f(ε, α) and φ(g; ε, α).
    """

    def __init__(
        self,
        strain_kind: StrainKind,
        variables: InternalVariables,
        encoder: Encoder,
        decoder: Decoder,
        potentials: Potentials,
    ) -> None:
        super().__init__()
        self.strain_kind: StrainKind = strain_kind
        self.variables = variables
        self.encoder = encoder
        self.decoder = decoder
        self.potentials = potentials

    @property
    def internal_size(self) -> int:
        """n_α."""
        return self.variables.size

    @property
    def strain_size(self) -> int:
        """n_ε."""
        return self.potentials.strain_size

    def forward(self, strain: Tensor, internal: Tensor) -> Rates[Tensor]:
        """Return f, σ, g, α̇ for ε of shape ``(..., n_ε)`` and α of ``(..., n_α)``."""
        rates: Rates[Tensor] = self.potentials(strain, internal)
        return rates

    def encode(self, measures: Measures) -> Tensor:
        """Return α of the classes of each ensemble, shape ``(n_state, n_class)``."""
        return self.encoder.normalisation(self.encoder.raw_mean(measures))

    def origin(self, strain: Tensor) -> Tensor:
        """Return where the decoder's coordinate starts, shape ``(n_site, 1, n_x)``: ε or 0."""
        start = strain if self.strain_kind == "averaged" else torch.zeros_like(strain[..., :1])
        return start.repeat_interleave(self.variables.classes, 0).unsqueeze(-2)

    @property
    def decoder_features(self) -> ClassFeatures | None:
        """What gives the decoder strain features: those of populations under an imposed strain.

        The fractions of the states do not say where the states are: an imposed strain moves them. A
        decoder of means does not see the imposed strain: its σ = ∂F_flow/∂ε is then exact.
        """
        if self.strain_kind == "controlled" and isinstance(self.potentials, PopulationPotentials):
            return self.potentials.features
        return None

    def context(self, strain: Tensor, internal: Tensor) -> Tensor:
        """Return what the decoder is given at sites, ``(n_site, n_c)``.

        Args:
            strain: ε of the states, ``(n_state, n_ε)``.
            internal: α of their sites, (state, class) in this order, ``(n_site, n_class)``.
        """
        if self.decoder_features is None:
            return internal
        matrix, shift = self.decoder_features.of_strain()
        features = torch.einsum("cqm,sm->scq", matrix, strain) + shift
        return torch.cat([features.flatten(0, 1), internal], -1)

    def log_density(self, microstate: Tensor, strain: Tensor, internal: Tensor) -> Tensor:
        """Return ln q, ``(n_site, n_point)``, of microstates ``(n_site, n_point, n_x)``.

        Arguments as of :meth:`context`.
        """
        context = self.context(strain, internal)
        return self.decoder.log_density(microstate - self.origin(strain), context)

    def sample(self, noise: Tensor, strain: Tensor, internal: Tensor) -> Tensor:
        """Return microstates of the shape of ``noise``, ``(n_site, n_sample, n_x)``."""
        return self.decoder.sample(noise, self.context(strain, internal)) + self.origin(strain)
