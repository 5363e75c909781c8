"""Audits of dissipation and fluctuations (theory D2, D4)."""

from __future__ import annotations

import numpy as np

from ..evaluation.interface import Law
from . import acceptance_ranges
from .audit import Audit
from .audit_data import (
    Evidence,
    lacks_flow_energy,
    lacks_noise,
    lacks_samples,
    lacks_time_step,
)
from .bounds import bounds_of
from .cell_states import of_cell, single_element_energy
from .closed_forms import closed_form_at_states
from .decoder_free_energy import flow_energy
from .one_step import over_intervals
from .replica_noise import replica_noise


def dissipated_work(law: Law, evidence: Evidence) -> Audit:
    """Compare ∫ g·dα along the measured states with measured work minus the change of F.

    What a system dissipates between two states is its work less the change of its free energy, and
    along the measured path that is the work of g, whatever the kinetics. F is the closed form where
    there is one, for cells that of independent elements at the measured energy (over cycles ΔF is
    a small part of the work), else that of the decoder. The integrals are midpoint sums over stored
    instants.
    """
    single = bounds_of(law) is not None and not law.averaged and not of_cell(law, evidence)
    name, acceptable = (
        "dissipated work",
        acceptance_ranges.POPULATION_DISSIPATED_WORK
        if single
        else acceptance_ranges.DISSIPATED_WORK,
    )
    energy = _reference_energy(law, evidence)
    if energy is None:
        lacking = lacks_flow_energy(law, evidence) or "needs a known free energy"
        return Audit.not_available(name, acceptable, lacking)
    measured = evidence.measured
    force = law.rates(*evidence.all_states(law)).driving_force.reshape(measured.internal.shape)
    middle = (force[:, 1:] + force[:, :-1]) / 2
    dissipated = float((middle * np.diff(measured.internal, axis=1)).sum())
    production = _work(evidence) - energy
    return Audit.compare(
        name,
        100 * (dissipated / production - 1),
        acceptable,
        f"∫g·dα = {dissipated:.5g} along the measured states against work − ΔF = {production:.5g}, "
        "difference in %",
    )


def _work(evidence: Evidence) -> float:
    """Return the work on the measured states, over protocols and sites."""
    measured = evidence.measured
    stress = (measured.stress[:, 1:] + measured.stress[:, :-1]) / 2
    return float((stress * np.diff(measured.strain, axis=1)).sum())


def _reference_energy(law: Law, evidence: Evidence) -> float | None:
    """Return the change of the free energy from first to last instants, None where unknown."""
    known = closed_form_at_states(law, evidence)
    if known is not None:
        energies = known.form.energy(known.strain, known.order)
        by_time = energies.reshape(evidence.measured.strain.shape[:3])
        return float((by_time[:, -1] - by_time[:, 0]).sum())
    return _modelled_change(law, evidence)


def _modelled_change(law: Law, evidence: Evidence) -> float | None:
    """Return the change of a cell's energy of independent elements, else that of the decoder's."""
    if of_cell(law, evidence):
        single = single_element_energy(law, evidence)
        return None if single is None else float((single[:, -1] - single[:, 0]).sum())
    return None if lacks_flow_energy(law, evidence) else _flow_change(law, evidence)


def _flow_change(law: Law, evidence: Evidence) -> float:
    """Return the change of the decoder's free energy from first to last instants."""
    measured = evidence.measured
    first, last = (
        flow_energy(
            law,
            measured.strain[:, at].reshape(-1, law.strain_size),
            measured.internal[:, at].reshape(-1, law.internal_size),
        ).sum()
        for at in (0, -1)
    )
    return float(last - first)


