"""Build a law from its configuration, with scales taken from the training data."""

from __future__ import annotations

import torch

from ..law.decoder import Decoder
from ..law.dissipation import DualDissipation
from ..law.encoder import Encoder
from ..law.flow import ConditionalFlow
from ..law.free_energy import FreeEnergy
from ..law.learned_law import LearnedLaw, StrainKind
from ..law.mixture import GaussianMixture
from ..law.normalisation import Normalisation
from .dataset import TrainingSet
from .losses import weak_form
from .training_config import ConfigError, TrainingConfig

ENCODER_GAIN = {"controlled": 1.0, "averaged": 3.0}
"""Factor on ψ's initial first layer. Averaged strains are those of chains, whose springs have two
wells: ψ has to begin with features that are as fine against the range of x as the wells are."""


def build_law(
    config: TrainingConfig,
    *,
    strain_kind: StrainKind,
    strain_size: int,
    microstate_size: int,
    generator: torch.Generator,
) -> LearnedLaw:
    """Return an untrained law with unit scales.

    Of the width n (20) follow the hidden layers of f (n, n), of φ's network of the state (4n/5,
    twice) and of ψ (n/2, twice), and the number 2n/5 of ridges of φ: f bends in ε and α and takes
    most of them, ψ and φ are functions of few numbers. These ratios served every shipped law.

    Raises:
        ConfigError: If the decoder does not suit the microstates.
    """
    width = config.width
    encoder = Encoder(
        microstate_size,
        config.internal_size,
        # The first variable may see where x is; those after it describe the shape about ⟨x⟩.
        centred=max(config.internal_size - 1, 0) if strain_kind == "averaged" else 0,
        widths=(width // 2, width // 2),
        first_gain=ENCODER_GAIN[strain_kind],
        generator=generator,
    )
    decoder: Decoder
    if config.decoder == "flow":
        decoder = ConditionalFlow(microstate_size, config.internal_size, generator=generator)
    elif microstate_size == 1:
        decoder = GaussianMixture(config.internal_size, generator=generator)
    else:
        raise ConfigError(
            f"training.decoder: a mixture needs microstates of one dimension; these have "
            f"{microstate_size}. Use 'flow'."
        )
    energy = FreeEnergy(
        strain_size,
        config.internal_size,
        widths=(width, width),
        entropic_barriers=config.entropic_barriers,
        generator=generator,
    )
    dissipation = DualDissipation(
        strain_size,
        config.internal_size,
        ridges=2 * width // 5,
        context_widths=(4 * width // 5, 4 * width // 5),
        generator=generator,
    )
    return LearnedLaw(strain_kind, encoder, decoder, energy, dissipation)


@torch.no_grad()
def set_scales(law: LearnedLaw, data: TrainingSet) -> None:
    """Copy the scales of the training data into a law and orient its encoder.

    The time scale is that of the untrained encoder's rates, an order of magnitude for the networks.
    """
    scales = data.scales
    law.encoder.input_centre.copy_(scales.microstate_centre)
    law.encoder.input_scale.copy_(scales.microstate_scale)
    law.encoder.centred_scale.copy_(scales.centred_scale)
    law.decoder.centre.copy_(scales.decoder_centre)
    law.decoder.scale.copy_(scales.decoder_scale)
    law.energy.strain_centre.copy_(scales.strain_centre)
    law.energy.strain_scale.copy_(scales.strain_scale)
    scale = (scales.strain_scale * scales.stress_scale).mean()
    law.energy.energy_scale.copy_(scale)
    law.dissipation.energy_scale.copy_(scale)
    if not law.internal_size:
        return
    orient(law, data)
    rates = []
    for block in data.training:
        internal = block.series(law.encoder.normalisation(law.encoder.raw_mean(block.measures)))
        width = max(2, block.instants // 15)
        ((observed, _),) = weak_form(internal, torch.zeros_like(internal), block.time, [width])
        rates.append((block.duration_ratio * observed).square().mean())
    law.dissipation.time_scale.copy_(1.0 / torch.stack(rates).mean().sqrt())


@torch.no_grad()
def orient(law: LearnedLaw, data: TrainingSet) -> None:
    """Flip features of ψ that fall where the mean microstate rises; store the normalisation.

    Only before training: afterwards the other networks depend on the sign.
    """
    encoder = law.encoder
    raw = torch.cat([encoder.raw_mean(block.measures) for block in data.training])
    if encoder.net is not None:
        measures = [block.measures.absolute for block in data.training]
        mean = torch.cat([measure.mean(measure.nodes) for measure in measures])[:, 0]
        last, bias = encoder.net.weights[-1], encoder.net.biases[-1]
        sign = torch.sign(((raw - raw.mean(0)) * (mean - mean.mean())[:, None]).sum(0))
        last.mul_(sign[: len(last), None])
        bias.mul_(sign[: len(last)])
        raw = torch.cat([raw[:, : len(last)] * sign[: len(last)], raw[:, len(last) :]], 1)
    encoder.store(Normalisation.of(raw))
