"""Negative log-likelihood of the decoder on unseen microstates, in nats per replica."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..data.ensemble import TrajectoryEnsemble
from .interface import FloatArray, Law
from .law_rollouts import Trajectories
from .noise_free import exact_trap_moments

Rows = npt.NDArray[np.intp]

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
    case, at, point = np.unravel_index(pick, shape)
    x, weights = microstates_of(data, case, at, point)
    strain, internal = measured.strain[case, at, point], measured.internal[case, at, point]
    log_density = law.log_density(x, strain, internal)
    learned = -(weights * log_density).sum(-1).mean()
    nats = {"negative_log_likelihood": float(learned)}
    moments = exact_trap_moments(data)
    if moments is not None:
        mean, variance = moments
        true = _gaussian(x[..., 0], mean[case, at, None], variance[case, at, None])
        nats["excess_over_true_density"] = float(learned - true)
    return nats


def microstates_of(
    data: TrajectoryEnsemble, case: Rows, at: Rows, point: Rows
) -> tuple[FloatArray, FloatArray]:
    """Return microstates of some points and their weights, which sum to one.

    Shapes ``(n, n_sample, n_x)`` and ``(n, n_sample)``; with several classes, their axis is the
    second one.
    """
    classes = len(data.classes)
    sites = point[:, None] * classes + np.arange(classes)
    place = (case[:, None], at[:, None], sites)
    if data.histogram is None:
        x = data.samples[place].astype(np.float64)
        weights = np.full(x.shape[:-1], 1.0 / x.shape[-2])
    else:
        weights = data.histogram.weights[place]
        x = np.broadcast_to(data.histogram.nodes, (*weights.shape, data.microstate_size))
    return (x[:, 0], weights[:, 0]) if classes == 1 else (x, weights)


def _gaussian(x: FloatArray, mean: FloatArray, variance: FloatArray) -> float:
    return float(np.mean(0.5 * ((x - mean) ** 2 / variance + np.log(2 * np.pi * variance))))
