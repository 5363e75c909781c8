"""Least squares of weights: found again where they exist, and far closer than by gradients."""

from __future__ import annotations

import torch
from short_training import short
from torch import nn

from ibvonn_train.data.ensemble import TrajectoryEnsemble
from ibvonn_train.law.convex_potentials import ConvexPotentials
from ibvonn_train.law.free_energy import EnergyValues, FreeEnergy
from ibvonn_train.statistical_mechanics.microscopic_energy import physics_of
from ibvonn_train.training.dataset import prepare
from ibvonn_train.training.least_squares import minimise
from ibvonn_train.training.polish_windows import PolishWindows
from ibvonn_train.training.quasi_newton import LOSS_SCALE
from ibvonn_train.training.stage import Material
from ibvonn_train.training.trainer import new_law


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

    optimiser = torch.optim.LBFGS(  # tolerances of torch are absolute: none of them ends it
        by_gradients.parameters(), max_iter=1500, history_size=60, tolerance_grad=1e-12,
        tolerance_change=1e-15, line_search_fn="strong_wolfe",
    )  # fmt: skip

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        error = errors(values(by_gradients(strain, internal)) - measured)
        loss = LOSS_SCALE * error.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    rest = float(closure().detach()) / LOSS_SCALE
    assert squares < 1e-6 * float(errors(measured).square().sum())
    assert squares < 0.1 * rest


def test_polish_in_windows_begins_with_f_at_stress_and_free_energy(
    ensemble: TrajectoryEnsemble,
) -> None:
    """The exact f of the trap is quadratic, so the rest is that of the sampling."""
    config = short(polish_steps=40)
    data = prepare([ensemble], torch.device("cpu"), 0, nodes=48)
    physics = physics_of(ensemble.system, ensemble.parameters)
    law, _, features = new_law(config, [ensemble], data, physics, ())
    material = Material.of(law, data, physics, config.expert, features.slowest)
    assert isinstance(law.potentials, ConvexPotentials)
    energy: nn.Module = law.potentials.energy
    noise = torch.Generator().manual_seed(1)
    with torch.no_grad():  # as Adam leaves it
        for parameter in energy.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=noise, dtype=torch.float64))

    def error() -> float:
        block = data.training[0]
        with torch.no_grad():
            states = block.flat(block.strain), block.flat(material.internal(block))
            away = (energy(*states).stress - block.flat(block.stress)) / data.scales.stress_scale
        return float(away.square().mean().sqrt())

    before = error()
    PolishWindows(material, 0)
    assert error() < 0.005 < 0.1 * before
