"""The certificate: every audit that can be made of a law with the data at hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..data.ensemble import TrajectoryEnsemble
from ..evaluation.evaluate import Evaluation
from ..evaluation.interface import Law
from . import (
    cell_energy,
    cell_equilibrium,
    cell_fluxes,
    cell_memory,
    cell_structure,
    kinetics,
    structure,
)
from . import closed_form_potentials as exact
from . import constrained_potentials as constrained
from . import energy_consistency as free_energy
from . import entropy_production as dissipation
from . import relaxed_response as equilibrium
from .audit import Audit
from .audit_data import Evidence

MakeAudit = Callable[[Law, Evidence], Audit | None]
"""None where the audit has no meaning for the system."""

AUDITS: tuple[MakeAudit, ...] = (
    structure.dissipation_sign,
    structure.convexity,
    cell_structure.convexity,
    cell_structure.symmetry,
    structure.at_rest,
    structure.joint_convexity,
    structure.curvature,
    free_energy.stress,
    kinetics.stress_defect,
    free_energy.decoder_energy,
    free_energy.value_against_flow,
    free_energy.gradient_against_flow,
    cell_energy.value,
    cell_fluxes.driving_force,
    exact.energy,
    exact.driving_force,
    exact.mobility,
    constrained.energy,
    constrained.driving_force,
    dissipation.dissipated_work,
    dissipation.entropy_production,
    dissipation.fluctuation_dissipation,
    equilibrium.response,
    equilibrium.finite_chain,
    cell_equilibrium.response,
    cell_equilibrium.cell_size,
    equilibrium.jarzynski,
    kinetics.momentum,
    cell_memory.markov_residual,
)
"""In the order of the certificate."""


def certify(
    law: Law,
    data: TrajectoryEnsemble,
    evaluation: Evaluation,
    slow: TrajectoryEnsemble | None = None,
) -> list[Audit]:
    """Audit a law.

    Args:
        law: The law.
        data: Unseen data of the system.
        evaluation: Of the law on these data.
        slow: Slow protocols for Jarzynski's equality; without them it is not available.

    Returns:
        The audits that have a meaning for the system.
    """
    return audits_on(law, Evidence(data, evaluation.measured, slow))


def audits_on(law: Law, evidence: Evidence, audits: Sequence[MakeAudit] = AUDITS) -> list[Audit]:
    """Return those of the audits that have a meaning for the system, made on these data."""
    results = (audit(law, evidence) for audit in audits)
    return [result for result in results if result is not None]
