"""Learned internal variables as physics."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..evaluation import Evaluation
from .canvas import canvas


def internal_variable(path: Path, evaluation: Evaluation) -> None:
    """Draw every learned internal variable against the order parameter of the system.

    Nothing is drawn for a system without an order parameter.

    Args:
        path: PNG file.
        evaluation: Evaluation of a law.
    """
    fit, measured = evaluation.order_parameter, evaluation.measured
    if fit is None or measured.order_parameter is None:
        return
    count = measured.internal.shape[-1]
    chosen = np.random.default_rng(0).permutation(measured.order_parameter.size)[:5000]
    with canvas(path, 1, count + 1, size=(3.4 * (count + 1), 3.2)) as (figure, axes):
        x = measured.order_parameter.reshape(-1)[chosen]
        for i, axis in enumerate(axes[0, :count]):
            axis.plot(x, measured.internal[..., i].reshape(-1)[chosen], ".", ms=1)
            axis.set(xlabel=f"{fit.name} [–]", ylabel=f"learned α{i + 1} [–]")
        axis = axes[0, -1]
        axis.plot(x, fit.best.reshape(-1)[chosen], ".", ms=1)
        axis.plot([x.min(), x.max()], [x.min(), x.max()], "k-", lw=0.5)
        axis.set(xlabel=f"{fit.name} [–]", ylabel="best affine map of α [–]")
        figure.suptitle(
            f"rank correlation {fit.rank_correlation:.4f}, residual {fit.residual_percent:.2g} %",
            fontsize=9,
        )
