r"""Relaxing torque of a twisted bar: closed form at small strain, unfolding at large strain.

A bar of square cross-section is twisted and held. Its material is a network of chains in all
directions of space, with one set of internal variables for each direction at every point.

This demo illustrates how to

- make a solid in space from a law with one strain, `Microsphere`, at small and at finite strain,
- prescribe a rotation, and compute its torque,
- choose the time steps by the energy audit: long ones where the torque hardly changes.

## Equation and problem definition

The bar $(-\tfrac a2, \tfrac a2)^2 \times (0, \ell)$ is held at $z = 0$ and turned by the angle
$\theta \ell$ at $z = \ell$, where the cross-sections keep their shape in the plane but may warp,

$$ \operatorname{Div} P = 0, \qquad (x + u_x,\, y + u_y) = R(\theta z)\,(x, y)
   \quad\text{at } z = 0 \text{ and } z = \ell, $$

and all other tractions vanish. The torque is that of the forces at the turned end,

$$ M = \int_{z = \ell} \bigl[(x + u_x)\, t_y - (y + u_y)\, t_x\bigr] \,\mathrm dA. $$

*Small strain, linear law.* The network of the optical trap's law is an isotropic solid with
$\lambda = \mu$, whose modulus relaxes to one half with the time $\tau = 1/2$. De Saint-Venant's
solution then holds at every instant,

$$ M(t) = \mu\,G(t)\,J\,\theta, \qquad G(t) = \tfrac12 (1 + e^{-2t}), \tag{1} $$
$$ J = \frac{a^4}{3}\Bigl[1 - \frac{192}{\pi^5} \sum_{n = 1, 3, \dots} \frac{\tanh(n\pi/2)}{n^5}
   \Bigr] = 0.140577\,a^4. $$

*Finite strain, linear law.* When the twist is sudden and then held, all spring forces decay by the
same factor and the bar does not move: $M(t)/M(0) = G(t)$ at any twist. The bar also changes its
length (Poynting's effect), in proportion to the square of a small twist: it shortens, because the
springs along it are stretched.

*Finite strain, unfolding law.* The bar is twisted within the time $t_1$ and held. Units unfold
where the shear is largest, near the middles of its sides, and the torque relaxes with them.

| symbol | code | value | unit |
| --- | --- | --- | --- |
| $a$, $\ell$ | `SIDE`, `LENGTH` | 1, 2 | length |
| $E$, $\nu$ | `YOUNG`, `POISSON` | 1, 1/4 | stress, 1 |
| $\theta$ | `TWIST` | 0.5 | 1 / length |
| $t_1$ | `--ramp` | 5 | time of the law |
"""

# ## Implementation

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

from mpi4py import MPI

import numpy as np
import pictures
from dolfinx import fem, mesh

import ibvonn_fem
from ibvonn_fem.stepping.time_stepping import Step

SIDE, LENGTH = 1.0, 2.0
YOUNG, POISSON = 1.0, 0.25
SHEAR = YOUNG / (2.0 * (1.0 + POISSON))
TWIST = 0.5


def torsion_constant() -> float:
    """J of the square."""
    n = np.arange(1, 200, 2)
    series = (np.tanh(0.5 * np.pi * n) / n**5).sum()
    return SIDE**4 / 3.0 * (1.0 - 192.0 / np.pi**5 * series)


def relaxation(t: np.ndarray) -> np.ndarray:
    """G(t) of the trap."""
    return 0.5 * (1.0 + np.exp(-2.0 * t))


# ### The bar


@dataclass(frozen=True)
class Size:
    """How finely bar, network and time are resolved.

    Attributes:
        cells: Across the bar; twice as many along it.
        directions: Of the network.
        finest: Largest number of cells across in the comparison of torsion constants.
        tolerance: Numerical dissipation of a step over the elastic energy of the twist.
    """

    cells: int = 4
    directions: int = 25
    finest: int = 8
    tolerance: float = 1e-3


SHORT = Size(cells=2, directions=13, finest=4, tolerance=8e-3)


