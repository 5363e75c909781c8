r"""A plate of lattice with a hole at finite strain: the true stretches of its directions.

A plate whose material is the triangular lattice of bistable bonds is pulled until its mean stretch
is 1.1. At the hole bonds are a quarter longer then, and material turns by some degrees. The law was
learned at small strain, where it depends on three elongations e_a = n_a·ε n_a. Here these are the
true ones.

This demo illustrates how to

- use a law of directions at finite strain, `DirectionStretch`,
- compare it with the same law at small strain, `FullStrain`,
- ask at every point of a body how far it is outside the training data, and whether the equations
  are strongly elliptic.

## Equation and problem definition

A quarter of the plate $(-L, L) \times (-W, W)$ with a hole of radius $R$ in its middle, one
direction of bonds along $x$, is loaded by displacing its ends,

$$ \operatorname{Div} P = 0, \qquad u_x(L, y, t) = e(t)\,L, \qquad u_x(0, y) = u_y(x, 0) = 0, $$

with all other tractions zero, and $e$ growing from 0 to $e_1$ and back to 0 in time $T$. With the
free energy $f(e, \alpha)$ of the law and its three directions $N_a$,

$$ e_a = |F N_a| - 1, \qquad
   P = \sum_{a=1}^{3} \frac{\partial f}{\partial e_a} \frac{(F N_a) \otimes N_a}{|F N_a|}, \qquad
   \dot\alpha = \frac{\partial\varphi}{\partial g}. $$

Bonds across the pull are pressed and turn, which the small strain does not know: it keeps the
directions of their forces. The energy is that of $F^{\mathsf T} F$, so that a body that is turned
as a whole has the same, with every $Q$,

$$ \Psi(Q F) = \Psi(F). \tag{1} $$

Over a whole cycle the work of the ends is the sum of dissipation, change of the stored energy and
numerical dissipation of the time integration,

$$ W = D + \Delta\Psi + N, \qquad D \ge 0, \tag{2} $$

and $W$ is the area of the loop of force against displacement. The smallest eigenvalue of the
acoustic tensor $Q_{ik} = \partial P_{iJ}/\partial F_{kL}\, N_J N_L$ over all points and directions
$N$, looked at in every fourth instant, stays positive for sudden changes of load:

$$ \min_{N,\,|m| = 1} m \cdot Q(N)\, m > 0. \tag{3} $$

| symbol | code | value | unit |
| --- | --- | --- | --- |
| $L$, $W$, $R$ | `LENGTH`, `WIDTH`, `RADIUS` | 1.5, 1, 0.25 | half length, half width, length |
| $e_1$ | `STRETCH` | 0.1 | 1 |
| $T$ | `--durations` | 600, 6000 | time of the law |

How far the law may be trusted there is another question than whether it is solved well: the
benchmark `benchmarks/true_lengths.py` holds it against a lattice whose bonds have true lengths.
"""

# ## Implementation

from __future__ import annotations

import json
import warnings
from dataclasses import asdict, dataclass, field
from pathlib import Path

from mpi4py import MPI

import numpy as np
import pictures
from dolfinx import fem
from quarter_plate import LENGTH, WIDTH, QuarterPlate, demo_arguments
from tabulate import tabulate

import ibvonn_fem
from ibvonn_fem.kinematics import DirectionStretch
from ibvonn_fem.kinematics.ellipticity import strong_ellipticity
from ibvonn_fem.stepping.time_stepping import Step

STRETCH = 0.1
TURN = np.deg2rad(40.0)


@dataclass(frozen=True)
class Size:
    """How finely the plate and time are resolved.

    Attributes:
        cells: From the hole to the side.
        points: Instants on a loop.
        tolerance: Numerical dissipation of a step over the energy scale of the plate.
    """

    cells: int = 12
    points: int = 40
    tolerance: float = 2e-4


SHORT = Size(cells=3, points=16, tolerance=1e-3)


# ### The plate
#
# The two kinematics differ in one line. Mesh, supports and grip are in `quarter_plate.py`.


class Plate(QuarterPlate):
    """A quarter of the plate that is a lattice."""

    def __init__(self, model: ibvonn_fem.ExportedModel, size: Size, *, finite: bool) -> None:
        solid = DirectionStretch(model) if finite else ibvonn_fem.FullStrain(3)
        super().__init__(model, solid, size.cells)

    def open_fraction(self) -> np.ndarray:
        """Fraction of open bonds along the pull, at the points of this rank."""
        population = self.law.model.manifest.variables[0]
        return self.law.internal[:, 0, 0] + population["rest"][0]

    def largest(self, values: np.ndarray) -> float:
        """Largest of values at points over all ranks."""
        return self.over_ranks(values.max(initial=-np.inf), MPI.MAX)

    def turn(self, angle: float) -> None:
        """Turn the deformed plate as a whole about the origin."""
        c, s = np.cos(angle), np.sin(angle)
        q = np.array([[c, -s], [s, c]])
        place = fem.Function(self.u.function_space)
        place.interpolate(lambda x: x[:2])
        x, u = (g.x.array.reshape(-1, 2) for g in (place, self.u))
        u[:] = (x + u) @ q.T - x


