"""The certificate: every audit that can be made of a law with the data at hand."""

from __future__ import annotations

import numpy as np

from ..data import TrajectoryEnsemble
from ..evaluation.errors import relative_error
from ..evaluation.evaluate import Evaluation
from ..evaluation.law import Law
from ..exact_trap import ExactTrap
from . import bands, free_energy, structure, thermodynamics
from .audit import Audit


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
        The audits, in the order of the certificate.
    """
    measured = evaluation.measured
    audits = [
        structure.dissipation_sign(law),
        structure.convexity(law),
        structure.at_rest(law),
        stress(law, evaluation),
        *free_energy.against_flow(law, measured),
    ]
    if data.system == "tethered_particle" and law.internal_size == 1:
        parameters = (data.parameters[k] for k in ("stiffness", "friction", "thermal_energy"))
        mean = data.microstate[:, :, 0, :, 0].mean(-1, dtype=np.float64)
        audits += free_energy.against_exact_trap(law, measured, mean, ExactTrap(*parameters))
    audits += [
        thermodynamics.entropy_production(law, data, measured),
        thermodynamics.fluctuation_dissipation(law, data, measured),
        thermodynamics.equilibrium_response(law, measured),
    ]
    if slow is None:
        audits.append(
            Audit.not_available("Jarzynski equality", bands.JARZYNSKI, "no slow protocols given")
        )
    else:
        audits.append(thermodynamics.jarzynski(law, slow))
    return audits


def stress(law: Law, evaluation: Evaluation) -> Audit:
    """∂f/∂ε at the encoded states against the measured mean force."""
    measured = evaluation.measured
    predicted = law.rates(
        measured.strain.reshape(-1, law.strain_size),
        measured.internal.reshape(-1, law.internal_size),
    ).stress
    return Audit.judge(
        "stress at encoded states",
        relative_error(predicted, measured.stress.reshape(-1, law.strain_size)),
        bands.STRESS,
        "relative L2 error of ∂f/∂ε in %, states of unseen data",
    )
