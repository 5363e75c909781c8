r"""A plate with a hole whose molecules unfold: hysteresis and transformation fronts.

The plate is a network of chains whose units unfold under tension and fold back when it is
released. The stress is highest at the hole, so unfolding begins there. Because unfolding takes
time, the force depends on the rate of loading, and loading and unloading differ.

This demo illustrates how to

- make a plane solid from a law with one strain, `Microcircle`, at finite strain,
- calibrate it by Young's modulus,
- choose the time steps by the energy audit, and close the energy balance at the end,
- draw state and displacement, and write them for ParaView.

## Equation and problem definition

A quarter of the plate $(-L, L) \times (-W, W)$ with a hole of radius $R$ in its middle is loaded by
displacing its ends,

$$ \operatorname{Div} P = 0, \qquad u_x(L, y, t) = e(t)\,L, \qquad u_x(0, y) = u_y(x, 0) = 0, $$

with all other tractions zero, and $e$ growing from 0 to $e_1$ and back to 0 in time $T$. In the
direction $N_k$ of the network the strain is $\varepsilon_k = |F N_k| - 1$, and

$$ P = \frac{\rho}{n} \sum_{k=1}^{n} \sigma(\varepsilon_k, \alpha_k)\, m_k \otimes N_k, \qquad
   m_k = \frac{F N_k}{|F N_k|}, \qquad \dot\alpha_k = \partial\varphi/\partial g. $$

With $\alpha_k = 0$, as after a sudden load, it is an isotropic solid of Poisson's ratio 1/3. The
factor of stress concentration at the hole is 3 for a wide plate (Kirsch); for a hole whose diameter
is the fraction $d$ of the width, Heywood's formula gives, relative to the stress at the ends,

$$ K = \frac{2 + (1 - d)^3}{1 - d}. \tag{1} $$

The largest stress at the quadrature points, which lie inside the cells, converges to it from below:
2.74, 2.95, 3.12 and 3.19 with 4, 6, 12 and 24 cells for $d = 1/4$, where $K = 3.23$.

Over a whole cycle the work of the ends is the sum of the dissipation, the change of the stored
energy and the numerical dissipation of the time integration,

$$ W = D + \Delta\Psi + N, \qquad D \ge 0, \tag{2} $$

and $W$ is the area of the loop of force against displacement. $N$, which the energy audit
measures, is of second order in each step: the steps are chosen so that it stays a small fraction of
the elastic energy of the plate.

| symbol | code | value | unit |
| --- | --- | --- | --- |
| $L$, $W$, $R$ | `LENGTH`, `WIDTH`, `RADIUS` | 1.5, 1, 0.25 | half length, half width, length |
| $e_1$ | `STRETCH` | 0.16 | 1 |
| $E$ | `YOUNG` | 1 | force / length |
| $T$ | `--durations` | 20, 1000 | time of the law |
"""

# ## Implementation

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from mpi4py import MPI

import numpy as np
import pictures
from quarter_plate import LENGTH, RADIUS, WIDTH, QuarterPlate, demo_arguments
from tabulate import tabulate

import ibvonn_fem
from ibvonn_fem.kinematics import equispaced
from ibvonn_fem.stepping.time_stepping import Step

STRETCH, YOUNG = 0.16, 1.0


@dataclass(frozen=True)
class Size:
    """How finely the plate, the network and time are resolved.

    Attributes:
        cells: From the hole to the side.
        directions: Of the network.
        points: Instants on a loop.
        tolerance: Numerical dissipation of a step over the elastic energy of the largest stretch.
    """

    cells: int = 12
    directions: int = 12
    points: int = 40
    tolerance: float = 1e-4


SHORT = Size(cells=3, directions=8, points=16, tolerance=3e-4)


# ### The plate
#
# One line defines the solid: the network is calibrated so that the instantaneous Young's modulus
# is 1. Mesh, supports and grip are in `quarter_plate.py`.


