r"""Two parameters of a bar from its force: an adjoint through the history.

A viscoelastic bar is stretched, held, and let back; the force on its grip is known. Which modulus
and which relaxation time does its material have? The law is the exact law of a particle in an
optical trap, in physical units; its two scales are sought.

This demo illustrates how to

- keep all steps of a run in memory,
- take the gradient of a misfit by the adjoint, and compare it with differences of whole runs,
- identify parameters of a law with an optimiser that uses gradients.

## Equation and problem definition

With the scales $\sigma_s$, $t_s$ of the law $f = \tfrac12(\varepsilon-\alpha)^2 +
\tfrac12\alpha^2$, $\varphi = g^2/2$, the bar under the strain $\bar\varepsilon(t)$ has the force

$$ F_k = \sigma_s\,(\bar\varepsilon_k - \alpha_k), \qquad
   \alpha_k = \frac{\alpha_{k-1} + a\,\bar\varepsilon_k}{1 + 2a}, \qquad a = \Delta t/t_s. $$

This recursion, at the scales that are to be found, is the measured curve $F^\ast$. Find

$$ (\sigma_s, t_s) = \arg\min J, \qquad
   J = \tfrac12 \sum_k (F_k - F^\ast_k)^2 \Big/ \sum_k {F^\ast_k}^2 . \tag{1} $$

The answer is known, and $J = 0$ there.

| symbol | code | value | unit |
| --- | --- | --- | --- |
| $\sigma_s$ | `STRESS_SCALE` | 3 | force/area |
| $t_s$ | `TIME_SCALE` | 5 | time |
| $\bar\varepsilon$ | `strain` | at most 0.5 | 1 |
"""

# ## Implementation

from __future__ import annotations

import argparse
import itertools
from dataclasses import dataclass
from pathlib import Path

from mpi4py import MPI

import numpy as np
from dolfinx import fem, mesh
from scipy.optimize import minimize

import ibvonn_fem
from ibvonn_fem.sensitivity import parameter_gradient
from ibvonn_fem.stepping import StepRecord

STRESS_SCALE, TIME_SCALE = 3.0, 5.0
START = (1.0, 1.0)
DURATION = 12.0
NAMES = ("stress_scale", "time_scale")


def strain(t: float) -> float:
    """Stretched over 2, held until 8, let back over 2, held again."""
    return 0.5 * float(np.interp(t, [0.0, 2.0, 8.0, 10.0], [0.0, 1.0, 1.0, 0.0]))


def measured(time: np.ndarray) -> np.ndarray:
    """The force curve F* at the scales that are to be found."""
    forces, α = [strain(time[0])], 0.0
    for before, now in itertools.pairwise(time):
        a, ε = (now - before) / TIME_SCALE, strain(now)
        α = (α + a * ε) / (1.0 + 2.0 * a)
        forces.append(ε - α)
    return STRESS_SCALE * np.array(forces)


@dataclass(frozen=True)
class Misfit:
    """J at one pair of scales, its gradient, and the forces."""

    value: float
    gradient: np.ndarray
    forces: np.ndarray


def misfit(model: ibvonn_fem.ExportedModel, scales: np.ndarray, time: np.ndarray) -> Misfit:
    """Run the bar, and go back through its steps."""
    bar = mesh.create_interval(MPI.COMM_WORLD, 4, (0.0, 1.0))
    V = fem.functionspace(bar, ("Lagrange", 1))
    u, pulled = fem.Function(V), fem.Constant(bar, 0.0)
    clamp, grip = (
        fem.dirichletbc(
            value, fem.locate_dofs_geometrical(V, lambda x, at=at: np.isclose(x[0], at)), V
        )
        for value, at in ((fem.Constant(bar, 0.0), 0.0), (pulled, 1.0))
    )
    material = ibvonn_fem.Scaled(model, **dict(zip(NAMES, scales.tolist(), strict=True)))
    law = ibvonn_fem.InternalVariableLaw(material, ibvonn_fem.Uniaxial(), u, 0)
    problem = ibvonn_fem.InternalVariableProblem(law, u, [clamp, grip])

    def loading(t: float) -> None:
        pulled.value = strain(t)

    record = StepRecord()
    ibvonn_fem.TimeStepping(problem, loading, record=record).run(time)
    forces, expected = record.reactions(grip)[:, 0], measured(time)
    size = float(np.sum(expected**2))
    gap = forces - expected
    gradient = parameter_gradient(record, NAMES, reactions={grip: gap / size})
    return Misfit(
        0.5 * float(np.sum(gap**2)) / size, np.array([gradient[n] for n in NAMES]), forces
    )


