r"""Microstates at a quadrature point of a running simulation.

A law that was learned with a flow keeps the link to the microscale: at every quadrature point and
at every instant, the flow is the distribution of the molecules that make up the material there.
This demo checks this claim. The strain of one point of a bar is recorded while the bar is loaded
unevenly in space and time; a new Langevin ensemble is then driven by this strain, and the two
distributions of microstates are compared.

This demo illustrates how to

- draw microstates at a quadrature point, `law.microstates(point, n)`, and evaluate their density,
  `law.density(point, x)`,
- record the strain of a point and impose it on a microsimulation,
- compare a difference of distributions with the sampling error of the simulation itself.

## Equation and problem definition

The bar $(0, 1)$ bears a growing body force $b(t)$ and is pulled at its end, from rest,

$$ \sigma' + b(t) = 0, \qquad u(0, t) = 0, \qquad u(1, t) = \bar u(t), $$

with the law of a particle that is tethered to the origin and held in a moving optical trap. Its
microscopic motion at a point $X$ of the bar, where the trap is at $\lambda(t) = \varepsilon(X, t)$,
is

$$ \eta\,\mathrm dx = \bigl(k(\varepsilon(X, t) - x) - k x\bigr)\,\mathrm dt
   + \sqrt{2 k_B T \eta}\,\mathrm dW. $$

The law gives $\sigma$, the internal variable $\alpha$ and the flow $q(x\,|\,\alpha)$. Its
Kolmogorov–Smirnov distance from an ensemble of $n$ particles,

$$ D = \max_x |F_q(x) - F_n(x)|, $$

is measured between $n$ samples of $q$ and the $n$ particles. Two ensembles of $n$ particles under
the same strain also differ; the 95 % quantile of their $D$ is the scale. As a negative control, the
particles are also driven by a constant $\varepsilon$ instead of the history: $D$ must then exceed
this scale by far.
"""

# ## Implementation

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from mpi4py import MPI

import numpy as np
import torch
from dolfinx import fem, mesh
from scipy.stats import ks_2samp
from tabulate import tabulate

import ibvonn_fem
from ibvonn_fem.stepping.time_stepping import Step
from ibvonn_train import simulation
from ibvonn_train.simulation.protocols import piecewise_linear

DURATION = 3.0
SNAPSHOTS = (0.75, 1.5, 2.25, 3.0)
POINT = 1  # a quadrature point near the clamp, where the body force has the largest effect
PAIRS = 24


def end_displacement(t: float) -> float:
    """A sum of two frequencies, from rest."""
    return float(1.5 * np.sin(2.0 * t) ** 2 + 0.5 * np.sin(5.0 * t))


@dataclass(frozen=True)
class Recording:
    """Strain of one point over time, and samples of its flow at the snapshots."""

    time: np.ndarray
    strain: np.ndarray
    samples: np.ndarray  # (PAIRS, snapshots, replicas)
    grid: np.ndarray
    density: np.ndarray


# ### The bar
#
# The strain of the point is the committed `law.measure`; the flow is sampled at the snapshots, with
# new random numbers at each of them.


def run_bar(model: ibvonn_fem.ExportedModel, steps: int, replicas: int) -> Recording:
    bar = mesh.create_unit_interval(MPI.COMM_SELF, 4)
    V = fem.functionspace(bar, ("Lagrange", 1))
    u = fem.Function(V, name="displacement")
    pulled = fem.Constant(bar, 0.0)
    clamp, grip = (
        fem.dirichletbc(
            value, fem.locate_dofs_geometrical(V, lambda x, at=at: np.isclose(x[0], at)), V
        )
        for value, at in ((fem.Constant(bar, 0.0), 0.0), (pulled, 1.0))
    )
    law = ibvonn_fem.InternalVariableLaw(model, ibvonn_fem.Uniaxial(), u, quadrature_degree=0)
    weight = fem.Constant(bar, 0.0)
    problem = ibvonn_fem.InternalVariableProblem(law, u, [clamp, grip], body_force=weight)

    def set_load(t: float) -> None:
        pulled.value = end_displacement(t)
        weight.value = 0.5 * t

    time, strain, samples, density = [], [], [], []
    random = np.random.default_rng(2)
    grid = np.linspace(-0.6, 1.4, 400)

    def record(step: Step) -> None:
        time.append(step.time)
        strain.append(law.measure[POINT, 0])
        if np.isclose(step.time, SNAPSHOTS, rtol=0, atol=1e-9).any():
            draws = law.microstates(POINT, PAIRS * replicas, random=random)
            samples.append(draws.reshape(PAIRS, replicas))
            density.append(law.density(POINT, grid))

    ibvonn_fem.TimeStepping(problem, set_load).run(np.linspace(0.0, DURATION, steps + 1), record)
    return Recording(
        np.array(time), np.array(strain), np.array(samples).swapaxes(0, 1), grid, np.array(density)
    )


