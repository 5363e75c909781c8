"""Figures for a person: PNG files, drawn without a display."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

from .audits import Audit
from .data import TrajectoryEnsemble
from .evaluation import Evaluation, ExportedLaw

mpl.use("Agg")
from matplotlib import pyplot as plt

COLOURS = {"pass": "#2a7f3f", "fail": "#b02a2a"}


def _save(figure: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def trajectories(
    path: Path, data: TrajectoryEnsemble, found: Evaluation, cases: Sequence[int] = (0, 4, 9)
) -> None:
    """External force and internal variable over time: ensemble against roll-out."""
    drive, run = next(iter(found.predicted.items()))
    figure, axes = plt.subplots(2, 1, figsize=(6, 5), sharex=True, layout="constrained")
    for case in [c for c in cases if c < len(data.control)]:
        for axis, measured, predicted in (
            (axes[0], found.measured.force[case], run.force[case]),
            (axes[1], found.measured.internal[case, :, 0, 0], run.internal[case, :, 0, 0]),
        ):
            axis.plot(data.time, measured, color="0.6", lw=3)
            axis.plot(data.time, predicted, "k--", lw=1)
    axes[0].plot([], [], color="0.6", lw=3, label="ensemble")
    axes[0].plot([], [], "k--", lw=1, label="learned law")
    axes[0].set(ylabel="external force", title=f"{data.system}, drive: {drive}")
    axes[0].legend()
    axes[1].set(xlabel="time", ylabel="internal variable α")
    _save(figure, path)


def densities(path: Path, law: ExportedLaw, data: TrajectoryEnsemble, case: int = 0) -> None:
    """Learned density of the microstates against histograms of replicas at several times."""
    figure, axis = plt.subplots(figsize=(6, 3.2), layout="constrained")
    colours = plt.get_cmap("viridis")(np.linspace(0, 0.9, 5))
    for colour, at in zip(colours, np.linspace(0, len(data.time) - 1, 5).astype(int), strict=True):
        x = data.microstate[case, at, 0].astype(float)
        strain, internal = law.encode(x[None])
        strain = data.strain[case, at, 0][None] if strain is None else strain
        axis.hist(x[:, 0], bins=40, density=True, color=colour, alpha=0.35)
        grid = np.linspace(x.min() - x.std(), x.max() + x.std(), 300)
        density = np.exp(law.log_density(grid[None, :, None], strain, internal))[0]
        axis.plot(grid, density, color=colour, label=f"t = {data.time[at]:.2g}")
    axis.set(xlabel="microstate x", ylabel="density", title="replicas and learned density q(x|α)")
    axis.legend(ncols=2, fontsize=8)
    _save(figure, path)


def internal_variable(path: Path, data: TrajectoryEnsemble, found: Evaluation) -> None:
    """The learned internal variable against the mean position of the particle."""
    mean = data.microstate[:, :, 0, :, 0].mean(-1)
    figure, axis = plt.subplots(figsize=(4, 3.2), layout="constrained")
    axis.plot(mean.ravel(), found.measured.internal[..., 0].ravel(), ".", ms=1)
    axis.set(xlabel="mean position ⟨x⟩", ylabel="learned internal variable α")
    _save(figure, path)


def training_history(path: Path, log: Path) -> None:
    """Total loss over the steps of all stages."""
    with log.open(newline="") as file:
        rows = list(csv.DictReader(file))
    figure, axis = plt.subplots(figsize=(6, 3.2), layout="constrained")
    for stage in dict.fromkeys(row["stage"] for row in rows):
        mine = [(i, row) for i, row in enumerate(rows) if row["stage"] == stage and row.get("loss")]
        axis.semilogy(
            [i for i, _ in mine], [abs(float(row["loss"])) for _, row in mine], label=stage
        )
    axis.set(xlabel="log entry", ylabel="|loss| of the stage")
    axis.legend()
    _save(figure, path)


def trap_report(
    folder: Path,
    law: ExportedLaw,
    test_data: TrajectoryEnsemble,
    test: Evaluation,
    extrapolated_data: TrajectoryEnsemble,
    extrapolated: Evaluation,
    training_log: Path,
) -> None:
    """Write the figures of a law of the trap into ``folder``."""
    trajectories(folder / "trajectories_test.png", test_data, test)
    trajectories(folder / "trajectories_extrapolated.png", extrapolated_data, extrapolated)
    densities(folder / "densities.png", law, test_data)
    internal_variable(folder / "internal_variable.png", test_data, test)
    training_history(folder / "training.png", training_log / "log.csv")


def certificate_page(path: Path, certificate: Sequence[Audit]) -> None:
    """One page: each audit with its value, band and verdict."""
    figure, axis = plt.subplots(figsize=(9, 0.32 * len(certificate) + 0.9), layout="constrained")
    axis.axis("off")
    rows, colours = [], []
    for audit in certificate:
        low, high = ("…" if end is None else f"{end:g}" for end in audit.band)
        value = "-" if audit.value is None else f"{audit.value:.4g}"
        rows.append([audit.audit, value, f"[{low}, {high}]", audit.verdict])
        colours.append(["w", "w", "w", COLOURS.get(audit.verdict, "#c08a1e")])
    page = axis.table(
        rows,
        colLabels=["audit", "value", "band", "verdict"],
        cellColours=colours,
        colWidths=[0.4, 0.2, 0.2, 0.2],
        loc="center",
    )
    page.scale(1, 1.4)
    for (row, column), cell in page.get_celld().items():
        if column == 3 and row:
            cell.get_text().set_color("w")
    _save(figure, path)
