"""Audits of the free energy: against that of the decoder, and against the exact one."""

from __future__ import annotations

import numpy as np
import torch

from ..evaluation.errors import deviation, relative_error
from ..evaluation.law import FloatArray, Law
from ..evaluation.rollouts import Trajectories, reference_strain
from ..exact_trap import ExactTrap
from . import bands
from .audit import Audit

NODES = 600
REACH = 6.5
"""The quadrature covers the decoder's images of ± this many standard deviations of its noise."""


def knows_energy(law: Law) -> bool:
    """Return whether F of the decoder can be computed: it has one, and e(x) is known."""
    return law.has_decoder and law.physics is not None and law.physics.energy is not None


def flow_energy(law: Law, strain: FloatArray, internal: FloatArray) -> FloatArray:
    r"""Return :math:`F = \langle e\rangle_q + k_BT \langle\ln q\rangle_q` of the decoder.

    Args:
        law: A law with a decoder of one-dimensional microstates and a known microscopic energy.
        strain: ε in the measure of the law, ``(n, n_ε)``.
        internal: α, ``(n, n_α)``.

    Returns:
        F_flow ``(n,)``, per unit reference length.
    """
    physics = law.physics
    if physics is None or physics.energy is None or not law.has_decoder:
        raise ValueError("flow_energy: needs a decoder and a known microscopic energy.")
    ends = law.sample(np.tile([[[-REACH], [REACH]]], (len(strain), 1, 1)), strain, internal)[..., 0]
    t = np.linspace(0, 1, NODES)
    x = ends[:, :1] + (ends[:, 1:] - ends[:, :1]) * t
    log_q = law.log_density(x[..., None], strain, internal)
    weight = np.exp(log_q) * ((ends[:, 1] - ends[:, 0]) / (NODES - 1))[:, None]
    # e(x, ε) is that of the data's measure, whose zero of strain may differ from the law's.
    shift = reference_strain(law)
    energy = physics.energy(
        torch.from_numpy(x[..., None] + (0 if not law.averaged else shift)),
        torch.from_numpy(strain + shift),
    ).numpy()
    total: FloatArray = (weight * (energy + physics.thermal_energy * log_q)).sum(-1)
    return total


def flow_force(law: Law, strain: FloatArray, internal: FloatArray) -> FloatArray:
    """Return −∂F_flow/∂α ``(n, n_α)`` by central differences of 1e-3 of the training scale."""
    columns = []
    for i, scale in enumerate(law.internal_scale):
        step = np.zeros_like(internal)
        step[:, i] = 1e-3 * scale
        rise = flow_energy(law, strain, internal + step) - flow_energy(law, strain, internal - step)
        columns.append(-rise / (2e-3 * scale))
    return np.stack(columns, -1)


def _states(
    law: Law, measured: Trajectories, count: int = 1500, seed: int = 3
) -> tuple[FloatArray, FloatArray]:
    strain = measured.strain.reshape(-1, law.strain_size)
    internal = measured.internal.reshape(-1, law.internal_size)
    pick = np.random.default_rng(seed).permutation(len(strain))[:count]
    return strain[pick], internal[pick]


def against_flow(law: Law, measured: Trajectories) -> list[Audit]:
    """Compare f and g with the decoder's own free energy on states of unseen data (D1)."""
    energy_band, force_band = (
        (bands.CHAIN_FLOW_ENERGY, bands.CHAIN_FLOW_FORCE)
        if law.averaged
        else (bands.FLOW_ENERGY, bands.FLOW_FORCE)
    )
    names = "f against F_flow", "g against F_flow"
    if law.physics is None or law.physics.energy is None or not law.has_decoder:
        reason = "needs a decoder and a known microscopic energy"
        return [
            Audit.not_available(name, band, reason)
            for name, band in zip(names, (energy_band, force_band), strict=True)
        ]
    strain, internal = _states(law, measured)
    rates = law.rates(strain, internal)
    value = deviation(rates.energy, flow_energy(law, strain, internal))
    force = relative_error(rates.driving_force, flow_force(law, strain, internal))
    on = f"{len(strain)} states of unseen data"
    return [
        Audit.judge(names[0], value, energy_band, f"sd of f − F_flow over sd of F_flow in %, {on}"),
        Audit.judge(names[1], force, force_band, f"relative L2 error of −∂f/∂α in %, {on}"),
    ]


def against_exact_trap(
    law: Law, measured: Trajectories, mean: FloatArray, exact: ExactTrap
) -> list[Audit]:
    """f, g and mobility of a trap's law against the closed forms.

    The force on α and its mobility depend on the gauge; with the slope a = dα/dm of the map from
    the mean position to α, g_m = a g and 1/η = φ''/a².

    Args:
        law: A law of the trap with one internal variable.
        measured: States of unseen data.
        mean: Mean positions of the same states, ``(n_protocol, n_time)``.
        exact: The closed forms.
    """
    strain = measured.strain.reshape(-1, 1)
    internal = measured.internal.reshape(-1, 1)
    m = mean.reshape(-1)
    rates = law.rates(strain, internal)
    spread = np.sqrt(exact.thermal_energy / (2 * exact.stiffness))
    step = 1e-3 * np.std(m)

    def encode_at(at: FloatArray) -> FloatArray:
        ensembles = exact.ensemble(at, np.full_like(at, spread**2))
        return law.encode(ensembles)[1][:, 0]

    slope = (encode_at(m + step) - encode_at(m - step)) / (2 * step)
    force = slope * rates.driving_force[:, 0]
    audits = [
        Audit.judge(
            "f against the exact f",
            deviation(rates.energy, exact.energy(strain[:, 0], m)),
            bands.EXACT_ENERGY,
            "sd of the difference over sd of the exact f in %, states of unseen data",
        ),
        Audit.judge(
            "g against the exact g",
            relative_error(force, exact.driving_force(strain[:, 0], m)),
            bands.EXACT_FORCE,
            "relative L2 error in %, as force on the mean position",
        ),
    ]
    if law.has_potentials:
        _, mobility = law.dual_dissipation(rates.driving_force, strain, internal)
        error = np.abs(mobility[:, 0, 0] / slope**2 * exact.friction - 1)
        audits.append(
            Audit.judge(
                "mobility against 1/η",
                100 * float(np.sqrt(np.mean(error**2))),
                bands.EXACT_MOBILITY,
                "root mean square of φ''·η − 1 in %, as mobility of the mean position",
            )
        )
    return audits
