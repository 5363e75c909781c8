"""Audits against closed forms: f, g and mobility of the trap."""

from __future__ import annotations

import numpy as np

from ..closed_form.exact_trap import ExactTrap
from ..evaluation.errors import deviation, relative_error
from ..evaluation.interface import FloatArray, Law
from ..evaluation.noise_free import exact_trap_of
from . import acceptance_ranges
from .audit import Audit
from .audit_data import NEEDS_POTENTIALS, Evidence


def _trap(law: Law, evidence: Evidence) -> tuple[ExactTrap, FloatArray] | None:
    """Return the closed forms and the mean positions of all states, where they apply."""
    exact = exact_trap_of(evidence.data)
    if exact is None or law.internal_size != 1:
        return None
    mean = evidence.data.samples[:, :, 0, :, 0].mean(-1, dtype=np.float64)
    return exact, mean.reshape(-1)


def _slope(law: Law, exact: ExactTrap, mean: FloatArray) -> FloatArray:
    """Return dα/dm along Gaussian ensembles: g and mobility depend on the normalisation of α."""
    step = 1e-3 * float(np.std(mean))
    variance = np.full_like(mean, exact.thermal_energy / (2 * exact.stiffness))
    ahead, behind = (
        law.encode(exact.ensemble(mean + sign * step, variance, replicas=200))[1][:, 0]
        for sign in (1, -1)
    )
    slope: FloatArray = (ahead - behind) / (2 * step)
    return slope


def energy(law: Law, evidence: Evidence) -> Audit | None:
    """Compare f with the exact one; a constant is free."""
    reference = _trap(law, evidence)
    if reference is None:
        return None
    exact, mean = reference
    strain, internal = evidence.all_states(law)
    return Audit.compare(
        "f against the exact f",
        deviation(law.rates(strain, internal).energy, exact.energy(strain[:, 0], mean)),
        acceptance_ranges.EXACT_ENERGY,
        "sd of the difference over sd of the exact f in %, states of unseen data",
    )


def driving_force(law: Law, evidence: Evidence) -> Audit | None:
    """Compare the force on the mean position, g dα/dm, with the exact one."""
    reference = _trap(law, evidence)
    if reference is None:
        return None
    exact, mean = reference
    strain, internal = evidence.all_states(law)
    force = _slope(law, exact, mean) * law.rates(strain, internal).driving_force[:, 0]
    return Audit.compare(
        "g against the exact g",
        relative_error(force, exact.driving_force(strain[:, 0], mean)),
        acceptance_ranges.EXACT_FORCE,
        "relative L2 error in %, as force on the mean position",
    )


def mobility(law: Law, evidence: Evidence) -> Audit | None:
    """Compare the mobility of the mean position, φ''/(dα/dm)², with 1/η."""
    name, reference = "mobility against 1/η", _trap(law, evidence)
    if reference is None:
        return None
    if not law.has_potentials:
        return Audit.not_available(name, acceptance_ranges.EXACT_MOBILITY, NEEDS_POTENTIALS)
    exact, mean = reference
    strain, internal = evidence.all_states(law)
    force = law.rates(strain, internal).driving_force
    _, hessian = law.dual_dissipation(force, strain, internal)
    error = hessian[:, 0, 0] / _slope(law, exact, mean) ** 2 * exact.friction - 1
    return Audit.compare(
        name,
        100 * float(np.sqrt(np.mean(error**2))),
        acceptance_ranges.EXACT_MOBILITY,
        "root mean square of φ''·η − 1 in %, as mobility of the mean position",
    )
