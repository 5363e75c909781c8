"""The decoder's own free energy, F_flow = ⟨e⟩_q + k_BT ⟨ln q⟩_q, and its driving force."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from ..evaluation.decoder_mean import decoder_mean
from ..evaluation.interface import FloatArray, Law
from .audit_data import NEEDS_DECODER, NEEDS_ENERGY

NODES = 600
"""Of the quadrature."""


def flow_energy(law: Law, strain: FloatArray, internal: FloatArray) -> FloatArray:
    r"""Return :math:`F = \langle e\rangle_q + k_BT \langle\ln q\rangle_q` of the decoder.

    Args:
        law: A law with a decoder of one-dimensional microstates and a known microscopic energy.
        strain: ε in the measure of the law, ``(n, n_ε)``.
        internal: α, ``(n, n_α)``.

    Returns:
        F_flow ``(n,)``, per unit reference length.

    Raises:
        ValueError: If decoder or energy is missing.
    """
    physics, energy = law.physics, microscopic_energy(law)
    if physics is None or not law.has_decoder:
        raise ValueError(f"flow_energy: {NEEDS_DECODER}; {law.name!r} lacks one of them.")
    k_bt = physics.thermal_energy

    def integrand(x: FloatArray, log_q: FloatArray, eps: FloatArray) -> FloatArray:
        return energy(x, eps) + k_bt * log_q

    return decoder_mean(law, strain, internal, integrand, NODES)


def microscopic_energy(law: Law) -> Callable[[FloatArray, FloatArray], FloatArray]:
    """Return e(x, ε) of microstates ``(n, n_sample)`` in the data's measure and ε of the law's.

    Raises:
        ValueError: If the energy is not known.
    """
    physics, zero = law.physics, law.strain_reference
    if physics is None or physics.energy is None:
        raise ValueError(f"microscopic_energy: {NEEDS_ENERGY}; {law.name!r} has none.")
    microscopic = physics.energy

    def energy(x: FloatArray, strain: FloatArray) -> FloatArray:
        value = microscopic(torch.from_numpy(x[..., None]), torch.from_numpy(strain + zero))
        of_states: FloatArray = value.numpy()
        return of_states

    return energy


def flow_force(law: Law, strain: FloatArray, internal: FloatArray) -> FloatArray:
    """Return −∂F_flow/∂α ``(n, n_α)`` by central differences of 1e-3 of the training scale."""
    columns = []
    for i, scale in enumerate(law.internal_scale):
        step = np.zeros_like(internal)
        step[:, i] = 1e-3 * scale
        rise = flow_energy(law, strain, internal + step) - flow_energy(law, strain, internal - step)
        columns.append(-rise / (2e-3 * scale))
    return np.stack(columns, -1)
