r"""A phase-transforming bar against the chain of molecules that it represents.

Ten bistable springs in a row, in a viscous bath, are pulled at one end. Their mean strains and
their end force follow from thousands of Langevin simulations, or from one finite-element bar with
drag whose ten linear elements carry a law with internal variables. The law was learned from other
simulations, with loading histories of other shapes. A second bar carries the closed-form reference
model of the chain.

This demo illustrates how to

- give a bar the drag of its surroundings, so that it moves as the mean chain does,
- start from an ensemble of microstates, through the encoder of the model,
- compare the error of a simulation with the sampling error of the ensemble,
- separate the error of the law from that of mesh and time step.

## Equation and problem definition

Find $u(X, t)$ in $(0, \ell)$, $\ell = N L_0$, with

$$ \frac{\eta}{L_0}\,\dot u = \sigma', \qquad u(0, t) = 0, \qquad
   u(\ell, t) = \lambda(t) - (1 + \bar\varepsilon)\,\ell, \tag{1} $$

where the strain of the law is $\varepsilon = u'$, counted from the strain $\bar\varepsilon$ of
the springs at its declared equilibrium. With one linear element per spring and the drag lumped at
the vertices, (1) is node by node the mean of the Langevin chain
$\eta\,\mathrm dx_i = (F_{i+1} - F_i)\,\mathrm dt + \sqrt{2 k_BT\eta}\,\mathrm dW_i$, and the force
on the pulled bead is $F_{ex} = F_N + \eta\dot\lambda$.

The sampling error is what a perfect law would show: the distance of the mean of many more chains
from the ensemble, both from the same first microstates. The mean of those chains is the noise-free
reference. Refining the mesh solves the continuum problem (1) instead of the chain. The force curve
converges although phases nucleate and vanish inside the bar, and it also converges in the bar
without drag that bears a body force, $\sigma' + b = 0$.
"""

# ## Implementation

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, astuple, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from mpi4py import MPI

import numpy as np
import torch
from dolfinx import fem, mesh
from tabulate import tabulate

import ibvonn_fem
from ibvonn_fem.model.microstates import encode, strain_reference
from ibvonn_fem.stepping.time_stepping import Step
from ibvonn_train import simulation
from ibvonn_train.data.ensemble import TrajectoryEnsemble
from ibvonn_train.simulation import protocols
from ibvonn_train.simulation.protocols import piecewise_linear, smooth_pull

SPRINGS = 10
DURATION = 3.0
INTERVAL = 0.02  # between the instants that are compared


# Kinks lie between those instants, so that the rate is unique at each of them.
def hold(duration_ratio: float) -> simulation.Protocol:
    """Load, hold and unload."""
    times = [duration_ratio * time for time in (0.05, 1.05, 1.95, 2.95)]
    return piecewise_linear(times, [0.2, 0.26, 0.26, 0.2], "load, hold, unload")


PULLS = tuple(smooth_pull(0.05, start) for start in (0.13, 0.19, 0.25))
SINUSOID = smooth_pull(0.05, 0.2, sine=0.2, frequency=0.5)
SLOW = 10.0
CASES: dict[str, tuple[float, tuple[simulation.Protocol, ...]]] = {
    "pull": (1.0, PULLS),
    "load, hold, unload": (1.0, (hold(1.0),)),
    "load, hold, unload slowly": (SLOW, (hold(SLOW),)),
    "sinusoidal": (1.0, (SINUSOID,)),
}
"""Duration ratio (multiple of DURATION and INTERVAL) and protocols of each case."""


# ### The chains


def chain_of(model: ibvonn_fem.ExportedModel) -> tuple[simulation.SpringChain, float]:
    """The chain that the model was learned from, initially in equilibrium, and its time step."""
    microscopic = model.manifest.raw["microscopic"]
    recorded = {"thermal_energy": microscopic["thermal_energy"], **microscopic["parameters"]}
    time_step = microscopic["time_step"] or 1e-3
    chain = simulation.recorded_system(microscopic["system"], {**recorded, "springs": SPRINGS})
    assert isinstance(chain, simulation.SpringChain)
    return chain.from_equilibrium(time_step), time_step


@dataclass(frozen=True)
class Response:
    """Strains of the springs, shape (instants, springs), and end force, shape (instants,)."""

    strain: np.ndarray
    force: np.ndarray


def means(data: TrajectoryEnsemble) -> Response:
    """Mean strains and end force of an ensemble of one protocol."""
    return Response(data.strain[0, :, :, 0], data.drive.force[0])


