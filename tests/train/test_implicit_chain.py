"""Chains by linearly implicit steps: closed forms, order, stability."""

import pytest
import torch
from torch import Tensor

from ibvonn_train.law.potentials import Linearised
from ibvonn_train.rollouts.chain import ChainDrive, explicit_chain, implicit_chain
from ibvonn_train.rollouts.material_point import Rollout

SITES = 4
FRICTION, LENGTH = 0.3, 0.5


def rates(strain: Tensor, internal: Tensor) -> tuple[Tensor, Tensor]:
    """Zener law f = (ε − α)²/2 + α²/2, φ = g²: σ = ε − α, α̇ = 2 (ε − 2α)."""
    return strain - internal, 2.0 * (strain - 2.0 * internal)


def linearised(strain: Tensor, internal: Tensor) -> Linearised:
    stress, rate = rates(strain, internal)
    one = torch.ones(*strain.shape, 1, dtype=torch.float64)
    return Linearised(stress, rate, one, -one, 2.0 * one, -4.0 * one)


def run(instants: int, *, duration: float = 2.0, implicit: int = 0, explicit: int = 1) -> Rollout:
    """Two chains: the end of one moves at 0.7, that of the other feels a force 0.4 t."""
    time = torch.linspace(0.0, duration, instants, dtype=torch.float64)
    start = torch.zeros(2, SITES, 1, dtype=torch.float64)
    drive = ChainDrive(
        moved=torch.tensor([True, False]),
        end_velocity=torch.full((2, instants), 0.7, dtype=torch.float64),
        force=(0.4 * time).expand(2, -1),
        friction=FRICTION,
        reference_length=LENGTH,
    )
    if implicit:
        return implicit_chain(linearised, time, start, start, drive, substeps=implicit)
    return explicit_chain(rates, time, start, start, drive, strides=[explicit] * (len(time) - 1))


def error(result: Rollout, reference: Tensor, at: int) -> float:
    return float((result.strain[:, -1] - reference[:, at]).abs().max())


def test_converges_to_the_explicit_scheme_with_order_one() -> None:
    coarse, fine = (run(21, explicit=k) for k in (100, 200))
    limit = 2.0 * fine.strain - coarse.strain  # of the explicit scheme, but for its second order
    errors = [error(run(21, implicit=k), limit, -1) for k in (4, 8, 16)]
    assert errors[0] / errors[1] == pytest.approx(2.0, rel=0.1)
    assert errors[1] / errors[2] == pytest.approx(2.0, rel=0.1)


def test_substeps_are_steps() -> None:
    coarse, fine = run(11, implicit=4), run(41, implicit=1)
    assert (coarse.strain - fine.strain[:, ::4]).abs().max() < 1e-13
    assert (coarse.internal - fine.internal[:, ::4]).abs().max() < 1e-13


def test_steps_far_beyond_every_relaxation_time_follow_the_relaxed_chain() -> None:
    """Under a slow force every site has ε = F/E∞ with E∞ = 1/2, however long the steps are."""
    time = torch.tensor([0.0, 1e6, 2e6], dtype=torch.float64)
    force = torch.full((1, 3), 0.3, dtype=torch.float64)
    start = torch.zeros(1, SITES, 1, dtype=torch.float64)
    drive = ChainDrive(
        moved=torch.tensor([False]),
        end_velocity=torch.zeros(1, 3, dtype=torch.float64),
        force=force,
        friction=FRICTION,
        reference_length=LENGTH,
    )
    result = implicit_chain(linearised, time, start, start, drive)
    assert result.strain[:, -1] == pytest.approx(0.6, abs=1e-4)
    assert result.internal[:, -1] == pytest.approx(0.3, abs=1e-4)


def test_the_moved_end_goes_where_it_is_told() -> None:
    result = run(21, implicit=3)
    assert float(result.strain[0, -1].sum() * LENGTH) == pytest.approx(1.4, rel=1e-12)
