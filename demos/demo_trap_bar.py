r"""Relaxation, creep and vibration of a viscoelastic bar with a learned law.

A Brownian particle is tethered to the origin by one spring and to a moving optical trap by
another. Its mean force and its internal variable were learned from simulated paths; here the
learned law is the material of a bar. Because the mean of this system obeys the Zener (standard
linear) solid, every response has a closed form, and the demo measures how far the learned bar is
from it.

This demo illustrates how to

- load an exported model and use it at the quadrature points of a FEniCSx problem,
- apply a sudden displacement or force as an elastic step at the initial time,
- separate the error of the law from the error of the time step.

## Equation and problem definition

Find the displacement $u(x, t)$ of the bar $(0, \ell)$ with

$$ \sigma' = 0, \qquad u(0, t) = 0, \qquad u(\ell, t) = \bar\varepsilon(t)\,\ell
   \quad\text{or}\quad \sigma(\ell, t) = \bar\sigma(t), $$
$$ \sigma = \partial f/\partial\varepsilon, \qquad
   \dot\alpha = \partial\varphi/\partial g, \qquad g = -\partial f/\partial\alpha, \qquad
   \varepsilon = u'. $$

For the exact law $f = \tfrac k2(\varepsilon-\alpha)^2 + \tfrac k2\alpha^2$,
$\varphi = g^2/2\eta$, with $\tau = \eta/2k$:

$$ \sigma(t) = \tfrac k2\,\varepsilon_0\,(1 + e^{-t/\tau}) \quad\text{(relaxation)}, \qquad
   \varepsilon(t) = \tfrac{\sigma_0}{k}\,(2 - e^{-kt/\eta}) \quad\text{(creep)}. $$

The second law requires, at every step and every quadrature point,

$$ g\cdot\Delta\alpha \ge 0. \tag{1} $$

| symbol | code | value | unit |
| --- | --- | --- | --- |
| $k$, $\eta$ | `STIFFNESS`, `FRICTION` | 1, 1 | spring stiffness, drag |
| $\varepsilon_0$ | `STEP_STRAIN` | 2 | 1 |
| $\sigma_0$ | `STEP_STRESS` | 1 | force |
| $\omega$ | `FREQUENCY` | 4 | 1/time |
"""

# ## Implementation

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mpi4py import MPI

import numpy as np
import ufl
from dolfinx import fem, mesh
from tabulate import tabulate

import ibvonn_fem

STIFFNESS, FRICTION = 1.0, 1.0
STEP_STRAIN, STEP_STRESS, FREQUENCY = 2.0, 1.0, 4.0
DURATION = 3.0


@dataclass(frozen=True)
class Response:
    """Measured response of the bar, and the closed form at the same instants."""

    time: np.ndarray
    value: np.ndarray
    exact: np.ndarray
    smallest_dissipation: float

    @property
    def error(self) -> float:
        """Relative L2 distance from the closed form, in per cent."""
        return 100 * float(np.linalg.norm(self.value - self.exact) / np.linalg.norm(self.exact))


# ### Closed forms of the Zener solid


def exact_relaxation(t: np.ndarray) -> np.ndarray:
    """Stress after a step of strain."""
    return 0.5 * STIFFNESS * STEP_STRAIN * (1 + np.exp(-2 * STIFFNESS * t / FRICTION))


def exact_creep(t: np.ndarray) -> np.ndarray:
    """Strain under a held stress."""
    return STEP_STRESS / STIFFNESS * (2 - np.exp(-STIFFNESS * t / FRICTION))


def exact_vibration(t: np.ndarray) -> np.ndarray:
    """Stress under the strain ε₀ (1 − cos ωt)/2 from rest."""
    rate, ω = 2 * STIFFNESS / FRICTION, FREQUENCY  # η α̇ = k (ε − 2 α)
    decay, size = np.exp(-rate * t), rate**2 + ω**2
    waves = (rate * np.cos(ω * t) + ω * np.sin(ω * t) - rate * decay) / size
    α = 0.5 * STEP_STRAIN * STIFFNESS / FRICTION * ((1 - decay) / rate - waves)
    return STIFFNESS * (vibration_strain(t) - α)


