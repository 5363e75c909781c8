"""Networks: derivatives in closed form, and structure that holds for any weights."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ibvonn_train.law.networks import ConvexRidge, InputConvexNetwork, TanhNetwork

EPS = torch.finfo(torch.float64).eps


def points(n: int, size: int, seed: int = 0, spread: float = 2.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return spread * torch.randn(n, size, dtype=torch.float64, generator=generator)


def convex(size: int, widths: tuple[int, ...], seed: int = 0) -> InputConvexNetwork:
    """A network whose weights are random beyond its initialisation."""
    generator = torch.Generator().manual_seed(seed)
    net = InputConvexNetwork(size, widths, generator=generator)
    for parameter in net.parameters():
        noise = torch.randn(parameter.shape, dtype=torch.float64, generator=generator)
        parameter.data.add_(noise)
    return net.requires_grad_(False)


def ridge(size: int, ridges: int = 5, seed: int = 0) -> ConvexRidge:
    generator = torch.Generator().manual_seed(seed)
    net = ConvexRidge(size, size + 1, ridges=ridges, context_widths=(6,), generator=generator)
    for parameter in net.parameters():
        noise = torch.randn(parameter.shape, dtype=torch.float64, generator=generator)
        parameter.data.add_(0.5 * noise)
    return net.requires_grad_(False)


def derivatives(function: object, x: Tensor) -> tuple[Tensor, Tensor]:
    """Gradient and Hessian of a batched scalar function by automatic differentiation."""
    x = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(function(x).sum(), x, create_graph=True)  # type: ignore[operator]
    rows = [torch.autograd.grad(g.sum(), x, retain_graph=True)[0] for g in gradient.T]
    return gradient.detach(), torch.stack(rows, -2)


@pytest.mark.parametrize("widths", [(), (7,), (7, 5), (4, 4, 4)])
@pytest.mark.parametrize("size", [2, 4])
def test_gradient_and_hessian_of_the_energy_network_are_the_automatic_ones(
    size: int, widths: tuple[int, ...]
) -> None:
    net = convex(size, widths)
    x = points(20, size)
    gradient, hessian = net.gradient_and_hessian(x)
    automatic_gradient, automatic_hessian = derivatives(net, x)
    scale = float(hessian.abs().max()) + float(gradient.abs().max())
    assert (gradient - automatic_gradient).abs().max() <= 200 * EPS * scale
    assert (hessian - automatic_hessian).abs().max() <= 200 * EPS * scale


@pytest.mark.parametrize("widths", [(), (7,), (7, 5), (4, 4, 4)])
def test_prepared_gradient_is_the_gradient(widths: tuple[int, ...]) -> None:
    net, x = convex(3, widths), points(20, 3)
    gradient = net.value_and_gradient(x)[1]
    scale = float(gradient.abs().max())
    assert (net.gradient_function()(x) - gradient).abs().max() <= 20 * EPS * scale


@pytest.mark.parametrize("size", [1, 2, 3])
def test_gradient_and_hessian_of_the_ridge_function_are_the_automatic_ones(size: int) -> None:
    net = ridge(size)
    g, c = points(20, size), points(20, size + 1, seed=1)
    gradient, hessian = derivatives(lambda value: net(value, c), g)
    scale = float(hessian.abs().max()) + float(gradient.abs().max())
    assert (net.gradient(g, c) - gradient).abs().max() <= 200 * EPS * scale
    assert (net.hessian(g, c) - hessian).abs().max() <= 200 * EPS * scale


def test_jacobian_of_the_tanh_network_is_the_automatic_one() -> None:
    net = TanhNetwork(2, (6, 5), 3, generator=torch.Generator().manual_seed(0))
    x = points(7, 2)
    value, jacobian = net.value_and_jacobian(x)
    automatic = torch.stack([torch.autograd.functional.jacobian(net, row) for row in x])
    assert torch.equal(value, net(x))
    assert (jacobian - automatic).abs().max() <= 100 * EPS


def midpoint_defect(function: object, a: Tensor, b: Tensor) -> float:
    """Largest (F(mid) − mean of F at the ends)/scale: positive where F is not convex."""
    middle, ends = function(0.5 * (a + b)), 0.5 * (function(a) + function(b))  # type: ignore[operator]
    return float(((middle - ends) / (1.0 + ends.abs())).max())


@pytest.mark.parametrize("seed", range(5))
def test_energy_network_is_convex_for_any_weights(seed: int) -> None:
    net = convex(3, (8, 6), seed)
    assert midpoint_defect(net, points(500, 3, seed), points(500, 3, seed + 50)) <= 100 * EPS


def test_a_negative_output_weight_breaks_convexity() -> None:
    """Guards the test above: the chords do find a concave direction."""
    net = convex(3, (8, 6))
    net.root.data.mul_(0.1)
    weights = net.weights()
    concave = weights._replace(output=-5.0 * weights.output)
    net.weights = lambda: concave  # type: ignore[method-assign]
    assert midpoint_defect(net, points(500, 3), points(500, 3, 50)) > 1e-3


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize("ridges", [0, 5])
def test_ridge_function_and_its_slope_vanish_at_zero(size: int, ridges: int) -> None:
    net = ridge(size, ridges)
    zero, c = torch.zeros(20, size, dtype=torch.float64), points(20, size + 1)
    assert net(zero, c).abs().max() <= 10 * EPS
    assert net.gradient(zero, c).abs().max() <= 10 * EPS


@pytest.mark.parametrize("seed", range(5))
def test_second_law_holds_for_any_weights(seed: int) -> None:
    """g·∂φ/∂g ≥ φ ≥ 0 for a convex φ with φ(0) = ∂φ(0) = 0."""
    net = ridge(2, seed=seed)
    g, c = points(1000, 2, seed, spread=10.0), points(1000, 3, seed + 9, spread=10.0)
    value, power = net(g, c), (g * net.gradient(g, c)).sum(-1)
    slack = 100 * EPS * (1.0 + power)
    assert torch.all(value >= -slack)
    assert torch.all(power >= value - slack)


def test_second_law_fails_without_the_linear_term() -> None:
    """Guards the test above: Σ A s(Wg + b) alone does not have its minimum at g = 0."""
    net = ridge(2)
    g, c = points(1000, 2, spread=10.0), points(1000, 3, 9)
    _, amplitude = net.coefficients(c)
    rate = (amplitude * torch.sigmoid(g @ net.weight.T + net.bias)) @ net.weight
    assert torch.any((g * rate).sum(-1) < 0.0)


def test_every_weight_has_an_influence() -> None:
    energy = InputConvexNetwork(2, (5, 4), generator=torch.Generator().manual_seed(0))
    energy.value_and_gradient(points(9, 2))[1].square().sum().backward()  # type: ignore[no-untyped-call]
    phi = ConvexRidge(
        2, 3, ridges=4, context_widths=(5,), generator=torch.Generator().manual_seed(0)
    )
    phi.gradient(points(9, 2), points(9, 3)).square().sum().backward()  # type: ignore[no-untyped-call]
    for name, parameter in [*energy.named_parameters(), *phi.named_parameters()]:
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0.0, name
