"""The four figures of a training: what it saw, how it went, and what came of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.ticker import LogFormatter

from ..training.training_report import BlockReport, TrainingReport
from .canvas import canvas, shades
from .history import training_history

SHOWN = 3
"""Slow features, and protocols, that are drawn."""
LABELS = {"stress": "stress σ", "strain": "strain ε [–]", "internal": "internal variable α [–]"}


def training_figures(folder: Path, report: Path, log: Path) -> list[Path]:
    """Draw slow features, history, roll-outs and errors of a training.

    Args:
        folder: Receives the PNG files.
        report: ``report.npz`` of the training.
        log: Its ``log.csv``.

    Returns:
        Paths of the figures.
    """
    content = TrainingReport.load(report)
    names = ("slow_features", "history", "rollouts", "errors")
    paths = [folder / f"{name}.png" for name in names]
    slow_features(paths[0], content)
    training_history(paths[1], log)
    roll_outs(paths[2], content)
    errors(paths[3], content)
    return paths


def slow_features(path: Path, report: TrainingReport) -> None:
    """Draw the time scales of the slow features, and the slowest features over the microstate."""
    shown = min(SHOWN, len(report.time_scales))
    wide = 1 if report.centres.shape[1] == 1 else shown
    with canvas(path, 1, 1 + wide, size=(3.4 * (1 + wide), 3.4)) as (figure, axes):
        axis = axes[0, 0]
        axis.bar(np.arange(1, len(report.time_scales) + 1), report.time_scales, width=0.6)
        axis.set(yscale="log", xlabel="slow feature", ylabel="time scale")
        axis.set_xticks(np.arange(1, len(report.time_scales) + 1))
        if wide == 1:
            _features_over_a_line(axes[0, 1], report, shown)
        else:
            for number, axis in enumerate(axes[0, 1:]):
                _feature_over_a_plane(figure, axis, report, number)
        figure.suptitle(f"internal variables: {report.variables}", fontsize=8, wrap=True)


def _features_over_a_line(axis: Any, report: TrainingReport, shown: int) -> None:
    order = np.argsort(report.centres[:, 0])
    x = report.centres[order, 0]
    axis.fill_between(x, report.occupancy[order] / report.occupancy.max(), color="0.85", zorder=0)
    for number in range(shown):
        feature = report.features[order, number]
        axis.plot(x, feature / np.abs(feature).max(), ".-", ms=3, label=f"feature {number + 1}")
    axis.set(xlabel="microstate x", ylabel="feature over its largest value")
    axis.set_title("grey: how often", fontsize=8)
    axis.legend(fontsize=7)


def _feature_over_a_plane(figure: Any, axis: Any, report: TrainingReport, number: int) -> None:
    size = 5.0 + 200.0 * report.occupancy / report.occupancy.max()
    x, y = report.centres[:, :2].T
    dots = axis.scatter(x, y, s=size, c=report.features[:, number], cmap="coolwarm", alpha=0.8)
    figure.colorbar(dots, ax=axis)
    axis.set(xlabel="microstate x₁", ylabel="microstate x₂")
    axis.set_title(f"feature {number + 1}; size: how often", fontsize=8)


def roll_outs(path: Path, report: TrainingReport) -> None:
    """Draw measured and rolled-out protocols of every duration: those of the validation, if any."""
    held_out = [block for block in report.blocks if block.held_out]
    blocks = held_out or list(report.blocks)
    rows, columns = len(blocks[0].quantities), len(blocks)
    size = (3.2 * columns + 0.8, 2.3 * rows + 0.5)
    with canvas(path, rows, columns, size=size, sharex="col") as (figure, axes):
        for column, block in enumerate(blocks):
            cases = range(block.measured.shape[1])[:SHOWN]
            for row, quantity in enumerate(block.quantities):
                axis = axes[row, column]
                for colour, case in zip(shades(len(cases)), cases, strict=True):
                    axis.plot(block.time, block.measured[row, case], color=colour, lw=3, alpha=0.4)
                    axis.plot(block.time, block.predicted[row, case], color=colour, lw=1, ls="--")
                if column == 0:
                    axis.set(ylabel=LABELS[quantity])
            axes[-1, column].set(xlabel="time t")
        kind = "validation" if held_out else "training"
        figure.suptitle(
            f"{kind} protocols (first component, first point); wide lines: data, dashed: law",
            fontsize=9,
        )


def errors(path: Path, report: TrainingReport) -> None:
    """Draw the error of every protocol over its sampling error."""
    quantities = report.blocks[0].quantities
    with canvas(path, 1, len(quantities), size=(3.4 * len(quantities) + 0.6, 3.4)) as (_, axes):
        for row, (axis, quantity) in enumerate(zip(axes[0], quantities, strict=True)):
            for block in report.blocks:
                _errors_of(axis, block, row)
            low, high = axis.get_xlim()
            line = np.array([low, high])
            axis.plot(line, line, "k-", lw=0.5, label="sampling error")
            axis.set(xscale="log", yscale="log", title=LABELS[quantity].removesuffix(" [–]"))
            axis.set(xlabel="sampling error [%]", ylabel="error of the roll-out [%]")
            for scale in (axis.xaxis, axis.yaxis):  # a short axis has no room for 2, 3, 4, …
                scale.set_major_formatter("{x:g}")
                scale.set_minor_formatter(LogFormatter(minor_thresholds=(1, 0.4)))
        axes[0, 0].legend(fontsize=7)


def _errors_of(axis: Any, block: BlockReport, row: int) -> None:
    kind = "validation" if block.held_out else "training"
    marker = {"marker": "^", "ms": 6} if block.held_out else {"marker": "o", "ms": 4}
    colour = "C1" if block.held_out else "C0"
    known = {line.get_label() for line in axis.get_lines()}
    axis.plot(
        block.sampling_errors[row],
        block.errors[row],
        ls="none",
        color=colour,
        label=f"_{kind}" if kind in known else kind,
        **marker,
    )
