"""The learned density of the microstates over their histograms, at several times of a protocol."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..data.ensemble import TrajectoryEnsemble
from ..evaluation import Law
from ..evaluation.decoder_density import (
    Hats,
    Weighted,
    decoded_microstates,
    hats_of,
    measured_microstates,
)
from ..evaluation.encoded_records import encode_record
from ..evaluation.interface import FloatArray
from ..evaluation.law_rollouts import strain_of
from .canvas import canvas, shades

MOST_SITES = 10
"""Sites that are drawn: the first ones."""
ENCLOSED = (0.95, 0.75, 0.4)
"""Fractions of the learned density within its contours."""
MARGIN = 1e-3
"""Part of a histogram that may lie outside its panel, on either side."""


@dataclass(frozen=True, eq=False)
class Densities:
    """What the panels show; the first axes are (time, site).

    Attributes:
        hats: Hat functions that both are means of.
        measured: ⟨b_i⟩ of the record, ``(n_time, n_site, n_1)`` or ``(…, n_1, n_2)``.
        decoded: ∫ q b_i.
        lines: Where the learned density is drawn, along each axis.
        density: Its share of each of these places, ``(n_time, n_site, …)``.
        time: Instants.
        names: Of the sites.
        components: n_x.
    """

    hats: Hats
    measured: FloatArray
    decoded: FloatArray
    lines: list[FloatArray]
    density: FloatArray
    time: FloatArray
    names: list[str]
    components: int

    @property
    def percent(self) -> FloatArray:
        """Relative L2 difference of each panel in per cent, ``(n_time, n_site)``."""
        away = np.square(self.decoded - self.measured).sum(tuple(range(2, self.measured.ndim)))
        size = np.square(self.measured).sum(tuple(range(2, self.measured.ndim)))
        percent: FloatArray = 100.0 * np.sqrt(away / size)
        return percent


def densities(
    path: Path, law: Law, data: TrajectoryEnsemble, case: int | None = None, times: int = 5
) -> None:
    """Draw the learned density of the microstates over their histograms, of samples or of a record.

    Microstates of one component: every panel shows one site at several instants. Of more: their
    first two components, a row of panels for each site and a column for each instant; lines hold
    40, 75 and 95 % of the learned density, and the number is the relative L2 difference from the
    histogram.

    Args:
        path: PNG file.
        law: Law with a decoder.
        data: Ensemble of replicas.
        case: Index of the protocol; by default the middle one.
        times: Number of instants.
    """
    case = data.protocols // 2 if case is None else case
    shown = _shown_densities(law, data, case, times)
    draw = _curves if len(shown.hats.axes) == 1 else _planes
    draw(path, shown, f"protocol {case}: ")


def _shown_densities(law: Law, data: TrajectoryEnsemble, case: int, times: int) -> Densities:
    instants = np.linspace(0, len(data.time) - 1, times).astype(int)
    record = data.select([case], instants)
    classes = len(data.classes)
    at, point = (axis.ravel() for axis in np.indices((times, data.points)))
    measured = measured_microstates(record, np.zeros_like(at), at, point)
    hats = hats_of(record, measured, finest=True)
    strain, internal = strain_of(law, record)[0], encode_record(law, record)[0]
    decoded = decoded_microstates(law, hats, strain[at, point], internal[at, point], record)
    sites = data.points * classes
    names = [
        ", ".join(
            ([f"point {number // classes + 1}"] if data.points > 1 else [])
            + ([data.classes[number % classes]] if classes > 1 else [])
        )
        for number in range(min(sites, MOST_SITES))
    ]

    def of_sites(values: FloatArray) -> FloatArray:
        """Return (time, site, …) of values of (state, class, …): sites are points times classes."""
        return values.reshape(times, sites, *values.shape[2:])[:, :MOST_SITES]

    means = of_sites(hats.means(decoded))
    lines, density = list(hats.axes), means
    if data.microstate_size == len(hats.axes):
        lines = hats.midpoints()
        density = of_sites(decoded.weights.reshape(*decoded.weights.shape[:2], *map(len, lines)))
    return Densities(
        hats, of_sites(_means_by_state(hats, measured)), means, lines, density,
        data.time[instants], names, data.microstate_size,
    )  # fmt: skip


def _means_by_state(hats: Hats, microstates: Weighted) -> FloatArray:
    """Return ⟨b_i⟩, one state at a time: its samples may be many."""
    return np.stack([hats.means(Weighted(*state)) for state in zip(*microstates, strict=True)])


def _curves(path: Path, shown: Densities, title: str) -> None:
    """Draw microstates of one component: a panel for each site."""
    sites = len(shown.names)
    columns = min(sites, 5)
    rows = -(-sites // columns)
    nodes, spacing = shown.hats.axes[0], shown.hats.spacing[0]
    step = shown.lines[0][1] - shown.lines[0][0]
    size = (max(6.0, 2.6 * columns) + 1.0, max(3.2, 2.2 * rows))
    with canvas(path, rows, columns, size=size, sharex=True) as (figure, axes):
        for axis in axes.flat[sites:]:
            axis.axis("off")
        for site, axis in enumerate(axes.flat[:sites]):
            for number, colour in enumerate(shades(len(shown.time))):
                axis.fill_between(nodes, shown.measured[number, site] / spacing, step="mid",
                                  color=colour, alpha=0.3, lw=0)  # fmt: skip
                axis.plot(shown.lines[0], shown.density[number, site] / step, color=colour, lw=1.2,
                          label=f"t = {shown.time[number]:.4g}")  # fmt: skip
            axis.set_xlim(*_range(nodes, shown.measured[:, site]))
            axis.set_title(shown.names[site], fontsize=8)
        handles = axes[0, 0].get_legend_handles_labels()
        figure.legend(*handles, loc="outside right center", fontsize=7)
        for axis in axes[-1]:
            axis.set(xlabel="microstate x [–]")
        for axis in axes[:, 0]:
            axis.set(ylabel="density [–]")
        words = "histograms of the replicas, learned density q(x|α) (lines)"
        figure.suptitle(title + words, fontsize=9)


def _planes(path: Path, shown: Densities, title: str) -> None:
    """Draw the first two components: a row for each site, a column for each instant."""
    rows, columns = len(shown.names), len(shown.time)
    ends = [
        _range(nodes, shown.measured.sum(3 - number))
        for number, nodes in enumerate(shown.hats.axes)
    ]
    percent = shown.percent
    size = (1.9 * columns + 0.9, 1.9 * rows + 0.8)
    with canvas(path, rows, columns, size=size, sharex=True, sharey=True) as (figure, axes):
        for (row, column), axis in np.ndenumerate(axes):
            image = np.maximum(shown.measured[column, row], 0.0)
            axis.pcolormesh(*shown.hats.axes, image.T, cmap="Greys", shading="nearest")
            density = shown.density[column, row]
            levels = _levels(density)
            axis.contour(*shown.lines, density.T, levels=levels,
                         colors=shades(len(levels)), linewidths=1.0)  # fmt: skip
            axis.set(xlim=ends[0], ylim=ends[1])
            axis.tick_params(labelsize=7)
            axis.text(0.97, 0.04, f"{percent[column, row]:.0f} %", fontsize=7, ha="right",
                      transform=axis.transAxes)  # fmt: skip
        for axis, time in zip(axes[0], shown.time, strict=True):
            axis.set_title(f"t = {time:.4g}", fontsize=8)
        for axis in axes[-1]:
            axis.set_xlabel("x₁ [–]", fontsize=8)
        for axis, name in zip(axes[:, 0], shown.names, strict=True):
            axis.set_ylabel(f"{name}\nx₂ [–]" if name else "x₂ [–]", fontsize=8)
        note = f"first two of {shown.components} components; " if shown.components > 2 else ""
        figure.suptitle(
            f"{title}{note}histograms (grey); 40, 75 and 95 % of the learned density (lines); "
            "relative L2 difference",
            fontsize=9,
        )


def _range(nodes: FloatArray, weights: FloatArray) -> tuple[float, float]:
    """Return where the rows of weights ``(…, n_node)`` are, up to a margin."""
    filled = np.maximum(weights, 0.0).reshape(-1, len(nodes))
    below = filled.cumsum(1) / filled.sum(1, keepdims=True)
    low = int((below > MARGIN).argmax(1).min())
    high = int((below > 1.0 - MARGIN).argmax(1).max())
    return float(nodes[max(low - 1, 0)]), float(nodes[min(high + 1, len(nodes) - 1)])


def _levels(density: FloatArray) -> FloatArray:
    """Return the values above which the density holds the fractions of it."""
    ordered = np.sort(density.ravel())[::-1]
    within = ordered.cumsum() / ordered.sum()
    levels: FloatArray = np.unique([ordered[np.searchsorted(within, part)] for part in ENCLOSED])
    return levels
