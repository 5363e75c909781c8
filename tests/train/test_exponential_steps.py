"""α under a measured strain by exponential steps: exact where it must be, stable for any step."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from ibvonn_train.law.potentials import Relaxation
from ibvonn_train.rollouts import material_point as dynamics


def linear(strain: Tensor, internal: Tensor) -> Relaxation:
    """Law with f = (ε − α)²/2 + α²/2, φ = g²/2: α̇ = ε − 2α."""
    one = torch.ones(*strain.shape, 1, dtype=torch.float64)
    return Relaxation(strain - 2.0 * internal, -2.0 * one)


def saturating(strain: Tensor, internal: Tensor) -> Relaxation:
    """A rate that is not linear: α̇ = ε − α − α³."""
    law = linear(strain, internal)
    rate = strain - internal - internal**3
    return law._replace(rate=rate, rate_by_internal=(-1.0 - 3.0 * internal**2).unsqueeze(-1))


def ramp(law: dynamics.RelaxationFunction, instants: int, substeps: int) -> Tensor:
    time = torch.linspace(0.0, 2.0, instants, dtype=torch.float64)
    strain = time[None, :, None].expand(3, -1, 1)
    start = torch.zeros(3, 1, dtype=torch.float64)
    return dynamics.exponential(law, time, strain, start, substeps=substeps)


@pytest.mark.parametrize("step", [1e-9, 0.3, 50.0])
def test_linear_relaxation_under_a_held_strain_is_exact(step: float) -> None:
    """α = 1/2 + (α₀ − 1/2) e^{−2t} under ε = 1, for steps of any length."""
    time = step * torch.arange(4, dtype=torch.float64)
    strain = torch.ones(1, 4, 1, dtype=torch.float64)
    start = torch.full((1, 1), 9.0, dtype=torch.float64)
    result = dynamics.exponential(linear, time, strain, start)[0, :, 0]
    torch.testing.assert_close(result, 0.5 + 8.5 * torch.exp(-2.0 * time), rtol=1e-12, atol=1e-12)


def test_a_ramp_is_followed_with_order_two() -> None:
    """α = t/2 − (1 − e^{−2t})/4 under ε = t; the strain of the middle of each step counts."""
    exact = 1.0 - (1.0 - math.exp(-4.0)) / 4.0
    errors = [abs(float(ramp(linear, 11, k)[0, -1, 0]) - exact) for k in (1, 2, 4)]
    assert errors[0] / errors[1] == pytest.approx(4.0, rel=0.1)
    assert errors[1] / errors[2] == pytest.approx(4.0, rel=0.1)


def test_a_nonlinear_rate_is_followed_with_order_two() -> None:
    limit = float(ramp(saturating, 11, 512)[0, -1, 0])
    errors = [abs(float(ramp(saturating, 11, k)[0, -1, 0]) - limit) for k in (4, 8, 16)]
    assert errors[0] / errors[1] == pytest.approx(4.0, rel=0.15)
    assert errors[1] / errors[2] == pytest.approx(4.0, rel=0.15)


GENERATOR = torch.tensor([[-3.0, 1.0, 0.5], [2.0, -1.5, 0.5], [1.0, 0.5, -1.0]]).double()
"""Of jumps between three states: columns sum to zero."""


def three_states(strain: Tensor, internal: Tensor) -> Relaxation:
    """Fractions of states 1 and 2; state 0 is what is left, which the strain empties faster."""
    first = (1.0 + strain) * GENERATOR[1:, 0]
    matrix = GENERATOR[1:, 1:] - first.unsqueeze(-1)
    rate = (matrix @ internal.unsqueeze(-1)).squeeze(-1) + first
    return Relaxation(rate, matrix)


def test_coupled_populations_relax_exactly_and_stay_fractions() -> None:
    time = torch.tensor([0.0, 0.1, 1.0, 40.0], dtype=torch.float64)
    start = torch.tensor([[0.9, 0.05]], dtype=torch.float64)
    strain = torch.zeros(1, 4, 1, dtype=torch.float64)
    path = dynamics.exponential(three_states, time, strain, start)[0]
    whole = torch.tensor([0.05, 0.9, 0.05], dtype=torch.float64)
    exact = torch.stack([torch.linalg.matrix_exp(t * GENERATOR) @ whole for t in time])
    torch.testing.assert_close(path, exact[:, 1:], rtol=0, atol=1e-13)
    assert path.min() > 0.0
    assert path.sum(-1).max() < 1.0


def test_coupled_populations_are_followed_with_order_two() -> None:
    def end(instants: int) -> Tensor:
        time = torch.linspace(0.0, 1.0, instants, dtype=torch.float64)
        start = torch.tensor([[0.9, 0.05]], dtype=torch.float64)
        return dynamics.exponential(three_states, time, time[None, :, None], start)[0, -1]

    exact = end(2001)
    errors = [float((end(n) - exact).norm()) for n in (6, 11, 21)]
    assert errors[0] / errors[1] == pytest.approx(4.0, rel=0.15)
    assert errors[1] / errors[2] == pytest.approx(4.0, rel=0.15)


def test_substeps_between_instants_count_as_steps() -> None:
    coarse, fine = ramp(linear, 11, 4), ramp(linear, 41, 1)
    assert (coarse - fine[:, ::4]).abs().max() < 1e-14
