"""Fibres in many directions, summed in C."""

from __future__ import annotations

import law_reference as reference
import numpy as np
import pytest

from ibvonn_fem.kernels.c_library import CLibraryKernel

ROOT = np.sqrt(2.0)


def circle(count):
    """Half circle in the plane: projections on (xx, yy, √2 xy), equal weights."""
    angle = np.pi * (np.arange(count) + 0.5) / count
    x, y = np.cos(angle), np.sin(angle)
    return np.stack([x * x, y * y, ROOT * x * y], axis=1), np.full(count, 1.0 / count)


def random_plane(n_points, directions, internal_size):
    rng = np.random.default_rng(0)
    old = 0.3 * rng.normal(size=(n_points, 3))
    new = old + 0.1 * rng.normal(size=(n_points, 3))
    return new, old, 0.3 * rng.normal(size=(n_points, directions, internal_size))


@pytest.mark.parametrize("internal_size", [1, 2])
@pytest.mark.parametrize("directions", [1, 5, 16, 100])
def test_solid_is_the_sum_of_its_fibres(internal_size, directions):
    kernel = CLibraryKernel(reference.random_parameters(1, internal_size))
    p, w = circle(directions)
    new, old, statev = random_plane(7, directions, internal_size)
    dt = np.linspace(0.01, 1.0, 7)
    result = kernel.update_directions(
        p, w, new, old, statev, dt, strain_offset=0.1, stress_offset=0.3
    )
    fibre = kernel.update(
        0.1 + (new @ p.T).reshape(-1, 1),
        0.1 + (old @ p.T).reshape(-1, 1),
        statev.reshape(-1, internal_size),
        np.repeat(dt, directions),
    )
    pull = (fibre.stress - 0.3).reshape(7, directions)
    tangent = fibre.tangent.reshape(7, directions)
    energy = fibre.energy.reshape(7, directions) - 0.3 * new @ p.T
    close = {"rtol": 1e-12, "atol": 1e-12}
    np.testing.assert_allclose(result.stress, (w * pull) @ p, **close)
    expected = np.einsum("pk,ka,kb->pab", w * tangent, p, p)
    np.testing.assert_allclose(result.tangent, expected, **close)
    np.testing.assert_allclose(result.energy, energy @ w, **close)
    np.testing.assert_allclose(
        result.dissipation, fibre.dissipation.reshape(7, directions) @ w, **close
    )
    states = result.statev_new.reshape(-1, internal_size)
    np.testing.assert_allclose(states, fibre.statev_new, **close)
    worst = fibre.validity.reshape(7, directions).max(axis=1)
    np.testing.assert_allclose(result.validity, worst, **close)
    assert np.all(result.residual <= 1e-10)


def test_tangent_is_the_derivative_of_the_stress():
    kernel = CLibraryKernel(reference.random_parameters(1, 2))
    p, w = circle(12)
    new, old, statev = random_plane(3, 12, 2)
    result, h = kernel.update_directions(p, w, new, old, statev, 0.2), 1e-5
    for c in range(3):
        step = h * np.eye(3)[c]
        up, down = (
            kernel.update_directions(p, w, new + s * step, old, statev, 0.2).stress for s in (1, -1)
        )
        np.testing.assert_allclose((up - down) / (2 * h), result.tangent[:, :, c], atol=1e-6)


def test_opposite_halves_may_be_merged():
    """Where the strain is symmetric about an axis, mirrored directions share one weight."""
    kernel = CLibraryKernel(reference.random_parameters(1, 1))
    p, w = circle(12)
    measure = np.array([[0.2, -0.1, 0.0]])  # no shear: x and −x are equivalent
    statev = np.zeros((1, 12, 1))
    full = kernel.update_directions(p, w, measure, 0 * measure, statev, 0.2)
    half = kernel.update_directions(p[:6], 2 * w[:6], measure, 0 * measure, statev[:, :6], 0.2)
    np.testing.assert_allclose(half.energy, full.energy, rtol=1e-14)
    np.testing.assert_allclose(half.stress[:, :2], full.stress[:, :2], rtol=1e-13)


def test_a_fibre_that_fails_fails_its_point_alone():
    kernel = CLibraryKernel(reference.random_parameters(1, 1))
    p, w = circle(5)
    new, old, statev = random_plane(3, 5, 1)
    statev[1, 2] = np.nan
    statev[2, 3] = 1e308
    result = kernel.update_directions(p, w, new, old, statev, 0.2)
    assert result.residual[0] <= 1e-10
    assert np.isnan(result.residual[1])
    assert not result.residual[2] <= 1e-10
    assert np.all(np.isfinite(result.stress[0]))


def test_laws_of_several_strains_have_no_directions():
    kernel = CLibraryKernel(reference.random_parameters(6, 2))
    p, w = circle(4)
    with pytest.raises(ValueError, match="sizes are not those of a law"):
        kernel.update_directions(p, w, *random_plane(2, 4, 2), 0.1)


def test_workspace_and_shapes_are_checked():
    kernel = CLibraryKernel(reference.random_parameters(1, 1))
    p, w = circle(4)
    new, old, statev = random_plane(2, 4, 1)
    with pytest.raises(ValueError, match=r"statev must have shape \(2, 4, 1\)"):
        kernel.update_directions(p, w, new, old, statev[:, :3], 0.1)
    with pytest.raises(ValueError, match=r"weight must have shape \(4,\)"):
        kernel.update_directions(p, w[:2], new, old, statev, 0.1)
