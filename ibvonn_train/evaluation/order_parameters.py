"""Order parameters: the internal variables that a physicist would have chosen."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.stats import spearmanr

from ..data.ensemble import TrajectoryEnsemble
from ..simulation import OrderParameter
from ..simulation.systems.registry import known_system
from .decoder_mean import decoder_mean
from .interface import FloatArray, Law

NODES = 200
"""Of the quadrature over the decoder's density."""


def order_parameter(data: TrajectoryEnsemble) -> OrderParameter | None:
    """Return that of the system that made the data, where both are known and elements are alike."""
    system = known_system(data)
    return None if system is None or len(data.classes) > 1 else system.order_parameter()


def measured_mean(order: OrderParameter, data: TrajectoryEnsemble) -> FloatArray:
    """Return ⟨h(x)⟩ over the replicas, ``(n_protocol, n_time, n_site)``."""
    mean: FloatArray
    if data.histogram is not None:
        mean = data.histogram.weights @ order.of(data.histogram.nodes[:, 0]).astype(np.float64)
    else:
        mean = order.of(data.samples[..., 0]).mean(-1, dtype=np.float64)
    return mean


def decoded_mean(
    order: OrderParameter, law: Law, strain: FloatArray, internal: FloatArray
) -> FloatArray:
    """Return ⟨h(x)⟩ over the density that the law's decoder gives to states, by quadrature.

    Args:
        order: The order parameter.
        law: A law with a decoder.
        strain: ε in the measure of the law, ``(..., n_ε)``.
        internal: α, ``(..., n_α)``.

    Returns:
        Shape ``(...)``.
    """
    mean = decoder_mean(
        law,
        strain.reshape(-1, law.strain_size),
        internal.reshape(-1, law.internal_size),
        lambda x, _log_q, _eps: order.of(x),
        NODES,
    )
    shaped: FloatArray = mean.reshape(strain.shape[:-1])
    return shaped


class Agreement(NamedTuple):
    """How learned internal variables relate to an order parameter.

    Attributes:
        name: Of the order parameter.
        rank_correlation: Spearman's, of the best affine combination of the learned ones.
        residual_percent: What no affine map of the learned variables explains, over the standard
            deviation of the order parameter.
        best: The best affine combination, shape of the order parameter.
    """

    name: str
    rank_correlation: float
    residual_percent: float
    best: FloatArray


def agreement(internal: FloatArray, order_parameter: FloatArray, name: str) -> Agreement:
    """Compare learned α ``(n_protocol, n_time, n_site, n_α)`` with an order parameter."""
    rows = internal.reshape(-1, internal.shape[-1])
    target = order_parameter.reshape(-1)
    design = np.column_stack([np.ones(len(rows)), rows])
    weights, *_ = np.linalg.lstsq(design, target, rcond=None)
    best = design @ weights
    residual = 100 * float(np.std(best - target) / np.std(target))
    rank = float(spearmanr(best, target).statistic)
    return Agreement(name, rank, residual, best.reshape(order_parameter.shape))
