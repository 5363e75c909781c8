"""Audits against closed forms: f, g and mobility, where statistical mechanics knows them."""

from __future__ import annotations

import numpy as np

from ..evaluation.errors import deviation, relative_error
from ..evaluation.interface import Law
from . import acceptance_ranges
from .audit import Audit
from .audit_data import NEEDS_POTENTIALS, Evidence
from .closed_forms import TrapForm, closed_form_at_states


def energy(law: Law, evidence: Evidence) -> Audit | None:
    """Compare f with the closed form at the measured order parameter; a constant is free."""
    known = closed_form_at_states(law, evidence)
    if known is None:
        return None
    strain, internal = evidence.all_states(law)
    return Audit.compare(
        "f against the exact f",
        deviation(law.rates(strain, internal).energy, known.form.energy(known.strain, known.order)),
        acceptance_ranges.CHAIN_EXACT_ENERGY if law.averaged else acceptance_ranges.EXACT_ENERGY,
        "sd of the difference over sd of the closed form in %, states of unseen data",
    )


def driving_force(law: Law, evidence: Evidence) -> Audit | None:
    """Compare the force on the order parameter, Σ g_i ∂α_i/∂s, with the closed form."""
    name = "g against the exact g"
    acceptable = (
        acceptance_ranges.CHAIN_EXACT_FORCE if law.averaged else acceptance_ranges.EXACT_FORCE
    )
    known = closed_form_at_states(law, evidence)
    if known is None:
        return None
    chosen = evidence.choice(known.resolved)
    if not len(chosen):
        return Audit.not_available(name, acceptable, "needs states at which both wells are filled")
    strain, internal = (part[chosen] for part in evidence.all_states(law))
    measure, order = known.strain[chosen], known.order[chosen]
    slope = known.form.slope(law, measure, order)
    force = (slope * law.rates(strain, internal).driving_force).sum(1)
    return Audit.compare(
        name,
        relative_error(force, known.form.driving_force(measure, order)),
        acceptable,
        "relative L2 error in % of the force on the order parameter, Σ g ∂α/∂s along ensembles of "
        f"the closed form; {len(chosen)} of the {100 * known.resolved.mean():.3g} % of the states "
        "of unseen data that resolve it",
    )


def mobility(law: Law, evidence: Evidence) -> Audit | None:
    """Compare the mobility of the mean position, φ''/(dα/dm)², with 1/η."""
    name, known = "mobility against 1/η", closed_form_at_states(law, evidence)
    if known is None or not isinstance(known.form, TrapForm) or law.internal_size != 1:
        return None
    if not law.has_potentials:
        return Audit.not_available(name, acceptance_ranges.EXACT_MOBILITY, NEEDS_POTENTIALS)
    strain, internal = evidence.all_states(law)
    force = law.rates(strain, internal).driving_force
    _, hessian = law.dual_dissipation(force, strain, internal)
    slope = known.form.slope(law, known.strain, known.order)[:, 0]
    error = hessian[:, 0, 0] / slope**2 * known.form.exact.friction - 1
    return Audit.compare(
        name,
        100 * float(np.sqrt(np.mean(error**2))),
        acceptance_ranges.EXACT_MOBILITY,
        "root mean square of φ''·η − 1 in %, as mobility of the mean position",
    )
