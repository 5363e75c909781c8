"""Audits of the free energy: its derivative by strain, and the one of the decoder (theory D1)."""

from __future__ import annotations

import numpy as np

from ..evaluation.decoder_mean import decoder_mean
from ..evaluation.errors import deviation, relative_error
from ..evaluation.interface import FloatArray, Law
from . import acceptance_ranges
from .audit import AcceptanceRange, Audit
from .audit_data import Evidence, lacks_flow_energy, lacks_noise
from .bounds import bounds_of
from .closed_forms import OCCUPIED, closed_form_at_states
from .decoder_free_energy import NODES, flow_force, microscopic_energy
from .decoder_free_energy import flow_energy as flow_energy
from .force_consistency import compare_gradients

DIFFERENCE = 1e-4
"""Of the central differences of e by x, over the standard deviation of x."""


def _range_for(
    law: Law, *, chain: AcceptanceRange, populations: AcceptanceRange, means: AcceptanceRange
) -> AcceptanceRange:
    """Return the range for the springs of a chain, for populations, or for means."""
    if law.averaged:
        return chain
    return means if bounds_of(law) is None else populations


def stress(law: Law, evidence: Evidence) -> Audit:
    """Compare ∂f/∂ε at the encoded states with the measured mean force."""
    predicted = law.rates(*evidence.all_states(law)).stress
    if law.averaged:
        acceptable = acceptance_ranges.CHAIN_STRESS
    elif bounds_of(law) is not None and len(evidence.data.classes) == 1:
        acceptable = acceptance_ranges.POPULATION_STRESS
    else:
        acceptable = acceptance_ranges.STRESS
    return Audit.compare(
        "stress at encoded states",
        relative_error(predicted, evidence.measured.stress.reshape(predicted.shape)),
        acceptable,
        "relative L2 error of ∂f/∂ε in %, states of unseen data",
    )


def decoder_energy(law: Law, evidence: Evidence) -> Audit:
    """Compare ⟨e⟩ of the decoder with that of the measured microstates, at equal means.

    F_flow hardly sees the width of the decoder: at the right one it is stationary. ⟨e⟩ is not. What
    the decoder's mean misses counts elsewhere, so ⟨∂e/∂x⟩ Δ⟨x⟩ is taken off.
    """
    name = "energy of the decoder"
    acceptable = _range_for(
        law,
        chain=acceptance_ranges.CHAIN_DECODER_ENERGY,
        populations=acceptance_ranges.POPULATION_DECODER_ENERGY,
        means=acceptance_ranges.DECODER_ENERGY,
    )
    lacking = lacks_flow_energy(law, evidence) or lacks_noise(evidence)
    if lacking:
        return Audit.not_available(name, acceptable, lacking)
    strain, internal = evidence.all_states(law)
    chosen = evidence.choice(np.ones(len(strain), dtype=bool))
    strain, internal = strain[chosen], internal[chosen]
    physics, energy = law.physics, microscopic_energy(law)
    assert physics is not None  # noqa: S101 (the energy is known)
    shape = evidence.measured.strain.shape[:3]
    sample = evidence.data.samples[np.unravel_index(chosen, shape)][..., 0]
    microstate = np.asarray(sample, dtype=np.float64)
    middle = decoder_mean(law, strain, internal, lambda x, _log_q, _eps: x, NODES)
    mean = decoder_mean(law, strain, internal, lambda x, _log_q, eps: energy(x, eps), NODES)
    step = DIFFERENCE * float(microstate.std())
    rise = energy(microstate + step, strain) - energy(microstate - step, strain)
    slope = rise.mean(1) / (2.0 * step)
    excess = mean - energy(microstate, strain).mean(1) - slope * (middle - microstate.mean(1))
    difference = excess / physics.thermal_energy
    return Audit.compare(
        name,
        float(np.sqrt(np.mean(difference**2))),
        acceptable,
        f"rms of ⟨e⟩ of the decoder less that of the measured microstates, at equal means, in "
        f"k_BT, {len(strain)} states of unseen data; mean difference {difference.mean():.3g} k_BT",
    )


def value_against_flow(law: Law, evidence: Evidence) -> Audit:
    """Compare f with the decoder's own free energy; a constant is free."""
    name = "f against F_flow"
    acceptable = _range_for(
        law,
        chain=acceptance_ranges.CHAIN_FLOW_ENERGY,
        populations=acceptance_ranges.POPULATION_FLOW_ENERGY,
        means=acceptance_ranges.FLOW_ENERGY,
    )
    lacking = lacks_flow_energy(law, evidence)
    if lacking:
        return Audit.not_available(name, acceptable, lacking)
    strain, internal = evidence.some_states(law)
    value = deviation(law.rates(strain, internal).energy, flow_energy(law, strain, internal))
    return Audit.compare(
        name,
        value,
        acceptable,
        f"sd(f − F_flow)/sd(F_flow) in %, {len(strain)} states of unseen data",
    )


