"""The likelihood of microstates in the plane does not see the nodes that they are binned on."""

from __future__ import annotations

import itertools

import torch

from ibvonn_train.data.binned_microstates import EmpiricalMeasure
from ibvonn_train.training.likelihood_term import _drawn, lattice_spacing


def test_places_are_drawn_from_the_cells_of_the_nodes() -> None:
    spacing = torch.tensor([0.4, 0.1], dtype=torch.float64)
    places = torch.tensor(list(itertools.product(range(-12, 13), range(-12, 13)))).double()
    nodes = (places * spacing)[torch.arange(len(places)) % 7 != 3]  # some are missing
    torch.testing.assert_close(lattice_spacing(nodes), spacing)
    weights = torch.exp(-0.5 * (nodes / (3.0 * spacing)).square().sum(1))
    measure = EmpiricalMeasure(nodes, (weights / weights.sum()).expand(500, -1))
    drawn = _drawn(measure, torch.Generator().manual_seed(0)).flatten(0, 1)
    offsets = drawn / spacing - torch.round(drawn / spacing)
    # Uniform in the cell: the nodes alone would have no variance.
    torch.testing.assert_close(
        offsets.var(0), torch.full((2,), 1.0 / 12.0).double(), rtol=0.03, atol=0
    )
    expected = measure.weights[0] @ nodes**2 + spacing**2 / 12.0
    torch.testing.assert_close(drawn.square().mean(0), expected, rtol=0.03, atol=0)
