"""The decoder's own free energy, F_flow = ⟨e⟩_q + k_BT ⟨ln q⟩_q, and its driving force."""

from __future__ import annotations

import numpy as np
import torch

from ..evaluation.law import FloatArray, Law
from ..evaluation.rollouts import reference_strain
from .evidence import NEEDS_DECODER

NODES = 600
REACH = 6.5
"""The quadrature covers the decoder's images of ± this many standard deviations of its noise."""
STATES_AT_ONCE = 500


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
    physics = law.physics
    if physics is None or physics.energy is None or not law.has_decoder:
        raise ValueError(f"flow_energy: {NEEDS_DECODER}; {law.name!r} lacks one of them.")
    parts = []
    for at in range(0, len(strain), STATES_AT_ONCE):
        eps, alpha = strain[at : at + STATES_AT_ONCE], internal[at : at + STATES_AT_ONCE]
        ends = law.sample(np.tile([[[-REACH], [REACH]]], (len(eps), 1, 1)), eps, alpha)[..., 0]
        x = np.linspace(ends[:, 0], ends[:, 1], NODES, axis=1)
        log_q = law.log_density(x[..., None], eps, alpha)
        weight = np.exp(log_q) * ((ends[:, 1] - ends[:, 0]) / (NODES - 1))[:, None]
        # x is in the data's measure, ε in that of the law.
        energy = physics.energy(
            torch.from_numpy(x[..., None]), torch.from_numpy(eps + reference_strain(law))
        ).numpy()
        # Normalised on the nodes, which removes what lies beyond them.
        total = weight.sum(-1)
        mean = (weight * (energy + physics.thermal_energy * log_q)).sum(-1) / total
        parts.append(mean - physics.thermal_energy * np.log(total))
    return np.concatenate(parts)


def flow_force(law: Law, strain: FloatArray, internal: FloatArray) -> FloatArray:
    """Return −∂F_flow/∂α ``(n, n_α)`` by central differences of 1e-3 of the training scale."""
    columns = []
    for i, scale in enumerate(law.internal_scale):
        step = np.zeros_like(internal)
        step[:, i] = 1e-3 * scale
        rise = flow_energy(law, strain, internal + step) - flow_energy(law, strain, internal - step)
        columns.append(-rise / (2e-3 * scale))
    return np.stack(columns, -1)
