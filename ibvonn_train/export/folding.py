"""Fold the scaling of inputs, energy and time into the weights of a law.

Networks are trained on scaled variables x̂ = S x + s (S diagonal) with an energy of order one and a
time of order one; an exported law takes and gives physical ones.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from .constitutive_law import ConstitutiveLaw
from .parameters import LawParameters
from .population_parameters import PopulationParameters
from .potential_parameters import FloatArray, PotentialParameters

Parameters = TypeVar("Parameters", bound=PotentialParameters)


def fold_scales(
    law: LawParameters,
    *,
    scale: npt.ArrayLike,
    shift: npt.ArrayLike,
    energy_scale: float = 1.0,
    time_scale: float = 1.0,
) -> LawParameters:
    """Return the law of x where ``law`` is the law of x̂ = S x + s.

    f(x) = e f̂(S x + s) and φ(g; x) = (e/τ) φ̂(ĝ; S x + s) with ĝ = S_α⁻¹ g / e, so that
    d(S_α α)/dt = (1/τ) ∂φ̂/∂ĝ. ``internal_scale`` and ``envelope`` of ``law`` are those of x̂.

    Args:
        law: Law in scaled variables.
        scale: Diagonal of S, shape ``(d,)``, no zeros.
        shift: s, shape ``(d,)``.
        energy_scale: e, positive: physical energy per unit of f̂.
        time_scale: τ, positive: physical time per unit of scaled time.

    Raises:
        ValueError: If a scale is zero, or e or τ is not positive.
    """
    s, s0 = (np.array(np.broadcast_to(v, (law.size,)), dtype=np.float64) for v in (scale, shift))
    if np.any(s == 0.0) or not energy_scale > 0.0 or not time_scale > 0.0:
        raise ValueError(
            "fold_scales: scale must have no zeros, energy_scale and time_scale must be positive; "
            f"got {s.tolist()}, {energy_scale}, {time_scale}."
        )
    internal = s[law.strain_size :]
    q = law.energy_quadratic
    bounds = (law.envelope - s0[:, None]) / s[:, None]
    weights, biases = _fold_context(law, s, s0, energy_scale, time_scale)
    return replace(
        law,
        energy_constant=energy_scale
        * (law.energy_constant + float(law.energy_linear @ s0 + 0.5 * s0 @ q @ s0)),
        energy_linear=energy_scale * s * (law.energy_linear + q @ s0),
        energy_quadratic=energy_scale * s[:, None] * q * s,
        energy_skip=tuple(skip * s for skip in law.energy_skip),
        energy_bias=tuple(
            bias + skip @ s0 for skip, bias in zip(law.energy_skip, law.energy_bias, strict=True)
        ),
        energy_output=energy_scale * law.energy_output,
        ridge_weight=law.ridge_weight / (energy_scale * internal),
        context_weight=weights,
        context_bias=biases,
        internal_scale=law.internal_scale / np.abs(internal),
        envelope=np.sort(bounds, axis=1),
    )


def _fold_context(
    law: LawParameters, s: FloatArray, s0: FloatArray, energy_scale: float, time_scale: float
) -> tuple[tuple[FloatArray, ...], tuple[FloatArray, ...]]:
    weights, biases = list(law.context_weight), list(law.context_bias)
    biases[0] = biases[0] + weights[0] @ s0
    weights[0] = weights[0] * s
    # Λ Λᵀ = R Λ̂ Λ̂ᵀ R with R diagonal. Column signs, which Λ Λᵀ does not see, keep the diagonal
    # positive where a scale is negative.
    ratio = math.sqrt(energy_scale / time_scale) / (energy_scale * s[law.strain_size :])
    last_weight, last_bias = weights[-1].copy(), biases[-1].copy()
    rows, columns = np.tril_indices(law.internal_size)
    for entry, (i, j) in enumerate(zip(rows, columns, strict=True)):
        if i == j:
            last_bias[entry] += math.log(abs(ratio[i]))
        else:
            factor = ratio[i] * np.sign(ratio[j])
            last_weight[entry] *= factor
            last_bias[entry] *= factor
    last_bias[len(rows) :] += math.log(energy_scale / time_scale)
    weights[-1], biases[-1] = last_weight, last_bias
    return tuple(weights), tuple(biases)


def shifted(law: Parameters, shift: npt.ArrayLike) -> Parameters:
    """Return the law of x − ``shift`` where ``law`` is the law of x: its zero moves to ``shift``.

    Args:
        law: A law of either family; one of populations may have the fractions themselves in x.
        shift: ε and α that become zero, shape ``(d,)``.
    """
    s0 = np.array(np.broadcast_to(shift, (law.size,)), dtype=np.float64)
    q = law.energy_quadratic
    changes: dict[str, Any] = {
        "energy_constant": law.energy_constant + float(law.energy_linear @ s0 + 0.5 * s0 @ q @ s0),
        "energy_linear": law.energy_linear + q @ s0,
        "energy_bias": tuple(
            bias + skip @ s0 for skip, bias in zip(law.energy_skip, law.energy_bias, strict=True)
        ),
        "context_bias": _shifted_bias(law.context_weight, law.context_bias, s0),
        "envelope": law.envelope - s0[:, None],
    }
    if isinstance(law, PopulationParameters):
        populations = law.entropy_bound().diagonal() > 0.0
        changes["rest"] = law.rest + np.where(populations, s0[law.strain_size :], 0.0)
        changes["rate_bias"] = _shifted_bias(law.rate_weight, law.rate_bias, s0)
    return replace(law, **changes)


def _shifted_bias(
    weights: tuple[FloatArray, ...], biases: tuple[FloatArray, ...], shift: FloatArray
) -> tuple[FloatArray, ...]:
    if not weights:
        return biases
    return (biases[0] + weights[0][:, : len(shift)] @ shift, *biases[1:])


def with_zero_energy(law: Parameters) -> Parameters:
    """Return the law with the constant of f chosen such that f(0, 0) = 0."""
    _, energy = ConstitutiveLaw.of(law).equilibrium()
    return replace(law, energy_constant=law.energy_constant - energy)
