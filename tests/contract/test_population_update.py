"""Laws with populations: structure, implicit update and bounds, for any weights and any step."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from random_populations import LAWS, TOLERANCE, TWO_STATES, inputs_of, law_of, run
from scipy.integrate import solve_ivp

from ibvonn_train.closed_form.random_law import untrained_populations
from ibvonn_train.export import ConstitutiveLaw
from ibvonn_train.export.graphs.interfaces import INPUTS, OUTPUTS
from ibvonn_train.export.runtimes.onnx_files import constitutive_model, rates_model
from ibvonn_train.export.runtimes.onnx_session import run_onnx
from ibvonn_train.export.runtimes.torchscript import script


def interior(law, n_points=50, seed=1):
    """States with every fraction above 1e-3."""
    inputs = inputs_of(law, 20 * n_points, seed=seed)
    fractions = law.kinetics.populations.fractions(torch.tensor(inputs["statev"])).numpy()
    inside = np.flatnonzero(fractions.min(1) > 1e-3)[:n_points]
    assert len(inside) > 10
    return torch.tensor(inputs["strain"][inside]), torch.tensor(inputs["statev"][inside])


@pytest.mark.parametrize("case", LAWS)
def test_derivatives_of_the_potentials_are_those_of_automatic_differentiation(case):
    law = law_of(case)
    strain, internal = (x.requires_grad_() for x in interior(law))
    value, gradient, hessian = law.energy.derivatives(strain, internal)
    slopes = torch.autograd.grad(value.sum(), (strain, internal), create_graph=True)
    slope = torch.cat(slopes, 1)
    assert torch.allclose(gradient, slope, rtol=1e-10, atol=1e-12)
    for i in range(slope.shape[1]):
        second = torch.autograd.grad(slope[:, i].sum(), (strain, internal), retain_graph=True)
        assert torch.allclose(hessian[:, i], torch.cat(second, 1), rtol=1e-9, atol=1e-10)
    frozen = [x.detach() for x in law.dissipation.prepare(strain, internal)]
    force = (-gradient[:, law.strain_size :]).detach().requires_grad_()
    phi, rate, curvature = law.dissipation.derivatives(force, *frozen)
    (by_autograd,) = torch.autograd.grad(phi.sum(), force, create_graph=True)
    assert torch.allclose(rate, by_autograd, rtol=1e-9, atol=1e-10)
    for i in range(rate.shape[1]):
        (second,) = torch.autograd.grad(by_autograd[:, i].sum(), force, retain_graph=True)
        assert torch.allclose(curvature[:, i], second, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("case", LAWS)
def test_rates_without_logarithms_are_the_slopes_of_the_dissipation_potential(case):
    """The logarithms of g and the square roots of φ cancel in α̇ = ∂φ/∂g."""
    law = law_of(case)
    strain, internal = interior(law)
    with torch.no_grad():
        _, _, force, rate = law.rates()(strain, internal)
        frozen = law.dissipation.prepare(strain, internal)
        slope = law.dissipation.derivatives(force, *frozen)[1]
    assert torch.allclose(rate, slope, rtol=1e-9, atol=1e-10 * float(rate.abs().max()))


@pytest.mark.parametrize("case", LAWS)
def test_law_is_convex_in_the_internal_variables_for_any_weights(case):
    for seed in range(3):
        law = law_of(case, seed=seed, concave=1.0)
        strain, internal = interior(law, seed=seed)
        with torch.no_grad():
            _, _, hessian = law.energy.internal(strain, internal)
        assert float(torch.linalg.eigvalsh(hessian).min()) > -1e-10


@pytest.mark.parametrize("case", LAWS)
def test_accepted_step_solves_the_implicit_equation(case):
    law = law_of(case)
    inputs = inputs_of(law, 500)
    out = run(law, inputs)
    assert np.all(out["residual"] <= TOLERANCE)
    strain, old, start = (torch.tensor(inputs[name]) for name in ("strain", "strain_old", "statev"))
    new = torch.tensor(out["statev_new"])
    with torch.no_grad():
        force = -law.kinetics.energy.internal(strain, new)[1]
        frozen = law.kinetics.prepare(old, start)
        rate = law.kinetics.rate(new, force, *frozen)
    # Round-off of p_0 = 1 − Σ p_s, times the share that leaves it in the step.
    y = law.kinetics.populations.drive(force)
    saturation = law.kinetics.rates.implicit(y)[0]
    fastest = torch.exp(frozen[0] + saturation + y.abs()).amax(1, keepdim=True).numpy()
    r = out["statev_new"] - inputs["statev"] - inputs["dt"] * rate.numpy()
    assert np.all(np.abs(r) <= 1e-12 * (1.0 + inputs["dt"] * (10.0 + fastest)))


@pytest.mark.parametrize("case", LAWS)
def test_tangent_is_the_derivative_of_the_stress(case):
    law = law_of(case)
    inputs = inputs_of(law, 200)
    tangent = run(law, inputs)["tangent"]
    assert tangent_gap(law, inputs, tangent) < 1e-7
    asymmetry = np.abs(tangent - tangent.transpose(0, 2, 1)).max() / np.abs(tangent).max()
    if case in TWO_STATES:
        assert asymmetry < 1e-13
    elif case[0] > 1:
        assert asymmetry > 1e-6  # that of more states is not, and nobody may assume it


def tangent_gap(law, inputs, tangent, h=1e-4):
    columns = []
    for j in range(law.strain_size):
        shift = h * np.eye(law.strain_size)[j]
        stress = [
            run(law, {**inputs, "strain": inputs["strain"] + factor * shift})["stress"]
            for factor in (-2.0, -1.0, 1.0, 2.0)
        ]
        columns.append((stress[0] - 8.0 * stress[1] + 8.0 * stress[2] - stress[3]) / (12.0 * h))
    return np.abs(tangent - np.stack(columns, 2)).max() / np.abs(tangent).max()


def test_tangent_without_its_internal_part_is_detected():
    """Guards the test above."""
    law = law_of(LAWS[2])
    inputs = inputs_of(law, 200)
    elastic = run(law, {**inputs, "dt": 0.0 * inputs["dt"]})["tangent"]
    assert tangent_gap(law, inputs, elastic) > 1e-2


@pytest.mark.parametrize("reach", [1.0, 20.0])
@pytest.mark.parametrize("case", LAWS)
def test_energy_falls_by_what_is_dissipated_in_every_step(case, reach):
    """f(ε, α⁺) + g⁺·Δα ≤ f(ε, α_n) and g⁺·Δα ≥ 0 for any weights, strains and Δt."""
    for seed in range(3):
        law = law_of(case, seed=seed)
        inputs = inputs_of(law, 400, reach=reach, decades=(-4.0, 7.0), seed=seed)
        out = run(law, inputs)
        assert np.mean(out["residual"] <= TOLERANCE) > (0.999 if reach == 1.0 else 0.99)
        ok = out["residual"][:, 0] <= TOLERANCE
        with torch.no_grad():
            before = law.energy.value(*(torch.tensor(inputs[k]) for k in ("strain", "statev")))
        slack = 1e-11 * np.abs(out["energy"]).max()
        assert np.all(out["dissipation"][ok] >= -slack)
        assert np.all((out["energy"] + out["dissipation"])[ok] <= before.numpy()[ok] + slack)


def test_law_beyond_the_bound_of_the_entropy_is_refused_wherever_it_gains_energy():
    """Guards the test above: F is made so concave that f is no longer convex."""
    law = untrained_populations(1, (2,))
    quadratic = law.energy_quadratic.copy()
    quadratic[1:, 1:] *= 15.0
    with pytest.raises(ValueError, match="2 θ"):
        replace(law, energy_quadratic=quadratic)
    object.__setattr__(law, "energy_quadratic", quadratic)
    out = run(ConstitutiveLaw.of(law), inputs_of(ConstitutiveLaw.of(law), 2000))
    refused = ~(out["residual"] <= TOLERANCE)
    assert 0.0 < np.mean(refused) < 1.0


@pytest.mark.parametrize("reach", [1.0, 30.0, 1e6])
@pytest.mark.parametrize("case", LAWS)
def test_fractions_stay_within_their_bounds_for_extreme_drives_and_steps(case, reach):
    law = law_of(case)
    inputs = inputs_of(law, 500, reach=reach, decades=(-8.0, 8.0))
    out = run(law, inputs)
    assert not np.any(np.isnan(out["residual"]))
    ok = out["residual"][:, 0] <= TOLERANCE
    assert np.all(ok) or reach == 1e6
    if not np.any(ok):
        return
    populations = law.kinetics.populations
    low, high = populations.bounds.T
    new = out["statev_new"][ok]
    assert np.all(new >= low)
    assert np.all(new <= high + 1e-15)
    fractions = populations.fractions(torch.tensor(new)).numpy()
    assert fractions.min() > -1e-15
    for name, value in out.items():
        assert np.all(np.isfinite(value[ok])), name


@pytest.mark.parametrize("case", LAWS)
def test_state_outside_its_bounds_is_refused_alone_and_round_off_is_not(case):
    law = law_of(case)
    inputs = inputs_of(law, 6)
    expected = run(law, inputs)
    low = law.kinetics.populations.bounds[0, 0]
    for shift, refused in ((-1e-6, True), (-1e-12, False)):
        moved = {**inputs, "statev": inputs["statev"].copy()}
        moved["statev"][3, 0] = low + shift
        out = run(law, moved)
        assert bool(np.isnan(out["residual"][3, 0])) == refused
        assert bool(np.isnan(out["stress"][3]).all()) == refused
        others = np.arange(6) != 3
        for name, value in out.items():
            assert np.array_equal(value[others], expected[name][others]), name


def test_sum_of_fractions_above_one_is_refused_where_each_is_a_fraction():
    law = law_of((2, (3,), 0))
    inputs = inputs_of(law, 2)
    inputs["statev"][1] = np.array([0.6, 0.6]) - law.parameters.rest
    residual = run(law, inputs)["residual"][:, 0]
    assert np.isnan(residual[1])
    assert residual[0] <= TOLERANCE


@pytest.mark.parametrize("case", LAWS)
def test_step_of_no_duration_is_elastic(case):
    law = law_of(case)
    inputs = inputs_of(law, 50)
    inputs["dt"][:] = 0.0
    out = run(law, inputs)
    np.testing.assert_array_equal(out["statev_new"], inputs["statev"])
    assert np.all(out["dissipation"] == 0.0)
    strain, state = torch.tensor(inputs["strain"]), torch.tensor(inputs["statev"])
    m = law.strain_size
    with torch.no_grad():
        _, gradient, hessian = law.energy.derivatives(strain, state)
    np.testing.assert_array_equal(out["stress"], gradient[:, :m].numpy())
    np.testing.assert_array_equal(out["tangent"], hessian[:, :m, :m].numpy())


@pytest.mark.parametrize("case", [(1, (2,), 1), (2, (3,), 0)])
def test_steps_converge_to_the_law_in_continuous_time_with_first_order(case):
    law = law_of(case)
    rng = np.random.default_rng(4)
    strain = rng.uniform(-1.0, 1.0, (1, law.strain_size))
    start = inputs_of(law, 3)["statev"][1:2]
    # Nucleation: almost none in the last state, so that √(p_i p_j) changes by decades.
    last = law.parameters.groups[0, 1] - 2
    start[0, last] = -law.parameters.rest[last] + 1e-3
    rates = law.rates()

    def slope(_, alpha):
        with torch.no_grad():
            return rates(torch.tensor(strain), torch.tensor(alpha[None]))[3].numpy()[0]

    speed = np.abs(slope(0.0, start[0])).max()
    duration = 0.2 / speed
    exact = solve_ivp(slope, (0.0, duration), start[0], rtol=1e-11, atol=1e-13, method="LSODA")
    errors = []
    for count in (80, 160, 320):
        state = start
        for _ in range(count):
            dt = np.full((1, 1), duration / count)
            state = run(law, dict(zip(INPUTS, (strain, strain, state, dt), strict=True)))[
                "statev_new"
            ]
        errors.append(np.abs(state[0] - exact.y[:, -1]).max())
    assert 1e-6 < errors[0] < 0.1
    assert np.log2(errors[0] / errors[1]) == pytest.approx(1.0, abs=0.15)
    assert np.log2(errors[1] / errors[2]) == pytest.approx(1.0, abs=0.1)


def driven_law(rate):
    """One population of two states, no strain in it, k₁₂ = ``rate`` and k₂₁ = e⁻⁴⁰ of that."""
    law = untrained_populations(1, (2,), widths=(), hidden=(), concave=0.0)
    theta, drive = law.thermal_energy, 40.0
    return replace(
        law,
        rest=np.array([1e-3]),
        energy_quadratic=np.diag([1.0, 0.0]),
        energy_linear=np.array([0.0, -drive * theta]),
        rate_weight=(np.zeros((1, 3)),),
        rate_bias=(np.array([np.log(rate) - 0.5 * drive]),),
        rate_barrier=np.zeros(0),
    )


def test_population_nucleates_in_time():
    """Five steps with k₁₂Δt = 0.1 from p = 1e-3: exactly 1 − 0.999 e^−½ = 0.394.

    Backward Euler gives 1 − 0.999/1.1⁵ = 0.380. With √(p(1 − p)) of the start of every step, as
    the negative control takes it, the same steps give 0.27: the population nucleates late.
    """
    law = ConstitutiveLaw.of(driven_law(1.0))
    state, zero = np.zeros((1, 1)), np.zeros((1, 1))
    for _ in range(5):
        state = run(law, dict(zip(INPUTS, (zero, zero, state, zero + 0.1), strict=True)))[
            "statev_new"
        ]
    result = float(state[0, 0]) + 1e-3
    assert result == pytest.approx(1.0 - 0.999 / 1.1**5, abs=1e-12)
    assert result == pytest.approx(1.0 - 0.999 * np.exp(-0.5), abs=0.016)
    frozen = ConstitutiveLaw(
        law.energy, law.dissipation, 1, law.internal_scale, law.envelope
    )  # the general update: all of the state of φ frozen
    state = np.zeros((1, 1))
    for _ in range(5):
        state = run(frozen, dict(zip(INPUTS, (zero, zero, state, zero + 0.1), strict=True)))[
            "statev_new"
        ]
    assert float(state[0, 0]) + 1e-3 == pytest.approx(0.27, abs=0.01)


@pytest.mark.parametrize("case", LAWS)
def test_onnx_and_torchscript_take_the_same_steps(case):
    law = law_of(case)
    inputs = inputs_of(law, 300, decades=(-4.0, 4.0))
    inputs["statev"][5, 0] = -2.0  # no state
    expected = run(law, inputs)
    result = run_onnx(constitutive_model(law.update()).SerializeToString(), inputs)
    with torch.no_grad():
        values = script(law.update())(*(torch.tensor(inputs[name]) for name in INPUTS))
    scripted = dict(zip(OUTPUTS, (value.numpy() for value in values), strict=True))
    for name, value in expected.items():
        if name == "residual":
            assert np.array_equal(value <= TOLERANCE, result[name] <= TOLERANCE)
            continue
        scale = np.nanmax(np.abs(value))
        np.testing.assert_allclose(result[name], value, rtol=1e-11, atol=1e-11 * scale)
        np.testing.assert_allclose(scripted[name], value, rtol=1e-12, atol=1e-12 * scale)
    points = {key: inputs[key][:5] for key in ("strain", "statev")}
    graph = rates_model(law.rates(), law.internal_size).SerializeToString()
    with torch.no_grad():
        rates = law.rates()(*(torch.tensor(value) for value in points.values()))
    for value, reference in zip(run_onnx(graph, points).values(), rates, strict=True):
        np.testing.assert_allclose(value, reference.numpy(), rtol=1e-11, atol=1e-12)
