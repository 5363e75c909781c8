"""Print the convergence tables of the tests of solids, on finer meshes than the tests use.

    python benchmarks/solid_verification.py [--levels 3]

Network tables need the laws of ``tests/helpers``; boundary value problems use the linear law, for
which the closed forms are exact.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "helpers"))

import numpy as np
from derivatives import central_difference
from scipy.spatial.transform import Rotation
from solid_cases import (
    TORSION_CONSTANT,
    cantilever,
    creep,
    cylinder_meridian,
    cylinder_ring,
    discrete_creep,
    torsion,
)
from solid_laws import Point, TwoWells, linear_law, smooth_law

from ibvonn_fem.directions import LEBEDEV
from ibvonn_fem.kinematics import Axisymmetric, Microsphere, PlaneStrain, PlaneStress, lebedev
from ibvonn_fem.kinematics.strain_maps import mandel_squares

TRACE = np.array([1.0, 1.0, 1.0, 0.0, 0.0, 0.0])


def say(line: str = "") -> None:
    """Write a line at once, so that a long run shows where it is."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def moments() -> None:
    """T1."""
    isotropic = (np.outer(TRACE, TRACE) + 2.0 * np.eye(6)) / 15.0
    worst = 0.0
    for count in LEBEDEV:
        rule = lebedev(count)
        rows = mandel_squares(rule.vectors)
        fourth = np.einsum("k,ki,kj->ij", rule.weights, rows, rows)
        worst = max(worst, float(np.abs(fourth - isotropic).max()))
    say(f"T1 fourth moments of {len(LEBEDEV)} rules: largest error {worst:.1e}")


def derivatives() -> None:
    """T2, T3 and T4."""
    rng = np.random.default_rng(0)
    for test, finite in (("T2", False), ("T3", True)):
        solid = Microsphere(finite=finite)
        point = Point(TwoWells().model(), solid)
        point.step(0.1 * rng.normal(size=solid.shape), 0.2)
        measure = 0.1 * rng.normal(size=solid.shape)
        answer = point.respond(measure, 0.3)
        expected, bound = central_difference(
            lambda e, point=point: point.respond(e, 0.3).stress[0], measure
        )
        error = np.abs(answer.tangent[0] - expected).max()
        symmetry = np.abs(answer.tangent[0] - answer.tangent[0].T).max()
        say(
            f"{test} tangent, two wells: difference from central differences {error:.1e} (error of "
            f"these {bound:.1e}), from symmetry {symmetry:.1e}"
        )
    rotation = Rotation.from_rotvec([0.7, -1.1, 0.4]).as_matrix()
    deformation = np.eye(3) + measure.reshape(3, 3)
    turned = point.respond((rotation @ deformation - np.eye(3)).reshape(-1), 0.3)
    nominal = answer.stress.reshape(3, 3)
    kirchhoff = nominal @ deformation.T
    turning = np.abs(turned.stress.reshape(3, 3) - rotation @ nominal).max()
    say(
        f"T4 objectivity: error of P(RF) {turning:.1e}, "
        f"of internal variables {np.abs(turned.statev - answer.statev).max():.1e}, "
        f"asymmetry of τ {np.abs(kirchhoff - kirchhoff.T).max():.1e}"
    )


def constants() -> None:
    """T5."""
    tangent = Point(linear_law(), Microsphere(density=15.0)).respond(np.zeros(6), 0.0).tangent[0]
    plane = Point(linear_law(), PlaneStress(Microsphere())).respond([1.0, 0.0, 0.0, 0.0], 0.0)
    say(
        f"T5 15 λ = {tangent[0, 1]:.15f}, 15 μ = {0.5 * tangent[3, 3]:.15f}; plane stress "
        f"ε33/ε11 = {plane.measure[0, 2]:.8f}, C*1111 = {plane.tangent[0, 0, 0]:.8f}"
    )


def numerical_dissipation() -> None:
    """T6."""
    laws: dict[str, Callable[[], Any]] = {
        "linear": linear_law,
        "smooth, two variables": lambda: smooth_law(2),
        "two wells": lambda: TwoWells().model(),
    }
    shape = np.array([1.0, -0.3, -0.2, 0.4, 0.3, -0.5])
    for name, law in laws.items():
        shares = []
        for steps in (50, 100, 200):
            point, previous = Point(law(), Microsphere(25)), np.zeros(6)
            excess, dissipated, energy = [], 0.0, 0.0
            for n in range(1, steps + 1):
                measure = 0.25 * np.sin(2.0 * np.pi * n / steps) * shape
                answer = point.step(measure, 4.0 / steps)
                work = answer.stress[0] @ (measure - previous)
                excess.append(work - (answer.energy[0] - energy) - answer.dissipation[0])
                dissipated += answer.dissipation[0]
                previous, energy = measure, answer.energy[0]
            shares.append(sum(excess) / dissipated)
        say(
            f"T6 numerical/physical dissipation, 50/100/200 steps, {name}: "
            + " ".join(f"{share:.4f}" for share in shares)
            + f"; smallest of a step {min(excess):.1e}"
        )


