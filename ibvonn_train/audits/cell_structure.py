"""Audits of the structure of cells: convexity on the whole cube of fractions, and symmetry."""

from __future__ import annotations

import numpy as np

from ..evaluation.interface import FloatArray, Law
from . import acceptance_ranges
from .audit import Audit
from .audit_data import NEEDS_POTENTIALS, Evidence
from .bounds import allowed, bounds_of
from .cell_states import of_cell

STATES = 20_000
SYMMETRIC_STATES = 2000


def cube_states(law: Law, count: int, seed: int) -> tuple[FloatArray, FloatArray]:
    """Return strains uniform in the envelope and fractions uniform between 0 and 1."""
    bounds = bounds_of(law)
    assert bounds is not None  # noqa: S101 (the caller has asked of_cell)
    low, high = np.concatenate([law.envelope[: law.strain_size], bounds]).T
    states = np.random.default_rng(seed).uniform(low, high, (count, len(low)))
    return states[:, : law.strain_size], allowed(law, states[:, law.strain_size :])


def convexity(law: Law, evidence: Evidence) -> Audit | None:
    """The smallest eigenvalue of ∂²f/∂α² on the whole cube of fractions, in k_BT of an element.

    The mixing entropy alone gives 4 where half of the elements are open, and more elsewhere.
    """
    if not of_cell(law, evidence) or law.physics is None:
        return None
    name, acceptable = "convexity on the cube", acceptance_ranges.CONVEXITY
    if not law.has_potentials:
        return Audit.not_available(name, acceptable, NEEDS_POTENTIALS)
    strain, internal = cube_states(law, STATES, seed=3)
    size = law.strain_size
    hessian = law.energy_hessian(strain, internal)[:, size:, size:] / law.physics.thermal_energy
    return Audit.compare(
        name,
        float(np.linalg.eigvalsh(hessian)[:, 0].min()),
        acceptable,
        "smallest eigenvalue of ∂²f/∂α² in k_BT of an element, "
        f"{STATES} random states: strains of the envelope, all fractions between 0 and 1",
    )


def symmetry(law: Law, evidence: Evidence) -> Audit | None:
    """Compare f, σ, g and α̇ with those of the turned and mirrored state, turned back.

    The group is that of the data, not what the law says of itself.
    """
    group = evidence.data.symmetry
    if len(group) < 2 or not of_cell(law, evidence):
        return None
    strain, internal = cube_states(law, SYMMETRIC_STATES, seed=4)
    here = law.rates(strain, internal)
    worst = 0.0
    for element in group:
        places = np.array(element.classes)
        moved = np.empty_like(internal)
        moved[:, places] = internal  # class c becomes class π(c)
        there = law.rates(strain @ element.strain.T, moved)
        pairs = (
            (there.energy, here.energy),
            (there.stress, here.stress @ element.strain.T),
            (there.driving_force[:, places], here.driving_force),
            (there.rate[:, places], here.rate),
        )
        gaps = (float(np.abs(a - b).max() / np.abs(b).max()) for a, b in pairs)
        worst = max(worst, *gaps)
    return Audit.compare(
        "symmetry",
        worst,
        acceptance_ranges.SYMMETRY,
        f"largest difference of f, σ, g and α̇ over their largest value under the {len(group)} "
        f"elements of the group of the data, {SYMMETRIC_STATES} random states",
    )
