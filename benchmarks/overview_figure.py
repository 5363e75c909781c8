"""One figure of six panels from the results of the benchmarks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import numpy as np
from matplotlib import pyplot as plt

Records = dict[str, dict[str, Any]]

RUNTIMES = {
    "c": "C",
    "jax": "JAX",
    "torch.compile": "torch.compile",
    "numpy": "NumPy",
    "torch eager": "torch",
    "onnx": "ONNX Runtime",
}
ENGINES = {
    "compiled": "ours, C",
    "torch": "ours, torch",
    "numpy": "NumPy",
    "jax": "JAX",
    "torchsde": "torchsde",
}
PARTS = {"strain": "strain", "law": "law", "residual": "residual", "jacobian": "Jacobian"}
COLOURS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377")
GREY = "0.55"


def draw(records: Records, path: Path) -> None:
    """Draw the panels into a PNG."""
    with plt.rc_context({"font.size": 8, "axes.prop_cycle": mpl.cycler(color=COLOURS)}):
        figure, axes = plt.subplots(2, 3, figsize=(12, 7), layout="constrained")
        langevin(axes[0, 0], records["langevin"])
        training(axes[0, 1], records["training_time"])
        law_update(axes[0, 2], records["law_update"])
        step(axes[1, 0], records["fe_step"])
        directions(axes[1, 1], records["fe_scaling"])
        size_and_ranks(axes[1, 2], records["fe_scaling"], records["fe_step"])
        figure.savefig(path, dpi=110, metadata={"Software": None})
        plt.close(figure)


def langevin(ax: Any, record: dict[str, Any]) -> None:
    """Replica-steps per second by engine."""
    speeds = {
        (row["engine"], row["case"]): row["replica_steps_per_s"]
        for row in record["results"]
        if "replica_steps_per_s" in row
    }
    engines = [name for name in ENGINES if any(key[0] == name for key in speeds)]
    labels = [ENGINES[name] for name in engines] + ["the paper's, JAX\n(another machine)"]
    place = np.arange(len(labels))
    for shift, (case, steps) in zip((-0.2, 0.2), record["replica_steps"].items(), strict=True):
        label = case.split(",")[0]
        values = [speeds.get((name, case), np.nan) for name in engines]
        values.append(steps / record["elsewhere_cpu_s"].get(case, np.nan))
        bars = ax.barh(place + shift, values, 0.4, label=label)
        texts = [f"{v:.2g}" if np.isfinite(v) else "" for v in values]
        ax.bar_label(bars, texts, padding=2, fontsize=7)
    ax.set(
        xscale="log", yticks=place, xlabel="replica-steps per CPU second, one core",
        title="Langevin engine", xlim=(None, 3 * max(speeds.values())),
    )  # fmt: skip
    ax.set_yticklabels(labels)
    ax.invert_yaxis()
    ax.legend(loc="lower right")


def training(ax: Any, record: dict[str, Any]) -> None:
    """Error of F_ex on the test protocols against CPU seconds."""
    history = record["history"]
    stages = list(dict.fromkeys(row["stage"] for row in history))
    for colour, stage in zip(COLOURS, stages, strict=False):
        part = [(row["cpu_s"], row["error_percent"]) for row in history if row["stage"] == stage]
        ax.semilogy(
            *zip(*part, strict=True), ".-", ms=3, lw=1, color=colour, label=f"stage {stage}"
        )
    hours = record["published_cpu_s"] / 3600
    bound = record["published_percent"]
    ax.axhline(bound, color="k", ls="--", lw=1, label=f"published {bound} % ({hours:.0f} h)")
    least = record["sampling_error_percent"]
    ax.axhline(least, color=GREY, ls=":", label=f"sampling error {least:.3f} %")
    seconds = record["passes_published"]["lasting_cpu_s"]
    if seconds is not None:
        ax.axvline(seconds, color="k", lw=0.8, alpha=0.5)
        ax.text(seconds, 0.6, f" {seconds:.0f} s", transform=ax.get_xaxis_transform())
    ax.set(
        xlabel="CPU seconds of training, one core", ylabel="error of F_ex, test [%]",
        title="trap: training time to the published error",
    )  # fmt: skip
    ax.legend(loc="upper right", fontsize=7)


def law_update(ax: Any, record: dict[str, Any]) -> None:
    """Nanoseconds per point against points per call, of the smallest law."""
    result = record["results"][0]
    for name, label in RUNTIMES.items():
        series = result["ns_per_point"].get(name)
        if series is not None:
            points = [int(n) for n in series]
            ax.loglog(points, list(series.values()), "o-", ms=3, label=label)
    m, n = result["sizes"]
    ax.set(
        xlabel="points per call", ylabel="CPU ns per point",
        title=f"one update of a law: {m} strain, {n} internal",
    )  # fmt: skip
    ax.legend(fontsize=7)


def step(ax: Any, record: dict[str, Any]) -> None:
    """Parts of a Newton iteration, stacked."""
    rows = record["newton_iteration_microseconds_per_point"]
    left = np.zeros(len(rows))
    for part, label in PARTS.items():
        values = np.array([row[part] for row in rows])
        ax.barh(np.arange(len(rows)), values, left=left, label=label)
        left += values
    for place, total in enumerate(left):
        ax.text(total, place, f" {total:.1f}", va="center", fontsize=7)
    ax.set(
        yticks=range(len(rows)), xlim=(0, 1.15 * left.max()),
        xlabel="CPU µs per quadrature point", title="one Newton iteration, P2 elements",
    )  # fmt: skip
    ax.set_yticklabels([row["name"] for row in rows])
    ax.invert_yaxis()
    ax.legend(loc="upper right", fontsize=7)


def directions(ax: Any, record: dict[str, Any]) -> None:
    """Cost and share of the law against directions."""
    rows = record["directions_microseconds_per_point"]
    count = [row["directions"] for row in rows]
    ax.plot(count, [row["share_percent"] for row in rows], "o-", label="share of the law")
    ax.set(
        xlabel="directions of the microsphere", ylabel="law's share of an iteration [%]",
        ylim=(0, 100), title="microsphere: share and cost of the law",
    )  # fmt: skip
    cost = ax.twinx()
    cost.plot(count, [row["law"] for row in rows], "s--", color=COLOURS[1], label="law")
    cost.set(ylabel="CPU µs per quadrature point", ylim=(0, None))
    handles = ax.get_lines() + cost.get_lines()
    ax.legend(handles, [str(line.get_label()) for line in handles], loc="lower right")


def size_and_ranks(ax: Any, scaling: dict[str, Any], fe: dict[str, Any]) -> None:
    """CPU seconds of one iteration against points, and of the law on one and two ranks."""
    rows = scaling["points_microseconds_per_point"]
    points = np.array([row["points"] for row in rows], dtype=float)
    seconds = {key: 1e-6 * points * [row[key] for row in rows] for key in ("total", "law")}
    exponent = scaling["exponents"]["iteration over points"]
    label = f"25 directions: iteration (slope {exponent:.2f})"
    ax.loglog(points, seconds["total"], "o-", ms=4, label=label)
    ax.loglog(points, seconds["law"], "s--", ms=4, label="25 directions: law")
    for run, marker in zip(fe["parallel"], ("^", "v"), strict=True):
        law = max(run["law_cpu_seconds_by_rank"]) / run["law_calls"]
        ranks = (
            "1 rank" if run["ranks"] == 1 else f"{run['ranks']} ranks ({fe['law_speed_up']:.2f} x)"
        )
        ax.loglog(run["points"], law, marker, ms=7, ls="", label=f"55 directions: law, {ranks}")
    guide = np.array([points[0], max(run["points"] for run in fe["parallel"])])
    ax.loglog(guide, 0.5 * seconds["law"][0] * guide / guide[0], ":", color=GREY, label="slope 1")
    ax.set(
        xlabel="quadrature points", ylabel="CPU seconds",
        title="microsphere: linear in the points; ranks",
    )  # fmt: skip
    ax.legend(fontsize=7)
