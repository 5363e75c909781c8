"""f and φ of untrained laws: derivatives written by hand, convexity, second law."""

import pytest
import torch

from ibvonn_train.closed_form.random_law import untrained_law
from ibvonn_train.export import ConstitutiveLaw
from ibvonn_train.export.graphs.network_potentials import NetworkEnergy, RidgeDissipation

SIZES = [(1, 1), (1, 2), (6, 2), (6, 6)]
EXACT = 1e-12
"""Two ways to the same derivative differ by round-off in a few hundred operations."""


def states(m, n, n_points=40, radius=2.0, seed=1):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n_points, m + n, dtype=torch.float64, generator=generator) * radius
    return x[:, :m], x[:, m:]


def error(value, reference):
    return float((value - reference).abs().max() / reference.abs().max())


def hessian_by_autograd(function, x):
    """Second derivative of a function of (n, d) that gives (n, 1), point by point."""
    x = x.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(function(x).sum(), x, create_graph=True)
    rows = [
        torch.autograd.grad(gradient[:, i].sum(), x, retain_graph=True)[0]
        for i in range(x.shape[1])
    ]
    return gradient.detach(), torch.stack(rows, 1)


@pytest.mark.parametrize("widths", [(), (9,), (20, 20), (7, 6, 5)])
@pytest.mark.parametrize(("m", "n"), SIZES)
def test_energy_derivatives_are_those_of_automatic_differentiation(m, n, widths):
    energy = NetworkEnergy(untrained_law(m, n, widths=widths))
    strain, internal = states(m, n)
    value, gradient, hessian = energy.derivatives(strain, internal)
    x = torch.cat([strain, internal], 1)
    by_autograd = hessian_by_autograd(lambda x: energy.value(x[:, :m], x[:, m:]), x)
    assert error(gradient, by_autograd[0]) < EXACT
    assert error(hessian, by_autograd[1]) < EXACT
    f, inner_gradient, inner_hessian = energy.internal(strain, internal)
    assert error(f, value) < EXACT
    assert error(inner_gradient, gradient[:, m:]) < EXACT
    assert error(inner_hessian, hessian[:, m:, m:]) < EXACT
    assert error(energy.gradient(strain, internal)[1], gradient) < EXACT


@pytest.mark.parametrize("ridges", [0, 8])
@pytest.mark.parametrize(("m", "n"), SIZES)
def test_dissipation_derivatives_are_those_of_automatic_differentiation(m, n, ridges):
    phi = RidgeDissipation(untrained_law(m, n, ridges=ridges))
    frozen = phi.prepare(*states(m, n, radius=1.0))
    force = states(m, n, seed=2)[1]
    _, rate, curvature = phi.derivatives(force, *frozen)
    by_autograd = hessian_by_autograd(lambda g: phi.derivatives(g, *frozen)[0], force)
    assert error(rate, by_autograd[0]) < EXACT
    assert error(curvature, by_autograd[1]) < EXACT


@pytest.mark.parametrize(("m", "n"), SIZES)
def test_energy_is_convex_along_random_chords_for_any_weights(m, n):
    for seed in range(3):
        energy = NetworkEnergy(untrained_law(m, n, seed=seed))
        a, b = states(m, n, 500, 5.0, 1), states(m, n, 500, 5.0, 2)
        middle = energy.value(0.5 * (a[0] + b[0]), 0.5 * (a[1] + b[1]))
        chord = 0.5 * (energy.value(*a) + energy.value(*b))
        assert bool((middle <= chord + 1e-13 * chord.abs()).all())


@pytest.mark.parametrize(("m", "n"), SIZES)
def test_dissipation_is_convex_and_rests_at_zero_force(m, n):
    phi = RidgeDissipation(untrained_law(m, n))
    frozen = phi.prepare(*states(m, n, 500))
    g, h = states(m, n, 500, 10.0, 3)[1], states(m, n, 500, 10.0, 4)[1]
    middle = phi.derivatives(0.5 * (g + h), *frozen)[0]
    chord = 0.5 * (phi.derivatives(g, *frozen)[0] + phi.derivatives(h, *frozen)[0])
    assert bool((middle <= chord * (1.0 + 1e-13)).all())
    value, rate, _ = phi.derivatives(torch.zeros_like(g), *frozen)
    # σ(0 + b) and σ(b) may differ by the last digit where a processor has several ways to get them.
    size = (frozen[1] @ phi.weights.weight.abs()).max()
    assert float(rate.abs().max()) <= 4e-16 * float(size)
    assert float(value.abs().max()) < 1e-15 * float(frozen[1].max())


@pytest.mark.parametrize("radius", [1.0, 30.0])
@pytest.mark.parametrize(("m", "n"), SIZES)
def test_untrained_law_obeys_the_second_law_far_outside_any_data(m, n, radius):
    """g·α̇ ≥ φ ≥ 0 for any weights and any state."""
    law = ConstitutiveLaw.of(untrained_law(m, n))
    strain, internal = states(m, n, 1000, radius)
    _, _, force, rate = law.rates()(strain, internal)
    power = (force * rate).sum(1, keepdim=True)
    phi = law.dissipation.derivatives(force, *law.dissipation.prepare(strain, internal))[0]
    assert bool((phi >= 0.0).all())
    assert bool((power >= phi).all())


def test_second_law_fails_where_the_ridges_count_negatively():
    """Guards the test above."""
    law = ConstitutiveLaw.of(untrained_law(1, 2))
    strain, internal = states(1, 2, 1000)
    force = law.rates()(strain, internal)[2]
    mobility, amplitude = law.dissipation.prepare(strain, internal)
    _, rate, _ = law.dissipation.derivatives(force, 0.0 * mobility, -amplitude)
    assert float((force * rate).sum(1).min()) < 0.0
