"""Trajectories: ensembles against roll-outs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..data.ensemble import TrajectoryEnsemble
from ..evaluation import Evaluation
from .canvas import canvas, shades

LABELS = {
    "force": "external force",
    "strain": "strain ε",
    "stress": "stress σ",
    "internal": "internal variable α",
}


def trajectories(
    path: Path,
    data: TrajectoryEnsemble,
    found: Evaluation,
    drive: str | None = None,
    cases: Sequence[int] | None = None,
) -> None:
    """Draw measured and predicted trajectories of some protocols.

    Args:
        path: PNG.
        data: The ensemble.
        found: Evaluation of a law on it.
        drive: Which of its roll-outs; by default the first.
        cases: Which protocols; by default three of them. Of a chain, the first, middle and last
            site of the last of these protocols are drawn.
    """
    drive = drive or next(iter(found.predicted))
    run, sites = found.predicted[drive], found.measured.strain.shape[2]
    if cases is None:
        cases = sorted({0, (len(data.control) - 1) // 2, len(data.control) - 1})
    rows = ["force", "internal"] if sites == 1 else ["force", "strain", "internal"]
    size = (6.5, 2.2 * len(rows) + 0.4)
    with canvas(path, len(rows), size=size, sharex=True) as (figure, axes):
        for axis, name in zip(axes[:, 0], rows, strict=True):
            measured, predicted = getattr(found.measured, name), getattr(run, name)
            if name == "force" or sites == 1:
                lines = [(case, 0, f"{case}") for case in cases]
            else:
                some = sorted({0, sites // 2, sites - 1})
                lines = [(cases[-1], site, f"site {site + 1}") for site in some]
            for colour, (case, site, label) in zip(shades(len(lines)), lines, strict=True):
                at = (case,) if name == "force" else (case, slice(None), site, 0)
                axis.plot(data.time, measured[at], color=colour, lw=3, alpha=0.4, label=label)
                axis.plot(data.time, predicted[at], color=colour, lw=1, ls="--")
            title = "protocol" if name == "force" or sites == 1 else f"protocol {cases[-1]}"
            axis.legend(title=title, fontsize=7, title_fontsize=7)
            several = name != "force" and measured.shape[-1] > 1
            axis.set(ylabel=LABELS[name] + (" (first component)" if several else ""))
        axes[-1, 0].set(xlabel="time")
        errors = ", ".join(
            f"{key.split('/')[1]} {value:.2g} %"
            for key, value in found.errors.items()
            if key.startswith(f"{drive}/") and np.isfinite(value)
        )
        figure.suptitle(
            f"{data.system}, drive: {drive}; band: ensemble, dashes: law\nerrors: {errors}",
            fontsize=9,
        )
