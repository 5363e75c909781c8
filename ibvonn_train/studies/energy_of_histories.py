r"""Energies along strain histories: what the law stores and dissipates, and the work on both.

Per unit reference volume, from the start to the end of a history,

.. math::
    \Delta f = f(\varepsilon, \alpha)\big|_0^T, \qquad
    D = \int_0^T g \cdot \dot\alpha \, dt, \qquad
    W = \int_0^T \sigma \cdot d\varepsilon = \Delta f + D \text{ of the law.}

The microscopic system has no free energy that a simulation shows, so that its work is compared:
what it dissipates differs from D by the difference of the works, as far as Δf is right.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..evaluation.interface import Law

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class StepEnergies:
    """Energies of one point over its history [stress × strain].

    Attributes:
        stored: Δf of the law.
        dissipated: D of the law.
        law_work: W of the law.
        work: W of the microscopic system, mean of its batches.
        work_error: Standard error of it.
    """

    stored: float
    dissipated: float
    law_work: float
    work: float
    work_error: float


def energies_of_law(
    law: Law, time: FloatArray, strain: FloatArray, internal: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return Δf and D of every point, each ``(n_point,)``, by the trapezoidal rule.

    Args:
        law: The law.
        time: Instants, ``(n_time,)``.
        strain: ε, ``(n_point, n_time, n_ε)``.
        internal: α, ``(n_point, n_time, n_α)``.
    """
    shape = strain.shape[:2]
    rates = law.rates(strain.reshape(-1, strain.shape[-1]), internal.reshape(-1, law.internal_size))
    energy = rates.energy.reshape(shape)
    power = (rates.driving_force * rates.rate).sum(-1).reshape(shape)
    dissipated: FloatArray = 0.5 * (power[:, 1:] + power[:, :-1]) @ np.diff(time)
    return energy[:, -1] - energy[:, 0], dissipated


def work_along(strain: FloatArray, stress: FloatArray) -> FloatArray:
    """Return ∫ σ·dε by the trapezoidal rule, of the shape of all axes but the last two.

    Args:
        strain: ε, ``(…, n_time, n_ε)``.
        stress: σ, same shape.
    """
    middle = 0.5 * (stress[..., 1:, :] + stress[..., :-1, :])
    work: FloatArray = (middle * np.diff(strain, axis=-2)).sum((-2, -1))
    return work


def step_energies(
    of_law: tuple[FloatArray, FloatArray],
    strain: FloatArray,
    law_stress: FloatArray,
    batches: FloatArray,
) -> list[StepEnergies]:
    """Return the energies of every point.

    Args:
        of_law: Those of :func:`energies_of_law`.
        strain: ε at the stored instants, ``(n_point, n_time, n_ε)``.
        law_stress: σ of the law, same shape.
        batches: σ of the system, ``(n_point, n_batch, n_time, n_ε)``.
    """
    of_system = work_along(strain[:, None], batches)
    error = of_system.std(1, ddof=1) / np.sqrt(of_system.shape[1])
    columns = (*of_law, work_along(strain, law_stress), of_system.mean(1), error)
    return [StepEnergies(*map(float, row)) for row in zip(*columns, strict=True)]
