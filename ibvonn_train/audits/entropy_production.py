"""Audits of dissipation and fluctuations (theory D2, D4)."""

from __future__ import annotations

import numpy as np

from ..evaluation.interface import Law
from . import acceptance_ranges
from .audit import Audit
from .audit_data import Evidence, lacks_flow_energy, lacks_noise
from .closed_forms import closed_form_at_states
from .decoder_free_energy import flow_energy
from .one_step import over_intervals


def dissipated_work(law: Law, evidence: Evidence) -> Audit:
    """Compare ∫ g·dα along the measured states with measured work minus the change of F.

    What a system dissipates between two states is its work less the change of its free energy, and
    along the measured path that is the work of g, whatever the kinetics. F is the closed form where
    there is one, else that of the decoder. The integrals are midpoint sums over stored instants.
    """
    name, acceptable = "dissipated work", acceptance_ranges.DISSIPATED_WORK
    energy = _reference_energy(law, evidence)
    if energy is None:
        lacking = lacks_flow_energy(law, evidence) or "needs a known free energy"
        return Audit.not_available(name, acceptable, lacking)
    measured = evidence.measured
    force = law.rates(*evidence.all_states(law)).driving_force.reshape(measured.internal.shape)
    middle = (force[:, 1:] + force[:, :-1]) / 2
    dissipated = float((middle * np.diff(measured.internal, axis=1)).sum())
    produced = _work(evidence) - energy
    return Audit.compare(
        name,
        100 * (dissipated / produced - 1),
        acceptable,
        f"∫g·dα = {dissipated:.5g} along the measured states against work − ΔF = {produced:.5g}, "
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

    Work and decoder know neither f nor φ; the sum runs over protocols and sites. The law starts
    anew from the encoded state of each stored instant, so what it dissipates follows from φ as far
    as the record resolves the kinetics; in longer intervals f alone decides.

    Averaged strain: a chain of N springs rests where the law of one spring under its mean force
    does not, and the law, begun anew at each instant, relaxes there each time. The number tells
    how far the law of a point is from that of the chain, and fails no law: the closed form, exact
    for N → ∞, is off by 6 to 63 % with ten springs.
    """
    name, acceptable = "entropy production", acceptance_ranges.ENTROPY_PRODUCTION
    lacking = lacks_flow_energy(law, evidence)
    if lacking:
        return Audit.not_available(name, acceptable, lacking)
    dissipated = float(over_intervals(law, evidence).dissipation.sum())
    produced = _work(evidence) - _flow_change(law, evidence)
    value = 100 * (dissipated / produced - 1)
    detail = f"∫g·α̇ dt = {dissipated:.5g} against work − ΔF_flow = {produced:.5g}, difference in %"
    if law.averaged:
        springs = evidence.data.points * evidence.data.elements
        return Audit.report(
            "finite size: dissipation",
            value,
            f"rates of a law of a point at states of a chain of {springs}: {detail}",
        )
    return Audit.compare(name, value, acceptable, detail)


def fluctuation_dissipation(law: Law, evidence: Evidence, states: int = 200) -> Audit:
    r"""Compare the noise of α with its mobility, N Var(dα)/(2 k_BT dt) = ∂²φ/∂g².

    α is a mean over N elements of independent replicas, so N Var(dα) is the variance over replicas
    of the increments of one replica's mean feature, times its elements. The noise has the
    nominal k_BT whatever the integrator's step; k_BT of the law is the effective one, and the ratio
    of the two is that of the data.
    """
    name, acceptable = (
        "fluctuation-dissipation",
        acceptance_ranges.CHAIN_FLUCTUATION
        if law.averaged
        else acceptance_ranges.FLUCTUATION_DISSIPATION,
    )
    data, measured = evidence.data, evidence.measured
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
    lacking = lacks_noise(evidence)
    if lacking:
        return Audit.not_available(name, acceptable, lacking)
    nominal = data.parameters["thermal_energy"]
    effective = data.parameters.get("effective_thermal_energy", nominal)
    thermal = law.physics.thermal_energy * nominal / effective
    rng = np.random.default_rng(4)
    ratios = []
    for case, step in zip(
        rng.integers(data.protocols, size=states),
        rng.integers(len(data.time) - 1, size=states),
        strict=True,
    ):
        pair = data.samples[case, step : step + 2].astype(np.float64)
        classes = len(data.classes)
        cells = pair.reshape(2, classes, data.replicas, data.elements, -1).swapaxes(1, 2)
        _, features = law.encode(cells if classes > 1 else cells[:, :, 0])
        increment = features[1] - features[0]
        # The drift differs from replica to replica; its part linear in the feature is no noise.
        centred = features[0] - features[0].mean(0)
        slope = np.linalg.lstsq(centred, increment - increment.mean(0), rcond=None)[0]
        noise = data.elements * np.atleast_2d(np.cov((increment - centred @ slope).T))
        noise *= (data.replicas - 1) / max(data.replicas - 1 - law.internal_size, 1)
        strain, internal = measured.strain[case, step], measured.internal[case, step]
        force = law.rates(strain, internal).driving_force
        _, mobility = law.dual_dissipation(force, strain, internal)
        expected = 2 * thermal * (data.time[step + 1] - data.time[step]) * mobility[0]
        ratios.append(np.trace(noise) / np.trace(expected))
    low, high = np.quantile(ratios, [0.05, 0.95])
    return Audit.compare(
        name,
        float(np.median(ratios)),
        acceptable,
        f"median of N Var(dα)/(2 k_BT dt φ'') over {states} states of unseen data; 5 to 95 %: "
        f"{low:.3f} to {high:.3f}",
    )