class Plate(QuarterPlate):
    """A quarter of the plate that is a network of chains."""

    def __init__(self, model: ibvonn_fem.ExportedModel, size: Size) -> None:
        network = ibvonn_fem.Microcircle.from_modulus(
            model, YOUNG, directions=equispaced(size.directions), finite=True
        )
        super().__init__(model, network, size.cells)

    def stress(self) -> np.ndarray:
        """P_xx at the quadrature points of this rank."""
        return self.law.points.rows(self.law.stress).get()[:, 0]

    def along_pull(self) -> np.ndarray:
        """First internal variable of the direction of the pull, on this rank."""
        return self.law.internal[:, 0, 0]


def concentration(model: ibvonn_fem.ExportedModel, size: Size) -> float:
    """Largest stress over the mean stress at the end, after a small sudden pull."""
    plate = Plate(model, size)
    plate.pull.value = 1e-6 * LENGTH
    assert plate.problem.solve(0.0).converged
    mean = plate.problem.reaction(plate.grip)[0] / WIDTH
    return plate.over_ranks(plate.stress().max(initial=0.0), MPI.MAX) / mean


# ### A cycle
#
# The load reverses at half time, so this is one of the instants that the stepping must meet; the
# others only give enough points to draw the loop. In between the energy audit chooses the steps.


@dataclass
class Cycle:
    """Results of a cycle of loading and unloading; forces and energies of the quarter plate."""

    duration: float
    time: list[float]
    displacement: list[float]
    force: list[float]
    transformed: list[float]
    work: float
    dissipated: float
    stored: float
    numerical: float
    smallest_dissipation: float
    validity: float
    steps: int
    refused: int
    statistics: str

    @property
    def area(self) -> float:
        """Area of the loop of force against displacement, by the trapezoidal rule."""
        return float(np.trapezoid(self.force, self.displacement))


def run_cycle(
    model: ibvonn_fem.ExportedModel, size: Size, duration: float, output: Path
) -> tuple[Cycle, list[pictures.Shape]]:
    """Pull the plate to the largest stretch and back in time ``duration``."""
    plate, points = Plate(model, size), size.points
    law, problem = plate.law, plate.problem

    stepping = ibvonn_fem.TimeStepping(
        problem,
        plate.cycle(STRETCH, duration),
        audit_tolerance=size.tolerance,
        energy_scale=0.5 * YOUNG * STRETCH**2 * LENGTH * WIDTH,
    )
    time, displacement, force, transformed = [], [], [], []
    least, validity = [0.0], [0.0]
    shapes: list[pictures.Shape] = []
    shown = {points // 4: "pulled half way", points // 2: "fully pulled", points * 3 // 4: "back"}
    area = plate.over_ranks(law.volumes.sum(), MPI.SUM)

    with ibvonn_fem.FieldWriter(output / f"plate_T{duration:g}.xdmf", law, plate.u) as fields:

        def record(step: Step) -> None:
            time.append(step.time)
            displacement.append(float(plate.pull.value))
            force.append(float(problem.reaction(plate.grip)[0]))
            mean = plate.over_ranks(plate.along_pull() @ law.volumes, MPI.SUM) / area
            transformed.append(mean)
            smallest = law.dissipation.x.array.min(initial=0.0)
            least.append(plate.over_ranks(smallest, MPI.MIN))
            largest = law.validity.x.array.max(initial=0.0)
            validity.append(plate.over_ranks(largest, MPI.MAX))
            if title := shown.get(len(time) - 1):
                title = f"T = {duration:g}: {title}"
                shapes.append(pictures.deformed_shape(title, law, plate.u, plate.along_pull()))
            fields.write(step.time)

        steps = stepping.run(np.linspace(0.0, duration, points + 1), record)
    balance = ibvonn_fem.body.energy_balance.total(step.balance for step in steps)
    cycle = Cycle(
        duration=duration,
        time=time,
        displacement=displacement,
        force=force,
        transformed=transformed,
        work=balance.external_work,
        dissipated=balance.dissipated,
        stored=balance.stored,
        numerical=balance.numerical,
        smallest_dissipation=min(least),
        validity=max(validity),
        steps=len(steps),
        refused=sum(step.cutbacks for step in steps),
        statistics=problem.statistics.sentence(),
    )
    return cycle, shapes


# ## What the demo shows
#
# The figure shows the loops of both rates, and the internal variable of the direction of loading,
# which grows with the fraction of open units: the transformed zone spreads from the hole.


def draw(cycles: list[Cycle], shapes: list[pictures.Shape], variable: str, path: Path) -> None:
    """Loops of force against displacement, and the plate at three instants of each cycle."""
    import matplotlib.pyplot as plt

    fig, (left, right) = plt.subplots(
        1, 2, figsize=(13, 5.4), width_ratios=(1, 2.2), layout="constrained"
    )
    for cycle in cycles:
        left.plot(
            np.array(cycle.displacement) / LENGTH,
            np.array(cycle.force) / WIDTH,
            ".-",
            ms=3,
            lw=1,
            label=f"T = {cycle.duration:g}: D = {cycle.dissipated:.3g}",
        )
    left.axhline(0.0, color="0.7", lw=0.8)
    left.set(xlabel="mean strain e [–]", ylabel="mean stress at the end [E]")
    left.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0))
    columns = len(shapes) // len(cycles)
    pictures.draw(right, shapes, f"{variable} along the pull [–]", columns=columns)
    fig.savefig(path, dpi=150)
    plt.close(fig)


