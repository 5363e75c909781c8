"""The weights of a trained law as the arrays of an exported one, with its zero moved."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ..law.convex_potentials import ConvexPotentials
from ..law.population_potentials import PopulationPotentials, Prepared
from ..training.trained_model import TrainedModel
from .constitutive_law import ConstitutiveLaw
from .folding import fold_scales, shifted, with_zero_energy
from .parameters import LawParameters
from .population_parameters import PopulationParameters
from .potential_parameters import FloatArray

LEAST_FRACTION = 1e-12
"""Of state 0 at rest: it is what the others leave of 1, and has no digits far below."""
LEAST_SCALE = 1e-2
"""Standard deviation of a fraction by which residuals are scaled at least: one that never changed
in training is known to no better."""


def law_parameters(
    model: TrainedModel, strain: FloatArray, internal: FloatArray
) -> LawParameters | PopulationParameters:
    """Return the weights of a law with its zero moved to a given state, scales folded in.

    Args:
        model: The trained model.
        strain: ε that becomes 0, shape ``(n_ε,)``.
        internal: α that becomes 0, shape ``(n_α,)``; f has its minimum over α there.

    Raises:
        ValueError: If a state of a population is empty at rest.
        TypeError: If the potentials are of no family that is exported.
    """
    shift = np.concatenate([strain, internal])
    potentials = model.law.potentials
    if isinstance(potentials, PopulationPotentials):
        _require_states(model, internal)
        moved = shifted(_of_populations(model, potentials), shift)
        return with_zero_energy(_at_rest(moved))
    if isinstance(potentials, ConvexPotentials):
        return with_zero_energy(shifted(_of_means(model, potentials), shift))
    raise TypeError(
        "export: the potentials must be convex ones or those of populations; found "
        f"{type(potentials).__name__}."
    )


def _of_means(model: TrainedModel, potentials: ConvexPotentials) -> LawParameters:
    """Return the law in the variables of the training: f and φ are networks of scaled ones."""
    energy, dissipation = potentials.energy, potentials.dissipation
    weights = energy.net.weights()
    quadratic = _array(weights.quadratic)
    n, size = model.strain_size, model.internal_size
    centre, scale = _array(energy.strain_centre), _array(energy.strain_scale)
    envelope = model.envelope.copy()
    envelope[:n] = (envelope[:n] - centre[:, None]) / scale[:, None]
    networks = LawParameters(
        strain_size=n,
        internal_size=size,
        energy_constant=0.0,
        energy_linear=_array(weights.linear),
        energy_quadratic=0.5 * (quadratic + quadratic.T),
        energy_skip=_arrays(weights.skip),
        energy_bias=_arrays(weights.bias),
        energy_hidden=_arrays(weights.hidden),
        energy_output=_array(weights.output),
        ridge_weight=_array(dissipation.net.weight),
        ridge_bias=_array(dissipation.net.bias),
        context_weight=_arrays(dissipation.net.context.weights),
        context_bias=_arrays(dissipation.net.context.biases),
        internal_scale=np.ones(size),
        envelope=envelope,
    )
    return fold_scales(
        networks,
        scale=np.concatenate([1.0 / scale, np.ones(size)]),
        shift=np.concatenate([-centre / scale, np.zeros(size)]),
        energy_scale=float(energy.energy_scale),
        time_scale=float(dissipation.time_scale),
    )


def _of_populations(model: TrainedModel, potentials: PopulationPotentials) -> PopulationParameters:
    """Return the law whose α are the fractions themselves, and the means of the training."""
    variables, size = potentials.variables, potentials.internal_size
    with torch.no_grad():
        weights = potentials.prepared()
    quadratic = _array(weights.energy.quadratic)
    scale = np.maximum(np.asarray(model.record["internal_scale"]), LEAST_SCALE)
    scale[list(variables.mean_components)] = 1.0
    ridge_weight, ridge_bias, context_weight, context_bias = _ridges(potentials, weights)
    return PopulationParameters(
        strain_size=model.strain_size,
        internal_size=size,
        energy_constant=0.0,
        energy_linear=_array(weights.energy.linear),
        energy_quadratic=0.5 * (quadratic + quadratic.T),
        energy_skip=_arrays(weights.energy.skip),
        energy_bias=_arrays(weights.energy.bias),
        energy_hidden=_arrays(weights.energy.hidden),
        energy_output=_array(weights.energy.output),
        ridge_weight=ridge_weight,
        ridge_bias=ridge_bias,
        context_weight=context_weight,
        context_bias=context_bias,
        internal_scale=scale,
        envelope=model.envelope,
        thermal_energy=float(potentials.thermal_energy),
        groups=model.groups,
        rest=np.zeros(size),
        rate_weight=_arrays(weights.rate[0]),
        rate_bias=_arrays(weights.rate[1]),
        rate_barrier=_array(weights.barrier).reshape(-1),
    )


def _ridges(
    potentials: PopulationPotentials, weights: Prepared
) -> tuple[FloatArray, FloatArray, tuple[FloatArray, ...], tuple[FloatArray, ...]]:
    """Return ridges and context network of the means of all classes as those of one φ_means.

    φ of a class is (E/τ) φ̂(g/E): Λ = Λ̂/√(Eτ), A = Â E/τ, W = Ŵ/E. Between classes Λ is zero.
    """
    means, classes = potentials.means, potentials.variables.classes
    if means is None:
        return np.zeros((0, 0)), np.zeros(0), (), ()
    m, ridges = means.size, means.ridges
    energy, time = float(potentials.energy_scale), float(means.time_scale)
    context_weight, context_bias = _arrays(weights.context[0]), _arrays(weights.context[1])
    # Outputs of a class: its lower triangle row by row, then ln A of its ridges.
    triangle = m * (m + 1) // 2
    last_weight = context_weight[-1].reshape(classes, triangle + ridges, -1)
    last_bias = context_bias[-1].reshape(classes, triangle + ridges)
    rows, columns = np.tril_indices(classes * m)
    size = len(rows) + classes * ridges
    weight, bias = np.zeros((size, last_weight.shape[-1])), np.zeros(size)
    root = 1.0 / np.sqrt(energy * time)
    for entry, (i, j) in enumerate(zip(rows, columns, strict=True)):
        (a, row), (b, column) = divmod(i, m), divmod(j, m)
        if a != b:
            continue
        place = row * (row + 1) // 2 + column
        factor, added = (1.0, np.log(root)) if i == j else (root, 0.0)
        weight[entry] = factor * last_weight[a, place]
        bias[entry] = factor * last_bias[a, place] + added
    weight[len(rows) :] = last_weight[:, triangle:].reshape(classes * ridges, -1)
    bias[len(rows) :] = last_bias[:, triangle:].reshape(-1) + np.log(energy / time)
    of_class = _array(means.ridge_weight) / energy
    return (
        np.asarray(np.kron(np.eye(classes), of_class), dtype=np.float64),
        np.tile(_array(means.ridge_bias), classes),
        (*context_weight[:-1], weight),
        (*context_bias[:-1], bias),
    )


def _require_states(model: TrainedModel, internal: FloatArray) -> None:
    for first, states in model.groups.tolist():
        fractions = internal[first : first + states - 1]
        if not (np.all(fractions > 0.0) and 1.0 - fractions.sum() > LEAST_FRACTION):
            raise ValueError(
                "export: every state of a population must be occupied at the initial strain, where "
                f"hosts start; the fractions from α {first} on leave {1.0 - fractions.sum():.3g} "
                f"for state 0: {fractions.tolist()}. Choose an initial strain in the middle of the "
                "training range."
            )


def _at_rest(law: PopulationParameters) -> PopulationParameters:
    """Return the law without the driving force that round-off of the fractions leaves at rest."""
    zero = [torch.zeros(1, size, dtype=torch.float64) for size in (law.strain_size, len(law.rest))]
    with torch.no_grad():
        gradient = ConstitutiveLaw.of(law).energy.gradient(*zero)[1].numpy()[0]
    gradient[: law.strain_size] = 0.0
    if np.max(np.abs(gradient)) > 1e-4 * law.thermal_energy:  # the state is no equilibrium
        return law
    return replace(law, energy_linear=law.energy_linear - gradient)


def _array(tensor: Tensor) -> FloatArray:
    array: FloatArray = tensor.detach().cpu().numpy().astype(np.float64)
    return array


def _arrays(tensors: Iterable[Tensor]) -> tuple[FloatArray, ...]:
    return tuple(_array(tensor) for tensor in tensors)
