"""Figure of a spot check: stress of law and microscopic system, errors of all points."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..figures.canvas import canvas, shades
from .spot_check import SpotCheck

MOST_CURVES = 4
"""Points whose stress is drawn: those of the largest errors."""


def spot_check_figure(path: Path, check: SpotCheck) -> None:
    """Draw the largest component of the stress over time, and the errors with their intervals.

    Args:
        path: PNG file.
        check: Outcome.
    """
    order = np.argsort([-each.error for each in check.points])[:MOST_CURVES]
    with canvas(path, 1, 2, size=(10.0, 3.6)) as (figure, axes):
        curves, errors = axes[0]
        for colour, p in zip(shades(len(order)), order, strict=True):
            component = int(np.abs(check.law_stress[p]).max(0).argmax())
            mean, error = check.stress[p, :, component], check.standard_error[p, :, component]
            every = slice(None, None, max(1, len(check.time) // 24))
            curves.errorbar(check.time[every], mean[every], 2 * error[every], fmt=".",
                            color=colour, elinewidth=1)  # fmt: skip
            label = f"point {check.points[p].point}"
            curves.plot(check.time, check.law_stress[p, :, component], color=colour, label=label)
        curves.set(xlabel="time", ylabel="stress: law (lines), system ± 2 s.e. (dots)")
        curves.legend(fontsize=8)
        places = np.arange(len(check.points))
        value = np.array([each.error for each in check.points])
        low = np.array([each.low for each in check.points])
        high = np.array([each.high for each in check.points])
        errors.errorbar(places, value, [value - low, high - value], fmt="o", label="law")
        late = [np.nan if p.time_error is None else p.time_error for p in check.points]
        errors.plot(places, late, "_", markersize=12, label="time steps of the analysis")
        errors.axhline(check.tolerance, color="0.5", linestyle="--", label="tolerance")
        errors.set(ylabel="error in % of the largest stress", xlabel="point")
        errors.set_xticks(places, [str(each.point) for each in check.points], rotation=90)
        figure.legend(*errors.get_legend_handles_labels(), loc="outside upper right", ncols=3,
                      fontsize=8)  # fmt: skip