# ## What the demo shows
#
# The gradient agrees with central differences of whole runs, which take four runs where the adjoint
# takes one solve for each step; and the two scales are found.


def differences(
    model: ibvonn_fem.ExportedModel, scales: np.ndarray, time: np.ndarray
) -> np.ndarray:
    """The gradient by central differences of two lengths, extrapolated."""
    gradient = []
    for i in range(len(scales)):
        slopes = []
        for h in (1e-3, 2e-3):
            step = np.zeros(len(scales))
            step[i] = h * scales[i]
            above = misfit(model, scales + step, time).value
            below = misfit(model, scales - step, time).value
            slopes.append((above - below) / (2.0 * step[i]))
        gradient.append(slopes[0] + (slopes[0] - slopes[1]) / 3.0)
    return np.array(gradient)


def identify(model: ibvonn_fem.ExportedModel, time: np.ndarray) -> tuple[np.ndarray, int]:
    """The scales that minimise (1), by BFGS in their logarithms; and the number of runs."""

    def objective(logarithms: np.ndarray) -> tuple[float, np.ndarray]:
        scales = np.exp(logarithms)
        result = misfit(model, scales, time)
        return result.value, result.gradient * scales

    result = minimize(objective, np.log(START), jac=True, method="BFGS", options={"gtol": 1e-10})
    return np.exp(result.x), int(result.nfev)


def draw(
    time: np.ndarray, start: np.ndarray, end: np.ndarray, expected: np.ndarray, path: Path
) -> None:
    """Forces at the start and at the end of the search."""
    import matplotlib.pyplot as plt

    fig, ax = plt.subplots(figsize=(6.0, 3.5), layout="constrained")
    ax.plot(time, expected, "k-", lw=1, label="measured")
    ax.plot(time, start, "--", label="first guess")
    ax.plot(time, end, "o", ms=3, label="identified")
    ax.set(xlabel="time t", ylabel="force F")
    ax.legend()
    fig.savefig(path, dpi=150)
    plt.close(fig)


def main() -> None:
    """Compare the gradient, identify the scales, print and check both."""
    root = Path(__file__).resolve().parents[1]
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--exact", type=Path, default=root / "exported_models/exact_trap")
    parser.add_argument("--steps", type=int, default=48, help="time steps (default: 48)")
    parser.add_argument("--figure", type=Path, help="where to write the forces as PNG")
    parser.add_argument("--short", action="store_true", help="a quarter of the time steps")
    arguments = parser.parse_args()
    steps = arguments.steps // 4 if arguments.short else arguments.steps
    time = np.linspace(0.0, DURATION, steps + 1)
    model = ibvonn_fem.load_model(arguments.exact, kernel="c")

    start = misfit(model, np.array(START), time)
    by_differences = differences(model, np.array(START), time)
    gap = float(np.abs(start.gradient / by_differences - 1.0).max())
    scales, runs = identify(model, time)
    error = float(np.abs(scales / [STRESS_SCALE, TIME_SCALE] - 1.0).max())
    end = misfit(model, scales, time)
    if MPI.COMM_WORLD.rank == 0:
        for name, adjoint, difference in zip(NAMES, start.gradient, by_differences, strict=True):
            print(f"dJ/d {name}: adjoint {adjoint:.10f}, differences {difference:.10f}")
        print(f"largest relative difference of the gradients: {gap:.1e}")
        print(
            f"identified in {runs} runs: stress scale {scales[0]:.8f}, time scale {scales[1]:.8f}; "
            f"largest relative error {error:.1e}"
        )
        if arguments.figure is not None:
            draw(time, start.forces, end.forces, measured(time), arguments.figure)
    assert gap < 1e-6, f"gradients differ by {gap:.1e}"
    assert error < 1e-6, f"the scales are off by {error:.1e}"
    assert end.value < 1e-14, f"J = {end.value:.1e} at the solution"


if __name__ == "__main__":
    main()