def energy_turned(model: ibvonn_fem.ExportedModel, size: Size, *, finite: bool) -> float:
    """Energy of a plate after it is pulled and then turned over that before it is turned."""
    plate = Plate(model, size, finite=finite)
    plate.pull.value = 0.5 * STRETCH * LENGTH
    assert plate.problem.solve(0.0).converged
    before = plate.law.stored_energy()
    plate.turn(TURN)
    plate.law.update(0.0)
    return plate.law.stored_energy() / before


# ### A cycle


@dataclass
class Cycle:
    """Results of a cycle of loading and unloading; forces and energies of the quarter plate."""

    duration: float
    finite: bool
    displacement: list[float] = field(default_factory=list)
    force: list[float] = field(default_factory=list)
    validity: list[float] = field(default_factory=list)
    work: float = 0.0
    dissipated: float = 0.0
    stored: float = 0.0
    numerical: float = 0.0
    smallest_dissipation: float = 0.0
    stretches: tuple[float, float] = (1.0, 1.0)
    smallest_eigenvalue: float = np.inf
    outside: float = 0.0
    steps: int = 0

    @property
    def area(self) -> float:
        """Area of the loop of force against displacement, by the trapezoidal rule."""
        return float(np.trapezoid(self.force, self.displacement))


def run_cycle(
    model: ibvonn_fem.ExportedModel, size: Size, duration: float, output: Path, *, finite: bool
) -> tuple[Cycle, list[pictures.Shape]]:
    """Pull the plate to the largest stretch and back in time ``duration``."""
    plate, cycle = Plate(model, size, finite=finite), Cycle(duration, finite)
    law, problem = plate.law, plate.problem
    rest = 1.0
    if finite:
        rest = strong_ellipticity(model, law.kinematics, np.zeros((1, 2, 2))).smallest[0]

    stepping = ibvonn_fem.TimeStepping(
        problem,
        plate.cycle(STRETCH, duration),
        audit_tolerance=size.tolerance,
        energy_scale=0.5 * STRETCH**2 * LENGTH * WIDTH,
    )
    shapes: list[pictures.Shape] = []
    kind = "true stretches" if finite else "small strain"
    shown = {size.points // 2: "fully pulled"}
    if finite:
        shown[size.points // 4] = "pulled half way"
    name = f"plate_{kind.replace(' ', '_')}_T{duration:g}.xdmf"

    def stretches() -> np.ndarray:
        """Principal stretches at the points of this rank."""
        f = law.measure.reshape(-1, 2, 2) + np.eye(2)
        return np.linalg.svd(f, compute_uv=False)

    with ibvonn_fem.FieldWriter(output / name, law, plate.u) as fields:

        def record(step: Step) -> None:
            number = len(cycle.displacement)
            cycle.displacement.append(float(plate.pull.value))
            cycle.force.append(float(problem.reaction(plate.grip)[0]))
            cycle.validity.append(plate.largest(law.validity.x.array))
            least = -plate.largest(-law.dissipation.x.array)
            cycle.smallest_dissipation = min(cycle.smallest_dissipation, least)
            if finite:
                values = stretches()
                low, high = cycle.stretches
                cycle.stretches = (
                    min(low, -plate.largest(-values)),
                    max(high, plate.largest(values)),
                )
                measure = law.measure.reshape(-1, 2, 2)
                if number % 4 == 0:
                    ellipticity = strong_ellipticity(
                        model, law.kinematics, measure, statev=law.internal[:, 0]
                    )
                    smallest = -plate.largest(-ellipticity.smallest) / rest
                    cycle.smallest_eigenvalue = min(cycle.smallest_eigenvalue, smallest)
            if number == size.points // 2:
                inside = law.volumes @ (law.points.rows(law.validity).get()[:, 0] > 0.0)
                area = plate.over_ranks(law.volumes.sum(), MPI.SUM)
                cycle.outside = plate.over_ranks(inside, MPI.SUM) / area
            if title := shown.get(number):
                title = f"T = {duration:g}, {kind}: {title}"
                shapes.append(pictures.deformed_shape(title, law, plate.u, plate.open_fraction()))
            fields.write(step.time)

        steps = stepping.run(np.linspace(0.0, duration, size.points + 1), record)
    balance = ibvonn_fem.body.energy_balance.total(step.balance for step in steps)
    cycle.work, cycle.dissipated = balance.external_work, balance.dissipated
    cycle.stored, cycle.numerical = balance.stored, balance.numerical
    cycle.steps = len(steps)
    return cycle, shapes


# ## What the demo shows
#
# Loops of both rates and both kinematics, and the fraction of open bonds along the pull.


def draw(cycles: list[Cycle], shapes: list[pictures.Shape], path: Path) -> None:
    """Loops of force against displacement, and the plate at instants of each cycle."""
    import matplotlib.pyplot as plt

    fig, (left, right) = plt.subplots(
        1, 2, figsize=(13, 5.4), width_ratios=(1, 2.2), layout="constrained"
    )
    for number, cycle in enumerate(cycles):
        left.plot(
            1.0 + np.array(cycle.displacement) / LENGTH,
            np.array(cycle.force) / WIDTH,
            "-" if cycle.finite else "--",
            color=f"C{number // 2}",
            lw=1.2,
            label=f"T = {cycle.duration:g}, {'true stretches' if cycle.finite else 'small strain'}",
        )
    left.axhline(0.0, color="0.7", lw=0.8)
    left.set(xlabel="mean stretch [–]", ylabel="mean nominal stress at the end [–]")
    left.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0))
    columns = 2 * len(shapes) // len(cycles)
    pictures.draw(right, shapes, "open fraction along the pull [–]", columns=columns)
    fig.savefig(path, dpi=150)
    plt.close(fig)


