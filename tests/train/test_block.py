"""Data in training keep the order of axes of the files: protocol, time, site."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_ensembles import small_ensemble
from torch import Tensor

from ibvonn_train.data.ensemble import TrajectoryEnsemble
from ibvonn_train.simulation import SpringChain, chain_of_paper
from ibvonn_train.training.dataset import Block, Windows, prepare


@pytest.fixture(scope="module")
def chain() -> TrajectoryEnsemble:
    return small_ensemble(SpringChain(), chain_of_paper().train[:3], duration=0.2, replicas=40)


@pytest.fixture(scope="module")
def block(chain: TrajectoryEnsemble) -> Block:
    return prepare([chain], torch.device("cpu"), 0, nodes=64).training[0]


def mean(block: Block) -> Tensor:
    """⟨x⟩ of the binned replicas, which cubic interpolation keeps."""
    measure = block.measures.absolute
    return block.series(measure.mean(measure.nodes))


def test_a_block_has_the_axes_of_its_file(chain: TrajectoryEnsemble, block: Block) -> None:
    np.testing.assert_array_equal(block.strain, chain.strain)
    np.testing.assert_array_equal(block.stress, chain.stress)
    np.testing.assert_allclose(mean(block), chain.strain, rtol=1e-12, atol=1e-12)


def test_windows_are_pieces_of_single_points(chain: TrajectoryEnsemble, block: Block) -> None:
    """Every series of a window is what the file has at its protocol, instants and point."""
    case, start, point = torch.tensor([[0, 2, 5], [2, 0, 7]]).T[:, :, None]
    cut = Windows.at(block, case, start + torch.arange(6), point)
    of_windows = cut.series(cut.measures.absolute.mean(cut.measures.absolute.nodes))
    for row, (p, t, s) in enumerate([(0, 2, 5), (2, 0, 7)]):
        part = slice(t, t + 6)
        assert torch.equal(cut.time[row], block.time[part])
        np.testing.assert_array_equal(cut.strain[row], chain.strain[p, part, s])
        np.testing.assert_array_equal(cut.stress[row], chain.stress[p, part, s])
        torch.testing.assert_close(of_windows[row], mean(block)[p, part, s])
        assert torch.equal(block.flat(block.strain)[cut.states[row]], cut.strain[row])


def test_random_windows_lie_within_their_protocols_and_follow_from_the_generator(
    block: Block,
) -> None:
    one, other = (
        Windows.random(block, 50, 7, torch.Generator().manual_seed(seed)) for seed in (0, 0)
    )
    assert torch.equal(one.states, other.states)
    step = float(block.time[1] - block.time[0])
    assert (torch.diff(one.time, dim=1) - step).abs().max() < 1e-12
    assert len(torch.unique(one.states[:, 0])) > 30
