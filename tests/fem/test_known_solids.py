"""Cylinder, cantilever and bar in torsion have the known solutions."""

from mpi4py import MPI  # noqa: F401 - loads MPI, which dolfinx needs

import numpy as np
import pytest
import ufl
from dolfinx import fem
from solid_cases import (
    TORSION_CONSTANT,
    cantilever,
    creep,
    cylinder_ring,
    discrete_creep,
    observed_orders,
    sphere,
    torsion,
)
from solid_laws import linear_law

from ibvonn_fem import TimeStepping
from ibvonn_fem.kinematics import (
    PlaneStrain,
    PlaneStress,
)

pytestmark = pytest.mark.fem


def test_a_cylinder_under_constant_pressure_creeps_as_its_law():
    """The displacement is the elastic one times the creep function, at every node."""
    history = {}
    for steps in (4, 8):
        body = cylinder_ring(linear_law(), PlaneStrain(sphere()), 2, 2)
        displacements = [
            body.problem.solve(0.0).converged and body.problem.commit() and body.u.x.array.copy()
        ]
        for _ in range(steps):
            assert body.problem.solve(1.0 / steps).converged
            body.problem.commit()
        factor = discrete_creep(steps, 1.0 / steps)
        assert (
            np.abs(body.u.x.array - factor * displacements[0]).max()
            < 1e-10 * np.abs(displacements[0]).max()
        )
        history[steps] = abs(factor - creep(1.0))
        assert body.displacement_error(factor) < 2e-3
        assert body.stress_error() < 0.04  # stresses do not creep
    assert 0.8 < observed_orders(list(history.values()))[0] < 1.2


def test_a_cantilever_creeps_as_its_law():
    body = cantilever(linear_law(), PlaneStress(sphere()), 2, 2)
    factors = iter([1.0, *(discrete_creep(n, 0.25) for n in range(1, 4))])

    def load(_):
        body.set_wall(factor := next(factors))
        return factor

    TimeStepping(body.problem, load).run(0.25 * np.arange(4))
    assert body.displacement_error(discrete_creep(3, 0.25)) < 1e-3


def test_torsion_of_a_square_bar_shows_the_known_constant():
    """Energies converge at twice the order of the strains."""
    linear, quadratic = [], []
    for cells in (4, 8):
        bar = torsion(linear_law(), sphere(), cells, 1)
        bar.set_twist(0.01)
        assert bar.problem.solve(0.0).converged
        linear.append(bar.constant() / TORSION_CONSTANT - 1.0)
    for cells in (2, 4):
        bar = torsion(linear_law(), sphere(), cells, 2, hexahedra=False)
        bar.set_twist(0.01)
        assert bar.problem.solve(0.0).converged
        quadratic.append(bar.constant() / TORSION_CONSTANT - 1.0)
    assert min(linear + quadratic) > 0.0  # prescribed twist: the energy comes from above
    assert observed_orders(linear)[0] > 1.9
    assert observed_orders(quadratic)[0] > 3.3
    assert quadratic[-1] < 4e-3


def test_the_torque_of_a_constant_twist_relaxes_as_the_law():
    bar = torsion(linear_law(), sphere(), 4, 1)
    bar.set_twist(0.01)
    x = ufl.SpatialCoordinate(bar.problem.u.function_space.mesh)
    σ = bar.law.kinematics.tensor(bar.law.stress)
    torque = fem.form((x[0] * σ[1, 2] - x[1] * σ[0, 2]) / bar.height * bar.law.dx)
    torques, expected, constant, α = [], [], [], 0.0
    for dt in (0.0, 0.2, 0.2, 1.0):
        assert bar.problem.solve(dt).converged
        bar.problem.commit()
        torques.append(fem.assemble_scalar(torque))
        constant.append(bar.constant())
        α = (α + dt) / (1.0 + 2.0 * dt)
        expected.append(1.0 - α)
    np.testing.assert_allclose(np.array(torques) / torques[0], expected, rtol=1e-10)
    np.testing.assert_allclose(torques[0], 0.01 * constant[0], rtol=1e-10)
