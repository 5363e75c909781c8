"""Audits of the structure: what must hold for any state, inside and outside the data."""

from __future__ import annotations

import numpy as np

from ..evaluation.law import FloatArray, Law
from . import bands
from .audit import Audit

STATES = 20_000


def random_states(law: Law, stretch: float, seed: int) -> tuple[FloatArray, FloatArray]:
    """Return states uniform in the envelope box, scaled by ``stretch`` about its middle."""
    low, high = law.envelope.T
    middle, half = (low + high) / 2, stretch * (high - low) / 2
    states = middle + half * np.random.default_rng(seed).uniform(-1, 1, (STATES, len(low)))
    return states[:, : law.strain_size], states[:, law.strain_size :]


def dissipation_sign(law: Law, seed: int = 0) -> Audit:
    """Second law: the smallest g·α̇ over twice the envelope, relative to its mean."""
    rates = law.rates(*random_states(law, 2.0, seed))
    power = (rates.driving_force * rates.rate).sum(-1)
    return Audit.judge(
        "dissipation sign",
        float(power.min() / np.abs(power).mean()),
        bands.DISSIPATION_SIGN,
        f"smallest g·α̇ over its mean, {STATES} random states in twice the envelope",
    )


def convexity(law: Law, seed: int = 1) -> Audit:
    """Convexity of f: the smallest eigenvalue of its Hessian over the largest diagonal."""
    if not law.has_potentials:
        return Audit.not_available("convexity of f", bands.CONVEXITY, "the law has no parameters")
    hessian = law.energy_hessian(*random_states(law, 2.0, seed))
    smallest = np.linalg.eigvalsh(hessian)[:, 0].min()
    largest = np.abs(np.diagonal(hessian, axis1=1, axis2=2)).max()
    return Audit.judge(
        "convexity of f",
        # Round-off of an eigenvalue is of the order of machine precision times the matrix.
        float(smallest / largest + 1e-13),
        bands.CONVEXITY,
        f"smallest eigenvalue of ∂²f/∂(ε,α)² over its largest entry, {STATES} random states in "
        "twice the envelope",
    )


def at_rest(law: Law, seed: int = 2) -> Audit:
    """φ(0) = 0 and ∂φ/∂g(0) = 0: nothing moves without a force."""
    if not law.has_potentials:
        return Audit.not_available("φ at g = 0", bands.AT_REST, "the law has no parameters")
    strain, internal = random_states(law, 2.0, seed)
    zero = np.zeros_like(internal)
    value, _ = law.dual_dissipation(zero, strain, internal)
    step = 1e-3 * np.abs(law.rates(strain, internal).driving_force).mean(0)
    there, _ = law.dual_dissipation(zero + step, strain, internal)
    lowest = min(0.0, float(there.min()))  # a slope at 0 makes φ negative on one side
    back, _ = law.dual_dissipation(zero - step, strain, internal)
    lowest = min(lowest, float(back.min()))
    return Audit.judge(
        "φ at g = 0",
        float(np.abs(value).max() - lowest),
        bands.AT_REST,
        "largest |φ(0)| plus the depth of φ below zero next to g = 0",
    )