def entropy_production(law: Law, evidence: Evidence) -> Audit:
    """Compare ∫ g·α̇ dt with measured work minus the change of the decoder's free energy.

    That of a cell is the energy of independent elements, see
    :func:`~ibvonn_train.audits.cell_states.single_element_energy`. Work and it know neither f nor
    φ; the sum runs over protocols and sites. The law starts anew from the encoded state of each
    stored instant, so what it dissipates follows from φ as far as the record resolves the
    kinetics; in longer intervals f alone decides.

    Averaged strain: a chain of N springs rests where the law of one spring under its mean force
    does not, and the law, begun anew at each instant, relaxes there each time. The number tells
    how far the law of a point is from that of the chain, and fails no law: the closed form, exact
    for N → ∞, is off by 6 to 63 % with ten springs.
    """
    name, acceptable = "entropy production", acceptance_ranges.ENTROPY_PRODUCTION
    change = _modelled_change(law, evidence)
    if change is None:
        lacking = lacks_flow_energy(law, evidence) or "needs the recorded energy"
        return Audit.not_available(name, acceptable, lacking)
    dissipated = float(over_intervals(law, evidence).dissipation.sum())
    production = _work(evidence) - change
    value = 100 * (dissipated / production - 1)
    kind = "ΔF_flow" if not of_cell(law, evidence) else f"ΔF₁, ΔF₁ = {change:.3g}"
    detail = f"∫g·α̇ dt = {dissipated:.5g} against work − {kind} = {production:.5g}, difference in %"
    if law.averaged:
        springs = evidence.data.points * evidence.data.elements
        return Audit.report(
            "finite size: dissipation",
            value,
            f"rates of a law of a point at states of a chain of {springs}: {detail}",
        )
    return Audit.compare(name, value, acceptable, detail)


def fluctuation_dissipation(law: Law, evidence: Evidence, states: int = 500) -> Audit:
    r"""Compare the noise of α with its mobility, N Var(dα)/(2 k_BT dt) = ∂²φ/∂g².

    α is a mean over N elements of independent replicas, so N Var(dα) is the variance over replicas
    of the increments of one replica's mean feature, times its elements. Records are coarser than
    the relaxation of α, and noise relaxes too: both sides are those of the whole interval, see
    :mod:`~ibvonn_train.audits.replica_noise`. The value is Σ Var over Σ of what the law expects of
    the same states, in units of the scale of α: states where hardly an element jumps say little,
    and weigh little.
    """
    name, acceptable = (
        "fluctuation-dissipation",
        acceptance_ranges.CHAIN_FLUCTUATION
        if law.averaged
        else acceptance_ranges.FLUCTUATION_DISSIPATION,
    )
    data = evidence.data
    if not evidence.strain_given:
        return Audit.not_available(
            name,
            acceptable,
            "averaged strain: the beads at both ends of a spring move its α, by noise that its "
            "neighbours share and that relaxes with the strain; this audit does not separate it "
            "from the noise of α at given ε, which alone is ∂²φ/∂g²",
        )
    if not law.has_potentials or law.physics is None:
        return Audit.not_available(name, acceptable, "needs φ")
    lacking = lacks_noise(evidence) or lacks_samples(evidence) or lacks_time_step(evidence)
    if lacking:
        return Audit.not_available(name, acceptable, lacking)
    rng = np.random.default_rng(4)
    cases = rng.integers(data.protocols, size=states)
    steps = rng.integers(len(data.time) - 1, size=states)
    noise = replica_noise(law, evidence, cases, steps)
    with np.errstate(over="ignore", invalid="ignore"):  # see replica_noise
        measured, expected = (
            np.einsum("nii,i->n", part, 1.0 / np.square(law.internal_scale)) for part in noise
        )
        low, high = np.quantile(measured / expected, [0.05, 0.95])
        ratio = float(measured.sum() / expected.sum())
    return Audit.compare(
        name,
        ratio,
        acceptable,
        f"N Var(dα)/(2 k_BT dt φ''), relaxation within an interval counted, over {states} states "
        f"of unseen data together; 5 to 95 % of single ones: {low:.3f} to {high:.3f}",
    )
