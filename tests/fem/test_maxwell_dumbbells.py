"""Hookean dumbbells at finite strain are the upper-convected Maxwell fluid."""

from __future__ import annotations

from typing import Any

from mpi4py import MPI

import numpy as np
import pytest
from derivatives import assert_is_derivative
from dolfinx import fem, mesh
from maxwell_dumbbells import MaxwellDumbbells
from solid_laws import Point

from ibvonn_fem import FullStrain, InternalVariableLaw, InternalVariableProblem, TimeStepping

pytestmark = pytest.mark.fem

LAW = MaxwellDumbbells()
RATE = 1.5
"""Shear rate; times λ = 0.7 the Weissenberg number is 1.05."""
END = 3.0 * LAW.relaxation


def exact(t: np.ndarray[Any, Any], law: MaxwellDumbbells = LAW) -> np.ndarray[Any, Any]:
    """τ_12 and N₁ = τ_11 − τ_22 of the upper-convected Maxwell fluid after shear begins."""
    λ, η = law.relaxation, law.thermal_energy * law.relaxation
    decay = np.exp(-t / λ)
    return np.stack(
        [η * RATE * (1.0 - decay), 2.0 * η * λ * RATE**2 * (1.0 - decay * (1.0 + t / λ))], -1
    )


def kirchhoff(nominal: np.ndarray[Any, Any], gradient: np.ndarray[Any, Any]) -> Any:
    """τ = P Fᵀ."""
    return nominal.reshape(-1, 2, 2) @ (gradient.reshape(-1, 2, 2) + np.eye(2)).transpose(0, 2, 1)


def sheared(steps: int, duration: float, rate: float = RATE) -> np.ndarray[Any, Any]:
    """τ_12 and N₁ at a point that is sheared from rest, in implicit steps."""
    point = Point(LAW.model(), FullStrain(3, finite=True))
    rows = []
    for t in np.linspace(0.0, duration, steps + 1)[1:]:
        measure = np.array([0.0, rate * t, 0.0, 0.0])
        tau = kirchhoff(point.step(measure, duration / steps).stress, measure)[0]
        assert abs(tau[0, 1] - tau[1, 0]) < 1e-13
        rows.append([tau[0, 1], tau[0, 0] - tau[1, 1]])
    return np.array(rows)


def test_the_start_of_shear_converges_to_the_closed_form() -> None:
    """In the first order of the step, over three relaxation times and a shear of 3."""
    duration, errors = 3.0 * LAW.relaxation, []
    for steps in (50, 100, 200):
        t = np.linspace(0.0, duration, steps + 1)[1:]
        errors.append(np.abs(sheared(steps, duration) - exact(t)).max(0))
    ratios = np.array(errors[:-1]) / np.array(errors[1:])
    np.testing.assert_allclose(ratios, 2.0, atol=0.15)
    assert (errors[-1] < 0.01 * np.abs(exact(np.array([duration]))).max()).all()


@pytest.mark.parametrize("rate", [0.2, 1.5])
def test_viscosity_and_first_normal_stress_coefficient_do_not_depend_on_the_rate(
    rate: float,
) -> None:
    """η = k_BT λ and Ψ₁ = 2 k_BT λ² in the end; backward Euler has the same to the first order."""
    λ, steps, duration = LAW.relaxation, 4000, 12.0 * LAW.relaxation
    shear, normal = sheared(steps, duration, rate)[-1]
    # Of the discrete steady state: an error of Δt/λ times a number of order one.
    tolerance = 2.0 * duration / steps / λ
    assert abs(shear / rate / (LAW.thermal_energy * λ) - 1.0) < tolerance
    assert abs(normal / rate**2 / (2.0 * LAW.thermal_energy * λ**2) - 1.0) < tolerance


