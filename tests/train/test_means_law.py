"""The law of the mean of two coupled degrees of freedom, by quadrature."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_ensembles import small_ensemble

from ibvonn_train.evaluation.law_rollouts import encoded, roll_out
from ibvonn_train.simulation.strain_paths import strain_training_set
from ibvonn_train.statistical_mechanics.microscopic_energy import physics_of
from ibvonn_train.studies.means_law import MeansLaw

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
STATES = np.array([[-1.5], [0.2], [1.0]]), np.array([[-0.6, -0.4], [0.1, 0.3], [0.5, 0.2]])


def two_degrees(**parameters: float) -> Any:
    place = importlib.util.spec_from_file_location("two_degrees", CONFIGS / "two_degrees.py")
    assert place is not None
    assert place.loader is not None
    module = importlib.util.module_from_spec(place)
    place.loader.exec_module(module)
    return module.TwoDegrees(**parameters)


def law_and_data(friction: tuple[float, float] = (1.0, 5.0), **parameters: float) -> Any:
    system = two_degrees(**parameters)
    paths = strain_training_set((-2.0,), (2.0,), 10.0, walks=3, seed=2)
    data = small_ensemble(system, paths, duration=10.0, stride=25, replicas=1000)
    physics = physics_of(data.system, dict(data.parameters), system.microscopic_energy)
    return MeansLaw(data, physics, friction), data


def test_without_hardening_the_law_is_that_of_springs() -> None:
    """Energy f = ½[k (ε − x)² + a x² + b (x − y)²] + constant, ηẋ = k (ε − x) − a x − b (x − y)."""
    law, _ = law_and_data(hardening=0.0)
    eps, (x, y) = STATES[0][:, 0], STATES[1].T
    rates = law.rates(*STATES)
    energy = 0.5 * ((eps - x) ** 2 + 0.5 * x**2 + (x - y) ** 2)
    force = np.column_stack([(eps - x) - 0.5 * x - (x - y), x - y])
    np.testing.assert_allclose(np.diff(rates.energy), np.diff(energy), atol=1e-4)
    np.testing.assert_allclose(rates.stress[:, 0], eps - x, atol=1e-6)
    np.testing.assert_allclose(rates.driving_force, force, atol=1e-3)
    np.testing.assert_allclose(rates.rate, force / [1.0, 5.0], atol=1e-3)


def test_stress_and_force_are_slopes_and_the_rate_is_that_of_the_dissipation() -> None:
    law, _ = law_and_data()
    strain, internal = STATES
    rates, step = law.rates(strain, internal), 1e-4
    slope = law.rates(strain + step, internal).energy - law.rates(strain - step, internal).energy
    np.testing.assert_allclose(slope / (2 * step), rates.stress[:, 0], rtol=1e-5)
    for i in range(2):
        moved = step * np.eye(2)[i]
        ahead, behind = (law.rates(strain, internal + s * moved).energy for s in (1, -1))
        np.testing.assert_allclose(
            -(ahead - behind) / (2 * step), rates.driving_force[:, i], rtol=1e-4, atol=1e-6
        )
    value, curvature = law.dual_dissipation(rates.driving_force, strain, internal)
    np.testing.assert_allclose(2 * value, (rates.driving_force * rates.rate).sum(1), rtol=1e-12)
    np.testing.assert_allclose(
        np.einsum("nij,nj->ni", curvature, rates.driving_force), rates.rate, rtol=1e-12
    )
    assert np.linalg.eigvalsh(law.energy_hessian(strain, internal)[:, 1:, 1:]).min() > 0.0


def test_the_density_has_the_means_and_integrates_to_one() -> None:
    law, _ = law_and_data()
    axis = np.linspace(-2.5, 2.5, 201)
    points = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(1, -1, 2)
    points = np.tile(points, (3, 1, 1))
    weights = np.exp(law.log_density(points, *STATES)) * (axis[1] - axis[0]) ** 2
    np.testing.assert_allclose(weights.sum(1), 1.0, atol=1e-4)
    np.testing.assert_allclose(np.einsum("nm,nmi->ni", weights, points), STATES[1], atol=1e-4)


@pytest.mark.slow
def test_the_means_follow_the_law_within_sampling_error_and_no_other_friction() -> None:
    errors = {}
    for name, friction in {"exact": (1.0, 5.0), "another": (1.0, 5.5)}.items():
        law, data = law_and_data(friction)
        measured = encoded(law, data)
        run = roll_out(law, data, measured)["controlled"]
        away = run.internal - measured.internal
        noise = data.samples.var(-2).mean((0, 1, 2)) / data.replicas
        errors[name] = float(np.sqrt((away**2).mean((0, 1, 2)) / noise).max())
    assert errors["exact"] < 1.3
    assert errors["another"] > 1.5
