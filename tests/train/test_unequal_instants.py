"""Records whose instants are stored at unequal intervals: every interval has its own length."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from small_ensembles import small_ensemble
from torch import Tensor

from ibvonn_train.data.ensemble import TrajectoryEnsemble
from ibvonn_train.rollouts import material_point as dynamics
from ibvonn_train.rollouts.chain import ChainDrive, Linearised, explicit_chain, implicit_chain
from ibvonn_train.simulation import TetheredParticle, trap_of_paper
from ibvonn_train.training.dataset import Block, prepare
from ibvonn_train.training.losses import weak_form

DENSE_THEN_SPARSE = np.r_[0:100, 100:301:5]
SPARSE_THEN_DENSE = np.r_[0:200:5, 200:301]


@pytest.fixture(scope="module")
def record() -> TrajectoryEnsemble:
    return small_ensemble(
        TetheredParticle(), trap_of_paper().train[:4], duration=3.0, replicas=1500
    )


def thinned(data: TrajectoryEnsemble, instants: np.ndarray) -> TrajectoryEnsemble:
    return data.select(slice(None), instants)


def windows(data: TrajectoryEnsemble, starts: Sequence[int], length: int) -> Block:
    block = prepare([data], torch.device("cpu"), 0, nodes=320).training[0]
    return block.windows(starts, length)


def exact_rates(strain: Tensor, internal: Tensor) -> tuple[Tensor, Tensor]:
    """The trap with α = ⟨x⟩: σ = ε − α, α̇ = ε − 2α."""
    return strain - internal, strain - 2.0 * internal


def error_of_the_exact_law(block: Block, time: Tensor) -> float:
    alpha = block.series(block.measures.absolute.mean(block.measures.absolute.nodes))
    run = dynamics.controlled(exact_rates, time, block.strain, alpha[:, 0], strides=block.strides)
    error = run.internal - alpha
    return float(error.square().mean().sqrt() / alpha.std())


@pytest.mark.parametrize("instants", [np.arange(301), DENSE_THEN_SPARSE, SPARSE_THEN_DENSE])
def test_the_exact_law_is_exact_on_windows_of_any_instants(
    record: TrajectoryEnsemble, instants: np.ndarray
) -> None:
    block = windows(thinned(record, instants), [0, 50, 90], 40)
    # Sampling of 1500 replicas, over the small signal of the first window.
    assert error_of_the_exact_law(block, block.time) < 0.04


def test_instants_of_the_first_window_for_all_are_seen(record: TrajectoryEnsemble) -> None:
    """Guards the test above."""
    block = windows(thinned(record, DENSE_THEN_SPARSE), [0, 50, 90], 40)
    assert error_of_the_exact_law(block, block.time[0]) > 0.3


def test_every_interval_counts_its_own_steps_of_the_integrator(record: TrajectoryEnsemble) -> None:
    data = thinned(record, SPARSE_THEN_DENSE)
    assert data.strides == (5,) * 40 + (1,) * 100
    assert data.stride == 5
    assert windows(data, [0, 35], 10).strides == (5,) * 9  # the longest of both windows


def test_weak_form_vanishes_on_a_record_with_unequal_intervals() -> None:
    """α̇ = 1 − 2α by forward Euler, where dense stored as it is, where sparse every fifth step."""
    alpha, dt = [0.0], 0.002
    for _ in range(300):
        alpha.append(alpha[-1] + dt * (1.0 - 2.0 * alpha[-1]))
    stored = torch.tensor(alpha, dtype=torch.float64)[DENSE_THEN_SPARSE].reshape(1, -1, 1)
    time = dt * torch.as_tensor(DENSE_THEN_SPARSE, dtype=torch.float64)
    strides = np.diff(DENSE_THEN_SPARSE).tolist()

    def error(strides: Sequence[int]) -> float:
        ((observed, modelled),) = weak_form(stored, 1.0 - 2.0 * stored, time, [20], strides=strides)
        return float((observed - modelled).abs().max())

    assert error(strides) < 5e-5
    assert error([1] * len(strides)) > 1e-3  # guards the line above


def linear_chain(strain: Tensor, internal: Tensor) -> Linearised:
    one = torch.ones(*strain.shape, 1, dtype=strain.dtype)
    stress, rate = exact_rates(strain, internal)
    return Linearised(stress, rate, one, -one, 2.0 * one, one)


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
