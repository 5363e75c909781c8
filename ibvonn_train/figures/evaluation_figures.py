"""All figures of an evaluation in one folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ..audits import Audit
from ..data.ensemble import TrajectoryEnsemble
from ..evaluation import Evaluation, Law
from .certificate_figure import certificate_page
from .history import training_history
from .microscopic import densities, internal_variable
from .potentials_figure import potentials
from .trajectories import trajectories


def report(
    folder: Path,
    law: Law,
    data: Mapping[str, TrajectoryEnsemble],
    found: Mapping[str, Evaluation],
    audits: Sequence[Audit] = (),
    training_log: Path | None = None,
) -> list[Path]:
    """Draw what can be drawn of a law.

    Args:
        folder: Receives the PNG files.
        law: The law.
        data: Name → ensemble.
        found: Name → evaluation on it.
        audits: The certificate, if there is one.
        training_log: ``log.csv`` of the training, if there is one.

    Returns:
        The files.
    """
    written: list[Path] = []

    def to(name: str) -> Path:
        written.append(folder / f"{name}.png")
        return written[-1]

    for name, each in data.items():
        for drive in found[name].predicted:
            suffix = "" if drive == "controlled" else f"_{drive}_driven"
            trajectories(to(f"trajectories_{name}{suffix}"), each, found[name], drive)
    first = next(iter(data))
    if found[first].known is not None:
        internal_variable(to("internal_variable"), found[first])
    if law.has_decoder and data[first].microstate.shape[-1] == 1:
        densities(to("densities"), law, data[first])
    if law.has_potentials:
        potentials(to("potentials"), law, data[first], found[first])
    if training_log is not None:
        training_history(to("training"), training_log)
    if audits:
        certificate_page(to("certificate"), audits)
    return written
