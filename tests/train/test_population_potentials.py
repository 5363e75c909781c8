"""Potentials of populations: derivatives, convexity, the second law, detailed balance, symmetry."""

from __future__ import annotations

import math

import pytest
import torch
from random_potentials import random_potentials, random_states
from torch import Tensor

from ibvonn_train.law.internal_variables import InternalVariables
from ibvonn_train.law.population_potentials import PopulationPotentials, log_rate
from ibvonn_train.rollouts.drives import Record, StrainDrive
from ibvonn_train.rollouts.material_point import exponential

KINDS = [
    (InternalVariables((2,)), 1),
    (InternalVariables((3,)), 1),
    (InternalVariables((2,), 1), 2),
    (InternalVariables((3, 2), 2), 3),
    (InternalVariables((2,), 1, classes=3), 3),
]
EVERY = pytest.mark.parametrize(("variables", "strain_size"), KINDS)


@EVERY
def test_stress_force_and_hessian_are_derivatives_of_the_free_energy(
    variables: InternalVariables, strain_size: int
) -> None:
    law = random_potentials(variables, strain_size=strain_size)
    strain, internal = random_states(variables, strain_size, 6)
    z = torch.cat([strain, internal], -1).requires_grad_(True)

    def energy(z: Tensor) -> Tensor:
        value: Tensor = law(z[:, :strain_size], z[:, strain_size:]).energy
        return value

    (gradient,) = torch.autograd.grad(energy(z).sum(), z, create_graph=True)
    result = law(strain, internal)
    torch.testing.assert_close(result.stress, gradient[:, :strain_size].detach())
    torch.testing.assert_close(result.driving_force, -gradient[:, strain_size:].detach())
    rows = [torch.autograd.grad(g.sum(), z, retain_graph=True)[0] for g in gradient.unbind(-1)]
    torch.testing.assert_close(law.energy_hessian(strain, internal), torch.stack(rows, -2))


@EVERY
def test_rate_and_mobility_are_derivatives_of_the_dual_dissipation(
    variables: InternalVariables, strain_size: int
) -> None:
    """α̇ = ∂φ/∂g at the law's own g: the logarithms of the mixing entropy cancel in it."""
    law = random_potentials(variables, strain_size=strain_size)
    state = random_states(variables, strain_size, 6)
    result = law(*state)
    g = result.driving_force.clone().requires_grad_(True)
    (slope,) = torch.autograd.grad(law.dual_dissipation(g, *state).sum(), g, create_graph=True)
    torch.testing.assert_close(result.rate, slope.detach(), rtol=1e-9, atol=1e-12)
    rows = [torch.autograd.grad(s.sum(), g, retain_graph=True)[0] for s in slope.unbind(-1)]
    torch.testing.assert_close(law.mobility(g.detach(), *state), torch.stack(rows, -2))
    torch.testing.assert_close(law.rates_function()(*state)[1], result.rate)


@EVERY
def test_linearised_law_has_the_derivatives_of_the_rate_with_frozen_prefactors(
    variables: InternalVariables, strain_size: int
) -> None:
    """Ln k' and the context of the means stay, √(p_i p_j) moves: checked against differences."""
    law = random_potentials(variables, strain_size=strain_size)
    strain, internal = random_states(variables, strain_size, 4)
    result = law.linearised_function()(strain, internal)
    whole = law(strain, internal)
    torch.testing.assert_close(result.stress, whole.stress)
    torch.testing.assert_close(result.rate, whole.rate)
    frozen = law.prepared()
    z = torch.cat([strain, internal], -1)
    hessian = law.energy_hessian(strain, internal)
    torch.testing.assert_close(result.stiffness, hessian[:, :strain_size, :strain_size])
    torch.testing.assert_close(result.coupling, hessian[:, :strain_size, strain_size:])

    def rate(at_strain: Tensor, at_internal: Tensor) -> Tensor:
        """Flux of every pair with the ln k' of the original state."""
        forces = smooth_force(law, at_strain, at_internal)
        pairs = forces @ law.jumps.incidence.T / law.thermal_energy
        old = smooth_force(law, strain, internal)
        k = torch.exp(log_rate(frozen, z, old @ law.jumps.incidence.T / law.thermal_energy))
        p = at_internal @ law.jumps.first.T + law.jumps.first_offset
        q = at_internal @ law.jumps.second.T + law.jumps.second_offset
        flux = k * (torch.exp(0.5 * pairs) * q - torch.exp(-0.5 * pairs) * p)
        value = flux @ law.jumps.incidence
        if law.means is not None:
            coefficients = law.means.coefficients(frozen.context, z)
            value = value + law.means.rate(coefficients, forces, law.energy_scale)
        return value

    h = 1e-6
    for i in range(strain_size):
        step = torch.zeros_like(strain)
        step[:, i] = h
        slope = (rate(strain + step, internal) - rate(strain - step, internal)) / (2.0 * h)
        torch.testing.assert_close(result.rate_by_strain[..., i], slope, rtol=1e-5, atol=1e-7)
    for i in range(variables.size):
        step = torch.zeros_like(internal)
        step[:, i] = h
        slope = (rate(strain, internal + step) - rate(strain, internal - step)) / (2.0 * h)
        torch.testing.assert_close(result.rate_by_internal[..., i], slope, rtol=1e-5, atol=1e-7)


