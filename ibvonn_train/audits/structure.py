"""Audits of the structure: what must hold for any state, inside and outside the data (D7)."""

from __future__ import annotations

import numpy as np

from ..evaluation.interface import FloatArray, Law
from . import acceptance_ranges
from .audit import Audit
from .audit_data import NEEDS_POTENTIALS, Evidence

STATES = 20_000


def random_states(law: Law, stretch: float, seed: int) -> tuple[FloatArray, FloatArray]:
    """Return states uniform in the envelope box, scaled by ``stretch`` about its middle."""
    low, high = law.envelope.T
    middle, half = (low + high) / 2, stretch * (high - low) / 2
    states = middle + half * np.random.default_rng(seed).uniform(-1, 1, (STATES, len(low)))
    return states[:, : law.strain_size], states[:, law.strain_size :]


def dissipation_sign(law: Law, evidence: Evidence) -> Audit:  # noqa: ARG001
    """Second law: the smallest g·α̇ over twice the envelope, relative to its mean."""
    rates = law.rates(*random_states(law, 2.0, seed=0))
    power = (rates.driving_force * rates.rate).sum(-1)
    return Audit.compare(
        "dissipation sign",
        float(power.min() / np.abs(power).mean()),
        acceptance_ranges.DISSIPATION_SIGN,
        f"smallest g·α̇ over its mean, {STATES} random states in twice the envelope",
    )


def convexity(law: Law, evidence: Evidence) -> Audit:  # noqa: ARG001
    """Convexity of f: the smallest eigenvalue of its Hessian over the largest diagonal."""
    name, acceptable = "convexity of f", acceptance_ranges.CONVEXITY
    if not law.has_potentials:
        return Audit.not_available(name, acceptable, NEEDS_POTENTIALS)
    hessian = law.energy_hessian(*random_states(law, 2.0, seed=1))
    smallest = np.linalg.eigvalsh(hessian)[:, 0].min()
    largest = np.abs(np.diagonal(hessian, axis1=1, axis2=2)).max()
    return Audit.compare(
        name,
        # Round-off of an eigenvalue is of the order of machine precision times the matrix.
        float(smallest / largest + 1e-13),
        acceptable,
        f"smallest eigenvalue of ∂²f/∂(ε,α)² over its largest entry, {STATES} random states in "
        "twice the envelope",
    )


def curvature(law: Law, evidence: Evidence) -> Audit:  # noqa: ARG001
    """Stability of the material: E_∞ = f_εε − f_εα f_αα⁻¹ f_αε > 0 over the envelope.

    With E_0 = f_εε > 0 and E_∞ < 0 a body would soften when it relaxes (theory A7).
    """
    name, acceptable = "relaxed modulus", acceptance_ranges.CURVATURE
    if not law.has_potentials:
        return Audit.not_available(name, acceptable, NEEDS_POTENTIALS)
    hessian = law.energy_hessian(*random_states(law, 1.0, seed=2))
    n = law.strain_size
    first, mixed, last = hessian[:, :n, :n], hessian[:, :n, n:], hessian[:, n:, n:]
    relaxed = first - mixed @ np.linalg.solve(last, np.swapaxes(mixed, 1, 2))
    instant, final = np.linalg.eigvalsh(first), np.linalg.eigvalsh(relaxed)
    return Audit.compare(
        name,
        float(final.min() / instant.max()),
        acceptable,
        f"smallest E_∞ over largest E_0 in the envelope; E_0 in [{instant.min():.3g}, "
        f"{instant.max():.3g}], E_∞ in [{final.min():.3g}, {final.max():.3g}]",
    )


def at_rest(law: Law, evidence: Evidence) -> Audit:  # noqa: ARG001
    """φ(0) = 0 and ∂φ/∂g(0) = 0: nothing moves without a force."""
    name, acceptable = "φ at g = 0", acceptance_ranges.AT_REST
    if not law.has_potentials:
        return Audit.not_available(name, acceptable, NEEDS_POTENTIALS)
    strain, internal = random_states(law, 2.0, seed=2)
    zero = np.zeros_like(internal)
    value, _ = law.dual_dissipation(zero, strain, internal)
    step = 1e-3 * np.abs(law.rates(strain, internal).driving_force).mean(0)
    # A slope at 0 makes φ negative on one side of it.
    beside = [law.dual_dissipation(sign * step + zero, strain, internal)[0] for sign in (1, -1)]
    depth = max(0.0, -min(float(values.min()) for values in beside))
    return Audit.compare(
        name,
        float(np.abs(value).max()) + depth,
        acceptable,
        "largest |φ(0)| plus the depth of φ below zero next to g = 0",
    )
