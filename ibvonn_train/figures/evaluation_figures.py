"""All figures of an evaluation in one folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ..audits import Audit
from ..data.ensemble import TrajectoryEnsemble
from ..evaluation import Evaluation, Law
from .certificate_figure import certificate_page
from .densities_figure import densities
from .history import training_history
from .internal_variables_figure import internal_variable
from .potentials_figure import potentials
from .trajectories import trajectories


def report(
    folder: Path,
    law: Law,
    data: Mapping[str, TrajectoryEnsemble],
    evaluations: Mapping[str, Evaluation],
    audits: Sequence[Audit] = (),
    training_log: Path | None = None,
) -> list[Path]:
    """Draw all figures for which a law and its data suffice.

    Args:
        folder: Folder for the PNG files.
        law: Evaluated law.
        data: Name → ensemble.
        evaluations: Name → evaluation of the law on this ensemble.
        audits: Certificate; no page is drawn without it.
        training_log: ``log.csv`` of the training; no history is drawn without it.

    Returns:
        Paths of the PNG files.
    """
    written: list[Path] = []

    def to(name: str) -> Path:
        written.append(folder / f"{name}.png")
        return written[-1]

    for name, ensemble in data.items():
        for drive in evaluations[name].predicted:
            suffix = "" if drive == "controlled" else f"_{drive}_driven"
            trajectories(to(f"trajectories_{name}{suffix}"), ensemble, evaluations[name], drive)
    first = next(iter(data))
    if evaluations[first].order_parameter is not None:
        internal_variable(to("internal_variable"), evaluations[first])
    if law.has_decoder:
        densities(to("densities"), law, data[first])
    if law.has_potentials:
        potentials(to("potentials"), law, data[first], evaluations[first])
    if training_log is not None:
        training_history(to("training"), training_log)
    if audits:
        certificate_page(to("certificate"), audits)
    return written