def check(cycles: list[Cycle], turned: dict[bool, float]) -> None:
    """Objectivity, second law, energy balance, ellipticity."""
    assert abs(turned[True] - 1.0) < 1e-12, f"(1): the energy is {turned[True]:.15f} times as large"
    assert turned[False] > 2.0, "the law at small strain takes a turn for a strain"
    for cycle in cycles:
        name = f"T = {cycle.duration:g}, {'finite' if cycle.finite else 'small'} strain"
        assert cycle.smallest_dissipation >= 0.0, f"{name}: {cycle.smallest_dissipation:.3e}"
        rest = cycle.area - cycle.stored - cycle.dissipated
        largest = max(abs(cycle.work), max(np.abs(cycle.force)) * STRETCH * LENGTH)
        # The area is that of the trapezoidal rule: the rest is at most the numerical dissipation.
        allowed = abs(cycle.numerical) + 0.02 * largest
        assert abs(rest) < allowed, f"(2), {name}: {rest:.3e} of {largest:.3e} is missing"
        assert abs(cycle.numerical) < 0.1 * largest, f"{name}: N = {cycle.numerical:.3e}"
        assert not cycle.finite or cycle.smallest_eigenvalue > 0.0, f"(3), {name}"


def main() -> None:
    """Run four cycles, print the figures, draw the loops and fields, check the claims."""
    arguments = demo_arguments(
        __doc__, model="lattice", durations=(600.0, 6000.0), output="lattice_finite_strain"
    )
    size = SHORT if arguments.short else Size(cells=arguments.cells)

    arguments.output.mkdir(parents=True, exist_ok=True)
    # How far points are outside the training data, and which share of the plate, is in the table.
    warnings.simplefilter("ignore", ibvonn_fem.EnvelopeWarning)
    model = ibvonn_fem.load_model(arguments.model)
    turned = {finite: energy_turned(model, size, finite=finite) for finite in (True, False)}
    cycles, shapes = [], []
    for duration in sorted(arguments.durations):
        for finite in (True, False):
            cycle, seen = run_cycle(model, size, duration, arguments.output, finite=finite)
            cycles.append(cycle)
            shapes.extend(seen)
    if MPI.COMM_WORLD.rank == 0:
        print(
            f"energy after a turn by {np.rad2deg(TURN):.0f} degrees over that before: "
            f"{turned[True]:.15f} with true stretches, {turned[False]:.2f} at small strain"
        )
        header = ["T", "strain", "force at full pull", "W", "D", "ΔΨ", "N", "steps", "stretches"]
        header += ["acoustic / rest", "validity", "outside %"]
        rows = [
            [
                c.duration,
                "finite" if c.finite else "small",
                c.force[len(c.force) // 2],
                *(f"{x:.2e}" for x in (c.work, c.dissipated, c.stored, c.numerical)),
                c.steps,
                f"{c.stretches[0]:.3f} {c.stretches[1]:.3f}" if c.finite else "",
                f"{c.smallest_eigenvalue:.3f}" if c.finite else "",
                f"{max(c.validity):.2f}",
                f"{100.0 * c.outside:.1f}",
            ]
            for c in cycles
        ]
        print(tabulate(rows, header, floatfmt="g"))
        results = {"turned": turned[True], "cycles": [asdict(cycle) for cycle in cycles]}
        (arguments.output / "plate.json").write_text(json.dumps(results, indent=1) + "\n")
        draw(cycles, shapes, arguments.figure or arguments.output / "plate.png")
    check(cycles, turned)


if __name__ == "__main__":
    main()
