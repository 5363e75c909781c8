"""The whole way in one figure: microstates, learned law, finite-element body.

`main_job.py` draws it from its own results. Units are those of the trap: its stiffness k, drag η
and reference length ℓ are 1, so that time is in η/k, force in kℓ and energy in kℓ².
"""

from __future__ import annotations

from pathlib import Path

import demo_plate_with_hole
import demo_trap_bar
import numpy as np
import pictures
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection

import ibvonn_fem
from ibvonn_train.data.ensemble import TrajectoryEnsemble
from ibvonn_train.evaluation import Evaluation, ExportedLaw

SHOWN_INSTANTS = (60, 150, 240)
"""Stored instants whose densities are drawn."""
SHOWN_REPLICAS = 40
PLATE_CELLS, PLATE_STRAIN, PLATE_STEPS, PLATE_DURATION = 6, 0.2, 10, 0.1
"""Strains, rates and time steps of the plate lie within those of the training."""


def draw_overview(
    path: Path,
    law: ExportedLaw,
    model: ibvonn_fem.ExportedModel,
    data: TrajectoryEnsemble,
    evaluation: Evaluation,
    comparisons: list[demo_trap_bar.Comparison],
) -> None:
    """Draw the six panels: simulate, encode, identify, check, put into a bar, put into a plate."""
    with plt.rc_context({"font.size": 12, "axes.titlesize": 12.5, "legend.fontsize": 10.5}):
        figure, axes = plt.subplots(2, 3, figsize=(14, 8.2), layout="constrained")
        draw_trajectories(axes[0, 0], data)
        draw_densities(axes[0, 1], law, data, evaluation)
        draw_potentials(axes[0, 2], law, evaluation)
        draw_loop(axes[1, 0], data, evaluation)
        draw_bar(axes[1, 1], comparisons)
        draw_plate(axes[1, 2], model)
        figure.savefig(path, dpi=130)
        plt.close(figure)


def draw_trajectories(ax: Axes, data: TrajectoryEnsemble) -> None:
    """Paths x(t) of some replicas in the energy landscape e(x, λ(t))."""
    control, x = data.strain[-1, :, 0, 0], data.microstate[-1, :, 0, :SHOWN_REPLICAS, 0]
    grid = np.linspace(x.min() - 0.5, x.max() + 0.5, 120)
    energy = 0.5 * (control - grid[:, None]) ** 2 + 0.5 * grid[:, None] ** 2
    above = energy - energy.min(axis=0)  # the valley that the particle follows
    ax.contourf(data.time, grid, above, levels=np.linspace(0, 2.4, 9), cmap="Greys", extend="max")
    ax.plot(data.time, x, color="C0", lw=0.5, alpha=0.6)
    ax.plot(data.time, data.microstate[-1, :, 0, :, 0].mean(axis=1), "k", lw=1.5, label="mean ⟨x⟩")
    ax.plot([], [], color="C0", lw=1.5, label=f"{SHOWN_REPLICAS} of {data.microstate.shape[3]}")
    ax.set(
        title="1  Simulate: a particle in a moving energy\nvalley e(x, λ), 4000 replicas",
        xlabel="time t  [η/k]",
        ylabel="position x  [ℓ]",
        ylim=(grid[0], grid[-1]),
    )
    ax.legend(loc="upper left", framealpha=0.9)


def draw_densities(
    ax: Axes, law: ExportedLaw, data: TrajectoryEnsemble, evaluation: Evaluation
) -> None:
    """Histograms of the replicas, and the learned density q(x|α) at the encoded α."""
    measured = evaluation.measured
    top = 0.0
    for number, at in enumerate(SHOWN_INSTANTS):
        x = data.microstate[-1, at, 0, :, 0].astype(float)
        height = ax.hist(x, bins=40, density=True, alpha=0.35, color="C0")[0].max()
        grid = np.linspace(x.min() - 0.1, x.max() + 0.1, 200)
        state = measured.internal[-1, at]
        density = np.exp(law.log_density(grid[None, :, None], measured.strain[-1, at], state)[0])
        ax.plot(grid, density, "k", lw=1.5, label="learned q(x|α)" if number == 0 else None)
        label = f"t = {data.time[at]:.1f}\nα = {state[0, 0]:.2f}"
        ax.text(x.mean(), max(height, density.max()) + 0.2, label, ha="center", va="bottom")
        top = max(top, height)
    ax.hist([], color="C0", alpha=0.35, label="replicas")
    ax.set(
        title="2  Learn: one internal variable α that\npredicts the density of the microstates",
        xlabel="position x  [ℓ]",
        ylabel="density  [1/ℓ]",
        ylim=(0, 1.75 * top),
    )
    ax.legend(loc="upper right", framealpha=0.9)


