r"""A phase-transforming bar against the chain of molecules that it stands for.

Ten bistable springs in a row, in a viscous bath, are pulled at one end. Their mean strains and
their end force follow from thousands of Langevin simulations, or from one finite-element bar with
drag whose ten linear elements carry a law with internal variables. The law was learned from other
simulations, of other shapes; beside it stands the closed-form reference model of the chain.

This demo illustrates how to

- give a bar the drag of its surroundings, so that it moves as the mean chain does,
- start from an ensemble of microstates, through the encoder of the model,
- judge a simulation beside the scatter of the ensemble that it is compared with,
- tell the error of the law from that of mesh and time step.

## Equation and problem definition

Find $u(X, t)$ in $(0, \ell)$, $\ell = N L_0$, with

$$ \frac{\eta}{L_0}\,\dot u = \sigma', \qquad u(0, t) = 0, \qquad
   u(\ell, t) = \lambda(t) - (1 + \bar\varepsilon)\,\ell, \tag{1} $$

where the strain of the law is $\varepsilon = u'$, counted from the strain $\bar\varepsilon$ of
the springs at its declared equilibrium. With one linear element per spring and the drag lumped at
the vertices, (1) is node by node the mean of the Langevin chain
$\eta\,\mathrm dx_i = (F_{i+1} - F_i)\,\mathrm dt + \sqrt{2 k_BT\eta}\,\mathrm dW_i$, and the force
on the pulled bead is $F_{ex} = F_N + \eta\dot\lambda$.

The floor of an error is what a perfect law would show: the mean of many more chains, from the same
first microstates, against the ensemble. Refining the mesh solves the continuum problem (1) instead
of the chain: the force curve converges although phases come and go inside the bar; so it does in
the bar without drag that bears a body force, $\sigma' + b = 0$.
"""

# ## Implementation

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from mpi4py import MPI

import numpy as np
import torch
from dolfinx import fem, mesh

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


# Kinks lie between those instants, where the rate has one value.
def hold(slower: float) -> simulation.Protocol:
    """Load, hold and unload."""
    times = [0.05 * slower, 1.05 * slower, 1.95 * slower, 2.95 * slower]
    return piecewise_linear(times, [0.2, 0.26, 0.26, 0.2], "load, hold, unload")


PULLS = tuple(smooth_pull(0.05, start) for start in (0.13, 0.19, 0.25))
SINUSOID = smooth_pull(0.05, 0.2, sine=0.2, frequency=0.5)
SLOWER = 10.0
CASES: dict[str, tuple[float, tuple[simulation.Protocol, ...]]] = {
    "pull": (1.0, PULLS),
    "load, hold, unload": (1.0, (hold(1.0),)),
    "load, hold, unload slowly": (SLOWER, (hold(SLOWER),)),
    "sinusoidal": (1.0, (SINUSOID,)),
}
"""Protocols of each case, and how many times DURATION and INTERVAL they take."""


# ### The chains


def chain_of(model: ibvonn_fem.ExportedModel) -> tuple[simulation.SpringChain, float]:
    """The chain that the model was made from, in equilibrium at first, and its time step."""
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
    """What an ensemble of one protocol shows."""
    return Response(data.strain[0, :, :, 0], data.force[0])


# ### The bar
#
# The mean positions of the beads are the first displacement, and the encoder gives the internal
# variables of the first microstates of each spring. On finer meshes the elements of a spring share
# them. An element's index says nothing of its place, so midpoints are compared. Forces are those
# of the chain, also at the declared state, hence `stress_free=False`.


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
        self.zero = float(strain_reference(model)[0])  # of the springs where ε = 0
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
        """Move the end; returns the response at multiples of the interval."""
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


def error(value: np.ndarray, truth: np.ndarray) -> float:
    """Relative L2 distance in per cent."""
    return 100 * float(np.linalg.norm(value - truth) / np.linalg.norm(truth))


@dataclass(frozen=True)
class Row:
    """Errors of one quantity over the protocols of a case, in per cent of the ensemble.

    ``noise_free`` is the error against the mean of many more chains, ``scheme`` the change that
    half the time step makes.
    """

    case: str
    quantity: str
    bar: float
    floor: float
    noise_free: float
    reference: float
    scheme: float


@dataclass(frozen=True)
class Run:
    """One protocol: the ensemble, many more chains, and the bars."""

    data: Response
    many: Response
    bar: Response
    half_step: Response
    reference: Response