class Bar:
    """A bar of hexahedra with its law and its two ends.

    Args:
        model: The law.
        cells: Numbers of cells along x, y and z.
        order: Of the elements.
        directions: Of the network.
        length: Of the bar.
        finite: Finite strain.
        clamped: The end at z = 0 may not warp, so that it bears bending.
    """

    def __init__(
        self,
        model: ibvonn_fem.ExportedModel,
        cells: tuple[int, int, int],
        order: int,
        directions: int,
        *,
        length: float,
        finite: bool,
        clamped: bool = False,
    ) -> None:
        half = 0.5 * SIDE
        domain = mesh.create_box(
            MPI.COMM_WORLD,
            [(-half, -half, 0.0), (half, half, length)],
            list(cells),
            cell_type=mesh.CellType.hexahedron,
        )
        self.domain, self.length, self.finite = domain, length, finite
        V = fem.functionspace(domain, ("Lagrange", order, (3,)))
        self.u = fem.Function(V, name="displacement")
        network = ibvonn_fem.Microsphere.from_modulus(
            model, YOUNG, POISSON, directions=directions, finite=finite
        )
        degree = 2 if order == 1 else 2 * order
        self.law = ibvonn_fem.InternalVariableLaw(model, network, self.u, degree)
        parts = [V.sub(axis).collapse()[0] for axis in range(3)]
        self.turned = [fem.Function(parts[0]), fem.Function(parts[1])]
        conditions = []
        for at, values in (
            (0.0, [fem.Function(part) for part in parts[:2]]),
            (length, self.turned),
        ):
            facets = mesh.locate_entities_boundary(domain, 2, lambda x, at=at: np.isclose(x[2], at))
            for axis, value in enumerate(values):
                dofs = fem.locate_dofs_topological((V.sub(axis), parts[axis]), 2, facets)
                conditions.append(fem.dirichletbc(value, dofs, V.sub(axis)))
        # Along the bar the corner of the held end, which warping does not move, or all of it.
        held = fem.locate_dofs_geometrical(
            (V.sub(2), parts[2]),
            lambda x: (
                np.isclose(x[2], 0.0)
                & (clamped | (np.isclose(x[0], -half) & np.isclose(x[1], -half)))
            ),
        )
        conditions.append(fem.dirichletbc(fem.Function(parts[2]), held, V.sub(2)))
        self.problem = ibvonn_fem.InternalVariableProblem(self.law, self.u, conditions)
        owned = V.dofmap.index_map.size_local
        place = V.tabulate_dof_coordinates()[:owned]
        self._far = np.flatnonzero(np.isclose(place[:, 2], length))
        self._place = place[self._far]

    def turn(self, twist: float, deflection: float = 0.0) -> None:
        """Prescribe twist, angle per length, and deflection of the far end along y."""
        for axis in range(2):
            self.turned[axis].interpolate(
                lambda x, axis=axis: (
                    self._rotation(x, twist * self.length)[axis] + axis * deflection
                )
            )

    def guess(self, twist: float) -> None:
        """Start the next solve from cross-sections that all turn without warping."""
        self.u.interpolate(
            lambda x: np.stack([*self._rotation(x, twist * x[2]), np.zeros_like(x[2])])
        )

    def _rotation(self, x: np.ndarray, angle: np.ndarray | float) -> list[np.ndarray]:
        if not self.finite:
            return [-angle * x[1], angle * x[0]]
        c, s = np.cos(angle), np.sin(angle)
        return [(c - 1.0) * x[0] - s * x[1], s * x[0] + (c - 1.0) * x[1]]

    def torque(self) -> float:
        """M about the axis through the middle of the far end."""
        force = self.problem.internal_force.x.array.reshape(-1, 3)[self._far]
        arm = self._place + self._moved() if self.finite else self._place
        middle = self.mean(self._moved()[:, 1]) if self.finite else 0.0
        return self._total((arm[:, 0] * force[:, 1] - (arm[:, 1] - middle) * force[:, 0]).sum())

    def elongation(self) -> float:
        """Mean displacement of the far end along the bar."""
        return self.mean(self._moved()[:, 2])

    def mean(self, values: np.ndarray) -> float:
        """Mean over the nodes of the far end."""
        return self._total(values.sum()) / self._total(len(values))

    def _moved(self) -> np.ndarray:
        return self.u.x.array.reshape(-1, 3)[self._far]

    def _total(self, value: float) -> float:
        return float(self.domain.comm.allreduce(float(value), op=MPI.SUM))


