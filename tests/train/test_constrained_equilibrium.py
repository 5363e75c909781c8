"""f and g of microstates whose internal variables are held, and the audits against them."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from ibvonn_train.audits import Evidence
from ibvonn_train.audits import constrained_potentials as constrained
from ibvonn_train.audits import energy_consistency as free_energy
from ibvonn_train.evaluation.law_rollouts import encoded
from ibvonn_train.simulation import simulate
from ibvonn_train.simulation.strain_paths import strain_training_set
from ibvonn_train.statistical_mechanics.constrained_equilibrium import constrained_equilibrium
from ibvonn_train.statistical_mechanics.microscopic_energy import physics_of
from ibvonn_train.studies.perturbed_law import PerturbedLaw
from ibvonn_train.studies.wells_decoder_of_data import WellsDecoderOfData
from ibvonn_train.studies.wells_law import WellsLaw

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
THETA = 0.05


def three_wells():
    place = importlib.util.spec_from_file_location("three_wells", CONFIGS / "three_wells.py")
    module = importlib.util.module_from_spec(place)
    place.loader.exec_module(module)
    return module.ThreeWells()


@pytest.fixture(scope="module")
def law_and_evidence():
    system = three_wells()
    paths = strain_training_set((-1.5,), (1.5,), 40.0, walks=4, seed=3)
    data = simulate(
        system, paths, duration=40.0, time_step=0.01, stride=40, replicas=1000, seed=5,
        progress=False,
    )  # fmt: skip
    physics = physics_of(data.system, dict(data.parameters), system.microscopic_energy)
    law = WellsLaw(data, physics, (-1.0, 0.0, 1.0), rest=1)
    return law, Evidence(data, encoded(law, data))


def test_a_particle_in_a_harmonic_well_has_its_closed_form() -> None:
    """E = ½ (ε − x)² + ½ x² at held mean m: F = ½ (ε − m)² + ½ m² + constant, g = ε − 2m."""
    strain, mean = np.linspace(-1.0, 1.0, 7), np.linspace(0.6, -0.4, 7)
    nodes = np.linspace(-4.0, 4.0, 1601)
    energy = 0.5 * (strain[:, None] - nodes) ** 2 + 0.5 * nodes**2
    held = constrained_equilibrium(
        energy, nodes[:, None], mean[:, None], spacing=nodes[1] - nodes[0], thermal_energy=THETA
    )
    exact = 0.5 * (strain - mean) ** 2 + 0.5 * mean**2
    assert held.converged.all()
    np.testing.assert_allclose(held.energy - held.energy[0], exact - exact[0], atol=1e-9)
    np.testing.assert_allclose(held.force[:, 0], strain - 2.0 * mean, atol=1e-7)
    constant = -0.5 * THETA * np.log(2 * np.pi * THETA / 2)  # of the Gaussian of stiffness 2
    np.testing.assert_allclose(held.energy[0] - exact[0], constant, atol=1e-9)


def test_means_that_no_density_has_are_not_found() -> None:
    nodes = np.linspace(-1.0, 1.0, 101)
    held = constrained_equilibrium(
        np.zeros((2, 101)), nodes[:, None], np.array([[0.3], [1.2]]), spacing=0.02,
        thermal_energy=THETA,
    )  # fmt: skip
    assert held.converged.tolist() == [True, False]


def test_fractions_of_wells_have_their_mixing_entropy(law_and_evidence) -> None:
    """Sharp ψ: F = Σ p (A + θ ln p), computed by quadrature of the wells alone."""
    law, evidence = law_and_evidence
    for audit in (constrained.energy, constrained.driving_force):
        assert audit(law, evidence).value < 0.2  # of a node at each crossing, in per cent
    assert free_energy.value_against_flow(law, evidence).value < 0.2


def test_the_density_of_driven_wells_is_not_at_rest_and_has_their_fractions(
    law_and_evidence,
) -> None:
    """So the free energy of the best decoder is above the exact one, by less than a fifth."""
    law, evidence = law_and_evidence
    best = WellsDecoderOfData(evidence.data, law.physics, (-1.0, 0.0, 1.0), rest=1)
    strain, internal = (part[::40] for part in evidence.all_states(law))
    x = np.linspace(*best.sample(np.array([-1.0, 1.0]), strain, internal), 4801)
    density = np.exp(best.log_density(np.tile(x[:, None], (len(strain), 1, 1)), strain, internal))
    weights = density * (x[1] - x[0])
    np.testing.assert_allclose(weights.sum(1), 1.0, atol=0.02)  # straight lines in ln q
    np.testing.assert_allclose(weights[:, x < -0.5].sum(1), internal[:, 0], atol=0.02)
    at_rest, driven = (free_energy.value_against_flow(each, evidence).value for each in (law, best))
    assert at_rest < 0.2 < 0.5 < driven < 10.0
    wrong = PerturbedLaw(best, energy=1.2)
    assert free_energy.value_against_flow(wrong, evidence).verdict == "fail"


def test_stress_and_rates_of_the_wells_follow_from_the_wells(law_and_evidence) -> None:
    law, _ = law_and_evidence
    strain = np.array([[-1.0], [0.0], [0.3], [1.4]])
    internal = np.array([[0.2, 0.1], [0.01, 0.6], [0.3, 0.3], [0.05, 0.9]])
    step = 1e-5
    ahead, behind = (law.rates(strain + s, internal) for s in (step, -step))
    slope = (ahead.energy - behind.energy) / (2 * step)
    values = law.rates(strain, internal)
    np.testing.assert_allclose(values.stress[:, 0], slope, rtol=1e-5)
    for i in range(2):
        moved = np.zeros(2)
        moved[i] = step
        f = [law.rates(strain, internal + s * moved).energy for s in (1, -1)]
        np.testing.assert_allclose(-(f[0] - f[1]) / (2 * step), values.driving_force[:, i], 1e-4)
    assert ((values.driving_force * values.rate).sum(1) > 0).all()
    hessian, step = law.energy_hessian(strain, internal), 1e-5
    for i in range(3):
        moved = step * np.eye(3)[i]
        ahead, behind = (
            law.rates(strain + sign * moved[:1], internal + sign * moved[1:]) for sign in (1, -1)
        )
        column = np.concatenate(
            [ahead.stress - behind.stress, -(ahead.driving_force - behind.driving_force)], 1
        )
        np.testing.assert_allclose(column / (2 * step), hessian[:, :, i], rtol=1e-4, atol=1e-5)
    # The rates are those of φ, and its curvature is theirs.
    g = values.driving_force
    _, curvature = law.dual_dissipation(g, strain, internal)
    for i in range(2):
        moved = 1e-6 * np.eye(2)[i]
        ahead, behind = (law.dual_dissipation(g + s * moved, strain, internal) for s in (1, -1))
        rate = (ahead[0] - behind[0]) / 2e-6
        np.testing.assert_allclose(rate, values.rate[:, i], rtol=1e-4, atol=1e-9)
        assert (curvature[:, i, i] > 0).all()
    # Detailed balance: nothing moves where the fractions are Boltzmann's.
    weights = np.exp(-law._free(strain[:, 0]) / THETA)
    rest = (weights / weights.sum(1, keepdims=True))[:, [0, 2]]
    assert np.abs(law.rates(strain, rest).rate).max() < 1e-12


@pytest.mark.parametrize("name", ["energy", "force"])
def test_a_law_that_is_a_fifth_wrong_fails(law_and_evidence, name: str) -> None:
    law, evidence = law_and_evidence
    audit = constrained.energy if name == "energy" else constrained.driving_force
    assert audit(law, evidence).verdict == "pass"
    for factor in (0.8, 1.2):
        made = audit(PerturbedLaw(law, **{name: factor}), evidence)
        assert made.verdict == "fail"
        assert made.value == pytest.approx(20.0, abs=1.0)


def test_the_density_of_the_wells_integrates_to_one(law_and_evidence) -> None:
    law, _ = law_and_evidence
    nodes = torch.linspace(-2.4, 2.4, 6001, dtype=torch.float64).numpy()
    strain, internal = np.array([[0.5], [-1.2]]), np.array([[0.1, 0.4], [0.7, 0.02]])
    log_q = law.log_density(np.tile(nodes[:, None], (2, 1, 1)), strain, internal)
    total = np.trapezoid(np.exp(log_q), nodes, axis=1)
    np.testing.assert_allclose(total, 1.0, atol=1e-3)