def run_case(
    models: tuple[ibvonn_fem.ExportedModel, ibvonn_fem.ExportedModel],
    protocol: simulation.Protocol,
    replicas: int,
    seed: int,
    dt: float,
    slower: float,
) -> Run:
    """Simulate one protocol with chains and with bars."""
    duration, interval = DURATION * slower, INTERVAL * slower
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
    many = simulation.repeat_from_first(data, factor=5, seed=seed + 1000, progress=False)
    first = np.asarray(data.microstate[0, 0])

    def run(model: ibvonn_fem.ExportedModel, step: float) -> Response:
        return Bar(model, first).run(protocol, step * slower, duration, interval)

    bar, half_step = run(models[0], dt), run(models[0], 0.5 * dt)
    reference = bar if models[1] is models[0] else run(models[1], dt)
    return Run(means(data), means(many), bar, half_step, reference)


def rows_of(case: str, runs: list[Run]) -> list[Row]:
    """The errors of a case."""
    found = []
    for quantity in ("strain", "force"):

        def over(name: str, quantity: str = quantity) -> np.ndarray:
            return np.concatenate([getattr(getattr(run, name), quantity) for run in runs])

        data, many, bar = over("data"), over("many"), over("bar")
        found.append(
            Row(
                case,
                quantity,
                error(bar, data),
                error(many, data),
                error(bar, many),
                error(over("reference"), data),
                error(bar, over("half_step")),
            )
        )
    return found


# ### Refinement
#
# The force curve on a mesh against that on a fine one, with drag and without. The body force makes
# the parts of the bar without drag transform at different times.


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
    found: dict[str, dict[str, float]] = {}
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
            found[f"{name}, {kind}"] = {
                f"{at[name != 'mesh']:g}": error(force(*at), finest) for at in grid[:-1]
            }
    return found


def draw(runs: dict[str, list[Run]], path: Path) -> None:
    """Strains of three springs and end force, of the first run of each case."""
    import matplotlib.pyplot as plt

    size = (4 * len(runs), 6)
    fig, axes = plt.subplots(2, len(runs), figsize=size, layout="constrained", squeeze=False)
    time = INTERVAL * np.arange(round(DURATION / INTERVAL) + 1)
    for (above, below), (case, found) in zip(axes.T.reshape(-1, 2), runs.items(), strict=True):
        run = found[-1]
        for spring, colour in ((0, "C0"), (SPRINGS // 2, "C1"), (SPRINGS - 1, "C2")):
            above.plot(time[::5], run.data.strain[::5, spring], ".", color=colour)
            above.plot(time, run.bar.strain[:, spring], color=colour, label=f"spring {spring + 1}")
        below.plot(time[::5], run.data.force[::5], "k.", label="Langevin")
        below.plot(time, run.bar.force, "C3", label="bar")
        below.plot(time, run.reference.force, "C4--", lw=1, label="bar, closed form")
        above.set(title=case, ylabel="strain [–]")
        slower = CASES[case][0]
        clock = "time [η/k]" if slower == 1.0 else f"time [{slower:g} η/k]"
        below.set(xlabel=clock, ylabel="end force [kℓ]")
    axes.flat[0].legend()
    axes.T.flat[1].legend()
    fig.savefig(path, dpi=150)
    plt.close(fig)


def check(
    rows: list[Row], refined: dict[str, dict[str, float]], bounds: tuple[float, float]
) -> None:
    """Accuracy beyond the floor; the scheme is finer than the law; the force curve converges."""
    for row in rows:
        bound = bounds[row.quantity == "force"]
        assert row.noise_free < bound, f"{row.case}: {row.quantity} off by {row.noise_free:.2f} %"
        assert row.scheme < 0.5, f"{row.case}: {row.quantity} changes with dt: {row.scheme:.2f} %"
    for name, found in refined.items():
        values = list(found.values())
        assert values == sorted(values, reverse=True), f"{name}: does not converge: {values}"
        assert values[-1] < 0.5 * values[0], f"{name}: hardly converges: {values}"
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
        help="allowed error in per cent of strain and force",
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
            run_case(models, each, arguments.replicas, arguments.seed + i, arguments.dt, slower)
            for i, each in enumerate(protocols)
        ]
        for case, (slower, protocols) in cases.items()
    }
    rows = [row for case, found in runs.items() for row in rows_of(case, found)]
    columns = ("bar", "floor", "noise-free", "closed form", "scheme")
    print(f"{'error in %':<30}" + "".join(f"{name:>12}" for name in columns))
    for row in rows:
        numbers = (row.bar, row.floor, row.noise_free, row.reference, row.scheme)
        print(f"{row.case + ', ' + row.quantity:<30}" + "".join(f"{x:>12.3f}" for x in numbers))
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
    for name, found in refined.items():
        print(f"{name}: " + ", ".join(f"{key}: {value:.3f} %" for key, value in found.items()))
    if arguments.json is not None:
        record: dict[str, Any] = {"model": model.manifest.name, "refinement": refined}
        record["errors_percent"] = [asdict(row) for row in rows]
        arguments.json.write_text(json.dumps(record, indent=1) + "\n")
    if arguments.figure is not None:
        draw(runs, arguments.figure)
    check(rows, refined, arguments.bounds)


if __name__ == "__main__":
    main()
