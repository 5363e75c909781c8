"""Negative log-likelihood of the decoder on unseen microstates, in nats per replica."""

from __future__ import annotations

import numpy as np

from ..data.ensemble import TrajectoryEnsemble
from .interface import FloatArray, Law
from .law_rollouts import Trajectories
from .noise_free import exact_trap_moments

STATES, SEED = 300, 5
"""Number of random states (protocol, time, site), and the seed of their choice."""


def negative_log_likelihood(
    law: Law, data: TrajectoryEnsemble, measured: Trajectories
) -> dict[str, float]:
    """Return −⟨ln q(x|α)⟩ of unseen replicas, and what it exceeds the true density's by.

    Args:
        law: A law with a decoder.
        data: The ensemble.
        measured: Its states.

    Returns:
        "negative_log_likelihood" and, where the true density is known (trap: Gaussian with the
        exact variance), "excess_over_true_density", both in nats per replica.
    """
    shape = measured.strain.shape[:3]
    count = int(np.prod(shape))
    pick = np.random.default_rng(SEED).permutation(count)[:STATES]
    case, at, site = np.unravel_index(pick, shape)
    x = data.samples[case, at, site].astype(np.float64)
    strain, internal = measured.strain[case, at, site], measured.internal[case, at, site]
    learned = -law.log_density(x, strain, internal).mean()
    nats = {"negative_log_likelihood": float(learned)}
    moments = exact_trap_moments(data)
    if moments is not None:
        mean, variance = moments
        true = _gaussian(x[..., 0], mean[case, at, None], variance[case, at, None])
        nats["excess_over_true_density"] = float(learned - true)
    return nats


def _gaussian(x: FloatArray, mean: FloatArray, variance: FloatArray) -> float:
    return float(np.mean(0.5 * ((x - mean) ** 2 / variance + np.log(2 * np.pi * variance))))
