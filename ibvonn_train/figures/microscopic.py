"""What the law says of the microstates: densities, and internal variables as physics."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..data.ensemble import TrajectoryEnsemble
from ..evaluation import Evaluation, Law
from ..evaluation.law_rollouts import strain_of
from .canvas import canvas, shades


def densities(
    path: Path, law: Law, data: TrajectoryEnsemble, case: int | None = None, times: int = 5
) -> None:
    """Draw the learned density of one-dimensional microstates and histograms of the replicas.

    Every panel shows one site at several instants.

    Args:
        path: PNG file.
        law: Law with a decoder.
        data: Ensemble of replicas.
        case: Index of the protocol; by default the middle one.
        times: Number of instants.
    """
    case = data.protocols // 2 if case is None else case
    sites = data.sites
    columns = min(sites, 5)
    rows = -(-sites // columns)
    instants = np.linspace(0, len(data.time) - 1, times).astype(int)
    strain = strain_of(law, data)[case]
    size = (max(6.0, 2.6 * columns) + 1.0, max(3.2, 2.2 * rows))
    with canvas(path, rows, columns, size=size, sharex=True) as (figure, axes):
        for axis in axes.flat[sites:]:
            axis.axis("off")
        for site, axis in enumerate(axes.flat[:sites]):
            for colour, at in zip(shades(times), instants, strict=True):
                x = data.samples[case, at, site].astype(float)
                _, internal = law.encode(x[None])
                low, high = x.min() - x.std(), x.max() + x.std()
                grid = np.linspace(low, high, 400)
                density = law.log_density(grid[None, :, None], strain[at, site][None], internal)
                axis.hist(x[:, 0], bins=50, density=True, color=colour, alpha=0.3)
                axis.plot(grid, np.exp(density[0]), color=colour, lw=1.2,
                          label=f"t = {data.time[at]:.2g}")  # fmt: skip
            if sites > 1:
                axis.set_title(f"site {site + 1}", fontsize=8)
        handles = axes[0, 0].get_legend_handles_labels()
        figure.legend(*handles, loc="outside right center", fontsize=7)
        for axis in axes[-1]:
            axis.set(xlabel="microstate x [–]")
        for axis in axes[:, 0]:
            axis.set(ylabel="density [–]")
        title = f"protocol {case}: histograms of the replicas, learned density q(x|α) (lines)"
        figure.suptitle(title, fontsize=9)


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
