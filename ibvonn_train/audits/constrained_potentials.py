"""Audits of f and g against the equilibrium in which the internal variables are held.

Statistical mechanics knows the free energy of microstates of one component at given ε and α, see
:mod:`ibvonn_train.statistical_mechanics.constrained_equilibrium`: whatever the encoder is, and
without the decoder, whose error is not that of f.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..evaluation.errors import deviation, relative_error
from ..evaluation.interface import FloatArray, Law
from ..statistical_mechanics.constrained_equilibrium import (
    ConstrainedEquilibrium,
    constrained_equilibrium,
)
from . import acceptance_ranges
from .audit import Audit
from .audit_data import Evidence, knows_energy, lacks_noise, more_than_one
from .bounds import bounds_of, simplices
from .closed_forms import OCCUPIED, closed_form_of
from .decoder_free_energy import microscopic_energy

NODES = 801
BEYOND = 0.1
"""The nodes cover the range of the microstates and this part of it on either side."""


def energy(law: Law, evidence: Evidence) -> Audit | None:
    """Compare f with the constrained equilibrium; a constant is free."""
    if not _is_known(law, evidence):
        return None
    strain, internal = _states(law, evidence)
    exact = _equilibrium(law, evidence, strain, internal)
    predicted = law.rates(strain, internal).energy
    return Audit.compare(
        "f against the exact f",
        deviation(predicted[exact.converged], exact.energy[exact.converged]),
        acceptance_ranges.POPULATION_EXACT_ENERGY
        if bounds_of(law) is not None
        else acceptance_ranges.EXACT_ENERGY,
        "sd of the difference over sd of the equilibrium free energy at held α in %, "
        f"{exact.converged.sum()} states of unseen data",
    )


def driving_force(law: Law, evidence: Evidence) -> Audit | None:
    """Compare g with the constrained equilibrium, where the data resolve ln p."""
    name, acceptable = (
        "g against the exact g",
        acceptance_ranges.POPULATION_EXACT_FORCE
        if bounds_of(law) is not None
        else acceptance_ranges.EXACT_FORCE,
    )
    if not _is_known(law, evidence):
        return None
    strain, internal = _states(law, evidence)
    exact = _equilibrium(law, evidence, strain, internal)
    chosen = exact.converged & _resolved(law, evidence, internal)
    if not chosen.any():
        return Audit.not_available(name, acceptable, "needs states at which all wells are filled")
    force = law.rates(strain[chosen], internal[chosen]).driving_force
    return Audit.compare(
        name,
        relative_error(force, exact.force[chosen]),
        acceptable,
        "relative L2 error in % of g, with that of the equilibrium at held α; "
        f"{100 * chosen.mean():.3g} % of {len(chosen)} states of unseen data resolve it",
    )


def _is_known(law: Law, evidence: Evidence) -> bool:
    data = evidence.data
    return (
        evidence.strain_given
        and knows_energy(law)
        and not law.averaged
        and more_than_one(evidence) is None
        and lacks_noise(evidence) is None
        and len(data.classes) == 1
        and data.elements == 1
        and data.microstate is not None
        and closed_form_of(data) is None
    )


def _states(law: Law, evidence: Evidence) -> tuple[FloatArray, FloatArray]:
    """Return some states whose fractions, if they are such, are those of a replica at least."""
    strain, internal = evidence.all_states(law)
    chosen = evidence.choice(_least_fraction(law, internal) * evidence.data.replicas >= 1.0)
    return strain[chosen], internal[chosen]


def _resolved(law: Law, evidence: Evidence, internal: FloatArray) -> npt.NDArray[np.bool_]:
    """Return where every state of a population holds enough replicas for ln p."""
    filled: npt.NDArray[np.bool_] = (
        _least_fraction(law, internal) * evidence.data.replicas >= OCCUPIED
    )
    return filled


def _least_fraction(law: Law, internal: FloatArray) -> FloatArray:
    """Return the smallest fraction of any state, ``(n,)``; 1 where α are means."""
    bounds, least = bounds_of(law), np.ones(len(internal))
    if bounds is None:
        return least
    for i, (low, high) in enumerate(bounds):
        if np.isfinite(low):
            least = np.minimum(least, internal[:, i] - low)
        if np.isfinite(high):
            least = np.minimum(least, high - internal[:, i])
    for part in simplices(law):
        least = np.minimum(least, 1.0 - (internal[:, part] - bounds[part, 0]).sum(1))
    smallest: FloatArray = least
    return smallest


def _equilibrium(
    law: Law, evidence: Evidence, strain: FloatArray, internal: FloatArray
) -> ConstrainedEquilibrium:
    low, high = float(evidence.data.samples.min()), float(evidence.data.samples.max())
    margin = BEYOND * (high - low)
    nodes = np.linspace(low - margin, high + margin, NODES)
    features = law.encode(nodes[:, None, None])[1]
    assert law.physics is not None  # noqa: S101 (the caller has asked)
    return constrained_equilibrium(
        microscopic_energy(law)(np.tile(nodes, (len(strain), 1)), strain),
        features,
        internal,
        spacing=float(nodes[1] - nodes[0]),
        thermal_energy=law.physics.thermal_energy,
    )
