"""Laws of cells: one open fraction for each class of elements, under an imposed strain."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..data.ensemble import TrajectoryEnsemble
from ..evaluation.interface import FloatArray, Law
from .audit_data import Evidence
from .bounds import bounds_of

LEAST = 1e-12
"""Fraction of an empty state in logarithms."""


def of_cell(law: Law, evidence: Evidence) -> bool:
    """Return whether α are fractions of two states, one for each class, and the strain is given."""
    bounds = bounds_of(law)
    groups = np.asarray(getattr(law, "groups", ()), dtype=int).reshape(-1, 2)
    return (
        bounds is not None
        and not law.averaged
        and len(groups) == law.internal_size == len(evidence.data.classes)
        and bool((groups[:, 1] == 2).all())
        and evidence.data.points == 1
        and evidence.strain_given
    )


def fractions(law: Law, internal: FloatArray) -> FloatArray:
    """Return the open fractions p ``(..., n_α)`` of states, kept from 0 and 1 by `LEAST`."""
    bounds = bounds_of(law)
    assert bounds is not None  # noqa: S101 (the caller has asked of_cell)
    p: FloatArray = np.clip(internal - bounds[:, 0], LEAST, 1.0 - LEAST)
    return p


def log_odds(fraction: FloatArray) -> FloatArray:
    """Return ln p/(1 − p)."""
    odds: FloatArray = np.log(fraction) - np.log1p(-fraction)
    return odds


def open_elements(law: Law, data: TrajectoryEnsemble, case: int) -> npt.NDArray[np.bool_]:
    """Return which elements of a protocol are open, ``(n_time, n_class, n_sample)``.

    An element is open where its own feature says so by more than a half.
    """
    bounds = bounds_of(law)
    assert bounds is not None  # noqa: S101 (the caller has asked of_cell)
    sample = np.asarray(data.samples[case], dtype=np.float64)
    instants, classes, count, size = sample.shape
    single = sample.swapaxes(1, 2).reshape(-1, classes, 1, size)
    _, feature = law.encode(single if classes > 1 else single[:, 0])
    opened = (feature - bounds[:, 0]).reshape(instants, count, classes) > 0.5
    return opened.swapaxes(1, 2)


def single_element_energy(law: Law, evidence: Evidence) -> FloatArray | None:
    r"""Return the free energy of the cell if its elements were independent.

    .. math:: F_1 = \langle E\rangle + \theta \sum_a [p_a \ln p_a + (1 - p_a) \ln(1 - p_a)]

    with the measured mean energy. Vibrations about a configuration of open elements do not depend
    on it (theory of cells), so what is left out is the correlation between the states of
    neighbours, whose entropy is less than that of the mixture. (The entropy of the whole
    distribution of an element would count the displacements that its neighbours' states impose
    once more.) Shape ``(n_protocol, n_time)``; None where no energy is recorded.
    """
    energy = evidence.data.energy
    if energy is None or law.physics is None:
        return None
    p = fractions(law, evidence.measured.internal[:, :, 0])
    mixing = (p * np.log(p) + (1.0 - p) * np.log1p(-p)).sum(-1)
    single: FloatArray = energy[:, :, 0] + law.physics.thermal_energy * mixing
    return single
