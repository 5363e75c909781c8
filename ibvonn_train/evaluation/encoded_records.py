"""Internal variables of the states of a record, from its samples or from its histograms."""

from __future__ import annotations

import numpy as np

from ..data.ensemble import TrajectoryEnsemble
from .interface import FloatArray, Law


def encode_record(law: Law, data: TrajectoryEnsemble) -> FloatArray:
    """Return α of every state of a record, ``(n_protocol, n_time, n_point, n_α)``.

    Raises:
        ValueError: If the record holds histograms and the law has means of x − ⟨x⟩.
    """
    classes = len(data.classes)
    if data.histogram is not None:
        weights = data.histogram.weights
        shape = (*weights.shape[:2], data.points, classes, weights.shape[-1])
        return encode_distributions(law, data.histogram.nodes, weights.reshape(shape))
    samples = np.asarray(data.samples, np.float64)
    if classes > 1:
        samples = samples.reshape(*samples.shape[:2], data.points, classes, *samples.shape[3:])
    return law.encode(samples)[1]


def encode_distributions(law: Law, nodes: FloatArray, weights: FloatArray) -> FloatArray:
    """Return α of distributions on common nodes, shape ``(..., n_α)``.

    α of an ensemble is a mean of features, so the α of the nodes, each taken for an ensemble of its
    own, are weighted like the nodes. Fractions that are beyond their bounds, as weights of cubic
    interpolation may make them, are brought back.

    Args:
        law: Gives α of ensembles.
        nodes: ``(n_node, n_x)``.
        weights: Summing to one, ``(..., n_class, n_node)``.

    Raises:
        ValueError: If features are those of x − ⟨x⟩, whose nodes every distribution has for itself.
    """
    classes = weights.shape[-2]
    of_nodes = _encode_alike(law, nodes[:, None], classes)
    halves = of_nodes[[0, -1]].mean(0)
    whole = _encode_alike(law, nodes[[0, -1]][None], classes)[0]
    if not np.allclose(whole, halves, rtol=1e-9, atol=1e-9 * (1.0 + np.abs(of_nodes).max())):
        raise ValueError(
            f"{law.name}: its means are those of x − ⟨x⟩, which histograms of x do not give; "
            'evaluate it on a record of samples: simulate that with record = "samples".'
        )
    own = law.internal_size // classes
    parts = [
        weights[..., number, :] @ of_nodes[:, number * own : (number + 1) * own]
        for number in range(classes)
    ]
    return within_bounds_of(law, np.concatenate(parts, -1))


def within_bounds_of(law: Law, internal: FloatArray) -> FloatArray:
    """Return α ``(..., n_α)`` with fractions that are beyond their bounds moved onto them."""
    bounds = getattr(law, "bounds", None)
    if bounds is None:
        return internal
    low, high = np.asarray(bounds).T
    inside: FloatArray = np.clip(internal, low, high)
    for first, states in np.asarray(getattr(law, "groups", ()), dtype=int).reshape(-1, 2):
        own = slice(first, first + states - 1)
        fractions = inside[..., own] - low[own]
        total = np.maximum(fractions.sum(-1, keepdims=True), 1.0)
        # A sum of 1 up to round-off leaves state 0 empty: a fraction below zero is refused.
        inside[..., own] = np.where(total > 1.0, fractions / total, fractions) + low[own]
    return inside


def _encode_alike(law: Law, ensembles: FloatArray, classes: int) -> FloatArray:
    """Return α where all classes have the same microstates ``(n, n_replica, n_x)``."""
    if classes > 1:
        ensembles = np.repeat(ensembles[:, None], classes, 1)
    return law.encode(ensembles)[1]