def isotropy() -> None:
    """T7."""
    axes = np.random.default_rng(1).normal(size=(12, 3))
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    strain = mandel_squares(axes)

    def axial(law: Any, count: int) -> np.ndarray:
        point = Point(law, Microsphere(count), 12)
        return np.array(
            [
                np.einsum("pi,pi->p", point.step(0.01 * n * strain, 0.1).stress, strain)
                for n in range(1, 26)
            ]
        )

    for name, θ in (("barriers 10 and 3 k_BT", 0.0019), ("five times sharper", 0.0004)):
        law = TwoWells(theta=θ).model()
        exact = axial(law, 385).mean(axis=1, keepdims=True)
        errors = {
            count: 100.0 * np.abs(axial(law, count) - exact).max() / np.abs(exact).max()
            for count in (7, 13, 25, 55, 97)
        }
        listing = "  ".join(f"{count}: {error:.3f}" for count, error in errors.items())
        say(f"T7 largest stress error over 12 axes [%], {name}: {listing}")


def convergence(levels: int) -> None:
    """Elastic closed forms, orders in the mesh."""
    cases = [
        ("cylinder, plane strain, curved quadrilaterals", cylinder_ring, PlaneStrain, 2),
        ("cylinder, rotational symmetry", cylinder_meridian, Axisymmetric, 4),
        ("cantilever, plane stress", cantilever, PlaneStress, 2),
    ]
    columns = f"{'u error':>11}{'order':>7}{'σ error':>11}{'order':>7}"
    say(f"{'case':<50}{'order':>6}{'cells':>7}{columns}")
    for name, case, wrap, first in cases:
        for order in (1, 2):
            previous = None
            for level in range(levels):
                cells = first * 2**level
                body = case(linear_law(), wrap(Microsphere(25, density=15.0)), cells, order)
                body.problem.solve(0.0)
                errors = np.array([body.displacement_error(), body.stress_error()])
                rates = np.full(2, np.nan) if previous is None else np.log2(previous / errors)
                say(
                    f"{name:<50}{order:>6}{cells:>7}{errors[0]:>11.2e}{rates[0]:>7.2f}"
                    f"{errors[1]:>11.2e}{rates[1]:>7.2f}"
                )
                previous = errors
    for order, hexahedra, first in ((1, True, 4), (2, False, 2)):
        previous = None
        for level in range(levels):
            cells = first * 2**level
            bar = torsion(
                linear_law(), Microsphere(25, density=15.0), cells, order, hexahedra=hexahedra
            )
            bar.set_twist(0.01)
            bar.problem.solve(0.0)
            error = bar.constant() / TORSION_CONSTANT - 1.0
            rate = np.nan if previous is None else np.log2(previous / error)
            kind = "hexahedra" if hexahedra else "tetrahedra"
            say(f"{'torsion constant, ' + kind:<50}{order:>6}{cells:>7}{error:>11.2e}{rate:>7.2f}")
            previous = error


def creeping() -> None:
    """Cylinder under constant pressure: separation of space and time, and the order in Δt."""
    previous = None
    for steps in (4, 8, 16):
        body = cylinder_ring(linear_law(), PlaneStrain(Microsphere(25, density=15.0)), 4, 2)
        body.problem.solve(0.0)
        body.problem.commit()
        start = body.u.x.array.copy()
        for _ in range(steps):
            body.problem.solve(1.0 / steps)
            body.problem.commit()
        factor = discrete_creep(steps, 1.0 / steps)
        apart = np.abs(body.u.x.array - factor * start).max() / np.abs(start).max()
        error = float(np.abs(body.u.x.array / start.clip(1e-300) - creep(1.0))[start > 1e-6].max())
        rate = np.nan if previous is None else np.log2(previous / error)
        say(
            f"creep of the cylinder, {steps:>2} steps to t = 1: error to the closed form "
            f"{error:.4f} (order {rate:.2f}), to the discrete creep function {apart:.1e}"
        )
        previous = error


def main() -> None:
    """Print every table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--levels", type=int, default=3, help="meshes of each case (default: 3)")
    arguments = parser.parse_args()
    for table in (moments, derivatives, constants, numerical_dissipation, isotropy):
        table()
    convergence(arguments.levels)
    creeping()


if __name__ == "__main__":
    main()