def vibration_strain(t: np.ndarray) -> np.ndarray:
    """ε₀ (1 − cos ωt)/2."""
    return 0.5 * STEP_STRAIN * (1 - np.cos(FREQUENCY * t))


# ### The bar


def run_bar(
    model: ibvonn_fem.ExportedModel,
    time: np.ndarray,
    *,
    strain: Callable[[float], float] | None = None,
    stress: float | None = None,
    elements: int = 8,
) -> tuple[np.ndarray, np.ndarray, float]:
    """Pull the bar by a prescribed end strain or a constant end stress.

    Returns the mean strain and the end force at ``time``, and the smallest dissipation over all
    steps and quadrature points.
    """
    bar = mesh.create_interval(MPI.COMM_WORLD, elements, (0.0, 1.0))
    V = fem.functionspace(bar, ("Lagrange", 1))
    u = fem.Function(V, name="displacement")
    law = ibvonn_fem.InternalVariableLaw(model, ibvonn_fem.Uniaxial(), u, quadrature_degree=1)

    def end(at: float) -> np.ndarray:
        return fem.locate_dofs_geometrical(V, lambda x: np.isclose(x[0], at))

    zero, pulled = fem.Constant(bar, 0.0), fem.Constant(bar, 0.0)
    clamp, grip = fem.dirichletbc(zero, end(0.0), V), fem.dirichletbc(pulled, end(1.0), V)
    loads = None
    if stress is not None:
        tip = mesh.locate_entities_boundary(bar, 0, lambda x: np.isclose(x[0], 1.0))
        tags = mesh.meshtags(bar, 0, np.sort(tip), np.full(len(tip), 1, dtype=np.int32))
        ds = ufl.Measure("ds", domain=bar, subdomain_data=tags)
        loads = fem.Constant(bar, stress) * ufl.TestFunction(V) * ds(1)
    bcs = [clamp] if strain is None else [clamp, grip]
    problem = ibvonn_fem.InternalVariableProblem(law, u, bcs, loads)

    def set_load(t: float) -> None:
        pulled.value = 0.0 if strain is None else strain(t)

    length = fem.form(u.dx(0) * ufl.dx)
    strains, forces, dissipation = [], [], [0.0]

    def record(_: ibvonn_fem.stepping.time_stepping.Step) -> None:
        strains.append(bar.comm.allreduce(fem.assemble_scalar(length), op=MPI.SUM))
        forces.append(-problem.reaction(clamp)[0])
        dissipation.append(bar.comm.allreduce(law.dissipation.x.array.min(initial=0), op=MPI.MIN))

    ibvonn_fem.TimeStepping(problem, set_load).run(time, record)
    return np.array(strains), np.array(forces), min(dissipation)


def relaxation(model: ibvonn_fem.ExportedModel, steps: int) -> Response:
    """Stress after a sudden strain, which is then held."""
    t = np.linspace(0.0, DURATION, steps + 1)
    _, force, dissipation = run_bar(model, t, strain=lambda _: STEP_STRAIN)
    return Response(t, force, exact_relaxation(t), dissipation)


def creep(model: ibvonn_fem.ExportedModel, steps: int) -> Response:
    """Strain after a sudden force, which is then held."""
    t = np.linspace(0.0, DURATION, steps + 1)
    strain, _, dissipation = run_bar(model, t, stress=STEP_STRESS)
    return Response(t, strain, exact_creep(t), dissipation)


def vibration(model: ibvonn_fem.ExportedModel, steps: int) -> Response:
    """Stress under a sinusoidal strain from rest."""
    t = np.linspace(0.0, DURATION, steps + 1)
    _, force, dissipation = run_bar(model, t, strain=lambda s: float(vibration_strain(s)))
    return Response(t, force, exact_vibration(t), dissipation)


TESTS = {"relaxation": relaxation, "creep": creep, "vibration": vibration}


