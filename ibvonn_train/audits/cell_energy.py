"""Audit of cells: f against the free energy that independent elements of these energies have."""

from __future__ import annotations

import numpy as np

from ..evaluation.errors import deviation
from ..evaluation.interface import FloatArray, Law
from . import acceptance_ranges
from .audit import Audit
from .audit_data import Evidence
from .cell_states import of_cell, single_element_energy


def value(law: Law, evidence: Evidence) -> Audit | None:
    """Compare f with ⟨E⟩ − k_BT × the mixing entropy of the fractions; a constant is free.

    Neighbours are correlated, so that this is not the cell's own free energy but 1 to 2.5 % from it
    in a lattice: the law need not come nearer than that.
    """
    if not of_cell(law, evidence):
        return None
    name, acceptable = "f against single elements", acceptance_ranges.CELL_ENERGY
    single = single_element_energy(law, evidence)
    if single is None:
        return Audit.not_available(name, acceptable, "needs the recorded energy")
    energy = law.rates(*evidence.all_states(law)).energy.reshape(single.shape)
    return Audit.compare(
        name,
        deviation(energy, single),
        acceptable,
        "sd of the difference over sd in % of f from ⟨E⟩ + k_BT Σ p ln p + (1 − p) ln(1 − p), "
        f"{single.size} states of unseen data; neighbours are correlated, which this leaves out",
    )


def dissipated(law: Law, evidence: Evidence) -> FloatArray | None:
    """Return what one cell dissipates on each path, in k_BT, ``(n_protocol,)``: W − ΔF₁.

    None where no energy is recorded.
    """
    single = single_element_energy(law, evidence)
    if single is None or law.physics is None:
        return None
    stress, strain = evidence.measured.stress, evidence.measured.strain
    work = ((stress[:, 1:] + stress[:, :-1]) / 2 * np.diff(strain, axis=1)).sum((1, 2, 3))
    of_element: FloatArray = (work - single[:, -1] + single[:, 0]) / law.physics.thermal_energy
    return of_element * evidence.data.elements
