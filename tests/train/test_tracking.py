"""α under a measured strain by implicit steps, and records that are coarse against the scheme."""

import math

import pytest
import torch
from torch import Tensor

from ibvonn_train.rollouts import material_point as dynamics
from ibvonn_train.training.losses import weak_form


def rates(strain: Tensor, internal: Tensor) -> tuple[Tensor, Tensor]:
    """Law with f = (ε − α)²/2 + α²/2, φ = g²/2: α̇ = ε − 2α."""
    return strain - internal, strain - 2.0 * internal


def relaxation(strain: Tensor, internal: Tensor) -> Tensor:
    """Return φ'' ∂²f/∂α² = 2."""
    return torch.full((*(strain + internal).shape, 1), 2.0, dtype=torch.float64)


def tracked(instants: int, substeps: int) -> dynamics.Rollout:
    time = torch.linspace(0.0, 2.0, instants, dtype=torch.float64)
    strain = time[None, :, None].expand(3, -1, 1)
    start = torch.zeros(3, 1, dtype=torch.float64)
    return dynamics.tracking(rates, relaxation, time, strain, start, substeps=substeps)


def test_tracking_converges_to_the_ramp_response_with_order_one() -> None:
    """α = t/2 − (1 − e^{−2t})/4 under ε = t."""
    exact = 1.0 - (1.0 - math.exp(-4.0)) / 4.0
    errors = [abs(float(tracked(11, k).internal[0, -1, 0]) - exact) for k in (8, 16, 32)]
    assert errors[0] / errors[1] == pytest.approx(2.0, rel=0.05)
    assert errors[1] / errors[2] == pytest.approx(2.0, rel=0.05)


def test_tracking_is_stable_for_steps_far_beyond_the_relaxation_time() -> None:
    time = torch.tensor([0.0, 1e6, 2e6], dtype=torch.float64)
    strain = torch.ones(1, 3, 1, dtype=torch.float64)
    start = torch.full((1, 1), 9.0, dtype=torch.float64)
    run = dynamics.tracking(rates, relaxation, time, strain, start)
    assert float(run.internal[0, -1, 0]) == pytest.approx(0.5, abs=1e-5)


def test_substeps_between_instants_count_as_steps() -> None:
    coarse, fine = tracked(11, 4), tracked(41, 1)
    assert (coarse.internal - fine.internal[:, ::4]).abs().max() < 1e-14


def weak_form_error(stride: int) -> float:
    """Relative difference of the two sides for α = sin t, stored at intervals of 0.1."""
    time = torch.arange(0.0, 20.0, 0.1, dtype=torch.float64)
    alpha, rate = torch.sin(time)[None, :, None], torch.cos(time)[None, :, None]
    ((observed, modelled),) = weak_form(alpha, rate, time, [30], strides=[stride])
    return float((observed - modelled).norm() / observed.norm())


def test_weak_form_of_coarse_records_interpolates_the_rate() -> None:
    """Stored every 50th step; taken for a record of every step it is off by half an interval."""
    assert weak_form_error(50) < 2e-3
    assert weak_form_error(1) > 2e-2


def test_an_implicit_step_sees_the_strain_at_its_end() -> None:
    """α⁺ = (α + Δt ε⁺)/(1 + 2Δt), the update of hosts: one step of 0.5 to ε = 3 from rest."""
    time = torch.tensor([0.0, 0.5], dtype=torch.float64)
    strain = torch.tensor([0.0, 3.0], dtype=torch.float64)[None, :, None]
    start = torch.zeros(1, 1, dtype=torch.float64)
    run = dynamics.tracking(rates, relaxation, time, strain, start)
    assert float(run.internal[0, -1, 0]) == pytest.approx(0.75, rel=1e-14)
    assert float(run.stress[0, -1, 0]) == pytest.approx(2.25, rel=1e-14)
