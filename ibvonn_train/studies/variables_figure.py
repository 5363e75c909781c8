"""Figure of a scan over the number of internal variables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..figures.canvas import canvas
from .number_of_variables import ScanEntry


def scan_figure(path: Path, entries: Sequence[ScanEntry]) -> None:
    """Draw retained information, Markov residual and errors over the number of internal variables.

    Args:
        path: PNG file.
        entries: Result of :func:`ibvonn_train.studies.number_of_variables.scan`.
    """
    sizes = [entry.internal_size for entry in entries]
    with canvas(path, 1, 3, size=(11.2, 3.0)) as (figure, axes):
        information, memory, errors = axes[0]
        information.plot(sizes, [entry.information for entry in entries], "o-")
        information.set(ylabel="information retained [nats]")
        residual = [np.nan if entry.markov is None else entry.markov for entry in entries]
        memory.plot(sizes, residual, "o-")
        memory.set(ylabel="Markov residual [%]")
        for key in entries[-1].errors:
            values = [entry.errors.get(key, np.nan) for entry in entries]
            errors.semilogy(sizes, values, "o-", label=key)
        errors.set(ylabel="error of roll-outs [%]")
        figure.legend(loc="outside right center", fontsize=8)
        for axis in axes[0]:
            axis.set(xlabel="number of internal variables n_α", xticks=sizes)
