"""Relaxed states: what statistical mechanics says of them, and laws that are held to it."""

from __future__ import annotations

import dataclasses
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from ibvonn_train.data.ensemble import TrajectoryEnsemble
from ibvonn_train.law.free_energy import FreeEnergy
from ibvonn_train.law.networks import InputConvexNetwork
from ibvonn_train.simulation import TetheredParticle, TwoWellSpring
from ibvonn_train.statistical_mechanics.boltzmann import Boltzmann
from ibvonn_train.statistical_mechanics.microscopic_energy import Physics, physics_of
from ibvonn_train.statistical_mechanics.relaxed_states import equilibrium_states
from ibvonn_train.training import TrainedModel, TrainingConfig, train
from ibvonn_train.training.training_config import ConfigError

LOSS = {"stress": 1.0, "weak_form": 0.1, "negative_log_likelihood": 0.01}
RELAX = {"stress": 1.0, "weak_form": 0.0, "equilibrium": 1.0}
CONFIG = TrainingConfig.from_dict({
    "nodes": 64,
    "width": 8,
    "entropic_barriers": 2,
    "stages": [
        {"name": "adam", "optimiser": "adam", "steps": 60, "states": 16, "loss": LOSS},
        {"name": "relax", "optimiser": "lbfgs", "steps": 60, "train": ["energy"], "loss": RELAX},
        {"name": "again", "optimiser": "lbfgs", "steps": 20, "train": ["energy"], "loss": RELAX},
    ],
})  # fmt: skip


def test_relaxed_states_of_the_trap_are_the_exact_ones() -> None:
    """Q ∝ exp(−k/2 [(ε − x)² + x²]/k_BT): ⟨x⟩ = ε/2, σ = kε/2."""
    parameters = TetheredParticle().parameters()
    physics = physics_of("tethered_particle", parameters)
    states = equilibrium_states(physics, "controlled", (-1.0, 2.0), (-8.0, 8.0))
    mean = states.measures.absolute.mean(states.measures.absolute.nodes)
    torch.testing.assert_close(mean, 0.5 * states.strain, rtol=0, atol=1e-9)
    expected = 0.5 * parameters["stiffness"] * states.strain
    torch.testing.assert_close(states.stress, expected, rtol=0, atol=1e-9)


def test_relaxed_springs_have_the_mean_that_was_asked_for() -> None:
    """A linear spring of stiffness 3: σ = 3ε, and variance k_BT/3 whatever ε."""
    physics = Physics(lambda x, strain: 1.5 * x[..., 0] ** 2, 0.2, 1.0, 1.0)
    states = equilibrium_states(physics, "averaged", (-0.4, 0.7), (-5.0, 5.0))
    torch.testing.assert_close(states.stress, 3.0 * states.strain, rtol=0, atol=1e-8)
    centred = states.measures.centred
    assert centred.mean(centred.nodes).abs().max() < 1e-10
    variance = centred.mean(centred.nodes**2)
    torch.testing.assert_close(variance, torch.full_like(variance, 0.2 / 3.0), rtol=1e-6, atol=0)


def test_ensembles_beyond_the_data_are_left_out() -> None:
    """Positions up to 0.5 show relaxed ensembles, of mean ε/2 and width 0.07, up to ε = 0.5."""
    parameters = TetheredParticle().parameters()
    physics = physics_of("tethered_particle", parameters)
    width = np.sqrt(physics.thermal_energy / (2.0 * parameters["stiffness"]))
    states = equilibrium_states(physics, "controlled", (-2.0, 2.0), (-0.5, 0.5))
    edge = 2.0 * (0.5 - 3.09 * width)  # 0.1 % of a Gaussian lies beyond 3.09 of its width
    assert float(states.strain.max()) == pytest.approx(edge, abs=4.0 / 95)
    assert float(states.strain.min()) == pytest.approx(-edge, abs=4.0 / 95)
    with pytest.raises(ValueError, match="no relaxed ensemble lies between"):
        equilibrium_states(physics, "controlled", (4.0, 5.0), (-0.5, 0.5))


def test_unknown_energies_are_refused(ensemble: TrajectoryEnsemble, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"loss.equilibrium needs a known microscopic energy"):
        equilibrium_states(Physics(None, 1.0, 1.0, 1.0), "controlled", (0.0, 1.0), (-1.0, 1.0))
    with pytest.raises(ConfigError, match=r"barriers = 2: needs a stage with loss.equilibrium"):
        dataclasses.replace(CONFIG, stages=CONFIG.stages[:1])