def smooth_force(law: PopulationPotentials, strain: Tensor, internal: Tensor) -> Tensor:
    """−∂F/∂α, that of f without the mixing entropy."""
    mixing = law.thermal_energy * (torch.log(law.fractions(internal)) @ law.fraction_matrix)
    force: Tensor = law(strain, internal).driving_force + mixing
    return force


@pytest.mark.parametrize("seed", range(6))
@EVERY
def test_the_second_law_holds_for_any_weights(
    variables: InternalVariables, strain_size: int, seed: int
) -> None:
    """g·α̇ ≥ φ ≥ 0, and the dissipation is not zero by accident."""
    law = random_potentials(variables, strain_size=strain_size, seed=seed, strength=1.0)
    state = random_states(variables, strain_size, 200, seed=seed + 50)
    result = law(*state)
    power = (result.driving_force * result.rate).sum(-1)
    value = law.dual_dissipation(result.driving_force, *state)
    assert (value >= 0.0).all()
    assert (power >= value * (1.0 - 1e-12)).all()
    assert (power > 0.0).double().mean() > 0.99


def test_the_second_law_fails_where_elements_jump_uphill() -> None:
    """Guards the test above: the reverse flux dissipates less than nothing."""
    variables, strain_size = KINDS[1]
    law = random_potentials(variables, strain_size=strain_size)
    result = law(*random_states(variables, strain_size, 50))
    assert (-(result.driving_force * result.rate).sum(-1)).min() < 0.0


@pytest.mark.parametrize("seed", range(4))
@EVERY
def test_free_energy_is_convex_in_the_internal_variables_for_any_weights(
    variables: InternalVariables, strain_size: int, seed: int
) -> None:
    law = random_potentials(variables, strain_size=strain_size, seed=seed, strength=1.0)
    law.smooth.concavity.fill_(8.0)  # as concave as the smooth part can be
    law.smooth.internal_root.mul_(0.0)
    state = random_states(variables, strain_size, 100, seed=seed)
    hessian = law.energy_hessian(*state)[:, strain_size:, strain_size:]
    for first, states in variables.groups:
        own = slice(first, first + states - 1)
        assert torch.linalg.eigvalsh(hessian[:, own, own]).min() > 0.0
    assert torch.linalg.eigvalsh(hessian).min() > -1e-12


def test_the_smooth_part_alone_is_concave_there() -> None:
    """Guards the test above: what makes f convex is the mixing entropy."""
    variables, strain_size = KINDS[0]
    law = random_potentials(variables, strain_size=strain_size)
    law.smooth.concavity.fill_(8.0)
    law.smooth.internal_root.mul_(0.0)
    law.smooth.layers.output_raw.fill_(-40.0)
    strain, _ = random_states(variables, strain_size, 20)
    half = torch.full((20, 1), 0.5, dtype=torch.float64)
    curvature = law.energy_hessian(strain, half)[:, 1, 1]
    smooth = curvature - 4.0 * law.thermal_energy
    assert (smooth < -3.5 * law.thermal_energy).all()


