"""Roll-outs, weak form and the decoder's free energy against what is known exactly."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from ibvonn_train.law.free_energy import flow_free_energy
from ibvonn_train.rollouts import material_point as dynamics
from ibvonn_train.rollouts.chain import ChainDrive, explicit_chain
from ibvonn_train.training.encoding_gradients import EncodingGradients
from ibvonn_train.training.losses import weak_form

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


def series() -> tuple[Tensor, Tensor, Tensor]:
    """α and its rate for unequal time steps, exactly in the forward-Euler convention."""
    generator = torch.Generator().manual_seed(1)
    time = torch.cumsum(0.5 + torch.rand(200, dtype=torch.float64, generator=generator), 0)
    rate = torch.randn(3, 200, 2, dtype=torch.float64, generator=generator)
    change = rate[:, :-1] * torch.diff(time)[:, None]
    internal = torch.cat([torch.zeros(3, 1, 2), torch.cumsum(change, 1)], 1)
    return internal, rate, time


@pytest.mark.parametrize("width", [3, 20, 60])
def test_weak_form_vanishes_on_forward_euler_data(width: int) -> None:
    internal, rate, time = series()
    ((observed, modelled),) = weak_form(internal, rate, time, [width])
    assert observed.shape[0] == 3
    assert observed.shape[2] == 2
    assert (observed - modelled).abs().max() < 1e-12


def test_weak_form_sees_a_lag_of_one_step() -> None:
    """Guards the test above: rates at the new time are another scheme."""
    internal, rate, time = series()
    ((observed, modelled),) = weak_form(internal, torch.roll(rate, -1, 1), time, [20])
    assert (observed - modelled).abs().max() > 1e-2


def test_test_functions_longer_than_the_data_are_left_out() -> None:
    internal, rate, time = series()
    assert len(weak_form(internal, rate, time, [20, 500])) == 1


def test_quadrature_gives_the_free_energy_of_a_gaussian() -> None:
    """For e = k x²/2 + x and q = N(m, s²): F = k (m² + s²)/2 + m − k_BT ln(s sqrt(2πe))."""
    k, thermal = 2.0, 0.3
    nodes = torch.linspace(-12.0, 12.0, 600, dtype=torch.float64)
    m = torch.tensor([[-0.5], [0.0], [1.5]], dtype=torch.float64)
    s = torch.tensor([[0.5], [0.7], [0.9]], dtype=torch.float64)
    log_density = -0.5 * ((nodes - m) / s) ** 2 - torch.log(s) - 0.5 * math.log(2.0 * math.pi)
    energy = (0.5 * k * nodes**2 + nodes).expand(3, -1)
    value = flow_free_energy(log_density, energy, float(nodes[1] - nodes[0]), thermal)
    entropy = torch.log(s * math.sqrt(2.0 * math.pi * math.e))
    exact = (0.5 * k * (m**2 + s**2) + m - thermal * entropy)[:, 0]
    assert (value - exact).abs().max() < 1e-12
    # The density is normalised on the nodes: a factor on it changes nothing.
    spacing = float(nodes[1] - nodes[0])
    twice = flow_free_energy(log_density + math.log(2.0), energy, spacing, thermal)
    assert (twice - exact).abs().max() < 1e-12


def test_terms_on_copies_give_the_gradient_of_their_sum() -> None:
    weight = torch.tensor([0.3, -1.2], dtype=torch.float64, requires_grad=True)

    def encoded() -> Tensor:
        return torch.sin(weight * torch.linspace(0.0, 1.0, 5, dtype=torch.float64)[:, None])

    def terms(internal: Tensor) -> list[Tensor]:
        return [internal[:2].square().sum(), internal[2:].exp().sum()]

    (sum(terms(encoded())) + 3.0 * weight.prod()).backward()
    expected, weight.grad = weight.grad, None
    gradients = EncodingGradients()
    copy = gradients.copy(encoded())
    for term in terms(copy):
        term.backward()
    assert weight.grad is None  # the copy is cut off
    gradients.add(3.0 * weight.prod())
    gradients.backward()
    torch.testing.assert_close(weight.grad, expected, rtol=1e-14, atol=1e-15)


def test_a_frozen_encoding_is_not_copied() -> None:
    gradients = EncodingGradients()
    internal = torch.ones(3, 1, dtype=torch.float64)
    assert gradients.copy(internal) is internal
    gradients.backward()
