r"""Equilibrium of a one-dimensional microstate whose internal variables are held.

Of all densities with :math:`\langle\psi\rangle = \alpha` the one of least free energy
:math:`\langle e\rangle + \theta\langle\ln q\rangle` is

.. math:: q(x) \propto \exp\big(-e(x, \varepsilon)/\theta + \lambda\cdot\psi(x)\big),

and :math:`F(\varepsilon, \alpha) = \theta\,(\lambda\cdot\alpha - \ln Z)`, with
:math:`-\partial F/\partial\alpha = -\theta\lambda`. It is the free energy that any law with these
internal variables should have, as far as what else there is in the microstate relaxes at once.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
ITERATIONS = 200
LARGEST_STEP = 2.0
"""Of λ·(spread of ψ) in one Newton step, which then stays where the exponential is tame."""
CONVERGED = 1e-9
"""Largest error of ⟨ψ⟩, over the scale of α."""
STATES_AT_ONCE = 500


class ConstrainedEquilibrium(NamedTuple):
    """Of some states.

    Attributes:
        energy: F, ``(n,)``.
        force: −∂F/∂α, ``(n, n_α)``.
        converged: Where a density with these α exists, ``(n,)``: none has ⟨ψ⟩ outside the values
            of ψ.
    """

    energy: FloatArray
    force: FloatArray
    converged: npt.NDArray[np.bool_]


def constrained_equilibrium(
    energy: FloatArray,
    features: FloatArray,
    internal: FloatArray,
    *,
    spacing: float,
    thermal_energy: float,
) -> ConstrainedEquilibrium:
    """Return F and −∂F/∂α by Newton's method on the dual problem, which is concave in λ.

    Args:
        energy: e of the microstates at the strain of each state, ``(n, n_node)``.
        features: ψ at the nodes, in the normalisation of α, ``(n_node, n_α)``.
        internal: α, ``(n, n_α)``.
        spacing: Of the nodes.
        thermal_energy: θ, in the unit of ``energy``.
    """
    scale = features.std(0)
    parts = [
        _solved(energy[at] / thermal_energy, features / scale, internal[at] / scale)
        for at in (
            slice(first, first + STATES_AT_ONCE) for first in range(0, len(energy), STATES_AT_ONCE)
        )
    ]
    multiplier, log_z, converged = (np.concatenate(part) for part in zip(*parts, strict=True))
    value = (multiplier * internal / scale).sum(1) - log_z - np.log(spacing)
    force = -thermal_energy * multiplier / scale
    return ConstrainedEquilibrium(thermal_energy * value, force, converged)


def _solved(
    energy: FloatArray, features: FloatArray, internal: FloatArray
) -> tuple[FloatArray, FloatArray, npt.NDArray[np.bool_]]:
    multiplier = np.zeros_like(internal)
    products = np.einsum("ja,jb->jab", features, features).reshape(len(features), -1)
    identity = 1e-13 * np.eye(internal.shape[1])
    for _ in range(ITERATIONS):
        exponent = multiplier @ features.T - energy
        largest = exponent.max(1, keepdims=True)
        weights = np.exp(exponent - largest)
        total = weights.sum(1, keepdims=True)
        weights /= total
        mean = weights @ features
        error = internal - mean
        converged = np.abs(error).max(1) < CONVERGED
        if converged.all():
            break
        second = (weights @ products).reshape(len(mean), *identity.shape)
        covariance = second - mean[:, :, None] * mean[:, None]
        step = np.linalg.solve(covariance + identity, error[..., None])[..., 0]
        size = np.abs(step).max(1, keepdims=True)
        multiplier = multiplier + step * np.minimum(1.0, LARGEST_STEP / np.maximum(size, 1e-300))
    log_z: FloatArray = (np.log(total) + largest)[:, 0]
    return multiplier, log_z, converged