def test_detailed_balance_nothing_moves_where_no_force_is() -> None:
    """At rest the net flux of every pair vanishes, not only their sum."""
    variables, strain_size = InternalVariables((3,)), 1
    law = random_potentials(variables, strain_size=strain_size)
    strain = torch.tensor([[0.4]], dtype=torch.float64)
    internal = torch.tensor([[0.3, 0.3]], dtype=torch.float64)
    for _ in range(60):  # Newton's method on the convex f, within the simplex
        force = law(strain, internal).driving_force
        curvature = law.energy_hessian(strain, internal)[:, 1:, 1:]
        step = torch.linalg.solve(curvature, force)
        while not (law.fractions(internal + step) > 0.0).all():
            step = 0.5 * step
        internal = internal + step
    rest = law(strain, internal)
    assert rest.driving_force.abs().max() < 1e-12
    assert rest.rate.abs().max() < 1e-12
    weights, z = law.prepared(), torch.cat([strain, internal], -1)
    smooth = smooth_force(law, strain, internal)
    forward, backward, first, second = law._jump_rates(weights, z, smooth, internal)
    assert (forward * second - backward * first).abs().max() < 1e-12
    assert (forward * second).min() > 1e-6  # elements do jump


def test_a_class_permutation_with_its_strain_leaves_the_law_as_it_is() -> None:
    """Bonds at 0, 60 and 120 degrees: a rotation by 60 degrees moves each to the next."""
    angle = torch.tensor([0.0, 60.0, 120.0], dtype=torch.float64) * math.pi / 180.0
    n = torch.stack([angle.cos(), angle.sin()], -1)
    root = math.sqrt(2.0)
    basis = torch.stack([n[:, 0] ** 2, n[:, 1] ** 2, root * n[:, 0] * n[:, 1]], -1)[:, None]
    turn = math.pi / 3.0
    c, s = math.cos(turn), math.sin(turn)
    rotation = torch.tensor(
        [
            [c * c, s * s, -root * s * c],
            [s * s, c * c, root * s * c],
            [root * s * c, -root * s * c, c * c - s * s],
        ],
        dtype=torch.float64,
    )
    variables = InternalVariables((2,), 1, classes=3)
    law = random_potentials(
        variables, strain_size=3, basis=basis, permutations=[(1, 2, 0)], strength=0.3
    )
    law.strain_scale.copy_(torch.tensor([0.4, 0.5, 0.9]))
    law.strain_centre.copy_(torch.tensor([0.1, -0.3, 0.2]))
    strain, internal = random_states(variables, 3, 8)
    turned = strain @ rotation.T
    of_class = internal.reshape(-1, 3, variables.per_class)
    moved = of_class[:, [2, 0, 1]].reshape(internal.shape)  # class c becomes class c + 1
    # The features of class c + 1 in the turned strain are those of class c before.
    torch.testing.assert_close(basis[1, 0] @ turned.T, basis[0, 0] @ strain.T)
    one, other = law(strain, internal), law(turned, moved)
    close = {"rtol": 1e-12, "atol": 1e-12}
    torch.testing.assert_close(other.energy, one.energy, **close)
    torch.testing.assert_close(other.stress, one.stress @ rotation.T, **close)
    expected = one.rate.reshape(of_class.shape)[:, [2, 0, 1]].reshape(internal.shape)
    torch.testing.assert_close(other.rate, expected, **close)
    free = random_potentials(variables, strain_size=3, basis=basis, strength=0.3)
    away = free(turned, moved).energy - free(strain, internal).energy
    assert away.abs().max() > 1e-2  # guards the lines above