def test_the_law_is_consistent() -> None:
    """Tangent and stress are derivatives, dissipation is not negative, a turn changes nothing."""
    rng = np.random.default_rng(0)
    point = Point(LAW.model(), FullStrain(3, finite=True))
    point.step(rng.uniform(-0.3, 0.3, 4), 0.4)
    h = rng.uniform(-0.3, 0.3, 4)
    answer = point.respond(h, 0.3)
    assert_is_derivative(answer.tangent[0], lambda x: point.respond(x, 0.3).stress[0], h)
    sudden = point.respond(h, 0.0)
    assert_is_derivative(sudden.stress[0], lambda x: point.respond(x, 0.0).energy[0], h)
    assert answer.dissipation[0] > 0.0
    q = np.array([[0.6, -0.8], [0.8, 0.6]])
    turned = (q @ (h.reshape(2, 2) + np.eye(2)) - np.eye(2)).ravel()
    moved = point.respond(turned, 0.3)
    expected = q @ answer.stress.reshape(2, 2)
    np.testing.assert_allclose(moved.stress.reshape(2, 2), expected, atol=1e-12)


def test_a_sheared_body_has_the_stress_of_the_fluid() -> None:
    """A square of quadratic triangles whose boundary follows simple shear; inside is solved for."""
    domain = mesh.create_unit_square(MPI.COMM_SELF, 3, 3)
    space = fem.functionspace(domain, ("Lagrange", 2, (2,)))
    u, prescribed = fem.Function(space), fem.Function(space)
    domain.topology.create_connectivity(1, 2)
    facets = mesh.exterior_facet_indices(domain.topology)
    bc = fem.dirichletbc(prescribed, fem.locate_dofs_topological(space, 1, facets))
    law = InternalVariableLaw(LAW.model(), FullStrain(3, finite=True), u, 2)
    problem = InternalVariableProblem(law, u, [bc])
    duration, steps = 2.0 * LAW.relaxation, 100
    rows = []

    def record(step: Any) -> None:
        measure = np.asarray(law.measure)
        tau = kirchhoff(law.points.rows(law.stress).get(), measure)
        assert np.ptp(tau, axis=0).max() < 1e-8
        rows.append([step.time, tau[0, 0, 1], tau[0, 0, 0] - tau[0, 1, 1]])

    TimeStepping(
        problem,
        lambda t: prescribed.interpolate(lambda x: np.stack([RATE * t * x[1], 0.0 * x[1]])),
    ).run(np.linspace(0.0, duration, steps + 1).tolist(), record)
    table = np.array(rows)
    expected = exact(table[:, 0])
    assert np.abs(table[:, 1:] - expected).max() < 0.02 * expected.max()


def moments_in_flow(friction: float, count: int = 20_000) -> tuple[Any, Any]:
    """⟨Q⊗Q⟩ in Mandel order and its standard error after three relaxation times of shear.

    The linear equation is solved exactly in small steps: the drift by its exponential, the noise
    by Simpson's rule for its covariance.
    """
    from scipy.linalg import expm

    rng = np.random.default_rng(1)
    rest = LAW.thermal_energy / LAW.stiffness
    drift = np.array([[0.0, RATE], [0.0, 0.0]]) - 2.0 * LAW.stiffness / friction * np.eye(2)
    step = 0.01
    noise = [
        expm(drift * s) @ expm(drift * s).T * 4.0 * LAW.thermal_energy / friction
        for s in (0.0, step / 2, step)
    ]
    root = np.linalg.cholesky(step / 6.0 * (noise[0] + 4.0 * noise[1] + noise[2]))
    q = np.sqrt(rest) * rng.normal(size=(count, 2))
    for _ in range(round(END / step)):
        q = q @ expm(drift * step).T + rng.normal(size=(count, 2)) @ root.T
    products = np.stack([q[:, 0] ** 2, q[:, 1] ** 2, q[:, 0] * q[:, 1]], -1)
    return products.mean(0), products.std(0) / np.sqrt(count)


@pytest.mark.parametrize(("factor", "agrees"), [(1.0, True), (1.15, False)])
def test_moments_are_those_of_langevin_dynamics(factor: float, agrees: bool) -> None:
    """Within four standard errors; a friction that is off by 15 % is seen."""
    mean, error = moments_in_flow(factor * LAW.friction)
    tau, normal = exact(np.array(END))
    # Of the plane: τ_22 = 0, so ⟨Q₂²⟩ = k_BT/H, and τ = H⟨Q⊗Q⟩ − k_BT.
    expected = np.array([normal + LAW.thermal_energy, LAW.thermal_energy, tau]) / LAW.stiffness
    z = np.abs((mean - expected) / error).max()
    assert (z < 4.0) == agrees, z
