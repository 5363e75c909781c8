r"""Noise of α between replicas over a stored interval, and what the law expects it to be.

A replica of N elements that begins with α_r in place of the mean ⟨α⟩ moves, to first order, by
(e^{JΔt} − 1)(α_r − ⟨α⟩) more than the mean does, J = ∂α̇/∂α; the rest of its increment is noise.
Noise that came early in the interval has relaxed since: by Ornstein and Uhlenbeck its covariance is

.. math::
    \frac1N \int_0^{\Delta t} e^{Js}\, 2\theta\,\partial^2_{gg}\varphi\; e^{J^T s}\, ds,

which for short intervals is 2θ φ″ Δt/N. The integral is the sum over the steps of the data's
integrator, so that it is exact for records of every step. φ″ is its mean over the interval by
Simpson's rule, at the measured states and half way between them, where J is taken too. For jumps
of independent elements it holds far from equilibrium: N Var(dα) = (J₊ + J₋) dt is 2θ φ″ dt there.

References:
    Uhlenbeck & Ornstein (1930), Phys. Rev. 36, 823; Gardiner, Stochastic Methods, section 4.4.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.linalg import expm

from ..evaluation.interface import FloatArray, Law
from .audit_data import Evidence
from .bounds import allowed, bounds_of, simplices

IntArray = npt.NDArray[np.int64]
STEP = 1e-4
"""Of central differences, in units of the scale of α."""


class ReplicaNoise(NamedTuple):
    """Of chosen intervals, each ``(n, n_α, n_α)``.

    Attributes:
        measured: N times the covariance between replicas of their increments, less what the law
            says of the state that each began with.
        expected: By the law, from φ″.
    """

    measured: FloatArray
    expected: FloatArray


# A law whose states run apart within an interval has no finite noise there, and fails by that.
@np.errstate(over="ignore", invalid="ignore")
def replica_noise(law: Law, evidence: Evidence, cases: IntArray, steps: IntArray) -> ReplicaNoise:
    """Return the noise over the intervals after instants ``steps`` of protocols ``cases``.

    The noise has the nominal k_BT whatever the integrator's step; k_BT of the law is the effective
    one, and the ratio of the two is that of the data.
    """
    data, measured = evidence.data, evidence.measured
    assert law.physics is not None  # noqa: S101 (the caller has asked)
    nominal = data.parameters["thermal_energy"]
    effective = data.parameters.get("effective_thermal_energy", nominal)
    thermal = law.physics.thermal_energy * nominal / effective
    # The slope of the mixing entropy is infinite where no element is: there is half a one.
    least = 0.5 / (data.replicas * data.elements)
    ends = [
        (measured.strain[cases, at, 0], allowed(law, measured.internal[cases, at, 0], least))
        for at in (steps, steps + 1)
    ]
    middle = tuple((first + last) / 2 for first, last in zip(*ends, strict=True))
    mobility = sum(
        weight * law.dual_dissipation(law.rates(*state).driving_force, *state)[1]
        for weight, state in zip((1 / 6, 4 / 6, 1 / 6), (ends[0], middle, ends[1]), strict=True)
    )
    strides = np.array(data.strides)[steps]
    dt = (data.time[steps + 1] - data.time[steps]) / strides
    decay = expm(rate_slope(law, *middle) * dt[:, None, None])
    expected, whole = _accumulated(decay, 2 * thermal * dt[:, None, None] * mobility, strides)
    rest = whole - np.eye(law.internal_size)
    between = np.empty_like(expected)
    for case in np.unique(cases):
        rows = np.flatnonzero(cases == case)
        instants, place = np.unique([steps[rows], steps[rows] + 1], return_inverse=True)
        features = replica_means(law, evidence, int(case), instants)
        before, after = (features[part] for part in place.reshape(2, -1))
        centred = before - before.mean(1, keepdims=True)
        increment = after - before
        noise = increment - increment.mean(1, keepdims=True)
        noise -= np.einsum("nij,nrj->nri", rest[rows], centred)
        between[rows] = np.einsum("nri,nrj->nij", noise, noise) / (data.replicas - 1)
    return ReplicaNoise(data.elements * between, expected)


def replica_means(law: Law, evidence: Evidence, case: int, instants: IntArray) -> FloatArray:
    """Return α of every replica of a protocol, ``(n_instant, n_replica, n_α)``."""
    data = evidence.data
    sample = np.asarray(data.samples[case, instants], dtype=np.float64)
    count, classes = sample.shape[:2]
    cells = sample.reshape(count, classes, data.replicas, data.elements, -1).swapaxes(1, 2)
    flat = cells.reshape(-1, *cells.shape[2:])
    _, alpha = law.encode(flat if classes > 1 else flat[:, 0])
    return alpha.reshape(count, data.replicas, -1)


def rate_slope(law: Law, strain: FloatArray, internal: FloatArray) -> FloatArray:
    """Return ∂α̇/∂α at given ε, ``(n, n_α, n_α)``, by central differences within the bounds."""
    inside = allowed(law, internal)
    step = np.broadcast_to(STEP * law.internal_scale, inside.shape).copy()
    bounds = bounds_of(law)
    if bounds is not None:
        low, high = bounds.T
        step = np.minimum(step, 0.5 * np.minimum(inside - low, high - inside))
        for part in simplices(law):
            left = 1.0 - (inside[:, part] - low[part]).sum(1, keepdims=True)
            step[:, part] = np.minimum(step[:, part], 0.5 * left)
    columns = []
    for i in range(law.internal_size):
        moved = np.zeros_like(inside)
        moved[:, i] = step[:, i]
        rise = law.rates(strain, inside + moved).rate - law.rates(strain, inside - moved).rate
        columns.append(rise / (2 * step[:, i : i + 1]))
    return np.stack(columns, -1)


def _accumulated(
    decay: FloatArray, noise: FloatArray, counts: IntArray
) -> tuple[FloatArray, FloatArray]:
    """Return Σ_{k<m} A^k Q A^kᵀ and A^m for m = ``counts`` steps, ``(n, n_α, n_α)``."""
    total, power = np.zeros_like(noise), np.broadcast_to(np.eye(decay.shape[-1]), decay.shape)
    for bit in range(int(counts.max()).bit_length() - 1, -1, -1):
        total = total + power @ total @ np.swapaxes(power, 1, 2)
        power = power @ power
        odd = ((counts >> bit) & 1).astype(bool)[:, None, None]
        total = np.where(odd, noise + decay @ total @ np.swapaxes(decay, 1, 2), total)
        power = np.where(odd, decay @ power, power)
    return total, power
