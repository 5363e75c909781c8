"""Strong ellipticity: closed forms of the acoustic tensor, the lattice, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ibvonn_fem import FullStrain, Microcircle, load_model
from ibvonn_fem.kinematics import DirectionStretch
from ibvonn_fem.kinematics.ellipticity import smallest_acoustic_eigenvalue, strong_ellipticity

pytestmark = pytest.mark.fem

MODEL = Path(__file__).parents[2] / "exported_models" / "lattice"


def isotropic(first: float, shear: float, size: int) -> np.ndarray[Any, Any]:
    """A of linear elasticity."""
    one = np.eye(size)
    return np.asarray(
        first * np.einsum("iJ,kL->iJkL", one, one)
        + shear * (np.einsum("ik,JL->iJkL", one, one) + np.einsum("iL,Jk->iJkL", one, one))
    )


@pytest.mark.parametrize("size", [2, 3])
def test_isotropic_solids_have_their_two_wave_speeds(size: int) -> None:
    """The eigenvalues are μ and λ + 2μ in every direction."""
    tangents = np.array([isotropic(1.0, 2.0, size), isotropic(-3.5, 2.0, size)])
    smallest, normal = smallest_acoustic_eigenvalue(tangents)
    np.testing.assert_allclose(smallest, [2.0, 0.5], rtol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(normal, axis=1), 1.0)


@pytest.mark.parametrize("size", [2, 3])
def test_the_direction_of_the_smallest_eigenvalue_is_found(size: int) -> None:
    """Of μ δ_ik δ_JL − c m_i m_k N_J N_L it is μ − c at N, which no scan meets by chance."""
    rng = np.random.default_rng(0)
    n, m = (v / np.linalg.norm(v) for v in rng.normal(size=(2, size)))
    one = np.eye(size)
    tangent = 2.0 * np.einsum("ik,JL->iJkL", one, one) - 2.3 * np.einsum(
        "i,J,k,L->iJkL", m, n, m, n
    )
    smallest, normal = smallest_acoustic_eigenvalue(tangent[None])
    assert abs(smallest[0] + 0.3) < 1e-6
    assert abs(abs(normal[0] @ n) - 1.0) < 1e-6


def test_a_triangular_lattice_at_rest_is_isotropic() -> None:
    """Instantaneous moduli of springs k = 1: with Cauchy's relation λ = μ = √3/4 κ', κ' = 7/8."""
    model = load_model(MODEL)
    solid = DirectionStretch(model)
    result = strong_ellipticity(model, solid, np.zeros((1, 2, 2)))
    tangent = model.update(np.zeros((1, 3)), np.zeros((1, 3)), np.zeros((1, 3)), 0.0).tangent
    shear = 0.5 * tangent.reshape(3, 3)[2, 2]
    assert abs(result.smallest[0] / shear - 1.0) < 1e-3
    assert abs(result.smallest[0] / (np.sqrt(3.0) / 4.0 * 7.0 / 8.0) - 1.0) < 0.02


def test_a_body_that_is_turned_is_as_elliptic() -> None:
    model = load_model(MODEL)
    solid = DirectionStretch(model)
    h = np.array([[[-0.1, 0.03], [0.02, 0.05]]])
    q = np.array([[0.6, -0.8], [0.8, 0.6]])
    values = [
        strong_ellipticity(model, solid, gradient, dt=100.0).smallest
        for gradient in (h, q @ (h + np.eye(2)) - np.eye(2))
    ]
    np.testing.assert_allclose(values[0], values[1], rtol=1e-9)


def test_compression_makes_a_lattice_lose_its_ellipticity() -> None:
    """Bonds under pressure push aside: s_a/λ_a is taken from the modulus across them."""
    model = load_model(MODEL)
    solid = DirectionStretch(model)
    stretch = np.array([1.0, 0.9, 0.5])
    h = (stretch - 1.0)[:, None, None] * np.eye(2)
    smallest = strong_ellipticity(model, solid, h).smallest
    assert smallest[0] > smallest[1] > 0.0 > smallest[2]


def test_what_is_not_at_finite_strain_is_refused() -> None:
    model = load_model(MODEL)
    with pytest.raises(ValueError, match="of small strain"):
        strong_ellipticity(model, FullStrain(3), np.zeros((1, 2, 2)))
    with pytest.raises(ValueError, match="one evaluation"):
        strong_ellipticity(model, Microcircle(4, finite=True), np.zeros((1, 2, 2)))
    solid = DirectionStretch(model)
    with pytest.raises(ValueError, match=r"gradient must have shape \(n, 2, 2\); found \(4,\)"):
        strong_ellipticity(model, solid, np.zeros(4))
    with pytest.raises(ValueError, match=r"statev must have shape \(1, 3\)"):
        strong_ellipticity(model, solid, np.zeros((1, 2, 2)), statev=np.zeros((1, 2)))
