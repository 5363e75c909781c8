"""The C kernel against the law in plain NumPy, against itself, and against the closed form."""

from __future__ import annotations

import threading
from dataclasses import fields

import law_reference as reference
import numpy as np
import pytest
from updates import same, take

from ibvonn_fem.files.c_compiler import FAST_FLAGS
from ibvonn_fem.kernels.base import LocalUpdate
from ibvonn_fem.kernels.c_library import CLibraryKernel

SIZES = [(1, 1), (1, 2), (6, 2), (6, 6)]
LAYERS = [(0, 1), (0, 3), (1, 2), (2, 3), (3, 3)]
BUILDS = {"fast": FAST_FLAGS, "plain": ("-O2", "-std=c99"), "scalar": ("-O1", "-DLAW_LANES=1")}
COMPARED = ("stress", "statev_new", "tangent", "energy", "dissipation", "validity")
# The contract between runtimes (CONVENTIONS.md); measured: below 1e-12.
AGREEMENT = 1e-10


def random_steps(sizes, n_points, seed=0, reach=1.0):
    rng = np.random.default_rng(seed)
    strain_old = reach * rng.uniform(-1, 1, size=(n_points, sizes[0]))
    statev = reach * rng.uniform(-1, 1, size=(n_points, sizes[1]))
    strain = strain_old + 0.3 * rng.normal(size=(n_points, sizes[0]))
    return strain, strain_old, statev, 10.0 ** rng.uniform(-3, 1, size=n_points)


def gap(update, expected, names=COMPARED):
    """Largest difference relative to max(|value|, column scale)."""
    worst = 0.0
    for name in names:
        value, right = (np.asarray(getattr(x, name)) for x in (update, expected))
        value, right = value.reshape(len(right), -1), right.reshape(len(right), -1)
        scale = np.maximum(np.abs(right), np.max(np.abs(right), axis=0))
        worst = max(worst, np.max(np.abs(value - right) / np.maximum(scale, 1e-300)))
    return worst


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("sizes", SIZES)
def test_kernel_agrees_with_the_law_in_numpy(sizes, build):
    for layers in LAYERS:
        law = reference.random_parameters(
            *sizes, seed=sum(layers), energy_layers=layers[0], context_layers=layers[1], width=11
        )
        kernel = CLibraryKernel(law, flags=BUILDS[build])
        inputs = random_steps(sizes, 29)
        update = kernel.update(*inputs)
        assert np.all(update.residual <= 1e-10)
        assert gap(update, reference.update(law, *inputs)) < AGREEMENT
        update, expected = (x.rates(inputs[0], inputs[2]) for x in (kernel, Numpy(law)))
        assert gap(update, expected, ("energy", "stress", "driving_force", "rate")) < AGREEMENT


class Numpy:
    def __init__(self, law):
        self.law = law

    def rates(self, strain, statev):
        return reference.rates(self.law, strain, statev)


@pytest.mark.parametrize(
    "name", ["energy_hidden_2", "energy_skip_1", "context_weight_2", "ridge_weight", "ridge_bias"]
)
def test_a_weight_that_is_off_by_one_in_a_million_is_noticed(name):
    """Guards the test above."""
    law = reference.random_parameters(1, 2)
    inputs = random_steps((1, 2), 29)
    expected = reference.update(law, *inputs)
    law[name] = law[name].copy()
    law[name].reshape(-1)[0] *= 1.0 + 1e-6
    assert gap(CLibraryKernel(law).update(*inputs), expected) > AGREEMENT


def test_reference_law_has_the_derivatives_it_claims():
    """Central differences: error h² = 1e-10 of the third derivative."""
    law = reference.random_parameters(2, 2, seed=5)
    rng = np.random.default_rng(0)
    x, h = rng.normal(size=(1, 4)), 1e-5
    _, gradient, hessian = reference.energy(law, x)
    g = rng.normal(size=(1, 2))
    _, rate, curvature = reference.potential(law, x, g)
    for c in range(4):
        step = h * np.eye(4)[None, c]
        up, down = (reference.energy(law, x + s * step) for s in (1, -1))
        np.testing.assert_allclose((up[0] - down[0]) / (2 * h), gradient[:, c], rtol=1e-7)
        np.testing.assert_allclose((up[1] - down[1]) / (2 * h), hessian[:, c], rtol=1e-7)
    for c in range(2):
        step = h * np.eye(2)[None, c]
        up, down = (reference.potential(law, x, g + s * step) for s in (1, -1))
        np.testing.assert_allclose((up[0] - down[0]) / (2 * h), rate[:, c], rtol=1e-7)
        np.testing.assert_allclose((up[1] - down[1]) / (2 * h), curvature[:, c], rtol=1e-7)


