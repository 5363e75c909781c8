"""Encoder and empirical measures."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from ibvonn_train.data.binned_microstates import (
    EmpiricalMeasure,
    Measures,
    bin_cubic,
    uniform_nodes,
)
from ibvonn_train.law.encoder import Encoder
from ibvonn_train.law.internal_variables import InternalVariables
from ibvonn_train.law.normalisation import Normalisation


def encoder(size: int = 1, internal: int = 2, centred: int = 0) -> Encoder:
    generator = torch.Generator().manual_seed(0)
    variables = InternalVariables((), internal)
    net = Encoder(
        size, variables, centred=centred, widths=(7,), first_gain=1.0, generator=generator
    )
    return net.requires_grad_(False)


def binned(x: Tensor, count: int) -> EmpiricalMeasure:
    nodes = uniform_nodes(float(x.min()), float(x.max()), count)
    return EmpiricalMeasure(nodes[:, None], bin_cubic(x[..., 0].numpy(), nodes))


def microstates(n_state: int, n_replica: int, size: int = 1, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n_state, n_replica, size, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize("centred", [0, 1, 2])
@pytest.mark.parametrize("size", [1, 3])
def test_permuting_replicas_leaves_internal_variables_unchanged(size: int, centred: int) -> None:
    x = microstates(4, 100, size)
    shuffled = x[:, torch.randperm(100, generator=torch.Generator().manual_seed(1))]
    # Not bit-equal: the order of a sum changes its round-off.
    net = encoder(size, centred=centred)
    assert (net(x) - net(shuffled)).abs().max() < 1e-14


def test_mixing_two_ensembles_mixes_internal_variables() -> None:
    """α is linear in the distribution: the premise of a jointly convex f."""
    net = encoder()
    a, b = microstates(1, 60), 2.0 + microstates(1, 40, seed=1)
    mixed = net(torch.cat([a, b], 1))
    assert (mixed - (0.6 * net(a) + 0.4 * net(b))).abs().max() < 1e-14


def test_whitened_variables_have_zero_mean_unit_variance_and_no_correlation() -> None:
    raw = (
        microstates(300, 3)[..., 0]
        @ torch.tensor([[1.0, 2.0], [0.0, 0.3], [4.0, 1.0]], dtype=torch.float64)
        + 5.0
    )
    alpha = Normalisation.of(raw)(raw)
    assert alpha.mean(0).abs().max() < 1e-12
    assert (alpha.T @ alpha / 300 - torch.eye(2, dtype=torch.float64)).abs().max() < 1e-8


def test_binned_replicas_keep_three_moments_and_nearly_their_features() -> None:
    x = microstates(5, 400)
    measure = binned(x, 128)
    nodes = measure.nodes[:, 0]
    for power in range(4):
        moment = measure.mean(nodes[:, None] ** power)[:, 0]
        assert (moment - (x[..., 0] ** power).mean(-1)).abs().max() < 1e-12
    net = encoder(centred=1)
    centred = x - x.mean(1, keepdim=True)
    means = net.raw_mean(Measures(measure, binned(centred, 128)))
    # h⁴ max|∂⁴ψ| is a fourth difference; the bound of cubic interpolation is 3/128 of it.
    assert net.net is not None
    fourth = torch.diff(net.net(nodes[:, None]), n=4, dim=0).abs().max()
    assert (net(x) - means).abs()[:, 0].max() <= 3.0 / 128.0 * fourth * 1.01
    assert (net(x) - means).abs()[:, 1].max() <= 1e-4


def test_centred_variables_are_frozen_under_rigid_translation() -> None:
    x, net = microstates(4, 100), encoder(centred=1)
    change = net(x + 0.7) - net(x)
    assert change[:, 1].abs().max() < 1e-14
    assert change[:, 0].abs().min() > 1e-3


def populations(size: int = 1) -> Encoder:
    """A population of three states, one of two and a mean, of steep features."""
    generator = torch.Generator().manual_seed(0)
    variables = InternalVariables((3, 2), 1)
    net = Encoder(size, variables, widths=(7,), first_gain=3.0, generator=generator)
    for parameter in net.parameters():
        parameter.data.mul_(3.0)
    return net.requires_grad_(False)


@pytest.mark.parametrize("size", [1, 3])
def test_features_of_populations_lie_in_their_simplices(size: int) -> None:
    psi = populations(size).features(5.0 * microstates(1, 300, size)[0])
    assert psi[:, :3].min() >= 0.0
    assert (1.0 - psi[:, :2].sum(1)).min() >= -1e-15
    assert psi[:, 2].max() <= 1.0
    assert psi[:, 3].min() < 0.0  # the mean is free
    assert psi[:, :2].sum(1).max() - psi[:, :2].sum(1).min() > 0.3


def test_populations_are_not_normalised_but_means_are() -> None:
    net = populations()
    raw = net.raw_mean(Measures(*[binned(microstates(50, 200) + 3.0, 96)] * 2))
    normalised = net.normalisation_of(raw)(raw)
    assert torch.equal(normalised[:, :3], raw[:, :3])
    assert normalised[:, 3].mean().abs() < 1e-12
    assert (normalised[:, 3].square().mean() - 1.0).abs() < 1e-8


def test_raw_variance_is_that_of_the_features_within_each_ensemble() -> None:
    """Its square root over √n is the standard error of α: that of fresh ensembles agrees."""
    net, x = populations(), microstates(4000, 50, seed=3)
    equal = torch.full((len(x), 50), 0.02, dtype=torch.float64)
    measures = Measures(EmpiricalMeasure(x, equal), EmpiricalMeasure(x, equal))
    variance = net.raw_variance(measures)
    torch.testing.assert_close(variance, net.features(x).var(1, correction=0), atol=1e-12, rtol=0)
    expected = (variance.mean(0) / 49.0).sqrt()
    torch.testing.assert_close(net(x).std(0), expected, rtol=0.05, atol=0)


def test_samples_outside_the_nodes_are_refused() -> None:
    nodes = torch.linspace(0.0, 1.0, 11, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"must lie within \[0.1, 0.9\]; they span"):
        bin_cubic(np.array([[0.5, 1.5]]), nodes)
    with pytest.raises(ValueError, match="look for NaN"):
        bin_cubic(np.array([[0.5, np.nan]]), nodes)