# ### Small strain: de Saint-Venant's torque
#
# The strain does not depend on $z$, so one layer of cells is enough. The torsion constant must
# converge with the order of an energy, $2p$, reduced by the singularities of the warping function
# in the corners, which are weak in a square; the relaxation with the first order of backward Euler.


@dataclass(frozen=True)
class ClosedForm:
    """Comparison with (1) of the small-strain bar with a linear law."""

    cells: list[int]
    constants: list[float]
    constant_errors: list[float]
    orders: list[float]
    relaxation_errors: list[float]
    time_order: float


def small_bar(model: ibvonn_fem.ExportedModel, cells: int) -> Bar:
    """One layer of quadratic elements, any rule is exact for a linear law."""
    return Bar(model, (cells, cells, 1), 2, 13, length=0.5 * SIDE, finite=False)


def record_torque(bar: Bar, time: np.ndarray) -> np.ndarray:
    """Torque at given instants of a bar that is held after a sudden twist."""
    torque: list[float] = []
    ibvonn_fem.TimeStepping(bar.problem).run(time, lambda _: torque.append(bar.torque()))
    return np.array(torque)


def compare_with_closed_form(model: ibvonn_fem.ExportedModel, size: Size) -> ClosedForm:
    """Torsion constants on refined meshes, and relaxation with the step halved."""
    meshes = [n for n in (2, 4, 8) if n <= size.finest]
    exact, twist, constants = torsion_constant(), 1e-3, []
    for n in meshes:
        bar = small_bar(model, n)
        bar.turn(twist)
        assert bar.problem.solve(0.0).converged
        constants.append(bar.torque() / (SHEAR * twist))
    errors = [constant / exact - 1.0 for constant in constants]
    relaxing = []
    for steps in (40, 80):
        bar = small_bar(model, 2)
        time = np.linspace(0.0, 2.0, steps + 1)
        bar.turn(twist)
        torque = record_torque(bar, time)
        decay, exact_decay = torque / torque[0], relaxation(time)
        difference = np.linalg.norm(decay - exact_decay) / np.linalg.norm(exact_decay)
        relaxing.append(float(difference))
    return ClosedForm(
        cells=meshes,
        constants=constants,
        constant_errors=errors,
        orders=[float(np.log2(a / b)) for a, b in pairwise(errors)],
        relaxation_errors=relaxing,
        time_order=float(np.log2(relaxing[0] / relaxing[1])),
    )


# ### Finite strain: the linear law
#
# The backward Euler step of the Zener solid has a closed form, so the decay must agree to round-off
# at any twist. The order of the change of length follows from two small twists.


def long_bar(model: ibvonn_fem.ExportedModel, size: Size, *, clamped: bool = False) -> Bar:
    """The whole bar at finite strain, with linear elements."""
    n = size.cells
    return Bar(
        model, (n, n, 2 * n), 1, size.directions, length=LENGTH, finite=True, clamped=clamped
    )


def sudden_twist(model: ibvonn_fem.ExportedModel, size: Size) -> tuple[float, float]:
    """Largest deviation from the discrete decay after a sudden twist, and Poynting's order."""
    bar = long_bar(model, size)
    elongations = []
    for twist in (0.1, 0.05):
        bar.turn(twist)
        bar.guess(twist)
        assert bar.problem.solve(0.0).converged
        elongations.append(bar.elongation())
    bar.problem.restore()
    bar.turn(TWIST)
    bar.guess(TWIST)
    dt, steps = 0.1, 5
    torque = record_torque(bar, dt * np.arange(steps + 1))
    # σ = ε − α with α⁺ = (α + Δt ε)/(1 + 2 Δt): the decay of the discrete equations.
    α = 0.0
    expected = [1.0]
    for _ in range(steps):
        α = (α + dt) / (1.0 + 2.0 * dt)
        expected.append(1.0 - α)
    deviation = np.abs(torque / torque[0] - expected).max()
    return float(deviation), float(np.log2(elongations[0] / elongations[1]))


# ### Finite strain: the unfolding law


