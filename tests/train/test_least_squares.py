"""Least squares of weights: found again where they exist, and far closer than by gradients."""

from __future__ import annotations

import torch
from torch import nn

from ibvonn_train.law.free_energy import EnergyValues, FreeEnergy
from ibvonn_train.training.least_squares import minimise


class Wave(nn.Module):
    """a sin(b x)."""

    def __init__(self, amplitude: float, number: float) -> None:
        super().__init__()
        self.amplitude = nn.Parameter(torch.tensor([amplitude], dtype=torch.float64))
        self.number = nn.Parameter(torch.tensor([number], dtype=torch.float64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        value: torch.Tensor = self.amplitude * torch.sin(self.number * x)
        return value


def test_weights_are_found_again() -> None:
    x = torch.linspace(-2.0, 2.0, 41, dtype=torch.float64)[:, None]
    wave = Wave(0.7, 1.2)
    squares = minimise(wave, (x,), lambda v: v, lambda d: d.flatten(0, 1), Wave(1.5, 1.7)(x), 50)
    assert squares < 1e-20
    torch.testing.assert_close(wave.number.item(), 1.7)
    torch.testing.assert_close(wave.amplitude.item(), 1.5)


def test_a_stiffening_well_is_fitted_to_a_thousandth_where_one_gradient_rests() -> None:
    """The energy is (ε − α)²/2 + α⁴/10, whose Hessian is singular at α = 0."""
    generator = torch.Generator().manual_seed(0)
    angle = torch.linspace(0.0, 30.0, 300, dtype=torch.float64)
    strain = 1.5 * torch.sin(angle)[:, None]
    internal = (0.9 * torch.sin(angle - 0.6) + 0.2 * torch.sin(3.1 * angle))[:, None]
    stress = strain - internal
    value = 0.5 * (strain - internal) ** 2 + 0.1 * internal**4
    measured = torch.cat([stress, value], 1)

    def values(energy: EnergyValues) -> torch.Tensor:
        return torch.cat([energy.stress, energy.energy[:, None]], 1)

    def errors(difference: torch.Tensor) -> torch.Tensor:
        scaled: torch.Tensor = difference.flatten(0, 1) / len(difference) ** 0.5
        return scaled

    by_squares, by_gradients = (
        FreeEnergy(1, 1, widths=(16, 16), generator=generator.manual_seed(3)) for _ in range(2)
    )
    squares = minimise(by_squares, (strain, internal), values, errors, measured, 200)

    optimiser = torch.optim.LBFGS(
        by_gradients.parameters(), max_iter=1500, history_size=40, line_search_fn="strong_wolfe"
    )

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        loss = errors(values(by_gradients(strain, internal)) - measured).square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    rest = float(closure().detach())
    assert squares < 1e-6 * float(errors(measured).square().sum())
    assert squares < 0.1 * rest
