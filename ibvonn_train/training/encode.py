"""First stage, *encode*: ψ from the slow features of the data, and the scales of a law."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from ..data.binned_microstates import EmpiricalMeasure
from ..law.convex_potentials import ConvexPotentials
from ..law.learned_law import LearnedLaw
from ..law.mixture import MixtureFlow
from ..law.population_potentials import PopulationPotentials
from ..statistical_mechanics.microscopic_energy import Physics
from .dataset import TrainingSet
from .first_fit import fit_first
from .linear_stress import start_from_stress
from .shape_features import shape_features
from .slow_features import DIGITS, FloatArray, SlowFeatures, memberships, smooth_features

FIT_ITERATIONS = 300
RARE = 1e-5
"""Weight of a cell that is never visited, in the fit of ψ: its features are noise."""
NARROWEST = 1e-2
"""Initial width of the density of a state at least, in standard deviations of all microstates."""


def encode(
    law: LearnedLaw,
    data: TrainingSet,
    features: SlowFeatures,
    physics: Physics,
    iterations: int,
) -> None:
    """Give an untrained law the scales of the data, ψ from its slow features, and first potentials.

    Args:
        law: With unit scales; changed in place.
        data: Training data.
        features: Slow features of the microstate.
        physics: What is known of the system.
        iterations: Of the fit of f and φ at most.
    """
    set_scales(law, data, features, physics)
    fit_encoder(law, target_of(law, features, data), features)
    if law.encoder.centred_net is not None:
        fit_centred_encoder(law, data)
    with torch.no_grad():
        raw = torch.cat([law.encoder.raw_mean(anchor) for anchor in data.anchors])
        law.encoder.store(law.encoder.normalisation_of(raw))
    if isinstance(law.decoder, MixtureFlow):
        start_from_states(law.decoder, law, data)
    if isinstance(law.potentials, PopulationPotentials):
        start_from_stress(law.potentials, law, data)
    fit_first(law, data, physics, iterations)


@torch.no_grad()
def set_scales(
    law: LearnedLaw, data: TrainingSet, features: SlowFeatures, physics: Physics
) -> None:
    """Copy the scales of the data into a law."""
    scales, encoder, potentials = data.scales, law.encoder, law.potentials
    encoder.input_centre.copy_(scales.microstate_centre)
    encoder.input_scale.copy_(scales.microstate_scale)
    encoder.centred_scale.copy_(scales.centred_scale)
    law.decoder.centre.copy_(scales.decoder_centre)
    law.decoder.scale.copy_(scales.decoder_scale)
    potentials.strain_centre.copy_(scales.strain_centre)
    potentials.strain_scale.copy_(scales.strain_scale)
    energy = (scales.strain_scale * scales.stress_scale).mean()
    potentials.energy_scale.copy_(energy)
    slow = float(features.time_scales[0])
    if isinstance(potentials, PopulationPotentials):
        potentials.thermal_energy.fill_(physics.thermal_energy)
        potentials.time_scale.fill_(slow)
        if potentials.means is not None:
            potentials.means.time_scale.fill_(float(features.time_scales[1]))
    if isinstance(potentials, ConvexPotentials):
        potentials.dissipation.energy_scale.copy_(energy)
        potentials.dissipation.time_scale.fill_(slow)


def target_of(law: LearnedLaw, features: SlowFeatures, data: TrainingSet) -> FloatArray:
    """Return what ψ should be on the cells, ``(n_cell, n)``.

    Populations: memberships, state 0 being the one most occupied at the first instants, the others
    in the order of their mean microstate. Means: the slowest features themselves, of unit variance,
    rising with the first component of the microstate.
    """
    columns: list[FloatArray] = []
    centres = features.centres[:, 0]
    weights = features.occupancy
    for states in law.variables.populations:
        members = memberships(features, states)
        first = _first_membership(members, features, data)
        middle = (weights * centres) @ members / (weights @ members)
        rest = [s for s in np.argsort(middle) if s != first]
        columns += [members[:, s] for s in rest]
    uncentred = 0 if law.encoder.centred_net is not None else law.variables.means
    smooth = smooth_features(features, uncentred).values if uncentred else features.values
    for number in range(uncentred):
        column = smooth[:, number]
        mean = weights @ column
        spread = np.sqrt(weights @ (column - mean) ** 2)
        sign = np.sign(weights @ ((column - mean) * (centres - weights @ centres)))
        columns.append((sign or 1.0) * (column - mean) / spread)
    if not columns:
        return np.zeros((len(centres), 0))
    return np.asarray(np.round(np.column_stack(columns), DIGITS), dtype=np.float64)


def _first_membership(members: FloatArray, features: SlowFeatures, data: TrainingSet) -> int:
    """Return the state that most elements are in at the first instants."""
    block = data.training[0]
    first = block.measures.absolute.select(block.sites[:, 0].reshape(-1))
    nodes = first.nodes.reshape(-1, first.nodes.shape[-1]).cpu().numpy()
    away = (nodes[:, None] - features.centres) / features.centres.std(0)
    cell = (away**2).sum(-1).argmin(1)
    values = torch.as_tensor(members[cell]).to(first.weights)
    values = values if first.shared else values.reshape(*first.nodes.shape[:2], -1)
    return int(first.mean(values).mean(0).argmax())


def fit_encoder(law: LearnedLaw, target: FloatArray, features: SlowFeatures) -> None:
    """Fit the network of ψ to its target on the cells, by least squares."""
    encoder = law.encoder
    if encoder.net is None:
        return
    device = encoder.shift.device
    x, y, weight = (
        # Copies: BLAS repeats to the bit only on memory that torch has aligned.
        torch.tensor(array, dtype=torch.float64).to(device)
        for array in (features.centres, target, features.occupancy + RARE)
    )
    fit(encoder.net, x, y, weight, encoder.features)


def fit(
    net: nn.Module,
    x: Tensor,
    target: Tensor,
    weight: Tensor,
    function: Callable[[Tensor], Tensor] | None = None,
) -> None:
    """Fit a network to a target at some points, by weighted least squares.

    Args:
        net: Whose parameters are fitted.
        x: Points, ``(n, n_x)``.
        target: Values there, ``(n, n_out)``.
        weight: Of each point, ``(n,)``.
        function: What is compared with the target; the network itself by default.
    """
    values = function or net
    optimiser = torch.optim.LBFGS(
        net.parameters(),
        max_iter=FIT_ITERATIONS,
        history_size=30,
        tolerance_change=1e-12,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        optimiser.zero_grad()
        error: Tensor = (weight[:, None] * (values(x) - target) ** 2).sum()
        error.backward()  # type: ignore[no-untyped-call]
        return error

    optimiser.step(closure)  # type: ignore[no-untyped-call]


def fit_centred_encoder(law: LearnedLaw, data: TrainingSet) -> None:
    """Fit χ to the features of the shape that populations and strain leave open.

    Of microstates of one dimension; the network of others starts at random.
    """
    encoder = law.encoder
    centred = [block.measures.centred for block in data.training]
    if encoder.centred_net is None or not all(m.shared for m in centred):
        return
    measure = EmpiricalMeasure(centred[0].nodes, torch.cat([m.weights for m in centred]))
    if measure.nodes.shape[-1] != 1:
        return
    with torch.no_grad():
        known = []
        for block in data.training:
            raw = encoder.raw_mean(block.measures)[:, : encoder.fractions]
            strain = block.flat(block.strain).repeat_interleave(block.classes, 0)
            known.append(torch.cat([raw, strain], 1))
        samples = min(block.samples for block in data.training)
        count = encoder.size - encoder.fractions
        target, _ = shape_features(measure, torch.cat(known), samples, count)
        weight = measure.weights.mean(0).clamp(min=0.0)
    fit(encoder.centred_net, measure.nodes / encoder.centred_scale, target, weight + RARE)


@torch.no_grad()
def start_from_states(decoder: MixtureFlow, law: LearnedLaw, data: TrainingSet) -> None:
    """Put the density of each state where the encoder sees the state: its first two moments.

    ⟨ψ_s⟩, ⟨ψ_s y⟩ and ⟨ψ_s y²⟩ summed over the training data, y being x or x − ε.
    """
    states = decoder.states
    share, first, second = (torch.zeros_like(decoder.state_centre) for _ in range(3))
    for block in data.training:
        measure = block.measures.absolute
        rest = law.encoder.features(measure.nodes)[..., : states - 1]
        members = torch.cat([1.0 - rest.sum(-1, keepdim=True), rest], -1).unsqueeze(-1)
        x = measure.nodes.unsqueeze(-2)
        origin = law.origin(block.flat(block.strain))
        moments = [
            measure.mean((members * power).flatten(-2)).reshape(-1, *decoder.state_centre.shape)
            for power in (torch.ones_like(x), x, x * x)
        ]
        share = share + moments[0].sum(0)
        first = first + (moments[1] - origin * moments[0]).sum(0)
        second = second + (moments[2] - (2.0 * moments[1] - origin * moments[0]) * origin).sum(0)
    share = share.clamp(min=RARE)
    mean = first / share
    variance = second / share - mean.square()
    decoder.state_centre.copy_((mean - decoder.centre) / decoder.scale)
    width = variance.clamp(min=0.0).sqrt() / decoder.scale
    decoder.state_scale.copy_(width.clamp(min=NARROWEST))
