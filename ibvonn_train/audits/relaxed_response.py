"""Audits of equilibrium: relaxed stress and free-energy differences (theory D3, D6)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import LinearConstraint, minimize

from ..evaluation.errors import relative_error
from ..evaluation.interface import FloatArray, Law
from ..law.free_energy import MicroscopicEnergy
from ..statistical_mechanics.boltzmann import Boltzmann
from ..statistical_mechanics.microscopic_energy import Physics
from . import acceptance_ranges
from .audit import OPEN, Audit
from .audit_data import NEEDS_ENERGY, Evidence, lacks_noise, more_than_one, several_strains
from .bounds import INSIDE, allowed, bounds_of, simplices
from .cell_energy import dissipated
from .cell_states import of_cell

BoolArray = npt.NDArray[np.bool_]

POINTS = 25
LARGEST_DISSIPATION = 3.0
"""In k_BT: protocols that dissipate more need more replicas than there are."""


class RelaxedState(NamedTuple):
    """min_α f(ε, α), the stress ``(n_ε,)`` and α ``(n_α,)`` there."""

    energy: float
    stress: FloatArray
    internal: FloatArray


def relaxed(law: Law, strain: npt.ArrayLike) -> RelaxedState:
    """Return the state of least energy at a strain ``(n_ε,)``."""
    eps = np.array(strain, dtype=np.float64).reshape(1, law.strain_size)
    low, high = law.envelope[law.strain_size :].T
    start = allowed(law, ((low + high) / 2)[None])[0]
    scale = law.internal_scale
    unit = float(np.abs(law.rates(eps, start[None]).driving_force * scale).max()) or 1.0

    def objective(scaled: FloatArray) -> tuple[float, FloatArray]:
        rates = law.rates(eps, (scaled * scale)[None])
        return float(rates.energy[0]) / unit, -rates.driving_force[0] * scale / unit

    bounds = bounds_of(law)
    if bounds is None:
        options: dict[str, Any] = {"method": "BFGS", "options": {"gtol": 1e-9}}
    else:
        lowest, highest = (bounds + np.array([INSIDE, -INSIDE])).T
        options = {
            "method": "SLSQP",
            "bounds": np.stack([lowest / scale, highest / scale], 1),
            "constraints": [
                LinearConstraint(
                    np.where(np.isin(np.arange(len(scale)), np.r_[part]), scale, 0.0),
                    ub=1 - INSIDE + bounds[part, 0].sum(),
                )
                for part in simplices(law)
            ],
            "options": {"ftol": 1e-15, "maxiter": 500},
        }
    minimum = minimize(objective, start / scale, jac=True, **options)
    rates = law.rates(eps, (minimum.x * scale)[None])
    return RelaxedState(float(rates.energy[0]), rates.stress[0], minimum.x * scale)


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
    if of_cell(law, evidence):
        return Audit.not_available(name, acceptable, _dissipates(law, evidence))
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
        ends = [relaxed(law, float(slow.strain[case, at, 0, 0])).energy for at in (0, -1)]
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


def _dissipates(law: Law, evidence: Evidence) -> str:
    """Say why replicas of a cell give no average of exp(−W/k_BT)."""
    words = "a cell dissipates more than the few k_BT whose exponential replicas can average"
    amounts = dissipated(law, evidence)
    if amounts is None:
        return words
    return f"{words}: {amounts.min():.2g} to {amounts.max():.3g} k_BT on the paths of the data"


class _Relaxed(NamedTuple):
    """Stresses at strains whose relaxed α lies in the training data, each ``(n,)``."""

    strain: FloatArray
    measure: FloatArray
    law: FloatArray
    boltzmann: Boltzmann

    def detail(self) -> str:
        return (
            f"relative L2 error in % of the relaxed stress at {len(self.strain)} strains in "
            f"[{self.strain[0]:.3g}, {self.strain[-1]:.3g}]"
        )


def response(law: Law, evidence: Evidence) -> Audit:
    """Compare the relaxed stress, at which g = 0, with statistical mechanics.

    Controlled strain: the Boltzmann average of ∂e/∂ε. Averaged strain: one spring under the
    constant force at which its mean is ε, the limit of many springs, because a law is that of a
    material point. At strains of the data (of the whole chain) where the α that statistical
    mechanics assigns is one that the law was trained on, whatever the law itself says there.
    """
    name = "equilibrium response"
    acceptable = (
        acceptance_ranges.CHAIN_EQUILIBRIUM if law.averaged else acceptance_ranges.EQUILIBRIUM
    )
    if of_cell(law, evidence):
        reason = "a cell has no integral over one element; a lattice is sampled in its place"
        return Audit.not_available(name, acceptable, reason)
    relaxed_states = _relaxed_states(law, evidence)
    if isinstance(relaxed_states, str):
        return Audit.not_available(name, acceptable, relaxed_states)
    detail, boltzmann = relaxed_states.detail(), relaxed_states.boltzmann
    if law.averaged:
        exact = boltzmann.chain_force(relaxed_states.measure, None)
        detail += ", against one spring under constant force, the limit of many springs"
    else:
        exact = boltzmann.controlled_stress(relaxed_states.measure)
    return Audit.compare(name, relative_error(relaxed_states.law, exact), acceptable, detail)


def finite_chain(law: Law, evidence: Evidence) -> Audit | None:
    """Report the relaxed stress against that of the chain of N springs whose data these are.

    A chain of few springs whose mean strain is held, as in a cell, has another relaxed stress than
    many springs: one jump changes the force on all. The law of a point need not have it, the
    closed form does not.
    """
    if not law.averaged:
        return None
    name = "finite size: relaxed stress"
    relaxed_states = _relaxed_states(law, evidence)
    if isinstance(relaxed_states, str):
        return Audit.not_available(name, OPEN, relaxed_states)
    springs = evidence.data.points * evidence.data.elements
    boltzmann = relaxed_states.boltzmann
    chain, single = (boltzmann.chain_force(relaxed_states.measure, n) for n in (springs, None))
    return Audit.report(
        name,
        relative_error(relaxed_states.law, chain),
        f"{relaxed_states.detail()}, a law of a point against a chain of {springs} springs with "
        f"held ends; the limit of many springs is {relative_error(single, chain):.3g} % from it",
    )


def _relaxed_states(law: Law, evidence: Evidence) -> _Relaxed | str:
    """Return relaxed stresses of the law, or why there are none."""
    system = _physics_and_energy(law)
    if system is None or not law.has_decoder:
        return NEEDS_ENERGY
    lacking = more_than_one(evidence) or several_strains(evidence) or lacks_noise(evidence)
    if lacking:
        return lacking
    sites = evidence.measured.strain[..., 0]
    whole = sites.mean(2) if law.averaged else sites
    boltzmann = Boltzmann(*system, *_span(law))
    strain = np.linspace(whole.min(), whole.max(), POINTS)
    measure = strain + law.strain_reference[0]
    reached = _trained_on(law, boltzmann.replicas(measure, averaged=law.averaged))
    if not reached.any():
        return "equilibrium lies outside what the law was trained on"
    strain, measure = strain[reached], measure[reached]
    stress = np.array([float(relaxed(law, float(value)).stress[0]) for value in strain])
    return _Relaxed(strain, measure, stress, boltzmann)


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
