"""Audits of the structure: what must hold for any state, inside and outside the data (D7).

The audits judge what makes a step of the law solvable and dissipative: f convex in α at given ε, φ
zero without a force, g·α̇ ≥ 0. Whether f is convex in ε and α together, and whether the relaxed
material is stable, are properties of the material: they are reported with the place where they are
lost, and nothing fails by them. A body whose relaxed modulus is negative localises.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..evaluation.interface import FloatArray, Law
from . import acceptance_ranges
from .audit import OPEN, Audit
from .audit_data import NEEDS_POTENTIALS, Evidence
from .bounds import allowed

STATES = 20_000


def random_states(law: Law, stretch: float, seed: int) -> tuple[FloatArray, FloatArray]:
    """Return states uniform in the envelope box, scaled by ``stretch`` about its middle.

    Fractions stay between 0 and 1: see :func:`~ibvonn_train.audits.bounds.allowed`.
    """
    low, high = law.envelope.T
    middle, half = (low + high) / 2, stretch * (high - low) / 2
    states = middle + half * np.random.default_rng(seed).uniform(-1, 1, (STATES, len(low)))
    return states[:, : law.strain_size], allowed(law, states[:, law.strain_size :])


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
    """Convexity of f in α at given ε: the smallest eigenvalue of ∂²f/∂α² over its largest entry.

    With it the implicit update has one solution for any time step, and never gains energy.
    """
    name, acceptable = "convexity of f in α", acceptance_ranges.CONVEXITY
    if not law.has_potentials:
        return Audit.not_available(name, acceptable, NEEDS_POTENTIALS)
    hessian = law.energy_hessian(*random_states(law, 2.0, seed=1))
    by_internal = hessian[:, law.strain_size :, law.strain_size :]
    return Audit.compare(
        name,
        _smallest_eigenvalue(by_internal)[0],
        acceptable,
        f"smallest eigenvalue of ∂²f/∂α² at given ε over its largest entry, {STATES} random states "
        "in twice the envelope",
    )


def joint_convexity(law: Law, evidence: Evidence) -> Audit:  # noqa: ARG001
    """Report whether f is convex in ε and α together, and where it is not.

    Where it is, a body of this law has one solution for any time step.
    """
    name = "joint convexity of f"
    if not law.has_potentials:
        return Audit.not_available(name, OPEN, NEEDS_POTENTIALS)
    strain, internal = random_states(law, 1.0, seed=1)
    value, smallest = _smallest_eigenvalue(law.energy_hessian(strain, internal))
    return Audit.report(
        name,
        value,
        "smallest eigenvalue of ∂²f/∂(ε,α)² over its largest entry, "
        f"{_where(smallest < 0, strain, internal)}",
    )


def _smallest_eigenvalue(hessian: FloatArray) -> tuple[float, FloatArray]:
    """Return the smallest eigenvalue over the largest entry, and the smallest of each state."""
    largest = np.abs(np.diagonal(hessian, axis1=1, axis2=2)).max()
    # Round-off of an eigenvalue is of the order of machine precision times the matrix.
    entries = np.abs(hessian).max((1, 2))
    smallest = np.linalg.eigvalsh(hessian)[:, 0] + 1e-13 * np.maximum(entries, largest)
    return float(smallest.min() / largest), smallest


def curvature(law: Law, evidence: Evidence) -> Audit:  # noqa: ARG001
    """Report the relaxed modulus, E_∞ = f_εε − f_εα f_αα⁻¹ f_αε, over the envelope.

    With E_0 = f_εε > 0 and E_∞ < 0 a body would soften when it relaxes (theory A7).
    """
    name = "relaxed modulus"
    if not law.has_potentials:
        return Audit.not_available(name, OPEN, NEEDS_POTENTIALS)
    strain, internal = random_states(law, 1.0, seed=2)
    hessian = law.energy_hessian(strain, internal)
    n = law.strain_size
    first, mixed, last = hessian[:, :n, :n], hessian[:, :n, n:], hessian[:, n:, n:]
    # Some laws have no inverse somewhere: a pseudo-inverse leaves their flat directions out.
    relaxed = first - mixed @ np.linalg.pinv(last, hermitian=True) @ np.swapaxes(mixed, 1, 2)
    instant, final = np.linalg.eigvalsh(first), np.linalg.eigvalsh(relaxed)
    return Audit.report(
        name,
        float(final.min() / instant.max()),
        f"smallest E_∞ over largest E_0 in the envelope; E_0 in [{instant.min():.3g}, "
        f"{instant.max():.3g}], E_∞ in [{final.min():.3g}, {final.max():.3g}], "
        f"{_where(final[:, 0] < 0, strain, internal)}",
    )


def _where(lost: npt.NDArray[np.bool_], strain: FloatArray, internal: FloatArray) -> str:
    """Say where in the envelope a property is lost: 90 % of these states lie in the ranges."""
    if not lost.any():
        return f"not negative at any of {len(lost)} random states in the envelope"
    names = [_component("ε", i, strain.shape[1]) for i in range(strain.shape[1])]
    names += [_component("α", i, internal.shape[1]) for i in range(internal.shape[1])]
    low, high = np.quantile(np.concatenate([strain, internal], 1)[lost], [0.05, 0.95], axis=0)
    ranges = [
        f"{name} from {a:.3g} to {b:.3g}" for name, a, b in zip(names, low, high, strict=True)
    ]
    return f"negative in {100 * lost.mean():.2g} % of the envelope, mostly at {', '.join(ranges)}"


def _component(symbol: str, index: int, size: int) -> str:
    return symbol if size == 1 else f"{symbol}{index + 1}"


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