def test_trap_step_is_the_closed_form():
    """α⁺ = (α + Δt ε)/(1 + 2Δt), σ = ε − α⁺, C = (1 + Δt)/(1 + 2Δt)."""
    kernel = CLibraryKernel(reference.zener_parameters())
    strain, strain_old, statev, dt = random_steps((1, 1), 50)
    update = kernel.update(strain, strain_old, statev, dt)
    a = dt[:, None]
    alpha = (statev + a * strain) / (1.0 + 2.0 * a)
    np.testing.assert_allclose(update.statev_new, alpha, rtol=0, atol=1e-15)
    np.testing.assert_allclose(update.stress, strain - alpha, rtol=0, atol=1e-15)
    np.testing.assert_allclose(update.tangent[:, 0], (1 + a) / (1 + 2 * a), rtol=1e-15)


def test_first_pivot_of_the_jacobian_may_vanish():
    """Φ″ = [[1, −2], [−2, 5]], F = [[1, 2], [2, 5]], Δt = 1/3: J₁₁ = 1 + Δt (Φ″F)₁₁ = 0."""
    law = reference.zener_parameters() | {
        "internal_size": np.array(2),
        "energy_linear": np.zeros(3),
        "energy_quadratic": np.array([[6.0, -1.0, 0.0], [-1.0, 1.0, 2.0], [0.0, 2.0, 5.0]]),
        "ridge_weight": np.zeros((0, 2)),
        "context_weight_1": np.zeros((3, 3)),
        "context_bias_1": np.array([0.0, -2.0, 0.0]),
        "internal_scale": np.ones(2),
        "envelope": np.array([[-2.0, 2.0]] * 3),
    }
    inputs = random_steps((1, 2), 20)[:3]
    update = CLibraryKernel(law).update(*inputs, 1.0 / 3.0)
    assert np.all(update.residual <= 1e-13)
    assert gap(update, reference.update(law, *inputs, 1.0 / 3.0)) < 1e-12


@pytest.mark.parametrize("sizes", SIZES)
def test_a_point_does_not_feel_its_neighbours(sizes):
    """Bit for bit: any order, any block, alone or with a point whose input is refused."""
    kernel = CLibraryKernel(reference.random_parameters(*sizes, seed=2))
    inputs = random_steps(sizes, 37)
    whole = kernel.update(*inputs)
    order = np.random.default_rng(0).permutation(37)
    assert same(take(whole, order), kernel.update(*(x[order] for x in inputs)))
    for i in (0, 8, 36):
        one = slice(i, i + 1)
        assert same(take(whole, one), kernel.update(*(x[one] for x in inputs)))
    inputs[0][4] = np.nan
    others = np.arange(37) != 4
    assert same(take(whole, others), take(kernel.update(*inputs), others))


@pytest.mark.parametrize("sizes", SIZES)
def test_result_does_not_depend_on_the_first_iterate(sizes):
    kernel = CLibraryKernel(reference.random_parameters(*sizes, seed=2))
    inputs = random_steps(sizes, 40)
    cold = kernel.update(*inputs)
    rng = np.random.default_rng(1)
    guess = cold.statev_new + 1e-4 * rng.normal(size=cold.statev_new.shape)
    guess[0], guess[1], guess[2], guess[3] = np.nan, np.inf, 1e300, -50.0
    warm = kernel.update(*inputs, guess=guess)
    assert np.all(warm.residual <= 1e-10)
    assert gap(warm, cold) < AGREEMENT


