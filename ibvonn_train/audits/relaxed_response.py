"""Audits of equilibrium: relaxed stress and free-energy differences (theory D3, D6)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import minimize

from ..evaluation.errors import relative_error
from ..evaluation.interface import FloatArray, Law
from ..law.free_energy import MicroscopicEnergy
from ..statistical_mechanics.boltzmann import Boltzmann
from ..statistical_mechanics.microscopic_energy import Physics
from . import acceptance_ranges
from .audit import Audit
from .audit_data import NEEDS_ENERGY, Evidence, lacks_noise, more_than_one, several_strains

BoolArray = npt.NDArray[np.bool_]

POINTS = 25
LARGEST_DISSIPATION = 3.0
"""In k_BT: protocols that dissipate more need more replicas than there are."""


def relaxed(law: Law, strain: float) -> tuple[float, float]:
    """Return min_α f(ε, α) and the stress there, for a law of one strain component."""
    eps = np.full((1, 1), strain)
    low, high = law.envelope[law.strain_size :].T

    def objective(alpha: FloatArray) -> tuple[float, FloatArray]:
        rates = law.rates(eps, alpha[None])
        return float(rates.energy[0]), -rates.driving_force[0]

    minimum = minimize(objective, (low + high) / 2, jac=True, method="BFGS", options={"gtol": 1e-9})
    return float(minimum.fun), float(law.rates(eps, minimum.x[None]).stress[0, 0])


def _physics_and_energy(law: Law) -> tuple[Physics, MicroscopicEnergy] | None:
    if law.physics is None or law.physics.energy is None:
        return None
    return law.physics, law.physics.energy


def jarzynski(law: Law, evidence: Evidence) -> Audit:
    """Compare −k_BT ln⟨exp(−W/k_BT)⟩ of slow protocols with the change of min_α f, in k_BT.

    For a nearly Gaussian work, Var(W)/2k_BT is what a protocol dissipates; where that exceeds
    3 k_BT the estimator is off by as much, and the protocol decides nothing.
    """
    name, acceptable, system = (
        "Jarzynski equality",
        acceptance_ranges.JARZYNSKI,
        _physics_and_energy(law),
    )
    slow = evidence.slow
    if system is None or law.averaged:
        return Audit.not_available(name, acceptable, "needs a controlled system of known energy")
    if slow is None:
        return Audit.not_available(name, acceptable, "no slow protocols given")
    lacking = several_strains(evidence) or lacks_noise(evidence)
    if lacking:
        return Audit.not_available(name, acceptable, lacking)
    physics, energy = system
    thermal = physics.thermal_energy
    x = torch.from_numpy(slow.samples[:, :-1, 0].astype(np.float64))
    control = torch.from_numpy(slow.strain[:, :, 0, 0])
    before, after = control[:, :-1, None], control[:, 1:, None]
    work = (energy(x, after) - energy(x, before)).sum(1).numpy() / thermal
    variance = work.var(axis=1)
    differences = []
    for case, case_work in enumerate(work):
        shift = case_work.min()
        estimate = shift - np.log(np.mean(np.exp(shift - case_work)))
        ends = [relaxed(law, float(slow.strain[case, at, 0, 0]))[0] for at in (0, -1)]
        differences.append((ends[1] - ends[0]) / thermal - estimate)
    gentle = np.flatnonzero(variance / 2 <= LARGEST_DISSIPATION)
    if not len(gentle):
        least = int(np.argmin(variance))
        return Audit.not_identifiable(
            name,
            differences[least],
            acceptable,
            f"variance of the work {variance[least]:.3g} (k_BT)² and more: use slower protocols",
        )
    worst = gentle[np.argmax(np.abs(np.array(differences)[gentle]))]
    return Audit.compare(
        name,
        float(differences[worst]),
        acceptable,
        f"largest Δ min_α f − ΔF in k_BT over {len(gentle)} slow protocols that dissipate "
        f"{variance[gentle].min() / 2:.2g} to {variance[gentle].max() / 2:.2g} k_BT",
    )


def response(law: Law, evidence: Evidence) -> Audit:
    """Compare the relaxed stress, at which g = 0, with statistical mechanics.

    Controlled strain: the Boltzmann average of ∂e/∂ε. Averaged strain: the force of a spring in a
    chain of N springs whose mean strain is held, as in a cell, by exact convolution; and that of
    one spring under a constant force (N → ∞). At strains of the data (of the whole chain) where the
    α that statistical mechanics assigns is one that the law was trained on, whatever the law itself
    says there.
    """
    name, system = "equilibrium response", _physics_and_energy(law)
    acceptable = (
        acceptance_ranges.CHAIN_EQUILIBRIUM if law.averaged else acceptance_ranges.EQUILIBRIUM
    )
    if system is None or not law.has_decoder:
        return Audit.not_available(name, acceptable, NEEDS_ENERGY)
    lacking = more_than_one(evidence) or several_strains(evidence) or lacks_noise(evidence)
    if lacking:
        return Audit.not_available(name, acceptable, lacking)
    zero = law.strain_reference[0]
    sites = evidence.measured.strain[..., 0]
    whole = sites.mean(2) if law.averaged else sites
    boltzmann = Boltzmann(*system, *_span(law))
    strains = np.linspace(whole.min(), whole.max(), POINTS)
    measure = strains + zero
    reached = _trained_on(law, boltzmann.replicas(measure, averaged=law.averaged))
    if not reached.any():
        return Audit.not_available(
            name, acceptable, "equilibrium lies outside what the law was trained on"
        )
    strains, measure = strains[reached], measure[reached]
    stress_relaxed = np.array([relaxed(law, float(value))[1] for value in strains])
    detail = f"relative L2 error in % of the relaxed stress at {len(strains)} strains in "
    detail += f"[{strains[0]:.3g}, {strains[-1]:.3g}]"
    if not law.averaged:
        exact = boltzmann.controlled_stress(measure)
    else:
        springs = evidence.data.points * evidence.data.elements
        exact = boltzmann.chain_force(measure, springs)
        single = boltzmann.chain_force(measure, None)
        detail += (
            f", against a chain of {springs} springs; against one spring under constant force: "
            f"{relative_error(stress_relaxed, single):.3g} %"
        )
    return Audit.compare(name, relative_error(stress_relaxed, exact), acceptable, detail)


def _trained_on(law: Law, replicas: FloatArray) -> BoolArray:
    """Return which ensembles ``(n, n_replica)`` have an α within the envelope or 2 % beside it."""
    _, internal = law.encode(replicas[..., None])
    low, high = law.envelope[law.strain_size :].T
    margin = 0.02 * (high - low)
    inside: BoolArray = ((internal >= low - margin) & (internal <= high + margin)).all(-1)
    return inside


def _span(law: Law) -> tuple[float, float]:
    """Return a range of microstates, in the data's measure, that surely holds the envelope's."""
    corners = np.stack(np.meshgrid(*law.envelope), -1).reshape(-1, len(law.envelope))
    strain, internal = corners[:, : law.strain_size], corners[:, law.strain_size :]
    x = law.sample(np.tile([[[-8.0], [8.0]]], (len(corners), 1, 1)), strain, internal)
    reach = float(x.max() - x.min())
    return float(x.min()) - reach, float(x.max()) + reach
