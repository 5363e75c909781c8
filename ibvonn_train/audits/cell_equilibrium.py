"""Audit of cells: the relaxed stress against a Metropolis sampling of the bonds as spins."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..evaluation.errors import relative_error
from ..evaluation.interface import Law
from ..simulation.systems.periodic_lattice import PeriodicLattice
from ..simulation.systems.registry import known_system
from . import acceptance_ranges
from .audit import Audit
from .audit_data import Evidence
from .relaxed_response import relaxed

STRAINS, REPLICAS, SWEEPS = 16, 48, 60
LARGEST = 12
"""Nodes along each lattice vector: twelve agree with larger cells."""
SEED = 20

NAME = "equilibrium of the cell"


def response(law: Law, evidence: Evidence) -> Audit | None:
    """Compare the stress at which g = 0 with that of the sampled cell, at strains of the data.

    The strongest check of the free energy: nothing of it was seen in training.
    """
    system = known_system(evidence.data)
    if not isinstance(system, PeriodicLattice) or not system.series:
        return None
    acceptable = acceptance_ranges.CELL_EQUILIBRIUM
    strain, _ = evidence.some_states(law)
    strain = strain[:STRAINS]
    spins = replace(system, cells=min(system.cells, LARGEST)).spins()
    measure = strain + law.strain_reference
    _, exact, error = spins.relaxed(measure, replicas=REPLICAS, sweeps=SWEEPS, seed=SEED)
    stress = np.array([relaxed(law, each).stress for each in strain])
    floor = 100.0 * float(np.linalg.norm(error) / np.linalg.norm(exact))
    return Audit.compare(
        NAME,
        relative_error(stress, exact),
        acceptable,
        f"relative L2 error in % of the relaxed stress at {len(strain)} strains of unseen data, "
        f"against the bonds sampled as spins; standard error of the sampling {floor:.2g} %",
    )