def draw_potentials(ax: Axes, law: ExportedLaw, evaluation: Evaluation) -> None:
    """Free energy over α at three strains, and φ over its driving force in an inset."""
    measured = evaluation.measured
    alpha = np.linspace(measured.internal.min(), measured.internal.max(), 100)[:, None]
    lowest, highest = measured.strain.min(), measured.strain.max()
    for number, strain in enumerate(np.round(np.linspace(0.5 * lowest, 0.5 * highest, 3), 1)):
        energy = law.rates(np.full_like(alpha, strain), alpha).energy
        ax.plot(alpha, energy, color=f"C{number}", lw=2, label=f"f at ε = {strain:g}")
        rest = energy.argmin()
        ax.plot(alpha[rest], energy[rest], "o", color=f"C{number}")
    ax.set(
        title="3  Learn: free energy f(ε, α) and dual\ndissipation potential φ(g),  g = −∂f/∂α",
        xlabel="internal variable α",
        ylabel="free energy f  [kℓ²]",
    )
    low, high = ax.get_ylim()
    ax.set_ylim(low, high + 0.75 * (high - low))
    ax.legend(loc="upper left", framealpha=0.9)
    inset = ax.inset_axes((0.62, 0.66, 0.36, 0.31))
    size = np.abs(law.rates(*(v.reshape(-1, 1) for v in (measured.strain, measured.internal)))[2])
    force = np.linspace(-size.max(), size.max(), 80)[:, None]
    zero = np.zeros_like(force)
    inset.plot(force, law.dual_dissipation(force, zero, zero)[0], color="C3", lw=2)
    inset.set_xlabel("g  [kℓ²]", labelpad=-1, fontsize=10)
    inset.set_ylabel("φ  [k²ℓ²/η]", labelpad=0, fontsize=10)
    inset.tick_params(labelsize=8)


def draw_loop(ax: Axes, data: TrajectoryEnsemble, evaluation: Evaluation) -> None:
    """Stress against strain of an unseen protocol: the ensemble and the law alone."""
    strain, run = data.strain[-1, :, 0, 0], evaluation.predicted["controlled"]
    ax.plot(
        strain,
        evaluation.measured.stress[-1, :, 0, 0],
        color="C0",
        lw=5,
        alpha=0.35,
        label="ensemble",
    )
    ax.plot(strain, run.stress[-1, :, 0, 0], "k--", lw=1.5, label="learned law")
    error = evaluation.errors["controlled/stress"]
    ax.set(
        title=f"4  Check: stress on loading it has not seen,\nerror {error:.2f} %",
        xlabel="strain ε  [–]",
        ylabel="stress σ  [kℓ]",
    )
    ax.legend(loc="upper left")


def draw_bar(ax: Axes, comparisons: list[demo_trap_bar.Comparison]) -> None:
    """Responses of a bar with the law at its quadrature points against the closed forms."""
    for comparison, colour in zip(comparisons, ("C1", "C2", "C3"), strict=True):
        response, sparse = comparison.learned, slice(None, None, 20)
        quantity = "strain" if comparison.test == "creep" else "stress"
        label = f"{comparison.test}: {quantity}"
        ax.plot(response.time, response.exact, color=colour, lw=1.5)
        ax.plot(response.time[sparse], response.value[sparse], "o", ms=4, color=colour, label=label)
    ax.plot([], [], color="0.4", lw=1.5, label="closed form")
    ax.set(
        title="5  Use: a bar in FEniCSx with the law at\nits quadrature points; closed form",
        xlabel="time t  [η/k]",
        ylabel="stress σ [kℓ],  strain ε [–]",
    )
    low, high = ax.get_ylim()
    ax.set_ylim(low, high + 0.55 * (high - low))
    ax.legend(loc="upper left", ncols=2, fontsize=9.5, columnspacing=0.8, handletextpad=0.3)


def draw_plate(ax: Axes, model: ibvonn_fem.ExportedModel) -> None:
    """A quarter of a plate with a hole, pulled within a fifth of the relaxation time, deformed."""
    size = demo_plate_with_hole.Size(cells=PLATE_CELLS, directions=12)
    plate = demo_plate_with_hole.Plate(model, size)

    def pull(t: float) -> None:
        plate.pull.value = demo_plate_with_hole.LENGTH * PLATE_STRAIN * t / PLATE_DURATION

    stepping = ibvonn_fem.TimeStepping(plate.problem, pull)
    stepping.run(np.linspace(0.0, PLATE_DURATION, PLATE_STEPS + 1))
    shape = pictures.deformed_shape("", plate.law, plate.u, plate.stress())
    drawn = PolyCollection(
        shape.polygons[..., :2], array=shape.values, edgecolors="face", linewidths=0.3
    )
    ax.add_collection(drawn)
    ax.autoscale()
    ax.set(
        title="6  Use: a quarter of a plate with a hole,\ndeformed; 12 directions at each point",
        xlabel="position  [half width]",
        aspect="equal",
        yticks=[],
    )
    label = "stress P_xx / Young's modulus"
    ax.figure.colorbar(drawn, ax=ax, label=label, location="bottom", aspect=30)
