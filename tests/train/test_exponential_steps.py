"""α under a measured strain by exponential steps: exact where it must be, stable for any step."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from ibvonn_train.law.potentials import (
    Linearised,
    LinearisedFunction,
    Relaxation,
    RelaxationFunction,
)
from ibvonn_train.rollouts.drives import Record, StrainDrive
from ibvonn_train.rollouts.material_point import Rollout
from ibvonn_train.rollouts.relaxation import relaxed_increment


def linear(strain: Tensor, internal: Tensor) -> Linearised:
    """Law with f = (ε − α)²/2 + α²/2, φ = g²/2: σ = ε − α, α̇ = ε − 2α."""
    one = torch.ones(*strain.shape, 1, dtype=torch.float64)
    return Linearised(
        strain - internal, strain - 2.0 * internal, one, -one, one, torch.full_like(one, -2.0)
    )


def saturating(strain: Tensor, internal: Tensor) -> Linearised:
    """A rate that is not linear: α̇ = ε − α − α³."""
    law = linear(strain, internal)
    rate = strain - internal - internal**3
    return law._replace(rate=rate, rate_by_internal=(-1.0 - 3.0 * internal**2).unsqueeze(-1))


@dataclass(frozen=True)
class Law:
    """What roll-outs ask of a law."""

    linearised: LinearisedFunction

    def linearised_function(self) -> LinearisedFunction:
        return self.linearised

    def relaxation_function(self) -> RelaxationFunction:
        def relaxation(strain: Tensor, internal: Tensor) -> Relaxation:
            law = self.linearised(strain, internal)
            return Relaxation(law.rate, law.rate_by_internal)

        return relaxation

    def roll_out(self, time: Tensor, strain: Tensor, start: Tensor, substeps: int = 1) -> Rollout:
        """Roll out by exponential steps."""

        def rates(strain: Tensor, internal: Tensor) -> tuple[Tensor, Tensor]:
            law = self.linearised(strain, internal)
            return law.stress, law.rate

        path = Record(time, strain)
        runs = StrainDrive().roll_out(rates, path, start, implicit=self, substeps=substeps)
        return runs["controlled"]


def ramp(law: LinearisedFunction, instants: int, substeps: int) -> Rollout:
    time = torch.linspace(0.0, 2.0, instants, dtype=torch.float64)
    strain = time[None, :, None].expand(3, -1, 1)
    start = torch.zeros(3, 1, dtype=torch.float64)
    return Law(law).roll_out(time, strain, start, substeps)


@pytest.mark.parametrize("step", [1e-9, 0.3, 50.0])
def test_linear_relaxation_under_a_held_strain_is_exact(step: float) -> None:
    """α = 1/2 + (α₀ − 1/2) e^{−2t} under ε = 1, for steps of any length."""
    time = step * torch.arange(4, dtype=torch.float64)
    strain = torch.ones(1, 4, 1, dtype=torch.float64)
    start = torch.full((1, 1), 9.0, dtype=torch.float64)
    result = Law(linear).roll_out(time, strain, start).internal[0, :, 0]
    torch.testing.assert_close(result, 0.5 + 8.5 * torch.exp(-2.0 * time), rtol=1e-12, atol=1e-12)


def test_a_ramp_is_followed_with_order_two() -> None:
    """α = t/2 − (1 − e^{−2t})/4 under ε = t; the strain of the middle of each step counts."""
    exact = 1.0 - (1.0 - math.exp(-4.0)) / 4.0
    errors = [abs(float(ramp(linear, 11, k).internal[0, -1, 0]) - exact) for k in (1, 2, 4)]
    assert errors[0] / errors[1] == pytest.approx(4.0, rel=0.1)
    assert errors[1] / errors[2] == pytest.approx(4.0, rel=0.1)


def test_a_nonlinear_rate_is_followed_with_order_two() -> None:
    limit = float(ramp(saturating, 11, 512).internal[0, -1, 0])
    errors = [abs(float(ramp(saturating, 11, k).internal[0, -1, 0]) - limit) for k in (4, 8, 16)]
    assert errors[0] / errors[1] == pytest.approx(4.0, rel=0.15)
    assert errors[1] / errors[2] == pytest.approx(4.0, rel=0.15)


GENERATOR = torch.tensor([[-3.0, 1.0, 0.5], [2.0, -1.5, 0.5], [1.0, 0.5, -1.0]]).double()
"""Of jumps between three states: columns sum to zero."""


def three_states(strain: Tensor, internal: Tensor) -> Linearised:
    """Fractions of states 1 and 2; state 0 is what is left, which the strain empties faster."""
    first = (1.0 + strain) * GENERATOR[1:, 0]
    matrix = GENERATOR[1:, 1:] - first.unsqueeze(-1)
    rate = (matrix @ internal.unsqueeze(-1)).squeeze(-1) + first
    one = torch.ones(*strain.shape, 1, dtype=torch.float64)
    return Linearised(strain, rate, one, one, one, matrix)


def test_coupled_populations_relax_exactly_and_stay_fractions() -> None:
    time = torch.tensor([0.0, 0.1, 1.0, 40.0], dtype=torch.float64)
    start = torch.tensor([[0.9, 0.05]], dtype=torch.float64)
    strain = torch.zeros(1, 4, 1, dtype=torch.float64)
    path = Law(three_states).roll_out(time, strain, start).internal[0]
    whole = torch.tensor([0.05, 0.9, 0.05], dtype=torch.float64)
    exact = torch.stack([torch.linalg.matrix_exp(t * GENERATOR) @ whole for t in time])
    torch.testing.assert_close(path, exact[:, 1:], rtol=0, atol=1e-13)
    assert path.min() > 0.0
    assert path.sum(-1).max() < 1.0


@pytest.mark.parametrize("size", [3, 6])
def test_more_variables_relax_within_the_error_of_the_rational_approximation(size: int) -> None:
    """φ₁(J) r of relaxations from 1e-6 to 1e8 in a step, J = −M H of positive definite M and H."""
    random = torch.Generator().manual_seed(size)
    root = torch.randn(2, 30, size, size, generator=random, dtype=torch.float64)
    mobility, curvature = (0.1 * torch.eye(size) + root @ root.mT).unbind()
    slope = -mobility @ curvature * torch.logspace(-6, 8, 30, dtype=torch.float64)[:, None, None]
    rate = torch.randn(30, size, generator=random, dtype=torch.float64)
    moved = relaxed_increment(rate, slope)
    values, vectors = torch.linalg.eig(slope)
    weights = torch.expm1(values.real) / values.real
    exact = (vectors.real * weights[:, None]) @ torch.linalg.solve(vectors.real, rate[..., None])
    error = (moved - exact[..., 0]).abs().max()
    assert error < 1e-5  # 8e-7 times what the eigenvectors, which are not orthogonal, may add


@pytest.mark.parametrize("size", [1, 2, 3, 6])
def test_gradients_of_increments_agree_with_differences(size: int) -> None:
    random = torch.Generator().manual_seed(size)
    root = torch.randn(4, size, size, generator=random, dtype=torch.float64)
    slope = -(0.1 * torch.eye(size) + root @ root.mT).requires_grad_()
    rate = torch.randn(4, size, generator=random, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(relaxed_increment, (rate, slope))


def test_coupled_populations_are_followed_with_order_two() -> None:
    def end(instants: int) -> Tensor:
        time = torch.linspace(0.0, 1.0, instants, dtype=torch.float64)
        start = torch.tensor([[0.9, 0.05]], dtype=torch.float64)
        run = Law(three_states).roll_out(time, time[None, :, None], start)
        return run.internal[0, -1]

    exact = end(2001)
    errors = [float((end(n) - exact).norm()) for n in (6, 11, 21)]
    assert errors[0] / errors[1] == pytest.approx(4.0, rel=0.15)
    assert errors[1] / errors[2] == pytest.approx(4.0, rel=0.15)


def test_substeps_between_instants_count_as_steps() -> None:
    coarse, fine = ramp(linear, 11, 4), ramp(linear, 41, 1)
    assert (coarse.internal - fine.internal[:, ::4]).abs().max() < 1e-14


def test_stress_is_that_of_the_states_at_the_instants() -> None:
    run = ramp(linear, 11, 2)
    torch.testing.assert_close(run.stress, run.strain - run.internal, rtol=0, atol=0)
