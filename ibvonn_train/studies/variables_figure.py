"""What more internal variables bring."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..figures.canvas import canvas
from .number_of_variables import ScanEntry


def scan_figure(path: Path, entries: Sequence[ScanEntry]) -> None:
    """Draw information, memory and errors over the number of internal variables.

    Args:
        path: PNG.
        entries: Of :func:`ibvonn_train.studies.number_of_variables.scan`.
    """
    sizes = [each.internal_size for each in entries]
    with canvas(path, 1, 3, size=(9.6, 3.0)) as (_, axes):
        information, memory, errors = axes[0]
        information.plot(sizes, [each.information for each in entries], "o-")
        information.set(ylabel="information retained [nats]")
        residual = [np.nan if each.markov is None else each.markov for each in entries]
        memory.plot(sizes, residual, "o-")
        memory.set(ylabel="Markov residual [%]")
        for key in entries[-1].errors:
            errors.semilogy(
                sizes, [each.errors.get(key, np.nan) for each in entries], "o-", label=key
            )
        errors.set(ylabel="error of roll-outs [%]")
        errors.legend(fontsize=6)
        for axis in axes[0]:
            axis.set(xlabel="internal variables", xticks=sizes)
