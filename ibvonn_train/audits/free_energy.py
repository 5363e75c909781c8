"""Audits of the free energy: its derivative by strain, and the one of the decoder (theory D1)."""

from __future__ import annotations

import numpy as np
import torch

from ..evaluation.errors import deviation, relative_error
from ..evaluation.law import FloatArray, Law
from ..evaluation.rollouts import reference_strain
from . import bands
from .audit import Audit
from .evidence import NEEDS_DECODER, Evidence, knows_energy

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


def stress(law: Law, evidence: Evidence) -> Audit:
    """Compare ∂f/∂ε at the encoded states with the measured mean force."""
    predicted = law.rates(*evidence.all_states(law)).stress
    return Audit.judge(
        "stress at encoded states",
        relative_error(predicted, evidence.measured.stress.reshape(predicted.shape)),
        bands.CHAIN_STRESS if law.averaged else bands.STRESS,
        "relative L2 error of ∂f/∂ε in %, states of unseen data",
    )


def value_against_flow(law: Law, evidence: Evidence) -> Audit:
    """Compare f with the decoder's own free energy; a constant is free."""
    name = "f against F_flow"
    band = bands.CHAIN_FLOW_ENERGY if law.averaged else bands.FLOW_ENERGY
    if not (knows_energy(law) and law.has_decoder):
        return Audit.not_available(name, band, NEEDS_DECODER)
    strain, internal = evidence.some_states(law)
    value = deviation(law.rates(strain, internal).energy, flow_energy(law, strain, internal))
    return Audit.judge(
        name, value, band, f"sd(f − F_flow)/sd(F_flow) in %, {len(strain)} states of unseen data"
    )


def gradient_against_flow(law: Law, evidence: Evidence) -> Audit:
    """Compare g with the driving force of the decoder's own free energy."""
    name = "g against F_flow"
    band = bands.CHAIN_FLOW_FORCE if law.averaged else bands.FLOW_FORCE
    if not (knows_energy(law) and law.has_decoder):
        return Audit.not_available(name, band, NEEDS_DECODER)
    strain, internal = evidence.some_states(law)
    force, truth = law.rates(strain, internal).driving_force, flow_force(law, strain, internal)
    return Audit.judge(
        name,
        relative_error(force, truth),
        band,
        f"relative L2 error of −∂f/∂α in %, {len(strain)} states of unseen data",
    )