@dataclass
class Twisting:
    """Results of ramp and hold with the law of ``--model``."""

    time: list[float]
    twist: list[float]
    torque: list[float]
    elongation: list[float]
    internal: list[float]
    steps: list[float]
    work: float
    dissipated: float
    stored: float
    numerical: float
    smallest_dissipation: float
    validity: float
    statistics: str


def ramp_and_hold(
    model: ibvonn_fem.ExportedModel,
    size: Size,
    ramp: float,
    hold: float,
    deflection: float,
    output: Path,
) -> tuple[Twisting, list[pictures.Shape]]:
    """Twist in time ``ramp``, hold until ``hold``; record torque, state and shapes."""
    bar = long_bar(model, size, clamped=deflection != 0.0)
    law, problem = bar.law, bar.problem

    def set_load(t: float) -> None:
        share = min(t / ramp, 1.0)
        bar.turn(share * TWIST, share * deflection)

    polar = SIDE**4 / 6.0  # the energy of sections that turn without warping
    stepping = ibvonn_fem.TimeStepping(
        problem,
        set_load,
        audit_tolerance=size.tolerance,
        energy_scale=0.5 * SHEAR * polar * TWIST**2 * LENGTH,
    )
    series: dict[str, list[float]] = {
        name: [] for name in ("time", "twist", "torque", "elongation", "internal")
    }
    least, validity, shapes = [0.0], [0.0], []
    comm, volume = bar.domain.comm, SIDE**2 * LENGTH
    times = np.concatenate([np.linspace(0.0, ramp, 11), ramp + np.geomspace(0.05, 1.0, 10) * hold])
    shown = {5: "half twisted", 10: "twisted", 20: "held"}

    with ibvonn_fem.FieldWriter(output / "torsion.xdmf", law, bar.u) as fields:

        def record(step: Step) -> None:
            internal = law.kinematics.mean(law.internal)[:, 0]
            mean = comm.allreduce(float(internal @ law.volumes), op=MPI.SUM) / volume
            number = len(series["time"])
            twist = TWIST * min(step.time / ramp, 1.0)
            values = (step.time, twist, bar.torque(), bar.elongation(), mean)
            for name, value in zip(series, values, strict=True):
                series[name].append(float(value))
            least.append(comm.allreduce(law.dissipation.x.array.min(initial=0.0), op=MPI.MIN))
            validity.append(comm.allreduce(law.validity.x.array.max(initial=0.0), op=MPI.MAX))
            if title := shown.get(number):
                title = f"{title}, t = {step.time:g}"
                shapes.append(pictures.deformed_shape(title, law, bar.u, internal))
            fields.write(step.time)

        steps = stepping.run(times, record)
    balance = ibvonn_fem.body.energy_balance.total(step.balance for step in steps)
    twisting = Twisting(
        **series,
        steps=[step.dt for step in steps],
        work=balance.external_work,
        dissipated=balance.dissipated,
        stored=balance.stored,
        numerical=balance.numerical,
        smallest_dissipation=float(min(least)),
        validity=float(max(validity)),
        statistics=problem.statistics.sentence(),
    )
    return twisting, shapes


# ## What the demo shows


def draw(twisting: Twisting, shapes: list[pictures.Shape], variable: str, path: Path) -> None:
    """Torque and elongation over time, and the bar at three instants."""
    import matplotlib.pyplot as plt

    fig, (left, right) = plt.subplots(
        1, 2, figsize=(13, 4.2), width_ratios=(1, 2.2), layout="constrained"
    )
    left.plot(twisting.time, twisting.torque, "o-", ms=3)
    left.set(xlabel="time t [η/k]", ylabel="torque M [E a³] (solid)")
    other = left.twinx()
    other.plot(twisting.time, np.array(twisting.elongation) / LENGTH, "s--", ms=3, color="C1")
    other.set_ylabel("elongation / length [–] (dashed)")
    pictures.draw(right, shapes, f"{variable} [–], mean over directions", size=(420, 520))
    fig.savefig(path, dpi=150)
    plt.close(fig)


