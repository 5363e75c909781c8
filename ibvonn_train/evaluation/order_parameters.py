"""What a physicist would have chosen as internal variable, where that is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import spearmanr

from ..data.ensemble import TrajectoryEnsemble
from .decoder_mean import decoder_mean
from .interface import FloatArray, Law

NODES = 200
"""Of the quadrature over the decoder's density."""


class KnownVariable(NamedTuple):
    """An ensemble mean ⟨h(x)⟩ that is known to matter.

    Attributes:
        name: In words.
        of: h, of microstates of one dimension in the measure of the data.
    """

    name: str
    of: Callable[[npt.NDArray[np.floating[Any]]], npt.NDArray[np.floating[Any]]]

    @property
    def key(self) -> str:
        """Name among errors."""
        return self.name.replace(" ", "_")

    def measured(self, data: TrajectoryEnsemble) -> FloatArray:
        """Return its mean over the replicas, ``(n_protocol, n_time, n_site)``."""
        mean: FloatArray = self.of(data.microstate[..., 0]).mean(-1, dtype=np.float64)
        return mean

    def decoded(self, law: Law, strain: FloatArray, internal: FloatArray) -> FloatArray:
        """Return its mean over the density that the law's decoder gives to states, by quadrature.

        Args:
            law: A law with a decoder.
            strain: ε in the measure of the law, ``(..., n_ε)``.
            internal: α, ``(..., n_α)``.

        Returns:
            Shape ``(...)``.
        """
        found = decoder_mean(
            law,
            strain.reshape(-1, law.strain_size),
            internal.reshape(-1, law.internal_size),
            lambda x, _log_q, _eps: self.of(x),
            NODES,
        )
        shaped: FloatArray = found.reshape(strain.shape[:-1])
        return shaped


def known_variable(data: TrajectoryEnsemble) -> KnownVariable | None:
    """Return the mean position of the trap's particle, or the open fraction of two-well springs."""
    if data.microstate.shape[-1] != 1:
        return None
    if data.system == "tethered_particle":
        return KnownVariable("mean position", lambda x: x)
    if "crossing" in data.parameters and data.strain_kind == "averaged":
        limit = data.parameters["crossing"] / data.parameters.get("reference_length", 1.0)
        return KnownVariable("open fraction", lambda x: (x > limit).astype(x.dtype))
    return None


class Agreement(NamedTuple):
    """How learned internal variables relate to a known one.

    Attributes:
        name: Of the known variable.
        rank_correlation: Spearman's, of the best affine combination of the learned ones.
        residual_percent: What no affine map of the learned variables explains, over the standard
            deviation of the known one.
        best: The best affine combination, shape of the known variable.
    """

    name: str
    rank_correlation: float
    residual_percent: float
    best: FloatArray


def agreement(internal: FloatArray, known: FloatArray, name: str) -> Agreement:
    """Compare learned internal variables ``(n_protocol, n_time, n_site, n_α)`` with a known one."""
    rows = internal.reshape(-1, internal.shape[-1])
    target = known.reshape(-1)
    design = np.column_stack([np.ones(len(rows)), rows])
    weights, *_ = np.linalg.lstsq(design, target, rcond=None)
    best = design @ weights
    residual = 100 * float(np.std(best - target) / np.std(target))
    rank = float(spearmanr(best, target).statistic)
    return Agreement(name, rank, residual, best.reshape(known.shape))
