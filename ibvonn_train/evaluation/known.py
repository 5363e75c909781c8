"""What a physicist would have chosen as internal variable, where that is known."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.stats import spearmanr

from ..data import TrajectoryEnsemble
from .law import FloatArray


class KnownVariable(NamedTuple):
    """A quantity of the ensemble, ``(n_protocol, n_time, n_site)``."""

    name: str
    value: FloatArray


def known_variable(data: TrajectoryEnsemble) -> KnownVariable | None:
    """Return the mean position of the trap's particle, or the open fraction of two-well springs."""
    if data.system == "tethered_particle":
        mean = data.microstate[..., 0].mean(-1, dtype=np.float64)
        return KnownVariable("mean position", np.asarray(mean))
    if "crossing" in data.parameters and data.strain_kind == "averaged":
        limit = data.parameters["crossing"] / data.parameters.get("reference_length", 1.0)
        return KnownVariable("open fraction", np.mean(data.microstate[..., 0] > limit, axis=-1))
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


def agreement(internal: FloatArray, known: KnownVariable) -> Agreement:
    """Compare learned internal variables ``(n_protocol, n_time, n_site, n_α)`` with a known one."""
    rows = internal.reshape(-1, internal.shape[-1])
    target = known.value.reshape(-1)
    design = np.column_stack([np.ones(len(rows)), rows])
    weights, *_ = np.linalg.lstsq(design, target, rcond=None)
    best = design @ weights
    residual = 100 * float(np.std(best - target) / np.std(target))
    rank = float(spearmanr(best, target).statistic)
    return Agreement(known.name, rank, residual, best.reshape(known.value.shape))