# ### The Langevin ensembles
#
# The recorded strain, interpolated linearly between the instants, moves the trap. All ensembles
# start from equilibrium at the first strain. Each is compared with another sample of the flow, and
# pairs of them with each other. They are parts of one large simulation, whose particles are
# independent.


def langevin(
    model: ibvonn_fem.ExportedModel, strain: tuple[np.ndarray, np.ndarray], replicas: int, seed: int
) -> np.ndarray:
    """Positions at the snapshots, shape (2 * PAIRS, snapshots, replicas)."""
    parameters = model.manifest.raw["microscopic"]["parameters"]
    trap = simulation.TetheredParticle(
        stiffness=parameters["stiffness"],
        friction=parameters["friction"],
        thermal_energy=parameters["thermal_energy"],
    )
    time_step, groups = 1e-3, 2 * PAIRS
    stride = round(SNAPSHOTS[0] / time_step)
    record = simulation.simulate(
        trap,
        [piecewise_linear(*(list(column) for column in strain))],
        duration=DURATION,
        time_step=time_step,
        replicas=groups * replicas,
        seed=seed,
        stride=stride,
        progress=False,
    )
    positions = record.microstate[0, 1:, 0, :, 0]
    return positions.reshape(len(SNAPSHOTS), groups, replicas).transpose(1, 0, 2)


def distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Kolmogorov–Smirnov distance of each pair at each snapshot, shape (pairs, snapshots)."""
    return np.array(
        [
            [ks_2samp(a, b, method="asymp").statistic for a, b in zip(*pair, strict=True)]
            for pair in zip(first, second, strict=True)
        ]
    )


@dataclass(frozen=True)
class Comparison:
    """Distances, each of shape (pairs, snapshots)."""

    flow: np.ndarray
    pairs: np.ndarray
    wrong_history: np.ndarray

    @property
    def limit(self) -> np.ndarray:
        """95 % quantile of the distance of two Langevin ensembles at each snapshot."""
        return np.quantile(self.pairs, 0.95, axis=0)


def compare(recording: Recording, ensembles: np.ndarray, wrong: np.ndarray) -> Comparison:
    """The flow and an ensemble; two ensembles; the flow and an ensemble with a wrong history."""
    return Comparison(
        distances(recording.samples, ensembles[::2]),
        distances(ensembles[::2], ensembles[1::2]),
        distances(recording.samples, wrong[::2]),
    )


# ## What the demo shows


def draw(recording: Recording, ensembles: np.ndarray, comparison: Comparison, path: Path) -> None:
    """The strain, the distributions at the snapshots, and the distances."""
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(1, 3, figsize=(13.5, 3.6), layout="constrained")
    axes[0].plot(recording.time, recording.strain, "k-", lw=1)
    colours = [f"C{i}" for i in range(len(SNAPSHOTS))]
    for i, (t, colour) in enumerate(zip(SNAPSHOTS, colours, strict=True)):
        axes[0].axvline(t, color=colour, lw=1)
        axes[1].hist(ensembles[0, i], 40, density=True, color=colour, alpha=0.3)
        axes[1].plot(recording.grid, recording.density[i], color=colour, lw=1.5, label=f"t = {t:g}")
    axes[0].set(xlabel="time t [η/k]", ylabel="strain ε of the point [–]")
    axes[1].set(
        xlim=(ensembles[0].min(), ensembles[0].max()),
        xlabel="microstate x [ℓ]",
        ylabel="density [1/ℓ]",
        title="bars: Langevin ensemble; lines: flow",
    )
    share = (np.arange(PAIRS) + 0.5) / PAIRS
    for i, colour in enumerate(colours):
        axes[2].plot(np.sort(comparison.pairs[:, i]), share, color=colour, lw=1)
        axes[2].plot(np.sort(comparison.flow[:, i]), share, ".", color=colour)
    axes[2].set(
        xlabel="Kolmogorov–Smirnov distance D [–]",
        ylabel="cumulative share of pairs [–]",
        title="lines: two Langevin ensembles; dots: flow",
    )
    fig.legend(*axes[1].get_legend_handles_labels(), title="[η/k]", loc="outside right center")
    fig.savefig(path, dpi=150)
    plt.close(fig)


def check(comparison: Comparison, allowance: float) -> None:
    """The flow is within the scale of two ensembles; with the wrong history it is not."""
    limit = comparison.limit
    flow = np.median(comparison.flow, axis=0)
    assert (flow <= limit + allowance).all(), f"flow {flow}, two ensembles {limit}"
    wrong = np.median(comparison.wrong_history, axis=0)
    assert (wrong > 2.0 * limit + allowance).all(), f"the wrong history is not told apart: {wrong}"


def print_distances(comparison: Comparison) -> None:
    """Print one line for each snapshot."""
    print("Kolmogorov–Smirnov distances (medians over pairs, and 95 % quantile of two ensembles)")
    header = ["time", "flow", "two ensembles", "95 %", "flow, wrong history"]
    medians = [
        np.median(pairs, axis=0)
        for pairs in (comparison.flow, comparison.pairs, comparison.wrong_history)
    ]
    columns = [SNAPSHOTS, medians[0], medians[1], comparison.limit, medians[2]]
    rows = list(zip(*columns, strict=True))
    print(tabulate(rows, header, floatfmt=(".2f", ".4f", ".4f", ".4f", ".4f")))


def command_line(
    text: str,
    model: str,
    *,
    replicas: int,
    steps: int,
    short: tuple[int, int],
    allowance: float = 0.0,
) -> argparse.Namespace:
    """Return the options, with these defaults; ``short``: replicas and steps with --short."""
    root = Path(__file__).resolve().parents[1]
    parser = argparse.ArgumentParser(description=text.split("\n", 1)[0])
    parser.add_argument("--model", type=Path, default=root / "exported_models" / model)
    parser.add_argument("--replicas", type=int, default=replicas, help="size of an ensemble")
    parser.add_argument("--steps", type=int, default=steps, help="time steps of the bar")
    parser.add_argument(
        "--allowance", type=float, default=allowance, help="distance that a learned flow may add"
    )
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--figure", type=Path, help="where to write the comparison as PNG")
    parser.add_argument("--short", action="store_true", help="small ensembles, for a quick look")
    arguments = parser.parse_args()
    if arguments.short:
        arguments.replicas, arguments.steps = min(arguments.replicas, short[0]), short[1]
    return arguments


def main() -> None:
    """Run the bar and the ensembles, print the distances, draw them, check the claims."""
    arguments = command_line(__doc__, "exact_trap", replicas=2000, steps=1200, short=(500, 600))
    torch.set_num_threads(1)

    model = ibvonn_fem.load_model(arguments.model)
    recording = run_bar(model, arguments.steps, arguments.replicas)
    history = recording.time, recording.strain
    ensembles = langevin(model, history, arguments.replicas, arguments.seed)
    constant = recording.time, np.full_like(recording.strain, recording.strain.mean())
    wrong = langevin(model, constant, arguments.replicas, arguments.seed + 1)
    comparison = compare(recording, ensembles, wrong)
    print_distances(comparison)
    if arguments.figure is not None:
        draw(recording, ensembles, comparison, arguments.figure)
    check(comparison, arguments.allowance)


if __name__ == "__main__":
    main()
