"""A bar that changes phase while it is pulled: the force curve converges with mesh and time step.

With cooperation of the springs the relaxed modulus is negative around half open: the pattern of
phases inside the bar depends on the mesh, the force that the grip feels does not.
"""

from mpi4py import MPI

import numpy as np
import pytest
from dolfinx import fem, mesh
from solid_laws import TwoWells

from ibvonn_fem import InternalVariableLaw, InternalVariableProblem, TimeStepping, Uniaxial

pytestmark = pytest.mark.fem

LENGTH, DURATION, RECORDED = 10.0, 60.0, 30
THETA = 0.0019


def force_curve(law_of_springs, elements, steps):
    """Reaction of the grip at even instants; the end is pulled to a mean strain of 0.4."""
    bar = mesh.create_interval(MPI.COMM_SELF, elements, [0.0, LENGTH])
    V = fem.functionspace(bar, ("Lagrange", 1))
    u, end = fem.Function(V), fem.Constant(bar, 0.0)
    clamp, grip = (
        fem.dirichletbc(
            value, fem.locate_dofs_geometrical(V, lambda x, at=at: np.isclose(x[0], at)), V
        )
        for value, at in ((fem.Constant(bar, 0.0), 0.0), (end, LENGTH))
    )
    law = InternalVariableLaw(law_of_springs.model(), Uniaxial(), u, 0)
    problem = InternalVariableProblem(law, u, [clamp, grip], drag=1.0)
    forces, opened = [], []

    def pull(t):
        end.value = 0.4 * LENGTH * t / DURATION

    def record(step):
        if abs(step.time / DURATION * RECORDED % 1.0 - 0.5) > 0.49:
            forces.append(problem.reaction(grip)[0])
            opened.append(law.internal[:, 0, 0] + law_of_springs.start)

    TimeStepping(problem, pull).run(np.linspace(0.0, DURATION, steps + 1), record)
    return np.array(forces[1:]), opened


def changes(curves):
    """Distance of each curve from the last, in per cent."""
    *rest, finest = curves
    return [100 * float(np.linalg.norm(curve - finest) / np.linalg.norm(finest)) for curve in rest]


@pytest.mark.parametrize(
    "cooperation",
    [
        pytest.param(0.0, id="convex"),
        pytest.param(6.0 * THETA, id="relaxed softening", marks=pytest.mark.slow),
    ],
)
def test_the_force_curve_converges_with_the_mesh(cooperation):
    law = TwoWells(THETA, cooperation=cooperation)
    relaxed = 1.0 - law.jump**2 / (law.jump**2 + 4.0 * THETA - cooperation)
    assert (relaxed < 0.0) == (cooperation > 0.0)
    curves, opened = zip(
        *(force_curve(law, elements, 60) for elements in (10, 20, 40, 80)), strict=True
    )
    distances = changes(curves)
    assert distances[1] < 0.5 * distances[0]
    assert distances[2] < 0.4 * distances[1]
    assert distances[2] < 0.3, f"per cent with 40 elements: {distances}"
    profile = opened[-1][20]
    assert np.ptp(profile) > 0.5, "both phases are in the bar"


@pytest.mark.slow
def test_the_force_curve_converges_with_the_time_step():
    law = TwoWells(THETA, cooperation=6.0 * THETA)
    distances = changes([force_curve(law, 20, steps)[0] for steps in (60, 120, 240)])
    assert distances[1] < 0.4 * distances[0]  # a third, for first order
    assert distances[1] < 0.5


def test_two_wells_step_by_their_own_rates_when_the_step_is_short():
    """Guards the law of these tests: its update and its continuous form are one law."""
    law = TwoWells(cooperation=6.0 * THETA)
    strain = np.linspace(0.05, 0.3, 9)[:, None]
    statev = np.linspace(0.2, 0.7, 9)[:, None] - law.start
    now = law.rates(strain, statev)
    errors = []
    for dt in (1e-4, 5e-5):
        dt = dt / np.abs(now.rate).max()
        step = law.update(strain, strain, statev, dt)
        errors.append(np.abs((step.statev_new - statev) / dt - now.rate).max())
    assert errors[1] < 0.51 * errors[0] < 1e-2 * np.abs(now.rate).max()
    h = 1e-6
    bent = [law.rates(strain + s * h, statev).energy for s in (1, -1)]
    np.testing.assert_allclose((bent[0] - bent[1]) / (2 * h), now.stress[:, 0], rtol=1e-6)
    bent = [law.rates(strain, statev + s * h).energy for s in (1, -1)]
    np.testing.assert_allclose((bent[1] - bent[0]) / (2 * h), now.driving_force[:, 0], rtol=1e-5)