# ### The bar
#
# The mean positions of the beads give the initial displacement, and the encoder gives the internal
# variables of the first microstates of each spring. On finer meshes the elements of a spring share
# them. Elements are assigned to springs by their midpoints, because DOLFINx numbers cells in any
# order. Forces are those of the chain, also in the declared initial state, hence
# `stress_free=False`.


class Bar:
    """A bar of elements with drag (or, with a body force, without), pulled at its end."""

    def __init__(
        self,
        model: ibvonn_fem.ExportedModel,
        first_microstate: np.ndarray,
        elements: int = SPRINGS,
        *,
        body_force: float | None = None,
    ) -> None:
        p = model.manifest.raw["microscopic"]["parameters"]
        self.friction, self.L0 = p["friction"], p["reference_length"]
        self.length = SPRINGS * self.L0
        first = encode(model, first_microstate)
        assert first.strain is not None
        self.zero = float(strain_reference(model)[0])  # strain of the springs where ε = 0
        domain = mesh.create_interval(MPI.COMM_SELF, elements, [0.0, self.length])
        V = fem.functionspace(domain, ("Lagrange", 1))
        self.u = fem.Function(V, name="displacement")
        beads = self.L0 * np.concatenate([[0.0], np.cumsum(first.strain[:, 0])])
        places = self.L0 * np.arange(SPRINGS + 1)
        self.u.interpolate(lambda x: np.interp(x[0], places, beads))
        cells = np.arange(elements, dtype=np.int32)
        midpoints = mesh.compute_midpoints(domain, 1, cells)[:, 0]
        self.spring = (midpoints // self.L0).astype(int)
        self.law = ibvonn_fem.InternalVariableLaw(
            model, ibvonn_fem.Uniaxial(stress_free=False), self.u, 0
        )
        self.law.start_from(first.statev[self.spring][:, None, :])
        self.end = fem.Constant(domain, 0.0)
        clamp, self.grip = (
            fem.dirichletbc(
                value, fem.locate_dofs_geometrical(V, lambda x, at=at: np.isclose(x[0], at)), V
            )
            for value, at in ((fem.Constant(domain, 0.0), 0.0), (self.end, self.length))
        )
        self.problem = ibvonn_fem.InternalVariableProblem(
            self.law,
            self.u,
            [clamp, self.grip],
            body_force=None if body_force is None else fem.Constant(domain, body_force),
            drag=self.friction / self.L0 if body_force is None else None,
        )

    def run(
        self,
        protocol: simulation.Protocol,
        dt: float,
        duration: float = DURATION,
        interval: float = INTERVAL,
    ) -> Response:
        """Move the end; return the response at multiples of the interval."""
        every = max(1, round(interval / dt))
        strains, forces = [], []

        def set_load(t: float) -> None:
            position = protocol.value(np.array([t]))[0]
            self.end.value = position - (1.0 + self.zero) * self.length

        def record(step: Step) -> None:
            if len(strains) * interval > step.time + 1e-9 * duration:
                return
            strain = self.law.measure[:, 0] + self.zero
            of_spring = np.bincount(self.spring, strain) / np.bincount(self.spring)
            strains.append(of_spring)
            forces.append(self.end_force())

        times = np.linspace(0.0, duration, every * round(duration / interval) + 1)
        ibvonn_fem.TimeStepping(self.problem, set_load).run(times, record)
        return Response(np.array(strains), np.array(forces))

    def end_force(self) -> float:
        """F_N + η λ̇, or the reaction where there is no drag."""
        if self.problem.drag is None:
            return float(self.problem.reaction(self.grip)[0])
        # The last node carries half the drag of a bead, its reaction is F_N + (η/2) v_N; the pulled
        # bead of the chain carries the whole, F_ex = F_N + η v_N.
        half_drag = 0.5 * self.friction * self.problem.velocity(self.grip)
        return float((self.problem.reaction(self.grip) + half_drag)[0])


# ## What the demo shows


def error(value: np.ndarray, reference: np.ndarray) -> float:
    """Relative L2 distance in per cent."""
    return 100 * float(np.linalg.norm(value - reference) / np.linalg.norm(reference))


@dataclass(frozen=True)
class Row:
    """Errors of one quantity over the protocols of a case, in per cent.

    Attributes:
        case: Name of the case.
        quantity: ``"strain"`` or ``"force"``.
        learned: Bar with the learned law against the ensemble.
        sampling: Sampling error: the noise-free reference against the ensemble.
        noise_free: Bar with the learned law against the noise-free reference.
        closed_form: Bar with the closed-form reference model against the ensemble.
        time_step: Change of the bar's response when the time step is halved.
    """

    case: str
    quantity: str
    learned: float
    sampling: float
    noise_free: float
    closed_form: float
    time_step: float


@dataclass(frozen=True)
class Run:
    """Responses to one protocol: the ensemble, the noise-free reference, and the bars."""

    data: Response
    reference: Response
    learned: Response
    half_step: Response
    closed_form: Response


def run_case(
    models: tuple[ibvonn_fem.ExportedModel, ibvonn_fem.ExportedModel],
    protocol: simulation.Protocol,
    replicas: int,
    seed: int,
    dt: float,
    duration_ratio: float,
) -> Run:
    """Simulate one protocol with chains and with bars."""
    duration, interval = DURATION * duration_ratio, INTERVAL * duration_ratio
    chain, time_step = chain_of(models[0])
    data = simulation.simulate(
        chain,
        [protocol],
        duration=duration,
        time_step=time_step,
        replicas=replicas,
        seed=seed,
        stride=round(interval / time_step),
        progress=False,
    )
    reference = simulation.repeat_from_first(data, factor=5, seed=seed + 1000, progress=False)
    first = np.asarray(data.microstate[0, 0])

    def run(model: ibvonn_fem.ExportedModel, step: float) -> Response:
        return Bar(model, first).run(protocol, step * duration_ratio, duration, interval)

    learned, half_step = run(models[0], dt), run(models[0], 0.5 * dt)
    closed_form = learned if models[1] is models[0] else run(models[1], dt)
    return Run(means(data), means(reference), learned, half_step, closed_form)


def rows_of(case: str, runs: list[Run]) -> list[Row]:
    """The errors of a case."""
    rows = []
    for quantity in ("strain", "force"):

        def over(name: str, quantity: str = quantity) -> np.ndarray:
            return np.concatenate([getattr(getattr(run, name), quantity) for run in runs])

        data, reference, learned = over("data"), over("reference"), over("learned")
        rows.append(
            Row(
                case,
                quantity,
                learned=error(learned, data),
                sampling=error(reference, data),
                noise_free=error(learned, reference),
                closed_form=error(over("closed_form"), data),
                time_step=error(learned, over("half_step")),
            )
        )
    return rows


# ### Refinement
#
# The force curve on each mesh is compared with that on the finest, with drag and without. In the
# bar without drag a body force makes its parts transform at different times.


def refinement(
    model: ibvonn_fem.ExportedModel,
    first: np.ndarray,
    meshes: list[int],
    steps: list[float],
    duration: float,
) -> dict[str, dict[str, float]]:
    """Change of the end force against the finest mesh and step, in per cent."""
    p = model.manifest.raw["microscopic"]["parameters"]
    weight = 0.5 * p["stiffness"] * p["crossing"] / (SPRINGS * p["reference_length"])
    changes: dict[str, dict[str, float]] = {}
    for kind, load in (("drag", None), ("body force", weight)):

        @cache
        def force(elements: int, dt: float, load: float | None = load) -> np.ndarray:
            bar = Bar(model, first, elements, body_force=load)
            return bar.run(PULLS[1], dt, duration).force[1:]

        for name, grid in (
            ("mesh", [(m, steps[0]) for m in meshes]),
            ("time step", [(meshes[0], dt) for dt in steps]),
        ):
            finest = force(*grid[-1])
            changes[f"{name}, {kind}"] = {
                f"{size[name != 'mesh']:g}": error(force(*size), finest) for size in grid[:-1]
            }
    return changes


def draw(runs: dict[str, list[Run]], path: Path) -> None:
    """Strains of three springs and end force, of the first run of each case."""
    import matplotlib.pyplot as plt

    size = (4 * len(runs) + 2, 6)
    fig, axes = plt.subplots(2, len(runs), figsize=size, layout="constrained", squeeze=False)
    time = INTERVAL * np.arange(round(DURATION / INTERVAL) + 1)
    for (above, below), (case, runs_of_case) in zip(axes.T, runs.items(), strict=True):
        run = runs_of_case[-1]
        for spring, colour in ((0, "C0"), (SPRINGS // 2, "C1"), (SPRINGS - 1, "C2")):
            strain = run.learned.strain[:, spring]
            above.plot(time[::5], run.data.strain[::5, spring], ".", color=colour)
            above.plot(time, strain, color=colour, label=f"spring {spring + 1}")
        below.plot(time[::5], run.data.force[::5], "k.", label="Langevin ensemble")
        below.plot(time, run.learned.force, "C3", label="bar, learned law")
        below.plot(time, run.closed_form.force, "C4--", lw=1, label="bar, closed form")
        ratio = CASES[case][0]
        clock = "time t [η/k]" if ratio == 1.0 else f"time t [{ratio:g} η/k]"
        above.set(title=case, xlabel=clock, ylabel="strain ε [–]")
        below.set(xlabel=clock, ylabel="end force F_ex [kℓ]")
    axes[0, -1].legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    axes[1, -1].legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    fig.savefig(path, dpi=150)
    plt.close(fig)


def check(
    rows: list[Row], refined: dict[str, dict[str, float]], bounds: tuple[float, float]
) -> None:
    """Bound the errors of the law and of the time step; the force curve must converge."""
    for row in rows:
        bound = bounds[row.quantity == "force"]
        assert row.noise_free < bound, f"{row.case}: {row.quantity} off by {row.noise_free:.2f} %"
        change = row.time_step
        assert change < 0.5, f"{row.case}: {row.quantity} changes with dt: {change:.2f} %"
    for name, changes in refined.items():
        values = list(changes.values())
        assert values == sorted(values, reverse=True), f"{name}: does not converge: {values}"
        assert values[-1] < 0.5 * values[0], f"{name}: converges too slowly: {values}"
        assert values[-1] < 1.0, f"{name}: last change {values[-1]:.2f} %"


def main() -> None:
    """Run chains and bars, print the errors, draw them, check the claims."""
    root = Path(__file__).resolve().parents[1]
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--model", type=Path, default=root / "exported_models/double_well_chain")
    parser.add_argument("--closed-form", type=Path, default=root / "exported_models/kramers_chain")
    parser.add_argument("--replicas", type=int, default=4000, help="chains of an ensemble")
    parser.add_argument("--dt", type=float, default=0.005, help="time step of the bar")
    parser.add_argument("--seed", type=int, default=31)
    parser.add_argument(
        "--bounds",
        type=float,
        nargs=2,
        default=(6.0, 7.0),
        help="largest error of strain and of force against the noise-free reference, in per cent",
    )
    parser.add_argument("--figure", type=Path, help="where to write the curves as PNG")
    parser.add_argument("--json", type=Path, help="where to write the numbers")
    parser.add_argument("--short", action="store_true", help="few chains, for a quick look")
    arguments = parser.parse_args()
    cases = CASES
    meshes, steps, duration = [10, 20, 40, 80, 160], [0.02, 0.01, 0.005, 0.0025, 0.00125], DURATION
    if arguments.short:
        cases = {name: CASES[name] for name in ["load, hold, unload"]}
        arguments.replicas, arguments.dt = min(arguments.replicas, 1000), INTERVAL / 2
        meshes, steps, duration = [10, 20, 80], [0.02, 0.01, 0.005], 1.0
    torch.set_num_threads(1)

    model = ibvonn_fem.load_model(arguments.model)
    same = arguments.model.resolve() == arguments.closed_form.resolve()
    models = model, model if same else ibvonn_fem.load_model(arguments.closed_form)
    runs = {
        case: [
            run_case(models, protocol, arguments.replicas, arguments.seed + i, arguments.dt, ratio)
            for i, protocol in enumerate(protocols_of_case)
        ]
        for case, (ratio, protocols_of_case) in cases.items()
    }
    rows = [row for case, runs_of_case in runs.items() for row in rows_of(case, runs_of_case)]
    print(
        "Errors in per cent, against the ensemble; in the column noise-free of the learned law "
        "against the noise-free reference; in the last column against half the time step."
    )
    header = [
        "case",
        "quantity",
        "learned law",
        "sampling error",
        "noise-free",
        "closed form",
        "dt",
    ]
    print(tabulate([astuple(row) for row in rows], header, floatfmt=".3f"))
    # Springs in equilibrium at one strain: the state that a bar of any mesh can start from.
    chain, time_step = chain_of(model)
    start = simulation.simulate(
        chain,
        [protocols.hold(0.19)],
        duration=INTERVAL,
        time_step=time_step,
        replicas=2000,
        seed=arguments.seed,
        stride=round(INTERVAL / time_step),
        progress=False,
    ).microstate[0, 0]
    alike = np.tile(np.reshape(start, (1, -1, 1)), (SPRINGS, 1, 1))
    refined = refinement(model, alike, meshes, steps, duration)
    print("Error of the end force in per cent against the finest mesh or time step:")
    for name, changes in refined.items():
        print(f"{name}: " + ", ".join(f"{key}: {value:.3f} %" for key, value in changes.items()))
    if arguments.json is not None:
        record: dict[str, Any] = {"model": model.manifest.name, "refinement": refined}
        record["errors_percent"] = [asdict(row) for row in rows]
        arguments.json.write_text(json.dumps(record, indent=1) + "\n")
    if arguments.figure is not None:
        draw(runs, arguments.figure)
    check(rows, refined, arguments.bounds)


if __name__ == "__main__":
    main()
