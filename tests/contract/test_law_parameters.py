"""The arrays of a law: what is stored is what is read, and what breaks the physics is refused."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ibvonn_train.closed_form.linear_solids import isotropic, standard_linear_solid, trap_law
from ibvonn_train.closed_form.random_law import untrained_law
from ibvonn_train.export import ConstitutiveLaw, LawParameters
from ibvonn_train.export.folding import fold_scales, with_zero_energy

ROUND_OFF = 1e-13
"""Some hundred operations on numbers of order one."""


@pytest.mark.parametrize("widths", [(), (5,), (20, 20), (7, 6, 5)])
@pytest.mark.parametrize("ridges", [0, 3])
def test_saved_parameters_are_read_back_exactly(tmp_path, widths, ridges):
    law = untrained_law(2, 3, widths=widths, ridges=ridges, context=())
    law.save(tmp_path / "parameters.npz")
    again = LawParameters.load(tmp_path / "parameters.npz")
    assert again.arrays().keys() == law.arrays().keys()
    for name, array in law.arrays().items():
        assert np.array_equal(again.arrays()[name], array), name


def test_file_holds_the_arrays_of_the_conventions():
    names = set(untrained_law(1, 2).arrays())
    assert names == {
        *("strain_size", "internal_size", "energy_layers", "context_layers", "ridge_count"),
        *("energy_constant", "energy_linear", "energy_quadratic", "energy_output"),
        *("energy_skip_1", "energy_bias_1", "energy_hidden_2", "energy_skip_2", "energy_bias_2"),
        *("ridge_weight", "ridge_bias", "internal_scale", "envelope", "residual_tolerance"),
        *("context_weight_1", "context_bias_1", "context_weight_2", "context_bias_2"),
    }


def test_missing_array_is_named(tmp_path):
    arrays = untrained_law(1, 1).arrays()
    del arrays["ridge_weight"]
    np.savez(tmp_path / "parameters.npz", **arrays)
    with pytest.raises(ValueError, match="ridge_weight"):
        LawParameters.load(tmp_path / "parameters.npz")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"energy_output": -np.ones(20)}, "energy_output must be nonnegative"),
        ({"energy_quadratic": -np.eye(3)}, "positive semidefinite"),
        ({"energy_quadratic": np.triu(np.ones((3, 3)))}, "symmetric"),
        ({"energy_linear": np.zeros(2)}, r"energy_linear must have shape \(3,\); got \(2,\)"),
        ({"energy_linear": np.full(3, np.nan)}, "energy_linear must be finite"),
        ({"internal_scale": np.zeros(2)}, "internal_scale must be positive"),
        ({"envelope": np.zeros((3, 2))}, "lower < upper"),
        ({"ridge_weight": np.zeros((8, 3))}, "ridge_weight must have shape"),
        ({"context_bias": (np.zeros(10),)}, "context network"),
        ({"internal_size": 0}, "internal_size must be at least 1"),
    ],
)
def test_parameters_that_break_the_structure_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        replace(untrained_law(1, 2), **change)


@pytest.mark.parametrize("sizes", [(1, 1), (1, 2), (6, 6)])
def test_folded_scales_give_the_same_law_in_physical_variables(sizes):
    m, n = sizes
    rng = np.random.default_rng(3)
    scaled = untrained_law(m, n)
    s, s0 = 3.0 * rng.normal(size=m + n), rng.normal(size=m + n)
    energy, time = 0.02, 7.0
    law = fold_scales(scaled, scale=s, shift=s0, energy_scale=energy, time_scale=time)
    x = rng.normal(size=(50, m + n))
    result = values(law, x)
    f, stress, force, rate = values(scaled, x * s + s0)
    expected = (energy * f, energy * stress * s[:m], energy * force * s[m:], rate / s[m:] / time)
    for value, reference in zip(result, expected, strict=True):
        np.testing.assert_allclose(value, reference, rtol=0, atol=ROUND_OFF * abs(reference).max())


def test_energy_vanishes_at_the_initial_state_after_the_shift():
    law = untrained_law(6, 2)
    assert abs(ConstitutiveLaw.of(law).equilibrium()[1]) > 0.01
    assert abs(ConstitutiveLaw.of(with_zero_energy(law)).equilibrium()[1]) < ROUND_OFF


def test_trap_law_is_the_closed_form():
    k, friction = 2.0, 3.0
    x = np.random.default_rng(0).normal(size=(20, 2))
    strain, mean = x[:, :1], x[:, 1:]
    f, stress, force, rate = values(trap_law(k, friction), x)
    np.testing.assert_allclose(f, 0.5 * k * ((strain - mean) ** 2 + mean**2), rtol=ROUND_OFF)
    np.testing.assert_allclose(stress, k * (strain - mean), rtol=ROUND_OFF)
    np.testing.assert_allclose(force, k * (strain - 2.0 * mean), rtol=ROUND_OFF)
    np.testing.assert_allclose(rate, force / friction, rtol=ROUND_OFF)


def test_standard_linear_solid_relaxes_shear_with_its_own_time():
    """Branch stress 2 G₁ (ε − α) and viscosity 2 η: α̇ = (G₁/η) (ε − α) in shear."""
    law = standard_linear_solid(bulk=(2.0, 1.0), shear=(0.7, 0.4), viscosity=(3.0, 0.2))
    strain = np.array([[0.0, 0.0, 0.0, 0.02, 0.0, 0.0]])
    _, stress, _, rate = values(law, np.hstack([strain, np.zeros((1, 6))]))
    np.testing.assert_allclose(stress, 2.0 * 1.1 * strain, atol=1e-15)
    np.testing.assert_allclose(rate, 0.4 / 0.2 * strain, atol=1e-15)


def test_isotropic_modulus_has_the_bulk_and_shear_modulus_as_eigenvalues():
    result = np.sort(np.linalg.eigvalsh(isotropic(2.0, 0.7)))
    np.testing.assert_allclose(result, [1.4] * 5 + [6.0], rtol=ROUND_OFF)


def values(law: LawParameters, x: np.ndarray) -> list[np.ndarray]:
    m = law.strain_size
    with torch.no_grad():
        result = ConstitutiveLaw.of(law).rates()(torch.tensor(x[:, :m]), torch.tensor(x[:, m:]))
    return [value.numpy() for value in result]
