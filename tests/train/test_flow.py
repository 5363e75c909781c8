"""Decoders: densities that integrate to one, maps that invert, nothing but nflows inside."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from ibvonn_train.law.decoder import Decoder
from ibvonn_train.law.flow import ConditionalFlow

NODES = torch.linspace(-25.0, 25.0, 20001, dtype=torch.float64)


def disturb(decoder: Decoder, strength: float, seed: int) -> Decoder:
    generator = torch.Generator().manual_seed(seed)
    for parameter in decoder.parameters():
        noise = torch.randn(parameter.shape, dtype=torch.float64, generator=generator)
        parameter.data.add_(strength * noise)
    decoder.centre.fill_(0.3)
    decoder.scale.fill_(1.7)
    return decoder.requires_grad_(False)


def flow(features: int = 1, context: int = 2, seed: int = 0) -> ConditionalFlow:
    net = ConditionalFlow(
        features, context, hidden=8, blocks=1, bins=6, bound=3.0,
        generator=torch.Generator().manual_seed(seed),
    )  # fmt: skip
    disturb(net, 0.5, seed + 1)
    return net


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


DECODERS = [flow(), flow(context=0)]


@pytest.mark.parametrize("decoder", DECODERS)
def test_density_integrates_to_one(decoder: Decoder) -> None:
    context = DECODERS.index(decoder) % 2 == 0
    internal = normal(6, 2 if context else 0)
    log_density = decoder.log_density(NODES.expand(6, -1)[..., None], internal)
    total = torch.trapezoid(log_density.exp(), NODES)
    # The slope of the density jumps at the knots of a spline: error of order spacing².
    assert (total - 1.0).abs().max() < 1e-4


def test_density_without_its_jacobian_does_not_integrate_to_one() -> None:
    """Guards the test above."""
    net = flow()
    z, _ = net._forward_line(NODES.expand(6, -1), normal(6, 2))
    density = torch.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)
    assert (torch.trapezoid(density, NODES) - 1.0).abs().min() > 1e-2


@pytest.mark.parametrize("decoder", [flow(), flow(features=2), flow(features=3)])
def test_sampling_inverts_the_flow(decoder: ConditionalFlow) -> None:
    internal, noise = normal(5, 2), normal(5, 40, decoder.size, seed=3)
    y = decoder.sample(noise, internal)
    context = internal.repeat_interleave(40, 0)
    z = ((y - decoder.centre) / decoder.scale).reshape(-1, decoder.size)
    z, _ = decoder.affine(z, context)
    z, _ = decoder.spline(z, context)
    assert (z.reshape(noise.shape) - noise).abs().max() < 1e-9


def test_line_evaluation_is_the_flow_of_nflows() -> None:
    net, internal = flow(), normal(5, 2)
    y = 4.0 * normal(5, 200, 1, seed=2)
    fast = net.log_density(y, internal)
    context = internal.repeat_interleave(200, 0)
    z, affine = net.affine(((y - net.centre) / net.scale).reshape(-1, 1), context)
    z, spline = net.spline(z, context)
    slow = -0.5 * z[:, 0] ** 2 - 0.5 * math.log(2.0 * math.pi) + affine + spline
    slow = slow.reshape(5, 200) - torch.log(net.scale)
    assert (fast - slow).abs().max() < 1e-10


def test_plane_density_is_the_image_of_the_base() -> None:
    """Change of variables in two dimensions, Jacobian by automatic differentiation."""
    net, internal = flow(features=2), normal(1, 2)
    for z in normal(5, 2, seed=4):
        jacobian = torch.autograd.functional.jacobian(
            lambda noise: net.sample(noise[None, None], internal)[0, 0], z
        )
        y = net.sample(z[None, None], internal)
        base = -0.5 * float(z @ z) - math.log(2.0 * math.pi)
        expected = base - float(torch.linalg.slogdet(jacobian)[1])
        assert abs(float(net.log_density(y, internal)) - expected) < 1e-8


@pytest.mark.parametrize("features", [1, 2, 3])
def test_every_component_follows_the_context_and_the_components_before_it(features: int) -> None:
    """The first one, too: the masks of nflows alone would leave it out."""
    net = flow(features=features)
    noise = normal(1, 1, features)

    def of_context(internal: Tensor) -> Tensor:
        return net.sample(noise, internal)[0, 0]

    moved = torch.autograd.functional.jacobian(of_context, normal(1, 2))
    assert (moved.abs().sum((1, 2)) > 1e-3).all()
    y = net.sample(noise, normal(1, 2))[0, 0]

    def to_noise(point: Tensor) -> Tensor:
        context = normal(1, 2)
        z = ((point - net.centre) / net.scale)[None]
        z, _ = net.affine(z, context)
        return net.spline(z, context)[0][0]

    slopes = torch.autograd.functional.jacobian(to_noise, y)
    below = torch.tril(torch.ones_like(slopes)).bool()
    assert (slopes[~below] == 0.0).all()
    assert (slopes[below].abs() > 1e-6).all()


def test_initial_weights_follow_from_the_generator_alone() -> None:
    torch.manual_seed(1)
    first = flow().state_dict()
    torch.manual_seed(2)
    second = flow().state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)
