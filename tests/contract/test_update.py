"""The implicit update: right where it accepts, and never wrong without saying so."""

import numpy as np
import pytest
import torch

from ibvonn_train.closed_form.linear_solids import standard_linear_solid, trap_law
from ibvonn_train.closed_form.random_law import untrained_law
from ibvonn_train.export import ConstitutiveLaw, LawParameters
from ibvonn_train.export.graphs import newton as newton_module
from ibvonn_train.export.graphs import update as update_module
from ibvonn_train.export.graphs.interfaces import INPUTS, OUTPUTS
from ibvonn_train.export.graphs.newton import initial_state
from ibvonn_train.export.reference_points import random_states

SIZES = [(1, 1), (1, 2), (6, 2), (6, 6)]
TOLERANCE = 1e-10


def steps(law, n_points, *, reach=1.0, decades=(-4.0, 2.0), seed=5):
    """Random states in the envelope times ``reach``, steps log-uniform over ``decades``."""
    span = 10.0 ** np.array(decades) * np.array([1e2, 1e-2])
    generator = np.random.default_rng(seed)
    return random_states(law.envelope, law.strain_size, span, n_points, generator, reach=reach)


def run(law, inputs):
    update = (
        law
        if isinstance(law, update_module.ConstitutiveUpdate)
        else ConstitutiveLaw.of(law).update()
    )
    with torch.no_grad():
        values = update(*(torch.tensor(inputs[name]) for name in INPUTS))
    return dict(zip(OUTPUTS, (value.numpy() for value in values), strict=True))


def potentials_of(law, inputs, out):
    """g⁺, φ and α̇ at the end of the step, and f before it."""
    law = ConstitutiveLaw.of(law)
    strain, old, start = (torch.tensor(inputs[k]) for k in ("strain", "strain_old", "statev"))
    with torch.no_grad():
        new = torch.tensor(out["statev_new"])
        _, gradient, _ = law.energy.internal(strain, new)
        frozen = law.dissipation.prepare(old, start)
        phi, rate, _ = law.dissipation.derivatives(-gradient, *frozen)
        before = law.energy.value(strain, start)
    return [x.numpy() for x in (-gradient, phi, rate, before)]


@pytest.mark.parametrize(("m", "n"), SIZES)
def test_accepted_step_solves_the_implicit_equation(m, n):
    law = untrained_law(m, n)
    inputs = steps(law, 500)
    out = run(law, inputs)
    assert np.all(out["residual"] <= TOLERANCE)
    _, _, rate, _ = potentials_of(law, inputs, out)
    change = out["statev_new"] - inputs["statev"]
    r = np.abs(change - inputs["dt"] * rate) / law.internal_scale
    # Round-off of Δt ∂φ/∂g: forces of order ten carry 1e-15, mobilities are of order ten.
    assert np.all(r <= 1e-13 * (1.0 + 10.0 * inputs["dt"]))


@pytest.mark.parametrize(("m", "n"), SIZES)
def test_tangent_is_the_derivative_of_the_stress_and_symmetric(m, n):
    law = untrained_law(m, n)
    inputs = steps(law, 200)
    gap, asymmetry = tangent_error(ConstitutiveLaw.of(law).update(), inputs)
    assert gap < 1e-7
    assert asymmetry < 1e-14


def without_internal_part(_, right):
    return [0.0 * right[:, :1, :]]


def without_implicit_factor(dt, lower, *_):
    return torch.eye(2, dtype=torch.float64) + 0.0 * dt * lower


@pytest.mark.parametrize(
    ("function", "mutant"),
    [("solve_lower", without_internal_part), ("inner_matrix", without_implicit_factor)],
)
def test_tangent_that_lacks_a_part_is_detected(monkeypatch, function, mutant):
    """Guards the test above."""
    monkeypatch.setattr(update_module, function, mutant)
    law = untrained_law(1, 2)
    gap, _ = tangent_error(ConstitutiveLaw.of(law).update(), steps(law, 200))
    assert gap > 1e-3


def tangent_error(update, inputs, h=1e-5):
    """Largest |C − central difference| over the largest tangent; and largest |C − Cᵀ|.

    The difference itself is wrong by h² σ‴/6 ~ 1e-10 and by round-off 1e-16/h ~ 1e-11.
    """
    tangent = run(update, inputs)["tangent"]
    columns = []
    for j in range(tangent.shape[2]):
        shift = np.zeros(tangent.shape[2])
        shift[j] = h
        up = run(update, {**inputs, "strain": inputs["strain"] + shift})["stress"]
        down = run(update, {**inputs, "strain": inputs["strain"] - shift})["stress"]
        columns.append((up - down) / (2.0 * h))
    size = np.abs(tangent).max()
    gap = np.abs(tangent - np.stack(columns, 2)).max() / size
    return gap, np.abs(tangent - tangent.transpose(0, 2, 1)).max() / size


