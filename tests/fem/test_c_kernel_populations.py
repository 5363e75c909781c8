"""The C kernel of laws with populations: against torch, against closed forms, within its bounds."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from population_steps import population_steps, states_at_the_ends
from updates import same, take

from ibvonn_fem.errors import ExportedModelError
from ibvonn_fem.files.c_compiler import FAST_FLAGS
from ibvonn_fem.kernels.base import LocalUpdate
from ibvonn_fem.kernels.c_library import CLibraryKernel
from ibvonn_train.closed_form.random_law import untrained_populations
from ibvonn_train.export import ConstitutiveLaw
from ibvonn_train.export.graphs.interfaces import OUTPUTS, RATES_OUTPUTS
from ibvonn_train.export.population_parameters import PopulationParameters

LAWS = [
    (1, (2,), 0),
    (3, (2, 2, 2), 0),
    (6, (2, 2, 2, 2, 2, 2), 0),
    (2, (2, 2), 1),
    (2, (3,), 0),
    (3, (4, 3, 2), 2),
]
"""n_ε, states of every population, number of means."""

TWO_STATES = [law for law in LAWS if set(law[1]) == {2}]
BUILDS = {"fast": FAST_FLAGS, "plain": ("-O2", "-std=c99"), "scalar": ("-O1", "-DLAW_LANES=1")}
COMPARED = ("stress", "statev_new", "tangent", "energy", "dissipation", "validity")
TOLERANCE = 1e-10
AGREEMENT = 1e-10  # the contract between runtimes; measured: below 1e-12


def kernel_of(law, **settings):
    return CLibraryKernel(law.arrays(), **settings)


def torch_update(law, strain, old, statev, dt):
    with torch.no_grad():
        inputs = (torch.tensor(x) for x in (strain, old, statev, dt[:, None]))
        values = ConstitutiveLaw.of(law).update()(*inputs)
    return LocalUpdate(
        **{name: v.numpy() if v.ndim == 3 or name in ("stress", "statev_new") else v.numpy()[:, 0]
           for name, v in zip(OUTPUTS, values, strict=True)}
    )  # fmt: skip


def gap(update, expected, names=COMPARED):
    """Largest difference relative to max(|value|, column scale)."""
    worst = 0.0
    for name in names:
        value, right = (np.asarray(getattr(x, name)) for x in (update, expected))
        value, right = value.reshape(len(right), -1), right.reshape(len(right), -1)
        scale = np.maximum(np.abs(right), np.max(np.abs(right), axis=0))
        error = np.abs(value - right) / np.maximum(scale, 1e-300)
        worst = max(worst, np.max(np.where(np.isnan(error), np.inf, error)))
    return worst


def fractions_of(law, statev):
    """Fractions of all states, ``(n, n_state)``."""
    columns = []
    for first, states in law.groups:
        p = (statev + law.rest)[:, first : first + states - 1]
        columns += [(1.0 - law.rest[first : first + states - 1].sum()) - (p - law.rest[
            first : first + states - 1]).sum(1), *p.T]  # fmt: skip
    return np.stack(columns, 1)


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("case", LAWS)
def test_kernel_agrees_with_the_law_in_torch(case, build):
    for seed, reach, decades in ((0, 1.0, (-4.0, 2.0)), (1, 5.0, (-4.0, 6.0))):
        law = untrained_populations(*case, seed=seed)
        kernel, inputs = kernel_of(law, flags=BUILDS[build]), None
        inputs = population_steps(law, 203, reach=reach, decades=decades, seed=seed)
        update, expected = kernel.update(*inputs), torch_update(law, *inputs)
        assert np.all(expected.residual <= TOLERANCE)
        assert np.all(update.residual <= TOLERANCE)
        assert gap(update, expected) < AGREEMENT
        with torch.no_grad():
            values = ConstitutiveLaw.of(law).rates()(*(torch.tensor(inputs[i]) for i in (0, 2)))
        result = kernel.rates(inputs[0], inputs[2])
        digits = fractions_of(law, inputs[2]).min(1) > 1e-5  # elsewhere ln(1 − Σ p) has few
        for name, value in zip(RATES_OUTPUTS, values, strict=True):
            ours, right = getattr(result, name).reshape(value.shape), value.numpy()
            if name == "driving_force":
                ours, right = ours[digits], right[digits]
            assert np.max(np.abs(ours - right) / np.abs(right).max(0)) < AGREEMENT, name


@pytest.mark.parametrize(
    "name",
    ["rate_weight_2", "rate_bias_1", "rate_barrier", "rest", "energy_hidden_2", "ridge_weight",
     "context_bias_2", "thermal_energy"],
)  # fmt: skip
def test_a_weight_that_is_off_by_one_in_a_million_is_noticed(name):
    """Guards the test above."""
    law = untrained_populations(2, (3, 2), 1)
    inputs = population_steps(law, 203)
    expected = torch_update(law, *inputs)
    arrays = law.arrays()
    arrays[name] = np.array(arrays[name])
    arrays[name].reshape(-1)[-1 if name == "rate_barrier" else 0] *= 1.0 + 1e-6
    assert gap(CLibraryKernel(arrays).update(*inputs), expected) > AGREEMENT


def tabulated(case, seed=0):
    """A law with random weights whose rates have a table: jumps at its knots, a straight end."""
    law = untrained_populations(*case, seed=seed)
    left = np.array([0.0, 1.0, 2.5, 7.0, 20.0])
    rows = np.random.default_rng(seed).normal(size=(5, 5)) * [0.0, 1.0, 0.3, 0.03, 0.003]
    rows[:, 0], rows[-1, 3:] = left, 0.0
    return replace(law, rate_table=rows)


@pytest.mark.parametrize("build", BUILDS)
@pytest.mark.parametrize("case", [(1, (2,), 0), (3, (2, 2, 2), 0), (3, (4, 3, 2), 2)])
def test_rates_from_a_table_agree_with_the_law_in_torch(case, build):
    for seed, reach, decades in ((0, 1.0, (-4.0, 2.0)), (1, 5.0, (-4.0, 6.0))):
        law = tabulated(case, seed)
        kernel = kernel_of(law, flags=BUILDS[build])
        inputs = population_steps(law, 203, reach=reach, decades=decades, seed=seed)
        update, expected = kernel.update(*inputs), torch_update(law, *inputs)
        assert np.all(expected.residual <= TOLERANCE)
        assert np.all(update.residual <= TOLERANCE)
        assert gap(update, expected) < AGREEMENT
        with torch.no_grad():
            right = ConstitutiveLaw.of(law).rates()(*(torch.tensor(inputs[i]) for i in (0, 2)))[3]
        rate = kernel.rates(inputs[0], inputs[2]).rate
        assert np.max(np.abs(rate - right.numpy()) / np.abs(right.numpy()).max(0)) < AGREEMENT
    for place in ((0, 1), (1, 2)):
        other = law.rate_table.copy()
        other[place] += 1e-6
        assert gap(kernel_of(replace(law, rate_table=other)).update(*inputs), expected) > AGREEMENT


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rate_table": np.zeros((1, 5))}, "rise from 0"),
        ({"rate_table": np.zeros((3, 5))}, "rise from 0"),
        ({"rate_table": np.zeros((3, 4))}, "must have shape"),
        ({"rate_barrier": np.zeros(0)}, "positive rate_barrier"),
    ],
)
def test_a_table_of_rates_that_is_none_is_refused(changes, message):
    arrays = tabulated((1, (2,), 0)).arrays()
    with pytest.raises(ExportedModelError, match=message):
        CLibraryKernel(arrays | changes)
    with pytest.raises(ValueError, match=message):
        PopulationParameters.of(arrays | changes)


@pytest.mark.parametrize("layers", [0, 1, 3])
def test_any_number_of_layers(layers):
    law = untrained_populations(1, (2,), 1, widths=(7,) * layers, hidden=(5,) * layers)
    law = replace(law, rate_barrier=np.zeros(0))
    inputs = population_steps(law, 61)
    assert gap(kernel_of(law).update(*inputs), torch_update(law, *inputs)) < AGREEMENT


@pytest.mark.parametrize("case", LAWS)
def test_a_point_does_not_feel_its_neighbours(case):
    """Bit for bit: any order, any block, alone or with points whose input is refused."""
    law = untrained_populations(*case, seed=2)
    kernel, inputs = kernel_of(law), population_steps(law, 37, reach=20.0, decades=(-4.0, 6.0))
    whole = kernel.update(*inputs)
    order = np.random.default_rng(0).permutation(37)
    assert same(take(whole, order), kernel.update(*(x[order] for x in inputs)))
    for i in (0, 8, 36):
        one = slice(i, i + 1)
        assert same(take(whole, one), kernel.update(*(x[one] for x in inputs)))
    inputs[0][4], inputs[2][20] = np.nan, -2.0
    others = ~np.isin(np.arange(37), (4, 20))
    changed = kernel.update(*inputs)
    assert same(take(whole, others), take(changed, others))
    for name in ("stress", "statev_new", "tangent", "energy", "dissipation", "residual"):
        assert np.all(np.isnan(getattr(changed, name)[[4, 20]]))


@pytest.mark.parametrize("case", LAWS)
def test_result_does_not_depend_on_the_first_iterate(case):
    law = untrained_populations(*case, seed=2)
    kernel, inputs = kernel_of(law), population_steps(law, 48)
    cold = kernel.update(*inputs)
    guess = cold.statev_new + 1e-4 * np.random.default_rng(1).normal(size=cold.statev_new.shape)
    guess[0], guess[1], guess[2], guess[3] = np.nan, np.inf, 1e300, -50.0
    warm = kernel.update(*inputs, guess=guess)
    assert np.all(warm.residual <= TOLERANCE)
    assert gap(warm, cold) < AGREEMENT


@pytest.mark.parametrize("case", LAWS)
def test_without_time_the_step_is_elastic(case):
    law = untrained_populations(*case)
    strain, old, statev, dt = population_steps(law, 40)
    update = kernel_of(law).update(strain, old, statev, 0.0 * dt)
    assert np.array_equal(update.statev_new, statev)
    assert np.all(update.dissipation == 0.0)
    assert gap(update, torch_update(law, strain, old, statev, 0.0 * dt)) < 1e-13


@pytest.mark.parametrize("case", LAWS)
def test_tangent_is_the_derivative_of_the_stress(case):
    law = untrained_populations(*case, seed=4)
    kernel = kernel_of(law)
    strain, old, statev, dt = population_steps(law, 100)
    tangent = kernel.update(strain, old, statev, dt).tangent
    h = 1e-4  # the five-point rule: h⁴ of the fifth derivative, and round-off 1e-15 / h
    for j in range(case[0]):
        shift = h * np.eye(case[0])[j]
        stress = [
            kernel.update(strain + factor * shift, old, statev, dt).stress
            for factor in (-2.0, -1.0, 1.0, 2.0)
        ]
        column = (stress[0] - 8.0 * stress[1] + 8.0 * stress[2] - stress[3]) / (12.0 * h)
        assert np.abs(column - tangent[:, :, j]).max() < 1e-7 * np.abs(tangent).max()
    asymmetry = np.abs(tangent - tangent.transpose(0, 2, 1)).max() / np.abs(tangent).max()
    if case in TWO_STATES:
        assert asymmetry == 0.0
    elif case[0] > 1:
        assert asymmetry > 1e-6  # that of more states is not, and nobody may assume it


@pytest.mark.parametrize("reach", [1.0, 20.0])
@pytest.mark.parametrize("case", LAWS)
def test_energy_falls_by_what_is_dissipated_in_every_step(case, reach):
    """f(ε, α⁺) + g⁺·Δα ≤ f(ε, α_n) and g⁺·Δα ≥ 0 for any weights, over eleven decades of Δt."""
    for seed in range(3):
        law = untrained_populations(*case, seed=seed)
        kernel = kernel_of(law)
        strain, old, statev, dt = population_steps(
            law, 400, reach=reach, decades=(-4.0, 7.0), seed=seed
        )
        before = kernel.update(strain, old, statev, 0.0).energy
        after = kernel.update(strain, old, statev, dt)
        ok = after.residual <= TOLERANCE
        assert np.mean(ok) > (0.999 if reach == 1.0 else 0.99)
        slack = 1e-11 * np.abs(after.energy).max()
        assert np.all(after.dissipation[ok] >= -slack)
        assert np.all((after.energy + after.dissipation)[ok] <= before[ok] + slack)


@pytest.mark.parametrize("reach", [1.0, 30.0, 1e6])
@pytest.mark.parametrize("case", TWO_STATES)
def test_fractions_stay_within_their_bounds_from_their_ends_and_far_outside(case, reach):
    """From 0, 1, 1e-300 and beside them, by any drive and step: converged or refused."""
    law = untrained_populations(*case, seed=1)
    strain, old, statev, dt = population_steps(law, 500, reach=reach, decades=(-8.0, 8.0))
    statev[:, : len(law.groups)] = states_at_the_ends(law, statev)[:, : len(law.groups)]
    update = kernel_of(law).update(strain, old, statev, dt)
    for f in fields(update):
        assert not np.any(np.isnan(getattr(update, f.name))), f.name
    ok = update.residual <= TOLERANCE
    assert np.all(ok) or (reach == 1e6 and case[2])
    p = fractions_of(law, update.statev_new[ok])
    assert p.min() >= 0.0
    assert p.max() <= 1.0 + 1e-15
    assert np.all(np.isfinite(update.tangent[ok]))


@pytest.mark.parametrize("case", LAWS)
def test_state_outside_its_bounds_is_refused_and_round_off_is_not(case):
    law = untrained_populations(*case)
    strain, old, statev, dt = population_steps(law, 6)
    for shift, refused in ((-1e-6, True), (-1e-12, False)):
        statev[3, 0] = -law.rest[0] + shift
        update = kernel_of(law).update(strain, old, statev, dt)
        assert bool(np.isnan(update.residual[3])) == refused
        assert bool(np.isnan(update.stress[3]).all()) == refused


def test_sum_of_fractions_above_one_is_refused_where_each_is_a_fraction():
    law = untrained_populations(2, (3,))
    strain, old, statev, dt = population_steps(law, 2)
    statev[1] = np.array([0.6, 0.6]) - law.rest
    residual = kernel_of(law).update(strain, old, statev, dt).residual
    assert np.isnan(residual[1])
    assert residual[0] <= TOLERANCE


@pytest.mark.parametrize("dt", [-1e-9, 1.01e100, np.inf, np.nan])
def test_a_step_backwards_or_without_end_is_refused(dt):
    law = untrained_populations(1, (2,))
    strain, old, statev, _ = population_steps(law, 2)
    update = kernel_of(law).update(strain, old, statev, np.array([0.1, dt]))
    assert np.isnan(update.residual[1])
    assert update.residual[0] <= TOLERANCE


def driven_law(drive, rate=1.0):
    """One population, no strain in it: G = θ ``drive``, k₁₂ = ``rate`` and k₂₁ = e^−drive of it."""
    law = untrained_populations(1, (2,), widths=(), hidden=(), concave=0.0)
    return replace(
        law,
        rest=np.array([1e-3]),
        energy_quadratic=np.diag([1.0, 0.0]),
        energy_linear=np.array([0.0, -drive * law.thermal_energy]),
        rate_weight=(np.zeros((1, 3)),),
        rate_bias=(np.array([np.log(rate) - 0.5 * drive]),),
        rate_barrier=np.zeros(0),
    )


def test_population_nucleates_in_time():
    """Five steps with k₁₂Δt = 0.1 from p = 1e-3: backward Euler gives 1 − 0.999/1.1⁵ exactly."""
    kernel, zero = kernel_of(driven_law(40.0)), np.zeros((1, 1))
    state = zero
    for _ in range(5):
        state = kernel.update(zero, zero, state, 0.1).statev_new
    assert state[0, 0] + 1e-3 == pytest.approx(1.0 - 0.999 / 1.1**5, abs=1e-15)


@pytest.mark.parametrize("drive", [-30.0, -2.0, 0.0, 2.0, 30.0])
def test_a_very_long_step_reaches_the_boltzmann_distribution(drive):
    kernel, zero = kernel_of(driven_law(drive)), np.zeros((1, 1))
    update = kernel.update(zero, zero, zero, 1e60)
    assert update.residual[0] <= TOLERANCE
    p = update.statev_new[0, 0] + 1e-3
    assert p == pytest.approx(1.0 / (1.0 + np.exp(-drive)), rel=1e-13, abs=1e-18)


def test_a_root_that_gains_energy_is_refused():
    """F so concave that f is not convex, which the loader would refuse."""
    law = untrained_populations(1, (2,))
    kernel, inputs = kernel_of(law), population_steps(law, 2000)
    assert np.all(kernel.update(*inputs).residual <= TOLERANCE)
    kernel.law.weights[6] *= 15.0  # after the constant, two linear, and three of the quadratic part
    update = kernel.update(*inputs)
    refused = ~(update.residual <= TOLERANCE)
    assert 0.0 < np.mean(refused) < 1.0
    before = kernel.update(*inputs[:3], 0.0).energy
    slack = 2e-9 * (np.abs(update.energy) + np.abs(before) + np.abs(update.dissipation) + 1.0)
    assert np.all((update.energy + update.dissipation)[~refused] <= (before + slack)[~refused])


def test_fibres_with_populations_carry_a_solid():
    """The average over three directions, point by point."""
    law = untrained_populations(1, (2,))
    kernel, rng = kernel_of(law), np.random.default_rng(0)
    project, weight = rng.uniform(-1.0, 1.0, (3, 4)), np.array([0.2, 0.3, 0.5])
    new, old = rng.uniform(-1.0, 1.0, (2, 5, 4))
    statev = rng.uniform(0.05, 0.95, (5, 3, 1)) - law.rest
    solid = kernel.update_directions(project, weight, new, old, statev, 0.3)
    strains = [(x @ project.T).reshape(-1, 1) for x in (new, old)]
    fibres = kernel.update(*strains, statev.reshape(-1, 1), 0.3)
    stress = np.einsum("pk,k,ka->pa", fibres.stress.reshape(5, 3), weight, project)
    np.testing.assert_allclose(solid.stress, stress, rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(solid.statev_new.reshape(-1, 1), fibres.statev_new, atol=1e-14)
