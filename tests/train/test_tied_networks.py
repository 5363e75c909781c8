"""Networks of the features of classes commute with the permutations of the classes."""

from __future__ import annotations

import pytest
import torch

from ibvonn_train.law.networks.convex import (
    EnergyWeights,
    energy_arguments,
    energy_gradient_and_hessian,
    energy_value,
)
from ibvonn_train.law.networks.tied import class_orbits, dense, pair_orbits, repeated
from ibvonn_train.law.networks.tied_networks import ConvexLayers, TiedTanhNetwork

SHIFT = (1, 2, 0)
SWAP = (1, 0, 2)


def moved(x: torch.Tensor, permutation: tuple[int, ...], size: int) -> torch.Tensor:
    """Class c becomes class π(c)."""
    of_class = x.reshape(-1, len(permutation), size)
    result = torch.empty_like(of_class)
    result[:, list(permutation)] = of_class
    return result.reshape(x.shape)


def test_orbits_of_pairs_are_those_of_the_group() -> None:
    every = pair_orbits(3, [SHIFT, SWAP])
    assert len(torch.unique(every)) == 2  # itself, and another
    assert len(torch.unique(pair_orbits(3, [SHIFT]))) == 3
    assert len(torch.unique(pair_orbits(3, []))) == 9
    assert class_orbits(pair_orbits(3, [SWAP])).tolist() == [0, 0, 1]


def test_a_dense_map_commutes_with_the_group_and_with_no_other() -> None:
    generator = torch.Generator().manual_seed(0)
    orbits = pair_orbits(3, [SHIFT])
    shared = torch.randn(3, 4, 2, dtype=torch.float64, generator=generator)
    bias = repeated(torch.randn(1, 4, dtype=torch.float64, generator=generator), orbits)
    matrix = dense(shared, orbits)
    x = torch.randn(5, 6, dtype=torch.float64, generator=generator)
    for permutation, holds in ((SHIFT, True), (SWAP, False)):
        one = moved(x @ matrix.T + bias, permutation, 4)
        other = moved(x, permutation, 2) @ matrix.T + bias
        assert torch.allclose(one, other, atol=1e-13) is holds


@pytest.mark.parametrize("group", [[], [SHIFT], [SHIFT, SWAP]])
def test_networks_are_equivariant_and_convex(group: list[tuple[int, ...]]) -> None:
    generator = torch.Generator().manual_seed(1)
    orbits = pair_orbits(3, group)
    tanh = TiedTanhNetwork(orbits, 2, (4, 3), 2, generator=generator)
    layers = ConvexLayers(orbits, 2, (4, 3), generator=generator)
    for parameter in [*tanh.parameters(), *layers.parameters()]:
        parameter.data.add_(0.5 * torch.randn(parameter.shape, generator=generator).double())
    x = 3.0 * torch.randn(40, 6, dtype=torch.float64, generator=generator)
    skip, bias, hidden, output = layers.weights()
    nothing = torch.zeros(6, 6, dtype=torch.float64)
    weights = EnergyWeights(nothing[0], nothing, skip, bias, hidden, output)

    def value(x: torch.Tensor) -> torch.Tensor:
        return energy_value(x, weights, energy_arguments(x, weights))

    _, hessian = energy_gradient_and_hessian(x, weights, energy_arguments(x, weights))
    assert torch.linalg.eigvalsh(hessian).min() > -1e-12
    for permutation in group:
        there = moved(x, permutation, 2)
        torch.testing.assert_close(tanh(there), moved(tanh(x), permutation, 2))
        torch.testing.assert_close(value(there), value(x))
    if not group:  # guards the lines above
        assert (value(moved(x, SHIFT, 2)) - value(x)).abs().max() > 1e-3