def test_reserved_units_do_nothing_until_they_are_barriers() -> None:
    nets = [
        InputConvexNetwork(2, (6, 5), generator=torch.Generator().manual_seed(3), reserved=n)
        for n in (0, 4)
    ]
    x = torch.randn(50, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    plain, reserved = (net.value_and_gradient(x) for net in nets)
    for expected, found in zip(plain, reserved, strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-14)
    skip = torch.tensor([[0.0, -9.0], [0.0, -30.0], [0.1, 9.0], [0.1, 30.0]], dtype=torch.float64)
    nets[1].add_barriers(skip, torch.full((4,), -9.0).double(), torch.full((4,), 0.5).double())
    far = torch.tensor([[0.0, -40.0], [0.0, 0.0]], dtype=torch.float64)
    change = [a - b for a, b in zip(*(net.value_and_gradient(far)[1] for net in nets), strict=True)]
    torch.testing.assert_close(change[0], torch.tensor([0.0, 1.0]).double(), rtol=0, atol=1e-9)
    assert change[1].abs().max() < 1e-3


def test_entropic_barriers_hold_internal_variables_at_their_ends() -> None:
    """Two species: α = tanh(4ε) at rest, which a quadratic f lets run away with ε."""
    energy = FreeEnergy(
        1, 1, widths=(4,), entropic_barriers=3, generator=torch.Generator().manual_seed(0)
    )
    with torch.no_grad():  # f = ½(ε − α)² + ½(0.5 ε)²
        energy.net.root.copy_(torch.tensor([[1.0, 0.5], [-1.0, 0.0]]))
        energy.net.output_raw.fill_(-40.0)
    strain = torch.linspace(-3.0, 3.0, 96, dtype=torch.float64)[:, None]
    internal = torch.tanh(4.0 * strain)

    def rest(at: float) -> float:
        alpha = np.linspace(-4.0, 4.0, 80_001)
        state = torch.tensor(np.stack([np.full_like(alpha, at), alpha], -1))
        with torch.no_grad():
            value = energy(state[:, :1], state[:, 1:]).energy
        return float(alpha[int(value.argmin())])

    assert rest(2.0) == pytest.approx(2.0, abs=1e-3)
    energy.add_entropic_barriers(strain, internal, 0.01)
    for at in (-3.0, -2.0, 2.0, 3.0):
        assert rest(at) == pytest.approx(np.sign(at), abs=0.03)
    assert rest(0.1) == pytest.approx(0.1, abs=0.05)


@pytest.mark.slow
def test_law_learns_to_rest_where_statistical_mechanics_says(
    ensemble: TrajectoryEnsemble, tmp_path: Path
) -> None:
    """The relaxed stress of the trap is kε/2; without the term a short training is far off."""

    def error(config: TrainingConfig, name: str) -> float:
        law = train(config, ensemble, tmp_path / name, progress=False, tensorboard=False)
        strain = np.linspace(-0.2, 2.0, 21)  # where the data come close to equilibrium
        stiffness = ensemble.parameters["stiffness"]
        found = [
            float(law.rates([[e]], law.equilibrium(np.array([e]))[None]).stress[0, 0])
            for e in strain
        ]
        exact = 0.5 * stiffness * strain
        return float(np.linalg.norm(found - exact) / np.linalg.norm(exact))

    adam, relax = (
        dataclasses.replace(stage, steps=n)
        for stage, n in zip(CONFIG.stages, (300, 100), strict=False)
    )
    plain = dataclasses.replace(CONFIG, entropic_barriers=0, stages=(adam,))
    no_barriers = dataclasses.replace(plain, stages=(adam, relax))
    without, with_term = error(plain, "plain"), error(no_barriers, "relaxed")
    assert with_term < 0.12
    assert without > 2.0 * with_term


@pytest.mark.slow
def test_entropic_barriers_are_placed_once_by_a_run_that_is_resumed(
    ensemble: TrajectoryEnsemble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ibvonn_train.training.stages import StageRun

    def run(out: Path, *, resume: bool = False) -> TrainedModel:
        return train(
            CONFIG, ensemble, out, resume=resume, checkpoint_every=5, progress=False,
            tensorboard=False,
        )  # fmt: skip

    whole = run(tmp_path / "whole").law.state_dict()
    advance = StageRun.advance
    for stage in ("relax", "again"):
        with monkeypatch.context() as patch:

            def stop(self: StageRun, stage: str = stage) -> dict[str, float]:
                if self.config.name == stage and self.step == 1:
                    signal.raise_signal(signal.SIGINT)
                return advance(self)

            patch.setattr(StageRun, "advance", stop)
            with pytest.raises(KeyboardInterrupt):
                run(tmp_path / "cut", resume=True)
    found = run(tmp_path / "cut", resume=True).law.state_dict()
    for name, value in whole.items():
        assert value.isfinite().all(), name
        assert torch.equal(found[name], value), name


def test_relaxed_trap_has_the_width_of_both_its_springs() -> None:
    """Two springs of stiffness k hold the particle: variance k_BT/2k whatever ε."""
    parameters = TetheredParticle().parameters()
    physics = physics_of("tethered_particle", parameters)
    states = equilibrium_states(physics, "controlled", (-1.0, 2.0), (-8.0, 8.0))
    centred = states.measures.centred
    assert centred.mean(centred.nodes).abs().max() < 1e-9
    variance = centred.mean(centred.nodes**2)
    expected = physics.thermal_energy / (2.0 * parameters["stiffness"])
    torch.testing.assert_close(variance, torch.full_like(variance, expected), rtol=1e-6, atol=0)


@pytest.mark.parametrize("offset", [0.0, 0.0135])
def test_both_wells_are_alike_under_the_force_of_their_offset(offset: float) -> None:
    """Maxwell: at F = D/u_h the tilted wells mirror each other, so ⟨u⟩ is the crossing."""
    spring = TwoWellSpring(stiffness=1.0, well_distance=0.3, offset=offset)
    length = 0.5
    parameters = {
        "stiffness": spring.stiffness, "well_distance": spring.well_distance,
        "crossing": spring.crossing, "offset": offset, "reference_length": length,
        "friction": 1.0, "thermal_energy": 0.002,
    }  # fmt: skip
    physics = physics_of("unfolding_chain", parameters)
    assert physics.energy is not None
    boltzmann = Boltzmann(physics, physics.energy, -1.5, 2.5)
    _, force = boltzmann.averaged_weights(np.array([spring.crossing / length]))
    assert force[0] == pytest.approx(offset / spring.well_distance, abs=2e-5)
    bottoms = torch.tensor([[0.0], [spring.well_distance / length]], dtype=torch.float64)
    energy = physics.energy(bottoms, torch.zeros_like(bottoms)) * length
    np.testing.assert_allclose(energy.numpy(), [0.0, offset], rtol=0, atol=1e-15)