def check(cycles: list[Cycle], factor: float, expected: float) -> None:
    """Second law, energy balance, and a larger force of the faster cycle."""
    assert 0.75 < factor / expected < 1.0, f"concentration {factor:.3f}, formula {expected:.3f}"
    for cycle in cycles:
        name = f"T = {cycle.duration:g}"
        assert cycle.smallest_dissipation >= 0.0, f"{name}: {cycle.smallest_dissipation:.3e}"
        rest = cycle.area - cycle.stored - cycle.dissipated
        largest = max(abs(cycle.work), max(np.abs(cycle.force)) * STRETCH * LENGTH)
        # The area is that of the trapezoidal rule: the rest is at most the numerical dissipation.
        allowed = cycle.numerical + 0.02 * largest
        assert abs(rest) < allowed, f"{name}: {rest:.3e} of {largest:.3e} is missing"
        assert abs(cycle.numerical) < 0.1 * largest, f"{name}: N = {cycle.numerical:.3e}"
        assert cycle.area > 0.0, f"{name}: the loop has area {cycle.area:.3e}"
    fast, slow = cycles
    assert max(fast.force) > max(slow.force), "the faster pull needs the larger force"


def main() -> None:
    """Run two cycles, print the figures, draw the loops and fields, check the claims."""
    arguments = demo_arguments(
        __doc__, model="unfolding_chain", durations=(20.0, 1000.0), output="plate_with_hole"
    )
    size = SHORT if arguments.short else Size(cells=arguments.cells)

    comm = MPI.COMM_WORLD
    arguments.output.mkdir(parents=True, exist_ok=True)
    model = ibvonn_fem.load_model(arguments.model)
    factor = concentration(model, size)
    share = RADIUS / WIDTH
    expected = (2.0 + (1.0 - share) ** 3) / (1.0 - share)
    cycles, shapes = [], []
    for duration in sorted(arguments.durations):
        cycle, seen = run_cycle(model, size, duration, arguments.output)
        cycles.append(cycle)
        shapes.extend(seen)
    if comm.rank == 0:
        print(f"factor of stress concentration {factor:.3f}, formula (1) {expected:.3f}")
        header = [
            "T",
            "work W",
            "dissipated D",
            "stored ΔΨ",
            "numerical N",
            "largest force",
            "steps",
        ]
        rows = [
            [c.duration, c.work, c.dissipated, c.stored, c.numerical, max(c.force), c.steps]
            for c in cycles
        ]
        print(tabulate(rows, header, floatfmt=("g", ".4e", ".4e", ".4e", ".4e", ".4f", "g")))
        for cycle in cycles:
            print(f"T = {cycle.duration:g}: {cycle.statistics}; validity {cycle.validity:.2g}")
        results = {"concentration": factor, "cycles": [asdict(cycle) for cycle in cycles]}
        (arguments.output / "plate.json").write_text(json.dumps(results, indent=1) + "\n")
        figure = arguments.figure or arguments.output / "plate.png"
        draw(cycles, shapes, model.manifest.internal_components[0], figure)
    check(cycles, factor, expected)


if __name__ == "__main__":
    main()