def check(closed: ClosedForm, deviation: float, poynting: float, twisting: Twisting) -> None:
    """Orders of the closed form, decay at finite strain, second law and energy."""
    assert all(error > 0.0 for error in closed.constant_errors), "an energy converges from above"
    assert min(closed.orders) > 3.0, f"orders of the torsion constant {closed.orders}"
    assert 0.9 < closed.time_order < 1.1, f"order in time {closed.time_order:.2f}"
    assert deviation < 1e-8, f"decay at finite strain is off by {deviation:.1e}"
    assert 1.9 < poynting < 2.1, f"elongation grows with the power {poynting:.2f} of the twist"
    smallest = twisting.smallest_dissipation
    assert smallest >= 0.0, f"dissipation {smallest:.3e}"
    assert abs(twisting.numerical) < 0.2 * twisting.work, f"N = {twisting.numerical:.3e}"
    held = np.array(twisting.torque[10:])
    assert (np.diff(held) < 0.0).all(), f"the held torque must fall: {held}"
    assert held[-1] > 0.0, f"torque {held[-1]:.3e}"
    assert twisting.steps[-1] > min(twisting.steps[1:]), "the steps must grow as the torque relaxes"


def main() -> None:
    """Run the three parts, print the figures, draw the bar, check the claims."""
    root = Path(__file__).resolve().parents[1]
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--model", type=Path, default=root / "exported_models/unfolding_chain")
    parser.add_argument("--linear", type=Path, default=root / "exported_models/exact_trap")
    parser.add_argument("--ramp", type=float, default=5.0, help="time of twisting")
    parser.add_argument("--hold", type=float, default=200.0, help="time of holding")
    parser.add_argument("--deflection", type=float, default=0.0, help="of the far end, for bending")
    parser.add_argument("--output", type=Path, default=Path("torsion"))
    parser.add_argument("--figure", type=Path, help="where to write the picture as PNG")
    parser.add_argument("--short", action="store_true", help="coarse meshes, for a quick look")
    arguments = parser.parse_args()
    size = SHORT if arguments.short else Size()
    arguments.output.mkdir(parents=True, exist_ok=True)

    linear = ibvonn_fem.load_model(arguments.linear)
    model = ibvonn_fem.load_model(arguments.model)
    closed = compare_with_closed_form(linear, size)
    deviation, poynting = sudden_twist(linear, size)
    twisting, shapes = ramp_and_hold(
        model, size, arguments.ramp, arguments.hold, arguments.deflection, arguments.output
    )
    if MPI.COMM_WORLD.rank == 0:
        print(f"torsion constant, exact {torsion_constant():.6f}")
        for n, constant, error in zip(
            closed.cells, closed.constants, closed.constant_errors, strict=True
        ):
            print(f"  {n} cells across: {constant:.6f}, error {error:.2e}")
        print(f"  orders {', '.join(f'{order:.2f}' for order in closed.orders)}")
        print(
            f"relaxation: errors {closed.relaxation_errors[0]:.2e}, "
            f"{closed.relaxation_errors[1]:.2e}, order {closed.time_order:.2f}"
        )
        print(
            f"finite strain, linear law: largest error of the decay {deviation:.1e}; elongation "
            f"grows with the power {poynting:.3f} of the twist (Poynting: 2)"
        )
        print(
            f"unfolding law: torque {max(twisting.torque):.4f}, relaxed {twisting.torque[-1]:.4f}, "
            f"elongation {twisting.elongation[-1]:.4f}; work W {twisting.work:.4e} = dissipated D "
            f"{twisting.dissipated:.4e} + stored ΔΨ {twisting.stored:.4e} + numerical N "
            f"{twisting.numerical:.4e}"
        )
        print(
            f"time steps from {min(twisting.steps[1:]):.3g} to {max(twisting.steps):.3g}; "
            f"{twisting.statistics}; validity {twisting.validity:.2g}"
        )
        results = {
            "closed_form": asdict(closed),
            "finite_decay": deviation,
            "poynting_order": poynting,
            "twisting": asdict(twisting),
        }
        (arguments.output / "torsion.json").write_text(json.dumps(results, indent=1) + "\n")
        figure = arguments.figure or arguments.output / "torsion.png"
        draw(twisting, shapes, model.manifest.internal_components[0], figure)
    check(closed, deviation, poynting, twisting)


if __name__ == "__main__":
    main()
