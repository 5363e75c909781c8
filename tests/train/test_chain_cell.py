"""The periodic chain as one cell: exact identities, equilibrium, both engines, its records."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from small_ensembles import small_ensemble

from ibvonn_train.data.ensemble import TrajectoryEnsemble
from ibvonn_train.simulation import ChainCell, Preparation, Protocol, repeat_from_first
from ibvonn_train.simulation.protocols import hold, ramp_and_hold, smooth_pull
from ibvonn_train.simulation.systems.registry import system_of

CELL = ChainCell(springs=20)
ENGINES = ["torch", "compiled"]


def record(cell: ChainCell, protocol: Protocol, **settings: Any) -> TrajectoryEnsemble:
    usual = {"duration": 40.0, "time_step": 0.1, "stride": 10, "replicas": 64, "record": "samples"}
    return small_ensemble(cell, [protocol], **usual | settings)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.usefixtures("c_compiler")
def test_the_mean_strain_and_the_stress_are_identities(engine: str) -> None:
    """⟨x⟩ = ε in every cell, and σ = k (L0 ε − u_h p), to round-off; energy and work agree."""
    data = record(CELL, ramp_and_hold(0.2, 20.0), engine=engine, dtype=torch.float64)
    x = data.samples[0, :, 0, :, 0]
    cells = x.reshape(len(x), data.replicas, data.elements)
    ε = data.strain[0, :, 0, 0]
    assert np.abs(cells.mean(2) - ε[:, None]).max() < 1e-14
    share = (x > CELL.spring.crossing).mean(1)
    assert 0.2 < share[-1] < 0.9
    assert np.abs(data.stress[0, :, 0, 0] - (ε - 0.3 * share)).max() < 1e-14
    stress = np.where(cells > CELL.spring.crossing, cells - 0.3, cells).mean(2)
    np.testing.assert_allclose(data.stress_variance[0, :, 0, 0], stress.var(1, ddof=1), atol=1e-16)
    energy = CELL.spring.energy(torch.from_numpy(x)).mean(1)
    np.testing.assert_allclose(data.energy[0, :, 0], energy, rtol=1e-12)


def test_the_stress_is_the_slope_of_the_energy() -> None:
    """(1/N L0) ∂e/∂ε, and the written force is −∂e/∂w."""
    cell = replace(CELL, reference_length=0.7)
    ε = torch.tensor([[0.15]], dtype=torch.float64)
    w = cell.start(ε, 5, torch.Generator().manual_seed(0))
    slope = super(ChainCell, cell).external_force(w, ε, ε) / (20 * 0.7)
    torch.testing.assert_close(slope[:, 0], cell.external_force(w, ε, ε), rtol=1e-12, atol=1e-15)
    by_slope = super(ChainCell, cell).force(w, ε)
    torch.testing.assert_close(by_slope, cell.force(w, ε), rtol=0, atol=1e-15)


@pytest.mark.usefixtures("c_compiler")
def test_without_noise_the_engines_agree_to_round_off() -> None:
    """From uneven cells, over the crossing; drag is relative to the affine motion."""
    first = CELL.start(torch.zeros(1, 1).double(), 2, torch.Generator().manual_seed(3))
    microstate = CELL.microstate(first, torch.zeros(1, 1).double())
    cold = replace(CELL, thermal_energy=1e-30, preparation=())
    runs = [
        record(
            cold, smooth_pull(0.05), engine=engine, dtype=torch.float64, replicas=2,
            first_microstate=microstate.numpy(), duration=10.0,
        )
        for engine in ENGINES
    ]  # fmt: skip
    assert (runs[0].samples > CELL.spring.crossing).any()
    np.testing.assert_allclose(runs[0].samples, runs[1].samples, rtol=0, atol=1e-12)


def test_an_affine_motion_meets_no_drag() -> None:
    """Cells of equal springs stay equal however fast the strain moves."""
    cold = replace(CELL, thermal_energy=1e-30, preparation=())
    equal = np.zeros((1, 1, 40, 1))
    data = record(
        cold, ramp_and_hold(0.1, 1.0), first_microstate=equal, replicas=2, dtype=torch.float64,
        duration=2.0, stride=1,
    )  # fmt: skip
    assert np.abs(data.samples - data.strain[..., None]).max() < 1e-12


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.usefixtures("c_compiler")
def test_one_well_is_at_the_temperature_of_the_bath(engine: str) -> None:
    """Var(x) = (1 − 1/N) k_BT/k whatever the step; forward Euler is 12 % hot here."""
    cell = ChainCell(springs=20, well_distance=10.0)
    warm = replace(cell, preparation=(Preparation(300, 0.1),))
    data = record(warm, hold(0.0), engine=engine, replicas=512, duration=100.0, stride=100)
    expected = (1 - 1 / 20) * cell.thermal_energy
    samples = data.samples.astype(float)
    ratio = samples.var() / expected
    error = np.sqrt(2 / (samples.size / 2))  # consecutive instants are not quite independent
    assert abs(ratio - 1) < 4 * error
    euler = replace(warm, scheme="euler_maruyama")
    hot = small_ensemble(
        euler, [hold(0.0)], duration=100.0, time_step=0.1, stride=100, replicas=512,
        record="samples", engine="torch",
    )  # fmt: skip
    assert hot.samples.astype(float).var() / expected > 1.08


@pytest.mark.usefixtures("c_compiler")
def test_equilibrium_cells_stay_in_equilibrium() -> None:
    """The open fraction is that of exact draws; the barriers are low enough to be crossed."""
    soft = ChainCell(springs=12, well_distance=0.2, offset=0.0, preparation=())
    data = record(soft, hold(0.08), duration=400.0, stride=100, replicas=1024)
    exact = soft.spring.open_distribution(torch.tensor([12 * 0.08]), 12, soft.thermal_energy)
    mean = float(exact[0] @ torch.arange(13.0, dtype=torch.float64)) / 12
    opened = (data.samples[0, ..., 0] > soft.spring.crossing).reshape(41, 1024, 12).mean(2)
    standard_error = opened.std(1).mean() / np.sqrt(1024)
    assert abs(opened[0].mean() - mean) < 4 * standard_error
    assert abs(opened[-1].mean() - mean) < 4 * standard_error
    first = data.samples[0, 0, 0, :, 0] > soft.spring.crossing
    last = data.samples[0, -1, 0, :, 0] > soft.spring.crossing
    assert 0.1 < (first != last).mean()


def test_a_cell_starts_again_where_it_was() -> None:
    data = record(CELL, ramp_and_hold(0.3, 10.0), dtype=torch.float64, replicas=10)
    system = system_of(data)
    assert isinstance(system, ChainCell)
    assert system.parameters() == CELL.parameters()
    again = repeat_from_first(data, factor=3, seed=2, progress=False)
    assert again.replicas == 30
    first = data.samples[0, 0, 0].reshape(10, 20)
    repeated = again.samples[0, 0, 0].reshape(3, 10, 20)
    np.testing.assert_allclose(repeated, np.broadcast_to(first, (3, 10, 20)), atol=1e-6)
    np.testing.assert_allclose(again.strain, data.strain, rtol=0, atol=1e-12)
    assert np.abs(again.stress[:, -1] - data.stress[:, -1]).max() > 1e-6  # other noise


@pytest.mark.usefixtures("c_compiler")
def test_the_law_of_a_cell_and_of_a_spring_have_one_closed_form() -> None:
    """The closed-form reference rolls out under the strain of the cell, within some per cent."""
    from ibvonn_train.evaluation import evaluate
    from ibvonn_train.evaluation.closed_form_reference import ClosedFormReference

    data = record(ChainCell(), ramp_and_hold(0.4, 400.0), duration=800.0, stride=50, replicas=32)
    result = evaluate(ClosedFormReference(data), data)
    assert set(result.errors) >= {"controlled/stress", "controlled/internal"}
    assert result.errors["controlled/stress"] < 12.0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"springs": 1}, "at least 2 springs"),
        ({"thermal_energy": 0.0}, "thermal_energy must be positive"),
        ({"friction": -1.0}, "friction must be positive"),
    ],
)
def test_a_cell_without_meaning_is_refused(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ChainCell(**arguments)


def test_an_unstable_step_is_refused() -> None:
    with pytest.raises(ValueError, match=r"time_step must be below 0.5"):
        record(CELL, hold(0.0), time_step=0.6, stride=1, duration=6.0)
