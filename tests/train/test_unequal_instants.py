"""Records whose instants are stored at unequal intervals: every interval has its own length."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from small_ensembles import small_ensemble
from torch import Tensor

from ibvonn_train.data.ensemble import TrajectoryEnsemble
from ibvonn_train.law.potentials import Linearised
from ibvonn_train.rollouts import material_point as dynamics
from ibvonn_train.rollouts.chain import ChainDrive, explicit_chain, implicit_chain
from ibvonn_train.simulation import TetheredParticle, trap_of_paper
from ibvonn_train.training.dataset import Block, Windows, prepare

DENSE_THEN_SPARSE = np.r_[0:100, 100:301:5]
SPARSE_THEN_DENSE = np.r_[0:200:5, 200:301]


@pytest.fixture(scope="module")
def record() -> TrajectoryEnsemble:
    return small_ensemble(
        TetheredParticle(), trap_of_paper().train[:4], duration=3.0, replicas=1500
    )


def thinned(data: TrajectoryEnsemble, instants: np.ndarray) -> TrajectoryEnsemble:
    return data.select(slice(None), instants)


def whole(data: TrajectoryEnsemble) -> Block:
    return prepare([data], torch.device("cpu"), 0, nodes=320).training[0]


def windows(block: Block, starts: Sequence[int], length: int) -> Windows:
    """The given windows of all protocols."""
    cases = len(block.strain)
    every = torch.cartesian_prod(torch.arange(cases), torch.tensor(starts))
    case, start = (column[:, None] for column in every.T)
    return Windows.at(block, case, start + torch.arange(length), torch.zeros_like(case))


def exact_rates(strain: Tensor, internal: Tensor) -> tuple[Tensor, Tensor]:
    """The trap with α = ⟨x⟩: σ = ε − α, α̇ = ε − 2α."""
    return strain - internal, strain - 2.0 * internal


def error_of_the_exact_law(cut: Windows, time: Tensor, strides: Sequence[int] = ()) -> float:
    alpha = cut.series(cut.measures.absolute.mean(cut.measures.absolute.nodes))
    run = dynamics.controlled(exact_rates, time, cut.strain, alpha[:, 0], strides=strides)
    error = run.internal - alpha
    return float(error.square().mean().sqrt() / alpha.std())


@pytest.mark.parametrize("instants", [np.arange(301), DENSE_THEN_SPARSE, SPARSE_THEN_DENSE])
def test_the_exact_law_is_exact_on_windows_of_any_instants(
    record: TrajectoryEnsemble, instants: np.ndarray
) -> None:
    cut = windows(whole(thinned(record, instants)), [0, 50, 90], 40)
    # Sampling of 1500 replicas, over the small signal of the first window; five steps where sparse.
    assert error_of_the_exact_law(cut, cut.time, [5] * 39) < 0.04


def test_instants_of_the_first_window_for_all_are_seen(record: TrajectoryEnsemble) -> None:
    """Guards the test above."""
    cut = windows(whole(thinned(record, DENSE_THEN_SPARSE)), [0, 50, 90], 40)
    assert error_of_the_exact_law(cut, cut.time[0]) > 0.3


def test_every_interval_counts_its_own_steps_of_the_integrator(record: TrajectoryEnsemble) -> None:
    data = thinned(record, SPARSE_THEN_DENSE)
    assert data.strides == (5,) * 40 + (1,) * 100
    assert data.stride == 5
    assert whole(data).strides == data.strides


def linear_chain(strain: Tensor, internal: Tensor) -> Linearised:
    one = torch.ones(*strain.shape, 1, dtype=strain.dtype)
    stress, rate = exact_rates(strain, internal)
    return Linearised(stress, rate, one, -one, one, -2.0 * one)


@pytest.mark.parametrize("implicit", [False, True])
def test_chains_with_instants_of_their_own_roll_out_as_each_alone(implicit: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    time = torch.rand(2, 30, generator=generator, dtype=torch.float64).cumsum(1) * 0.02
    start = torch.zeros(2, 3, 1, dtype=torch.float64)

    def roll(cases: slice) -> dynamics.Rollout:
        drive = ChainDrive(
            moved=torch.tensor([True, False])[cases],
            end_velocity=torch.ones(2, 30, dtype=torch.float64)[cases],
            force=torch.linspace(0.0, 1.0, 30, dtype=torch.float64).expand(2, -1)[cases],
            friction=1.0,
            reference_length=1.0,
        )
        own = time if cases == slice(None) else time[cases][0]
        if implicit:
            return implicit_chain(linear_chain, own, start[cases], start[cases], drive)
        return explicit_chain(exact_rates, own, start[cases], start[cases], drive)

    together = roll(slice(None))
    for case in range(2):
        alone = roll(slice(case, case + 1))
        for both, one in zip(together, alone, strict=True):
            torch.testing.assert_close(both[case : case + 1], one, rtol=1e-12, atol=1e-14)
