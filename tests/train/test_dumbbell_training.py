"""What a law of Hookean dumbbells needs, whose free energy is not jointly convex."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from short_training import short
from small_ensembles import small_ensemble
from torch import Tensor

from ibvonn_train.closed_form.dumbbell_law import DumbbellLaw, mandel_of
from ibvonn_train.data.ensemble import TrajectoryEnsemble
from ibvonn_train.export import export_trained
from ibvonn_train.export.runtimes import agreement
from ibvonn_train.law.dissipation import DualDissipation
from ibvonn_train.law.free_energy import FreeEnergy
from ibvonn_train.law.networks import InputConvexNetwork
from ibvonn_train.simulation import HookeanDumbbell
from ibvonn_train.simulation.strain_paths import strain_training_set
from ibvonn_train.training import train

LAW = DumbbellLaw()
BOX = (-0.3, -0.3, -0.3), (0.3, 0.3, 0.3)
PATHS = strain_training_set(*BOX, 8.0, seed=1, walks=6, directions=2)


def test_a_coupled_function_is_convex_in_each_part_and_not_in_both() -> None:
    generator = torch.Generator().manual_seed(0)
    net = InputConvexNetwork(5, (6, 6), generator=generator, coupled=2)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    x = torch.randn(40, 5, generator=generator, dtype=torch.float64, requires_grad=True)
    value, gradient = net.value_and_gradient(x)
    torch.testing.assert_close(torch.autograd.grad(value.sum(), x)[0], gradient)
    hessian = net.gradient_and_hessian(x)[1]
    for part in (slice(2), slice(2, 5)):
        assert torch.linalg.eigvalsh(hessian[:, part, part]).min() > 0.0
    assert torch.linalg.eigvalsh(hessian).min() < -0.1


def states(count: int) -> tuple[Tensor, ...]:
    """ε, α = A in units of its spread, σ and α̇ of the exact law along its paths."""
    time = np.linspace(0.0, 8.0, 81)
    strain = np.stack([path.value(time) for path in PATHS])
    moments = LAW.moments(time, strain, LAW.equilibrium(strain[:, 0]))
    own = mandel_of(moments).reshape(-1, 3)
    scale = own.std(0)
    columns = (
        strain, (own - own.mean(0)) / scale, LAW.stress(moments),
        mandel_of(LAW.rate(strain, moments)) / scale,
    )  # fmt: skip
    chosen = np.random.default_rng(0).permutation(len(own))[:count]
    return tuple(torch.tensor(column.reshape(-1, 3)[chosen]) for column in columns)


@pytest.mark.parametrize("coupled", [True, False])
def test_a_jointly_convex_energy_has_neither_stress_nor_rates_of_dumbbells(coupled: bool) -> None:
    """The exact one, (H/2) tr((I + 2ε) A) + …, has ∂²f/∂ε² = 0, and ∂²f/∂ε∂A is not zero."""
    strain, internal, stress, rate = states(250)
    generator = torch.Generator().manual_seed(0)
    f = FreeEnergy(3, 3, widths=(12, 12), generator=generator, coupled=coupled)
    φ = DualDissipation(3, 3, ridges=6, context_widths=(12, 12), generator=generator)
    f.strain_scale.copy_(strain.std(0))
    f.energy_scale.copy_(stress.std() * strain.std())
    optimiser = torch.optim.LBFGS(
        [*f.parameters(), *φ.parameters()], max_iter=250, history_size=40,
        line_search_fn="strong_wolfe", tolerance_change=1e-15,
    )  # fmt: skip

    def errors() -> list[Tensor]:
        values = f(strain, internal)
        rates = φ.rate(values.driving_force, f.state(strain, internal))
        return [
            (values.stress - stress).norm() / stress.norm(), (rates - rate).norm() / rate.norm()
        ]  # fmt: skip

    def closure() -> Tensor:
        optimiser.zero_grad()
        loss = 1e3 * torch.stack(errors()).square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    of_stress, of_rate = (float(error.detach()) for error in errors())
    if coupled:
        assert of_stress < 0.04
        assert of_rate < 0.12
    else:
        assert of_stress > 0.06
        assert of_rate > 0.2


@pytest.fixture(scope="module")
def data() -> TrajectoryEnsemble:
    return small_ensemble(
        HookeanDumbbell(), PATHS, duration=8.0, stride=10, replicas=2000, record="histogram"
    )


@pytest.mark.slow
def test_dumbbells_get_three_means_of_products_and_a_law_that_is_exported(
    data: TrajectoryEnsemble, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        model = train(
            short("auto", identify_steps=10, polish_steps=2), data, tmp_path / "run",
            validation=[1], progress=False, tensorboard=False,
        )  # fmt: skip
    assert model.internal_size == 3
    path = export_trained(model, tmp_path / "model", name="dumbbells")
    assert all(row.agrees for row in agreement.verify_all(path, n_points=100))
