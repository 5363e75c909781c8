"""Reference values: inputs and float64 outputs from torch, against which runtimes check themselves.

A runtime agrees where |value − reference| ≤ tolerance · max(|reference|, column scale), the scale
of a column being its largest reference magnitude.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from ..files.state_bounds import Variables, within_bounds
from .constitutive_law import ConstitutiveLaw
from .graphs.interfaces import OUTPUTS, RATES_OUTPUTS
from .potential_parameters import FloatArray

Arrays = dict[str, FloatArray]

BEYOND = 1.5
"""Half width of the box of the outer states, in units of the envelope's."""


def random_states(
    envelope: FloatArray,
    strain_size: int,
    time_step: FloatArray,
    n_points: int,
    generator: np.random.Generator,
    *,
    reach: float = 1.0,
    variables: Variables = (),
) -> Arrays:
    """Draw inputs of the update: states uniform in the envelope, every eighth step of zero length.

    Args:
        envelope: Range of each component of (ε, α) in training, ``(d, 2)``.
        strain_size: n_ε.
        time_step: Shortest and longest step of the training data; steps are log-uniform from a
            hundredth of the one to a hundred times the other.
        n_points: Number of points.
        generator: Source of randomness.
        reach: Half width of the box in units of the envelope's.
        variables: ``internal.variables`` of the manifest: fractions are kept within their bounds.
    """
    low, high = envelope.T
    middle, half = 0.5 * (low + high), 0.5 * (high - low) * reach
    m = strain_size
    old = middle + half * generator.uniform(-1.0, 1.0, size=(n_points, len(low)))
    strain = middle[:m] + half[:m] * generator.uniform(-1.0, 1.0, size=(n_points, m))
    shortest, longest = np.log(time_step * np.array([1e-2, 1e2]))
    dt = np.exp(generator.uniform(shortest, longest, size=(n_points, 1)))
    dt[::8] = 0.0
    statev = within_bounds(variables, old[:, m:])
    return {"strain": strain, "strain_old": old[:, :m], "statev": statev, "dt": dt}


def law_reference(law: ConstitutiveLaw, time_step: FloatArray, variables: Variables = ()) -> Arrays:
    """Values of ``constitutive`` and ``rates`` at 64 points, half of them beyond the envelope."""
    generator = np.random.default_rng(0)
    box = law.envelope, law.strain_size, time_step
    inside = random_states(*box, 32, generator, variables=variables)
    outside = random_states(*box, 32, generator, reach=BEYOND, variables=variables)
    inputs = {key: np.concatenate([inside[key], outside[key]]) for key in inside}
    steps = evaluate("constitutive", law.update(), inputs, OUTPUTS)
    points = {key: inputs[key] for key in ("strain", "statev")}
    rates = evaluate("rates", law.rates(), points, RATES_OUTPUTS)
    # Beyond the envelope a law may have no finite rate, such as that of a fraction above 1.
    finite = np.all([np.all(np.isfinite(value), axis=1) for value in rates.values()], axis=0)
    return steps | {key: value[finite] for key, value in rates.items()}


def evaluate(graph: str, module: nn.Module, inputs: Arrays, outputs: Sequence[str]) -> Arrays:
    """Run a module and return inputs and outputs under the keys of ``reference.npz``."""
    with torch.no_grad():
        values = module(*(torch.tensor(value, dtype=torch.float64) for value in inputs.values()))
    values = values if isinstance(values, tuple) else (values,)
    arrays = {f"{graph}.in.{key}": value for key, value in inputs.items()}
    for key, value in zip(outputs, values, strict=True):
        arrays[f"{graph}.out.{key}"] = value.numpy()
    return arrays


def graph_arrays(reference: Arrays, graph: str, side: str) -> Arrays:
    """Arrays of one graph, ``side`` being ``"in"`` or ``"out"``, by their bare names."""
    prefix = f"{graph}.{side}."
    return {key.removeprefix(prefix): v for key, v in reference.items() if key.startswith(prefix)}


def relative_difference(value: FloatArray, reference: FloatArray) -> float:
    """Largest |value − reference| / max(|reference|, column scale); infinite if shapes differ."""
    if value.shape != reference.shape:
        return np.inf
    if reference.size == 0:
        return 0.0
    flat = np.abs(reference.reshape(len(reference), -1))
    column = np.max(flat, axis=0)
    # A column of zeros is measured by the largest column of the same array.
    column = np.where(column > 0.0, column, max(float(np.max(column)), np.finfo(np.float64).tiny))
    gap = np.abs(value.reshape(flat.shape) - reference.reshape(flat.shape))
    worst = float(np.max(gap / np.maximum(flat, column)))
    return np.inf if np.isnan(worst) else worst