def gradient_against_flow(law: Law, evidence: Evidence) -> Audit:
    """Compare g with the driving force of the decoder's own free energy, where data know it.

    With one α nothing is hidden: the decoder q(x|α) is a family with one parameter and ε enters F
    through the known e alone, so states of any strain that share an α determine the slope, and it
    is evaluated at all of them. Several α that follow one another on the data leave directions in
    which law and decoder make up their slopes: see :func:`gradient_where_identifiable`.
    """
    name = "g against F_flow"
    acceptable = _range_of_force(law)
    lacking = lacks_flow_energy(law, evidence)
    if lacking:
        return Audit.not_available(name, acceptable, lacking)
    if law.internal_size > 1:
        return gradient_where_identifiable(law, evidence)
    strain, internal, words = states_with_slopes(law, evidence)
    return Audit.compare(
        name,
        relative_error(
            law.rates(strain, internal).driving_force, flow_force(law, strain, internal)
        ),
        acceptable,
        f"relative L2 error of −∂f/∂α in %, {words}; the decoder is a family with one parameter: "
        "identifiable wherever there are states",
    )


def _range_of_force(law: Law) -> AcceptanceRange:
    """Return the range of *g against F_flow*."""
    if law.averaged:
        return acceptance_ranges.CHAIN_FLOW_FORCE
    if bounds_of(law) is not None:
        return acceptance_ranges.POPULATION_FLOW_FORCE
    return acceptance_ranges.FLOW_FORCE


def states_with_slopes(law: Law, evidence: Evidence) -> tuple[FloatArray, FloatArray, str]:
    """Return states whose slope by α the data resolve, as rows, and how many they are, in words.

    Where a well of a two-well element is nearly empty, f has the slope of p ln p, and the data say
    little of ln p: these states are left out where the system is known.
    """
    strain, internal = evidence.all_states(law)
    known = closed_form_at_states(law, evidence)
    everywhere = np.ones(len(strain), dtype=bool)
    chosen = evidence.choice(everywhere if known is None else known.resolved)
    words = f"{len(chosen)} states of unseen data"
    if known is not None and not known.resolved.all():
        words += f" with at least {OCCUPIED} replicas in each well"
    return strain[chosen], internal[chosen], words


def gradient_where_identifiable(law: Law, evidence: Evidence) -> Audit:
    """Compare g with the decoder's in the directions of α in which the data know it.

    A direction of α at a state is evaluated where the standard error of the measured gradient is
    below the acceptance range, as a part of the root mean square of g; the error of the law has
    the same unit. Where that leaves out too many, nothing passes.
    """
    name = "g against F_flow"
    acceptable = _range_of_force(law)
    strain, internal, words = states_with_slopes(law, evidence)
    scale = evidence.all_states(law)[1].std(0)
    reference = flow_force(law, strain, internal) * scale
    error = law.rates(strain, internal).driving_force * scale - reference
    size = float(np.sqrt(np.mean(reference**2)))
    comparison = compare_gradients(law, evidence, strain, internal)
    identified = comparison.standard_error < acceptance_ranges.GRADIENT_STANDARD_ERROR * size
    missing = 100 * float(1 - identified.mean())
    typical = 100 * float(np.median(comparison.standard_error)) / size
    detail = (
        f"not identifiable: {missing:.3g} % of the directions of α at {words} (at most "
        f"{acceptance_ranges.NOT_IDENTIFIABLE:g} %); median standard error of the data's own "
        f"−∂F/∂α: {typical:.3g} % of rms g"
    )
    if not identified.any():
        everywhere = 100 * float(np.sqrt(np.mean(error**2))) / size
        return Audit.not_identifiable(name, everywhere, acceptable, detail)
    value = 100 * float(np.sqrt(np.mean(comparison.along(error)[identified] ** 2))) / size
    decoder = (
        100 * float(np.sqrt(np.mean(comparison.along(comparison.decoder)[identified] ** 2))) / size
    )
    audit = Audit.compare(
        name,
        value,
        acceptable,
        f"rms error of −∂f/∂α in identifiable directions over rms g in %; {detail}; decoder "
        f"against the data's own: {decoder:.3g} %",
    )
    if audit.verdict == "pass" and missing > acceptance_ranges.NOT_IDENTIFIABLE:
        return Audit.not_identifiable(name, value, acceptable, audit.detail)
    return audit