# ## What the demo shows
#
# The error of a response has two parts: that of the law and that of the time step. The second is
# measured by the same run with the exact law; halving the step shows that it is of first order.


@dataclass(frozen=True)
class Comparison:
    """One test with the learned and the exact law; errors in per cent of the closed form."""

    test: str
    learned: Response
    exact_law: Response
    exact_law_coarse: Response

    @property
    def order(self) -> float:
        """Observed order of the time stepping with the exact law."""
        return float(np.log2(self.exact_law_coarse.error / self.exact_law.error))


def compare(
    learned: ibvonn_fem.ExportedModel, exact: ibvonn_fem.ExportedModel, steps: int
) -> list[Comparison]:
    """Run every test with both laws at ``steps``, and with the exact law at half as many."""
    return [
        Comparison(name, run(learned, steps), run(exact, steps), run(exact, steps // 2))
        for name, run in TESTS.items()
    ]


def draw(comparisons: list[Comparison], path: Path) -> None:
    """Responses over time against the closed forms."""
    import matplotlib.pyplot as plt

    fig, axes = plt.subplots(1, len(comparisons), figsize=(12.5, 3.2), layout="constrained")
    for ax, comparison in zip(axes, comparisons, strict=True):
        response = comparison.learned
        sparse = slice(None, None, max(1, len(response.time) // 40))
        ax.plot(response.time, response.exact, "k-", lw=1, label="closed form")
        ax.plot(response.time[sparse], response.value[sparse], "o", ms=3, label="bar, learned law")
        ax.set(
            title=f"{comparison.test}: error {response.error:.2f} %",
            xlabel="time t [η/k]",
            ylabel="strain ε [–]" if comparison.test == "creep" else "stress σ [kℓ]",
        )
    axes[-1].legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    fig.savefig(path, dpi=150)
    plt.close(fig)


def check(comparisons: list[Comparison], steps: int) -> None:
    """The second law (1), the order of the scheme, and the accuracy of the learned law."""
    for comparison in comparisons:
        test, learned, exact = comparison.test, comparison.learned, comparison.exact_law
        smallest = learned.smallest_dissipation
        assert smallest >= 0.0, f"{test}: dissipation {smallest:.3e} is negative"
        order = comparison.order
        assert 0.9 < order < 1.1, f"{test}: observed order {order:.2f}, expected 1"
        if test == "vibration":
            continue  # its error of the time step is larger; the bounds are for the other two
        bound = 60.0 / steps  # first order: 0.1 % with 600 steps
        assert exact.error < bound, f"{test}: error of the time step {exact.error:.3f} %"
        assert learned.error < 0.5, f"{test}: error {learned.error:.3f} %"


def main() -> None:
    """Run the tests, print the errors, draw the responses, check the claims."""
    root = Path(__file__).resolve().parents[1]
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--model", type=Path, default=root / "exported_models/trap")
    parser.add_argument("--exact", type=Path, default=root / "exported_models/exact_trap")
    parser.add_argument("--steps", type=int, default=600, help="time steps (default: 600)")
    parser.add_argument("--figure", type=Path, help="where to write the responses as PNG")
    parser.add_argument("--short", action="store_true", help="half as many time steps")
    arguments = parser.parse_args()
    if arguments.short:
        arguments.steps = min(arguments.steps, 300)

    learned = ibvonn_fem.load_model(arguments.model)
    exact = ibvonn_fem.load_model(arguments.exact)
    comparisons = compare(learned, exact, arguments.steps)
    if MPI.COMM_WORLD.rank == 0:
        header = ["test", "learned law, error in %", "exact law, error in %", "order in dt"]
        rows = [[c.test, c.learned.error, c.exact_law.error, c.order] for c in comparisons]
        print(tabulate(rows, header, floatfmt=("", ".4f", ".4f", ".2f")))
        if arguments.figure is not None:
            draw(comparisons, arguments.figure)
    check(comparisons, arguments.steps)


if __name__ == "__main__":
    main()
