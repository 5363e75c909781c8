"""Trajectories of ensembles and of roll-outs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..data.ensemble import TrajectoryEnsemble
from ..evaluation import Evaluation
from .canvas import canvas, shades, unit_of

LABELS = {
    "force": "external force F_ex",
    "stress": "stress σ",
    "strain": "strain ε [–]",
    "internal": "internal variable α [–]",
}


def trajectories(
    path: Path,
    data: TrajectoryEnsemble,
    evaluation: Evaluation,
    drive: str | None = None,
    cases: Sequence[int] | None = None,
) -> None:
    """Draw measured and predicted trajectories of some protocols.

    Args:
        path: PNG file.
        data: Ensemble.
        evaluation: Evaluation of a law on this ensemble.
        drive: Key of the roll-out; by default the first.
        cases: Indices of the protocols; by default three of them. For a chain, the first, middle
            and last site of the last of these protocols are drawn.
    """
    drive = drive or next(iter(evaluation.predicted))
    run, sites = evaluation.predicted[drive], evaluation.measured.strain.shape[2]
    if cases is None:
        cases = sorted({0, (data.protocols - 1) // 2, data.protocols - 1})
    rows = ["force", "strain", "internal"]
    if "strain" not in evaluation.quantities[drive]:
        rows = ["stress", "internal"]
    size = (7.3, 2.2 * len(rows) + 0.4)
    with canvas(path, len(rows), size=size, sharex=True) as (figure, axes):
        for axis, name in zip(axes[:, 0], rows, strict=True):
            measured, predicted = getattr(evaluation.measured, name), getattr(run, name)
            if name == "force" or sites == 1:
                lines = [(case, 0, f"{case}") for case in cases]
            else:
                chosen = sorted({0, sites // 2, sites - 1})
                lines = [(cases[-1], site, f"site {site + 1}") for site in chosen]
            for colour, (case, site, label) in zip(shades(len(lines)), lines, strict=True):
                at = (case,) if name == "force" else (case, slice(None), site, 0)
                axis.plot(data.time, measured[at], color=colour, lw=3, alpha=0.4, label=label)
                axis.plot(data.time, predicted[at], color=colour, lw=1, ls="--")
            title = "protocol" if name == "force" or sites == 1 else f"protocol {cases[-1]}"
            axis.legend(
                title=title,
                fontsize=7,
                title_fontsize=7,
                loc="center left",
                bbox_to_anchor=(1, 0.5),
            )
            several = name != "force" and measured.shape[-1] > 1
            unit = f" [{unit_of(data.units, 'force')}]" if name in ("force", "stress") else ""
            axis.set(ylabel=LABELS[name] + unit + (" (first component)" if several else ""))
        axes[-1, 0].set(xlabel=f"time t [{unit_of(data.units, 'time')}]")
        errors = ", ".join(
            f"{key.split('/')[1]} {value:.2g} %"
            for key, value in evaluation.errors.items()
            if key.startswith(f"{drive}/") and np.isfinite(value)
        )
        figure.suptitle(
            f"{data.system}, drive: {drive}; wide lines: ensemble, dashed: law\nerrors: {errors}",
            fontsize=9,
        )