@pytest.mark.parametrize("reach", [1.0, 10.0])
@pytest.mark.parametrize(("m", "n"), SIZES)
def test_free_energy_and_dissipation_never_exceed_the_energy_before(m, n, reach):
    """f(ε, α⁺) + Δt (g·α̇ − φ) ≤ f(ε, α_n), and g·Δα ≥ 0, for any Δt and any weights."""
    law = untrained_law(m, n)
    inputs = steps(law, 500, reach=reach, decades=(-4.0, 4.0))
    out = run(law, inputs)
    ok = out["residual"] <= TOLERANCE
    assert np.mean(ok) > 0.99
    force, phi, _, before = potentials_of(law, inputs, out)
    work = np.sum(force * (out["statev_new"] - inputs["statev"]), 1, keepdims=True)
    np.testing.assert_allclose(
        out["dissipation"][ok], work[ok], rtol=0, atol=1e-12 * abs(work).max()
    )
    slack = 1e-12 * np.abs(before).max()
    assert np.all((out["energy"] + work - inputs["dt"] * phi)[ok] <= before[ok] + slack)
    assert np.all(out["dissipation"][ok] >= -slack)


def test_law_that_is_not_convex_is_refused_wherever_it_gains_energy():
    """No accepted step may gain energy, even where somebody forced a concave part into f."""
    law = untrained_law(1, 2)
    object.__setattr__(law, "energy_output", -20.0 * law.energy_output)
    inputs = steps(law, 2000, reach=3.0, decades=(-2.0, 3.0))
    out = run(law, inputs)
    ok = (out["residual"] <= TOLERANCE)[:, 0]
    assert 0.0 < np.mean(~ok) < 1.0
    _, phi, _, before = potentials_of(law, inputs, out)
    gain = out["energy"] + out["dissipation"] - inputs["dt"] * phi - before
    assert np.all(gain[ok] <= 1e-8 * np.abs(before).max())


def test_newton_converges_quadratically():
    orders = newton_orders(ConstitutiveLaw.of(untrained_law(1, 2)).update())
    assert np.median(orders) > 1.8


def test_newton_with_a_wrong_jacobian_converges_linearly(monkeypatch):
    """Guards the test above: with a tenth of f's curvature missing the order drops."""
    original = newton_module.inner_matrix
    monkeypatch.setattr(
        newton_module, "inner_matrix", lambda dt, a, b, f, size: original(dt, a, b, 0.9 * f, size)
    )
    assert np.median(newton_orders(ConstitutiveLaw.of(untrained_law(1, 2)).update())) < 1.4


def newton_orders(update):
    """Order of convergence, ln(e₂/e₁) / ln(e₁/e₀), of the last three errors above round-off."""
    inputs = steps(untrained_law(1, 2), 300, decades=(-1.0, 1.0))
    with torch.no_grad():
        prepared = update.prepare(*(torch.tensor(inputs[name]) for name in INPUTS))
        state = initial_state(prepared[1])
        errors = []
        for _ in range(30):
            state = update.newton(*prepared[:5], *state)
            errors.append(state[-3][:, 0].numpy())
    orders = []
    for history in np.array(errors).T:
        e = np.unique(history[history > 1e-14])[::-1]  # a point that rests repeats its error
        if len(e) >= 3 and e[-2] < 0.1:
            orders.append(np.log(e[-1] / e[-2]) / np.log(e[-2] / e[-3]))
    assert len(orders) > 50
    return np.array(orders)


@pytest.mark.parametrize(("curvature", "verdict"), [(1.0, 0.0), (-1.0, np.inf)])
def test_state_that_violates_the_energy_inequality_is_refused(curvature, verdict):
    """f(ε, α⁺) + g·Δα ≤ f(ε, α_n) + Δt φ says that f is convex along the step; handed to the last
    part of the update as if Newton had found it, a step over a concave part is refused.
    """
    law = trap_law()
    object.__setattr__(law, "energy_quadratic", curvature * law.energy_quadratic)
    update = ConstitutiveLaw.of(law).update()
    inputs = steps(law, 50, decades=(-4.0, -3.0))
    with torch.no_grad():
        prepared = update.prepare(*(torch.tensor(inputs[name]) for name in INPUTS))
        converged = torch.zeros(50, 1, dtype=torch.float64)
        out = update.finish(*prepared, prepared[1] + 1.0, converged)
    assert bool((out[OUTPUTS.index("residual")] == verdict).all())


