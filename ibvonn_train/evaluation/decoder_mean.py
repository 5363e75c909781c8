"""Means over the density of a decoder, by quadrature."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from .interface import FloatArray, Law

REACH = 6.5
"""The quadrature covers the decoder's images of ± this many standard deviations of its noise."""
STATES_AT_ONCE = 500

Integrand = Callable[[FloatArray, FloatArray, FloatArray], npt.NDArray[np.floating[Any]]]
"""(x, ln q, ε) ↦ values, the first two and the last ``(n, nodes)``, ε ``(n, n_ε)``."""


def decoder_mean(
    law: Law, strain: FloatArray, internal: FloatArray, integrand: Integrand, nodes: int
) -> FloatArray:
    r"""Return :math:`\int q(x|\varepsilon, \alpha)\, h\, dx` by the trapezoidal rule.

    The density is normalised on the nodes, which removes what lies beyond them.

    Args:
        law: A law with a decoder of one-dimensional microstates.
        strain: ε in the measure of the law, ``(n, n_ε)``.
        internal: α, ``(n, n_α)``.
        integrand: h of the microstate in the measure of the data, of ln q and of ε.
        nodes: Of the quadrature.

    Returns:
        Shape ``(n,)``.
    """
    parts = []
    for at in range(0, len(strain), STATES_AT_ONCE):
        eps, alpha = strain[at : at + STATES_AT_ONCE], internal[at : at + STATES_AT_ONCE]
        ends = law.sample(np.tile([[[-REACH], [REACH]]], (len(eps), 1, 1)), eps, alpha)[..., 0]
        x = np.linspace(ends[:, 0], ends[:, 1], nodes, axis=1)
        log_q = law.log_density(x[..., None], eps, alpha)
        spacing = (ends[:, 1] - ends[:, 0]) / (nodes - 1)
        log_q = log_q - np.log(np.exp(log_q).sum(-1) * spacing)[:, None]
        values = integrand(x, log_q, eps)
        parts.append((np.exp(log_q) * values).sum(-1) * spacing)
    return np.concatenate(parts)
