"""Encoder and empirical measures."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from ibvonn_train.empirical import EmpiricalMeasure, bin_cubic, uniform_nodes
from ibvonn_train.encoder import Encoder, whitening


def encoder(size: int = 1, internal: int = 2) -> Encoder:
    net = Encoder(
        size, internal, widths=(7,), first_gain=1.0, generator=torch.Generator().manual_seed(0)
    )
    return net.requires_grad_(False)


def microstates(n_state: int, n_replica: int, size: int = 1, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n_state, n_replica, size, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize("size", [1, 3])
def test_permuting_replicas_leaves_internal_variables_unchanged(size: int) -> None:
    x = microstates(4, 100, size)
    shuffled = x[:, torch.randperm(100, generator=torch.Generator().manual_seed(1))]
    # Not bit-equal: the order of a sum changes its round-off.
    assert (encoder(size)(x) - encoder(size)(shuffled)).abs().max() < 1e-14


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
    alpha = whitening(raw)(raw)
    assert alpha.mean(0).abs().max() < 1e-12
    assert (alpha.T @ alpha / 300 - torch.eye(2, dtype=torch.float64)).abs().max() < 1e-8


def test_binned_replicas_keep_three_moments_and_nearly_their_features() -> None:
    x = microstates(5, 400)
    nodes = uniform_nodes(float(x.min()), float(x.max()), 128)
    measure = EmpiricalMeasure(nodes[:, None], bin_cubic(x[..., 0].numpy(), nodes))
    for power in range(4):
        moment = measure.mean(nodes[:, None] ** power)[:, 0]
        assert (moment - (x[..., 0] ** power).mean(-1)).abs().max() < 1e-12
    net = encoder()
    exact, binned = net.features(x).mean(-2), net.raw_mean(measure)
    # h⁴ max|∂⁴ψ| is a fourth difference; the bound of cubic interpolation is 3/128 of it.
    fourth = torch.diff(net.features(nodes[:, None]), n=4, dim=0).abs().max()
    assert (exact - binned).abs().max() <= 3.0 / 128.0 * fourth * 1.01


def test_samples_outside_the_nodes_are_refused() -> None:
    nodes = torch.linspace(0.0, 1.0, 11, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"must lie within \[0.1, 0.9\]; they span"):
        bin_cubic(np.array([[0.5, 1.5]]), nodes)
    with pytest.raises(ValueError, match="look for NaN"):
        bin_cubic(np.array([[0.5, np.nan]]), nodes)
