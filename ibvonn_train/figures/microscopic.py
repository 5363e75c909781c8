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
    """Draw the learned density of one-dimensional microstates against histograms of replicas.

    One panel for each site, several times in each.

    Args:
        path: PNG.
        law: A law with a decoder.
        data: The ensemble.
        case: Which protocol; by default the middle one.
        times: Number of instants.
    """
    case = len(data.control) // 2 if case is None else case
    sites = data.microstate.shape[2]
    columns = min(sites, 5)
    rows = -(-sites // columns)
    instants = np.linspace(0, len(data.time) - 1, times).astype(int)
    strain = strain_of(law, data)[case]
    with canvas(
        path, rows, columns, size=(max(6.0, 2.6 * columns), max(3.2, 2.2 * rows)), sharex=True
    ) as (figure, axes):
        for axis in axes.flat[sites:]:
            axis.axis("off")
        for site, axis in enumerate(axes.flat[:sites]):
            for colour, at in zip(shades(times), instants, strict=True):
                x = data.microstate[case, at, site].astype(float)
                _, internal = law.encode(x[None])
                low, high = x.min() - x.std(), x.max() + x.std()
                grid = np.linspace(low, high, 400)
                density = law.log_density(grid[None, :, None], strain[at, site][None], internal)
                axis.hist(x[:, 0], bins=50, density=True, color=colour, alpha=0.3)
                axis.plot(grid, np.exp(density[0]), color=colour, lw=1.2,
                          label=f"t = {data.time[at]:.2g}")  # fmt: skip
            if sites > 1:
                axis.set_title(f"site {site + 1}", fontsize=8)
        axes[0, 0].legend(fontsize=7)
        for axis in axes[-1]:
            axis.set(xlabel="microstate x")
        figure.suptitle(f"protocol {case}: replicas and learned density q(x|α)", fontsize=9)


def internal_variable(path: Path, found: Evaluation) -> None:
    """Draw each learned internal variable against the known one of the system, if there is one."""
    fit, measured = found.known, found.measured
    if fit is None or measured.known is None:
        return
    count = measured.internal.shape[-1]
    some = np.random.default_rng(0).permutation(measured.known.size)[:5000]
    with canvas(path, 1, count + 1, size=(3.4 * (count + 1), 3.2)) as (figure, axes):
        x = measured.known.reshape(-1)[some]
        for i, axis in enumerate(axes[0, :count]):
            axis.plot(x, measured.internal[..., i].reshape(-1)[some], ".", ms=1)
            axis.set(xlabel=fit.name, ylabel=f"learned α{i + 1}")
        axis = axes[0, -1]
        axis.plot(x, fit.best.reshape(-1)[some], ".", ms=1)
        axis.plot([x.min(), x.max()], [x.min(), x.max()], "k-", lw=0.5)
        axis.set(xlabel=fit.name, ylabel="best affine map of α")
        figure.suptitle(
            f"rank correlation {fit.rank_correlation:.4f}, residual {fit.residual_percent:.2g} %",
            fontsize=9,
        )