@pytest.mark.parametrize("reach", [1.0, 1e3, 1e12])
@pytest.mark.parametrize(("m", "n"), SIZES)
def test_extreme_steps_and_strains_converge_or_are_refused(m, n, reach):
    law = untrained_law(m, n)
    inputs = steps(law, 200, reach=reach, decades=(-8.0, 8.0))
    out = run(law, inputs)
    assert not np.any(np.isnan(out["residual"]))
    ok = (out["residual"] <= TOLERANCE)[:, 0]
    for name, value in out.items():
        assert np.all(np.isfinite(value[ok])), name
    if reach == 1.0:
        assert np.all(ok)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", INPUTS)
def test_point_with_input_that_is_not_finite_is_refused_alone(name, bad):
    law = untrained_law(6, 2)
    inputs = steps(law, 5)
    expected = run(law, inputs)
    inputs[name] = inputs[name].copy()
    inputs[name][2, -1] = bad
    out = run(law, inputs)
    assert np.isnan(out["residual"][2])
    assert np.all(np.isnan(out["stress"][2]))
    others = np.arange(5) != 2
    for key, value in out.items():
        assert np.array_equal(value[others], expected[key][others]), key


def test_negative_time_step_is_refused():
    inputs = steps(trap_law(), 3)
    inputs["dt"][1] = -1e-3
    residual = run(trap_law(), inputs)["residual"][:, 0]
    assert np.isnan(residual[1])
    assert np.all(residual[[0, 2]] <= TOLERANCE)


@pytest.mark.parametrize(("m", "n"), SIZES)
def test_step_of_no_duration_is_elastic(m, n):
    law = untrained_law(m, n)
    inputs = steps(law, 50)
    inputs["dt"][:] = 0.0
    out = run(law, inputs)
    assert np.array_equal(out["statev_new"], inputs["statev"])
    assert np.all(out["dissipation"] == 0.0)
    strain, state = torch.tensor(inputs["strain"]), torch.tensor(inputs["statev"])
    energy = ConstitutiveLaw.of(law).energy
    with torch.no_grad():
        _, gradient, hessian = energy.derivatives(strain, state)
    np.testing.assert_array_equal(out["stress"], gradient[:, :m].numpy())
    np.testing.assert_array_equal(out["tangent"], hessian[:, :m, :m].numpy())


def test_trap_steps_are_the_closed_form_of_backward_euler():
    k, friction = 1.0, 1.0
    inputs = steps(trap_law(k, friction), 100)
    out = run(trap_law(k, friction), inputs)
    strain, mean, dt = inputs["strain"], inputs["statev"], inputs["dt"]
    expected = (mean + dt * k * strain / friction) / (1.0 + 2.0 * k * dt / friction)
    np.testing.assert_allclose(out["statev_new"], expected, rtol=0, atol=1e-13)
    np.testing.assert_allclose(out["stress"], k * (strain - expected), rtol=0, atol=1e-13)
    tangent = k - k * k * dt / friction / (1.0 + 2.0 * k * dt / friction)
    np.testing.assert_allclose(out["tangent"][:, :, 0], tangent, rtol=1e-13)


def test_solid_relaxes_in_the_long_run_to_its_equilibrium_moduli():
    law = standard_linear_solid(bulk=(2.0, 1.0), shear=(0.7, 0.4))
    inputs = steps(law, 20)
    inputs["dt"][:] = 1e8
    strain = inputs["strain"]
    volume = strain[:, :3].mean(1, keepdims=True) * np.array([1.0, 1.0, 1.0, 0.0, 0.0, 0.0])
    expected = 3.0 * 2.0 * volume + 2.0 * 0.7 * (strain - volume)
    np.testing.assert_allclose(run(law, inputs)["stress"], expected, rtol=0, atol=1e-8)


@pytest.mark.parametrize("component", range(3))
def test_validity_is_the_excursion_in_half_widths(component):
    law = untrained_law(1, 2)
    envelope = np.array([[-1.0, 3.0], [0.0, 1.0], [-2.0, -1.0]])
    law = LawParameters(**{**vars(law), "envelope": envelope})
    state = envelope.mean(1)
    state[component] = envelope[component, 1] + 0.35 * np.ptp(envelope[component])
    inputs = {
        "strain": state[None, :1],
        "strain_old": state[None, :1],
        "statev": state[None, 1:],
        "dt": np.zeros((1, 1)),
    }
    assert run(law, inputs)["validity"].item() == pytest.approx(0.7, rel=1e-12)
    inside = {**inputs, "strain": envelope[None, 0, :1], "statev": envelope[None, 1:, 1]}
    assert run(law, inside)["validity"].item() == 0.0
