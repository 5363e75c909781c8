"""Microstates at a quadrature point, and states from microstates."""

from pathlib import Path

from mpi4py import MPI

import numpy as np
import pytest
from dolfinx import fem, mesh
from scipy.stats import kstest, norm

from ibvonn_fem import InternalVariableLaw, Microsphere, Scaled, TimeStepping, load_model
from ibvonn_fem.errors import ExportedModelError
from ibvonn_fem.model.microstates import encode, equilibrium_state

pytestmark = [pytest.mark.fem, pytest.mark.export]

EXPORTED = Path(__file__).resolve().parents[2] / "exported_models"
SPREAD = np.sqrt(0.01 / 2.0)  # of the position: k_BT/2k


@pytest.fixture
def trap():
    return load_model(EXPORTED / "exact_trap", "onnx")


def creeping(model, bar):
    """A bar with uneven strain, pulled and held for a while."""
    body = bar(model, body_force=0.3)
    stepping = TimeStepping(body.problem, lambda t: setattr(body.elongation, "value", 1.0))
    stepping.run(np.linspace(0.0, 0.4, 5))
    return body


def test_samples_follow_the_distribution_of_the_state_of_their_point(trap, bar):
    body = creeping(trap, bar)
    law = body.law
    for point in (0, law.points.size - 1):
        alpha = law.internal[point, 0, 0]
        x = law.microstates(point, 4000, random=np.random.default_rng(5))
        assert x.shape == (4000, 1)
        assert kstest(x[:, 0], norm(alpha, SPREAD).cdf).pvalue > 1e-3
        # control: the law that was not relaxed has another state
        assert kstest(x[:, 0], norm(0.5 * law.measure[point, 0], SPREAD).cdf).pvalue < 1e-6
    assert abs(np.ptp(law.internal)) > SPREAD / 5


def test_the_density_is_that_of_the_samples(trap, bar):
    law = creeping(trap, bar).law
    alpha = law.internal[3, 0, 0]
    x = alpha + SPREAD * np.linspace(-6.0, 6.0, 401)
    density = law.density(3, x)
    np.testing.assert_allclose(density, norm(alpha, SPREAD).pdf(x), rtol=1e-10)
    np.testing.assert_allclose(np.trapezoid(density, x), 1.0, rtol=1e-6)


def test_each_direction_of_a_network_has_its_own_microstates(trap):
    cube = mesh.create_unit_cube(MPI.COMM_SELF, 1, 1, 1)
    u = fem.Function(fem.functionspace(cube, ("Lagrange", 1, (3,))))
    u.interpolate(lambda x: np.stack([0.5 * x[0], 0.0 * x[0], 0.0 * x[0]]))
    law = InternalVariableLaw(trap, Microsphere(25), u, 0)
    law.start_at_equilibrium()
    means = [law.microstates(0, 4000, direction=k).mean() for k in range(25)]
    np.testing.assert_allclose(means, law.internal[0, :, 0], atol=5.0 * SPREAD / np.sqrt(4000))
    assert np.ptp(means) > 0.2
    with pytest.raises(IndexError, match=r"direction must be one of 25 \(0 to 24\); found None"):
        law.microstates(0, 1)
    with pytest.raises(IndexError, match="point must be one of the 6"):
        law.density(6, [0.0], direction=0)


def test_a_scaled_law_has_the_microstates_of_its_original(trap, bar):
    scaled = Scaled(trap, stress_scale=2e6, time_scale=10.0, strain_scale=0.1)
    body, other = bar(scaled), bar(trap)
    body.elongation.value, other.elongation.value = 0.1, 1.0
    for bar_ in (body, other):
        bar_.problem.solve(0.0)
        bar_.problem.commit()
    np.testing.assert_allclose(body.law.microstates(0, 5), other.law.microstates(0, 5))


def test_the_equilibrium_at_constant_strain_has_no_driving_force(trap, zener):
    strain = np.linspace(-2.0, 2.0, 7)[:, None]
    np.testing.assert_allclose(equilibrium_state(trap, strain), 0.5 * strain, atol=1e-11)
    statev = equilibrium_state(zener(quartic=1.0), 0.4 * strain)
    assert np.abs(zener(quartic=1.0).rates(0.4 * strain, statev).driving_force).max() < 1e-11


def test_a_body_started_at_equilibrium_stays_there(trap, bar):
    body = bar(trap)
    body.u.interpolate(lambda x: 0.25 * x[0])
    body.elongation.value = 0.5
    body.law.start_at_equilibrium()
    np.testing.assert_allclose(body.law.internal, 0.125, atol=1e-12)
    np.testing.assert_allclose(body.stress, 0.125, atol=1e-12)
    assert not body.law.dissipated.any()
    assert body.problem.solve(1.0).converged
    body.problem.commit()
    np.testing.assert_allclose(body.stress, 0.125, atol=1e-11)


def test_a_body_starts_from_an_ensemble_of_microstates(trap, bar):
    ensemble = 0.3 + SPREAD * np.random.default_rng(1).standard_normal((1, 1000, 1))
    state = encode(trap, ensemble)
    assert state.strain is None
    body = bar(trap)
    body.law.start_from(state.statev[0])
    np.testing.assert_allclose(body.law.internal, ensemble.mean(), rtol=1e-12)
    np.testing.assert_allclose(body.stress, -ensemble.mean(), rtol=1e-10)


def test_a_state_of_another_shape_is_refused(trap, bar):
    with pytest.raises(ValueError, match=r"statev must be finite, of shape \(1,\).*found"):
        bar(trap).law.start_from([0.0, 0.0])
    with pytest.raises(ValueError, match=r"\(n_state, n_replica, 1\); found \(3, 1\)"):
        encode(trap, np.zeros((3, 1)))


def test_a_law_without_microstates_is_refused_with_a_message(bar):
    sls = load_model(EXPORTED / "exact_sls", "onnx")
    with pytest.raises(ExportedModelError, match=r"has no encoder\.onnx"):
        encode(sls, np.zeros((1, 1, 1)))