def test_a_linear_stress_is_the_start_of_the_energy() -> None:
    variables = InternalVariables((2,), 1)
    law = random_potentials(variables, strain_size=2, strength=0.0)
    strain, internal = random_states(variables, 2, 400)
    stiffness = torch.tensor([[2.0, 0.3], [0.3, 1.1]], dtype=torch.float64)
    coupling = torch.tensor([[-0.7, 0.2], [0.4, -0.5]], dtype=torch.float64)
    stress = strain @ stiffness + internal @ coupling.T + torch.tensor([0.2, -0.1])
    law.smooth.start_from_stress(strain, internal, stress)
    law.smooth.layers.output_raw.fill_(-40.0)
    torch.testing.assert_close(law(strain, internal).stress, stress, rtol=1e-9, atol=1e-9)
    relaxed = law.energy_hessian(strain[:1], internal[:1])[0]
    torch.testing.assert_close(relaxed[:2, :2], stiffness, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("curved", [0.0, 0.1])
def test_a_stress_that_is_linear_up_to_its_noise_is_held(curved: float) -> None:
    """Whatever else is trained, moduli and ∂σ/∂α stay; a stress that is not linear is not held."""
    law = random_potentials(InternalVariables((2,)), strength=0.0).requires_grad_(True)
    strain, internal = random_states(InternalVariables((2,)), 1, 400)
    noise = 0.01 * torch.randn(400, 1, dtype=torch.float64, generator=torch.manual_seed(2))
    exact = 2.0 * strain - 0.7 * internal + 0.2 + curved * strain.square()
    law.smooth.start_from_stress(strain, internal, exact)
    error = torch.full_like(noise, 0.011)
    assert law.smooth.hold_stress(strain, internal, exact + noise, error) is (curved == 0.0)
    before = law(strain, internal)
    optimiser = torch.optim.LBFGS(law.parameters(), max_iter=20)

    def closure() -> Tensor:
        optimiser.zero_grad()
        values = law(strain, internal)
        loss = (values.rate - 1.0).square().mean() + (values.stress - 5.0).square().mean()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    after = law(strain, internal)
    assert (after.rate - before.rate).abs().max() > 1e-3
    moved = float((after.stress - before.stress).detach().abs().max())
    if curved:
        assert moved > 1e-3
    else:
        assert moved < 1e-12
        assert (after.stress - exact).square().mean().sqrt() < 2e-3


@pytest.mark.parametrize("variables", [InternalVariables((2,)), InternalVariables((3,), means=1)])
def test_roll_outs_under_a_strain_have_the_rates_and_stresses_of_the_law(
    variables: InternalVariables,
) -> None:
    law = random_potentials(variables)
    strain, internal = torch.full((5, 1), 0.4).double(), torch.full((5, variables.size), 0.2)
    whole = law.linearised_function()(strain, internal.double())
    part = law.relaxation_function()(strain, internal.double())
    torch.testing.assert_close(part.rate, whole.rate, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(
        part.rate_by_internal, whole.rate_by_internal, rtol=1e-12, atol=1e-14
    )
    record = Record(torch.tensor([0.0, 0.5, 1.0]).double(), torch.full((5, 3, 1, 1), 0.4).double())
    run = StrainDrive().roll_out(
        law.rates_function(), record, internal.double()[:, None], implicit=law
    )["controlled"]
    exact = law(record.strain, run.internal).stress
    torch.testing.assert_close(run.stress, exact, rtol=1e-12, atol=1e-14)
    assert (run.internal[:, 2] - run.internal[:, 0]).abs().max() > 1e-3


@pytest.mark.parametrize("step", [0.01, 1.0, 1e4])
def test_two_states_keep_fractions_between_zero_and_one_in_steps_of_any_length(
    step: float,
) -> None:
    variables = InternalVariables((2,))
    law = random_potentials(variables)
    time = step * torch.arange(6, dtype=torch.float64)
    generator = torch.Generator().manual_seed(3)
    strain = torch.randn(50, 6, 1, dtype=torch.float64, generator=generator)
    start = torch.linspace(1e-6, 1.0 - 1e-6, 50, dtype=torch.float64)[:, None]
    path = exponential(law, time, strain, start)
    assert (path > 0.0).all()
    assert (path < 1.0).all()


def test_fractions_beyond_their_bounds_count_as_on_them_in_steps() -> None:
    """Else mobilities are negative there, and the next step leads further away."""
    variables = InternalVariables((3,), means=1)
    law = random_potentials(variables)
    strain = torch.full((4, 1), 0.3, dtype=torch.float64)
    inside = [[0.0, 0.4, 7.0], [0.25, 0.75, -7.0], [0.2, 0.3, 0.0], [0.0, 1.0, 1.0]]
    beyond = [[-0.5, 0.4, 7.0], [1.0, 3.0, -7.0], [0.2, 0.3, 0.0], [-1.0, 1.5, 1.0]]
    for function in (law.linearised_function(), law.relaxation_function()):
        one, other = (
            function(strain, torch.tensor(rows, dtype=torch.float64)) for rows in (inside, beyond)
        )
        for value, expected in zip(other, one, strict=True):
            torch.testing.assert_close(value, expected)
