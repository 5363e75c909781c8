"""Figure of a scan over kinds and numbers of internal variables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..figures.canvas import canvas
from .number_of_variables import ScanEntry


def scan_figure(path: Path, entries: Sequence[ScanEntry]) -> None:
    """Draw retained information, Markov residual and errors over the internal variables.

    Args:
        path: PNG file.
        entries: Result of :func:`ibvonn_train.studies.number_of_variables.scan`.
    """
    places = range(len(entries))
    with canvas(path, 1, 3, size=(11.2, 3.0)) as (figure, axes):
        information, memory, errors = axes[0]
        retained = [np.nan if e.information is None else e.information for e in entries]
        information.plot(places, retained, "o")
        information.set(ylabel="information retained [nats]")
        residual = [np.nan if entry.markov is None else entry.markov for entry in entries]
        memory.plot(places, residual, "o")
        memory.set(ylabel="Markov residual [%]")
        for key in entries[-1].errors:
            values = [entry.errors.get(key, np.nan) for entry in entries]
            errors.semilogy(places, values, "o", label=key)
        errors.set(ylabel="error of roll-outs [%]")
        figure.legend(loc="outside right center", fontsize=8)
        for axis in axes[0]:
            axis.set_xticks(places, [entry.internal for entry in entries], rotation=30, ha="right")
