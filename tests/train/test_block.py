"""Data in training keep the order of axes of the files: protocol, time, site."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_ensembles import small_ensemble
from torch import Tensor

from ibvonn_train.data.ensemble import TrajectoryEnsemble
from ibvonn_train.simulation import SpringChain, chain_of_paper
from ibvonn_train.training.block_rollouts import rollouts
from ibvonn_train.training.build import build_law
from ibvonn_train.training.dataset import Block, prepare
from ibvonn_train.training.training_config import TrainingConfig


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


def pairs(part: Block, whole: Block) -> list[tuple[Tensor, Tensor]]:
    """The series of both, side by side."""
    series = [(block.strain, block.stress, mean(block)) for block in (part, whole)]
    return list(zip(*series, strict=True))


def test_a_block_has_the_axes_of_its_file(chain: TrajectoryEnsemble, block: Block) -> None:
    np.testing.assert_array_equal(block.strain, chain.strain)
    np.testing.assert_array_equal(block.stress, chain.stress)
    np.testing.assert_allclose(mean(block), chain.strain, rtol=1e-12, atol=1e-12)


def test_states_are_picked_along_one_trajectory_after_the_other(block: Block) -> None:
    index = torch.tensor([0, 137, block.states - 1])
    some = block.pick(index)
    for own, whole in pairs(some, block):
        assert torch.equal(own.flatten(), whole.transpose(1, 2).flatten()[index])


def test_a_trajectory_is_one_site_of_one_protocol(block: Block) -> None:
    sites = block.strain.shape[2]
    some = block.trajectories_of(torch.tensor([1, 2 * sites + 3]))
    for own, whole in pairs(some, block):
        assert torch.equal(own, torch.stack([whole[0, :, 1:2], whole[2, :, 3:4]]))
    assert torch.equal(some.time, block.time)


def test_windows_are_protocols_with_all_their_sites(block: Block) -> None:
    cut = block.windows([2, 5], 7)
    assert cut.strain.shape == (6, 7, *block.strain.shape[2:])
    assert torch.equal(cut.time[3], block.time[5:12])
    for own, whole in pairs(cut, block):
        assert torch.equal(own[3], whole[1, 5:12])


def test_states_that_were_picked_are_not_rolled_out(
    chain: TrajectoryEnsemble, block: Block
) -> None:
    law = build_law(
        TrainingConfig(), strain_kind="averaged", strain_size=1, microstate_size=1,
        generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    some = block.pick(torch.tensor([0, 1]))
    with pytest.raises(ValueError, match="whole protocols"):
        rollouts(law, some, some.strain)
