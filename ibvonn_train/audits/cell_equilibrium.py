"""Audits of cells: the relaxed stress by Metropolis sampling of the bonds as spins, cell size."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..evaluation.errors import relative_error
from ..evaluation.interface import Law
from ..simulation.systems.periodic_lattice import PeriodicLattice
from ..simulation.systems.registry import known_system
from . import acceptance_ranges
from .audit import OPEN, Audit
from .audit_data import Evidence
from .relaxed_response import relaxed

STRAINS, REPLICAS, SWEEPS = 16, 48, 60
LARGEST = 12
"""Nodes along each lattice vector: twelve agree with larger cells."""
SEED = 20

SIZE_STRAINS, SIZE_SPINS = 4, 27_000
"""Strains at which the size of the cell is looked at, and bonds of all replicas at each."""
MOST_BONDS = 2500
"""Of a cell of twice the size: each of its bonds interacts with all others."""

NAME = "equilibrium of the cell"


def response(law: Law, evidence: Evidence) -> Audit | None:
    """Compare the stress at which g = 0 with that of the sampled cell, at strains of the data.

    The strongest check of the free energy: nothing of it was seen in training.
    """
    system = known_system(evidence.data)
    if not isinstance(system, PeriodicLattice) or not system.has_spins:
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


def cell_size(law: Law, evidence: Evidence) -> Audit | None:
    """Report how far the relaxed stress of the data's cell is from that of one twice as large.

    A law of a material point is that of a large cell; it has the size effect of its data. A
    property of the data: it fails no law. Both cells are sampled as spins.
    """
    system = known_system(evidence.data)
    if not isinstance(system, PeriodicLattice) or not system.has_spins:
        return None
    bonds = len(system.classes) * replace(system, cells=2 * system.cells).nodes
    if bonds > MOST_BONDS:
        reason = f"a cell twice as large has {bonds} bonds; up to {MOST_BONDS} are sampled"
        return Audit.not_available("cell size", OPEN, reason)
    strain, _ = evidence.some_states(law)
    measure = strain[:SIZE_STRAINS] + law.strain_reference
    sampled = []
    for cells in (system.cells, 2 * system.cells):
        own = replace(system, cells=cells)
        replicas = max(4, SIZE_SPINS // (len(own.classes) * own.nodes))
        sampled.append(
            own.spins().relaxed(measure, replicas=replicas, sweeps=SWEEPS, seed=SEED)[1:]
        )
    (small, error), (large, other) = sampled
    size = float(np.linalg.norm(large))
    noise = float(np.sqrt(np.square(error).sum() + np.square(other).sum()))
    return Audit.report(
        "cell size",
        relative_error(small, large),
        f"relative L2 difference in % of the relaxed stress of cells of {system.cells} and "
        f"{2 * system.cells} nodes along a side, bonds sampled as spins at {len(measure)} strains; "
        f"standard error {100 * noise / size:.2g} %",
    )
