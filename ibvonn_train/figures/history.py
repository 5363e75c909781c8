"""History of a training."""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path

import numpy as np

from .canvas import canvas


def training_history(path: Path, log: Path) -> None:
    """Draw every term of the loss over the steps of each stage.

    Args:
        path: PNG file.
        log: ``log.csv`` of a training, with the columns stage, step, quantity and value.
    """
    stages: dict[str, dict[str, list[tuple[int, float]]]] = defaultdict(lambda: defaultdict(list))
    with log.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if "/" not in row["quantity"]:  # those are errors of roll-outs at the end of a stage
                point = int(row["step"]), float(row["value"])
                stages[row["stage"]][row["quantity"]].append(point)
    names = sorted({quantity for terms in stages.values() for quantity in terms})
    colours = {name: f"C{i % 10}" for i, name in enumerate(names)}
    count = max(1, len(stages))
    with canvas(path, 1, count, size=(3.2 * count + 1, 4.2)) as (_, axes):
        for axis, (stage, terms) in zip(axes[0], stages.items(), strict=False):
            for quantity, points in terms.items():
                steps, values = (np.array(column) for column in zip(*points, strict=True))
                label = quantity
                if values.min() <= 0:  # a log-likelihood is defined up to a constant
                    values, label = values - values.min(), f"{quantity} − minimum"
                shown = np.where(values > 0, values, np.nan)
                axis.plot(steps, shown, color=colours[quantity], label=label)
            axis.set(xlabel="optimiser step", title=stage, yscale="log")
            axis.legend(fontsize=6, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)
        axes[0, 0].set(ylabel="terms of the loss")