@pytest.mark.parametrize("sizes", SIZES)
def test_without_time_the_step_is_elastic(sizes):
    law = reference.random_parameters(*sizes, seed=3)
    strain, strain_old, statev, _ = random_steps(sizes, 20)
    update = CLibraryKernel(law).update(strain, strain_old, statev, 0.0)
    assert np.array_equal(update.statev_new, statev)
    assert np.all(update.dissipation == 0.0)
    _, gradient, hessian = reference.energy(law, np.concatenate([strain, statev], axis=1))
    ne = sizes[0]
    np.testing.assert_allclose(update.stress, gradient[:, :ne], rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(update.tangent, hessian[:, :ne, :ne], rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("sizes", SIZES)
def test_tangent_is_the_derivative_of_the_stress_and_symmetric(sizes):
    kernel = CLibraryKernel(reference.random_parameters(*sizes, seed=4))
    strain, strain_old, statev, dt = random_steps(sizes, 20)
    tangent = kernel.update(strain, strain_old, statev, dt).tangent
    assert np.array_equal(tangent, tangent.transpose(0, 2, 1))
    h = 1e-5
    for c in range(sizes[0]):
        step = h * np.eye(sizes[0])[c]
        up, down = (
            kernel.update(strain + s * step, strain_old, statev, dt).stress for s in (1, -1)
        )
        difference = (up - down) / (2 * h)
        # h² of the third derivative, and round-off 1e-13 / h
        np.testing.assert_allclose(difference, tangent[:, :, c], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("sizes", SIZES)
def test_energy_never_grows_at_constant_strain(sizes):
    """The second law for every weight: dissipation ≥ 0 and f⁺ ≤ f, at Δt over eight decades."""
    kernel = CLibraryKernel(reference.random_parameters(*sizes, seed=6))
    strain, _, statev, _ = random_steps(sizes, 200, reach=2.0)
    before = kernel.update(strain, strain, statev, 0.0)
    dt = 10.0 ** np.random.default_rng(0).uniform(-5, 3, size=200)
    after = kernel.update(strain, strain, statev, dt)
    round_off = 1e-12 * (1.0 + np.abs(before.energy))
    assert np.all(after.residual <= 1e-10)
    assert np.all(after.dissipation >= -round_off)
    assert np.all(after.energy + after.dissipation <= before.energy + round_off)


def test_a_root_that_gains_energy_is_refused():
    """Concave f, which the loader would refuse: Newton finds maxima, the inequality finds out."""
    law = reference.random_parameters(1, 1, seed=1)
    kernel = CLibraryKernel(law)
    inputs = random_steps((1, 1), 200, reach=2.0)
    assert np.all(kernel.update(*inputs).residual <= 1e-10)
    concave = reference.random_parameters(1, 1, seed=1)
    concave["energy_quadratic"] = -30.0 * np.eye(2)
    weights = kernel.law.weights
    weights[3:7] = concave["energy_quadratic"].reshape(-1)  # after the constant and two linear
    update = kernel.update(*inputs)
    accepted = update.residual <= 1e-10
    assert np.count_nonzero(np.isposinf(update.residual)) > 10
    _, _, statev, dt = inputs
    x = np.concatenate([inputs[0], statev], axis=1)
    start = reference.energy(concave, x)[0]
    bound = update.energy + update.dissipation - dt * dissipation_potential(concave, inputs, update)
    slack = 2e-9 * (np.abs(update.energy) + np.abs(start) + np.abs(update.dissipation) + 10.0)
    assert np.all(bound[accepted] <= (start + slack)[accepted])


def dissipation_potential(law, inputs, update):
    strain, strain_old, statev, _ = inputs
    _, gradient, _ = reference.energy(law, np.concatenate([strain, update.statev_new], axis=1))
    old = np.concatenate([strain_old, statev], axis=1)
    return reference.potential(law, old, -gradient[:, 1:])[0]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("position", [0, 1, 2, 3])
def test_input_that_is_not_finite_gives_nan_in_everything_but_validity(position, bad):
    kernel = CLibraryKernel(reference.random_parameters(1, 2))
    inputs = random_steps((1, 2), 3)
    inputs[position][1] = bad
    update = kernel.update(*inputs)
    for field in fields(update):
        values = getattr(update, field.name)
        assert np.all(np.isfinite(values[[0, 2]]))
        assert field.name == "validity" or np.all(np.isnan(values[1]))


def test_negative_time_is_refused():
    update = CLibraryKernel(reference.zener_parameters()).update(
        np.ones((2, 1)), np.ones((2, 1)), np.zeros((2, 1)), np.array([-1e-9, 0.1])
    )
    assert np.isnan(update.residual[0])
    assert update.residual[1] <= 1e-10


@pytest.mark.parametrize("dt", [1.01e100, 1e200, 1e308, 1.7e308, np.inf, np.nan])
def test_a_step_without_end_is_refused(dt):
    """Beyond 1e308 the update came back as an elastic step with residual 0."""
    for law in (reference.zener_parameters(), reference.random_parameters(1, 1)):
        kernel = CLibraryKernel(law)
        update = kernel.update(np.ones((1, 1)), np.ones((1, 1)), np.zeros((1, 1)), dt)
        assert np.isnan(update.residual[0])
        assert np.isnan(update.stress[0, 0])


def test_a_very_long_step_reaches_the_equilibrium():
    """α → ε / 2 of the Zener solid."""
    kernel = CLibraryKernel(reference.zener_parameters())
    for dt in (1e6, 1e12, 1e50, 1e99):
        update = kernel.update(np.ones((1, 1)), np.ones((1, 1)), np.zeros((1, 1)), dt)
        assert update.residual[0] <= 1e-10
        assert update.statev_new[0, 0] == pytest.approx(0.5, rel=1e-5)


def test_overflow_is_refused_without_nan():
    kernel = CLibraryKernel(reference.random_parameters(1, 1))
    update = kernel.update(
        np.array([[1e200], [1.7e308]]), np.zeros((2, 1)), np.zeros((2, 1)), np.array([1.0, 1e99])
    )
    assert not np.any(update.residual <= 1e-10)
    assert not any(np.isnan(getattr(update, f.name)).any() for f in fields(update))


@pytest.mark.parametrize("sizes", SIZES)
def test_wild_steps_converge_or_are_refused(sizes):
    """The million of benchmarks/robustness.py in small: never NaN."""
    for seed, factor in enumerate((1e-4, 1.0, 1e4)):
        law = reference.random_parameters(*sizes, seed=seed, stiffness=factor, mobility=1 / factor)
        strain, strain_old, statev, _ = random_steps(sizes, 100, seed=seed, reach=100.0)
        dt = 10.0 ** np.random.default_rng(seed).uniform(-5, 3, size=100)
        update = CLibraryKernel(law).update(strain, strain_old, statev, dt)
        assert not any(np.isnan(getattr(update, f.name)).any() for f in fields(update))
        assert np.mean(update.residual <= 1e-10) > 0.95


def test_validity_is_the_excursion_in_half_widths():
    law = reference.zener_parameters()
    law["envelope"] = np.array([[-1.0, 3.0], [-1.0, 1.0]])
    strain = np.array([[3.0], [5.0], [-3.0], [0.0]])
    statev = np.array([[0.0], [0.0], [0.0], [-4.0]])
    update = CLibraryKernel(law).update(strain, strain, statev, 0.0)
    np.testing.assert_allclose(update.validity, [0.0, 1.0, 1.0, 3.0], rtol=1e-15)


def test_no_points_are_no_trouble():
    kernel = CLibraryKernel(reference.random_parameters(6, 2))
    nothing = np.empty((0, 6))
    assert kernel.update(nothing, nothing, np.empty((0, 2)), 0.1).stress.shape == (0, 6)
    assert kernel.rates(nothing, np.empty((0, 2))).rate.shape == (0, 2)


def test_results_are_written_into_the_arrays_that_are_given():
    kernel = CLibraryKernel(reference.random_parameters(1, 2))
    inputs = random_steps((1, 2), 9)
    out = LocalUpdate.empty(9, 1, 2)
    assert kernel.update(*inputs, out=out) is out
    assert same(out, kernel.update(*inputs))
    with pytest.raises(ValueError, match=r"out\.stress must be a C-contiguous float64 array"):
        kernel.update(*inputs, out=LocalUpdate.empty(8, 1, 2))


def test_one_time_step_for_all_is_a_time_step_for_each():
    kernel = CLibraryKernel(reference.random_parameters(1, 1))
    strain, strain_old, statev, _ = random_steps((1, 1), 9)
    one = kernel.update(strain, strain_old, statev, np.array(0.3))
    assert same(one, kernel.update(strain, strain_old, statev, np.full(9, 0.3)))


def test_threads_share_a_kernel():
    kernel = CLibraryKernel(reference.random_parameters(6, 2))
    inputs = random_steps((6, 2), 2000)
    alone, results = kernel.update(*inputs), []
    threads = [
        threading.Thread(target=lambda: results.append(kernel.update(*inputs))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    assert all(same(alone, result) for result in results)
