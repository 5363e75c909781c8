"""Roll-outs against what is known exactly."""

from __future__ import annotations

import torch
from torch import Tensor

from ibvonn_train.rollouts import material_point as dynamics
from ibvonn_train.rollouts.chain import ChainDrive, explicit_chain

SITES, FRICTION, LENGTH, MODULUS = 5, 0.1, 0.01, 1.0
TIME = 0.002 * torch.arange(400, dtype=torch.float64)


def zener(strain: Tensor, internal: Tensor) -> tuple[Tensor, Tensor]:
    """Spring in series with a Kelvin unit."""
    stress = MODULUS * LENGTH * (strain - internal)
    return stress, 3.0 * (strain - 2.0 * internal)


def start() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    strain = torch.randn(2, SITES, 1, dtype=torch.float64, generator=generator)
    return strain, 0.3 * strain


def rollout(moved: bool, velocity: Tensor, force: Tensor) -> dynamics.Rollout:
    drive = ChainDrive(
        moved=torch.full((2,), moved),
        end_velocity=velocity,
        force=force,
        friction=FRICTION,
        reference_length=LENGTH,
    )
    return explicit_chain(zener, TIME, *start(), drive)


def end_driven() -> tuple[dynamics.Rollout, Tensor, Tensor]:
    first = (start()[0].sum((1, 2)) + SITES) * LENGTH
    length = first[:, None] + 0.01 * torch.sin(3.0 * TIME)
    # The forward difference is the velocity that the Euler scheme sees.
    velocity = torch.diff(length, dim=1) / torch.diff(TIME)
    velocity = torch.cat([velocity, velocity[:, -1:]], 1)
    return rollout(True, velocity, torch.full_like(velocity, torch.nan)), length, velocity


def test_end_driven_chain_keeps_the_given_length() -> None:
    result, length, _ = end_driven()
    total = (result.strain.sum((2, 3)) + SITES) * LENGTH
    assert (total - length).abs().max() < 1e-14


def test_beads_of_the_end_driven_chain_obey_the_momentum_balance() -> None:
    result, _, _ = end_driven()
    position = LENGTH * torch.cumsum(1.0 + result.strain[..., 0], -1)
    velocity = torch.diff(position, dim=1) / torch.diff(TIME)[:, None]
    stress = result.stress[:, :-1, :, 0]
    residual = FRICTION * velocity[..., :-1] - torch.diff(stress, dim=-1)
    assert residual.abs().max() < 1e-12 * float(stress.abs().max()) / float(TIME[1])


def test_force_driven_chain_repeats_the_end_driven_one_under_its_force() -> None:
    expected, _, velocity = end_driven()
    result = rollout(False, torch.full_like(velocity, torch.nan), expected.force)
    assert (result.strain - expected.strain).abs().max() < 1e-10
    assert (result.internal - expected.internal).abs().max() < 1e-10
    assert torch.equal(result.force, expected.force)


def test_without_its_drag_the_end_force_does_not_repeat_the_motion() -> None:
    """Guards the test above: the drag of the end bead is part of the external force."""
    expected, _, velocity = end_driven()
    result = rollout(False, velocity, expected.force - FRICTION * velocity)
    assert (result.strain - expected.strain).abs().max() > 1e-2


def test_controlled_rollout_is_the_forward_euler_recursion() -> None:
    strain = torch.sin(TIME)[None, :, None]
    result = dynamics.controlled(zener, TIME, strain, 0.2 * torch.ones(1, 1, dtype=torch.float64))
    rate = zener(strain, result.internal)[1]
    step = torch.diff(TIME)[:, None]
    assert (torch.diff(result.internal, dim=1) - step * rate[:, :-1]).abs().max() < 1e-15
    assert torch.equal(result.force, result.stress[..., 0])
