"""Relaxed states: what statistical mechanics says of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ibvonn_train.simulation import TetheredParticle, TwoWellSpring
from ibvonn_train.statistical_mechanics.boltzmann import Boltzmann
from ibvonn_train.statistical_mechanics.microscopic_energy import Physics, physics_of


def relaxed_trap(low: float = -8.0, high: float = 8.0) -> tuple[Boltzmann, float, float]:
    """The canonical ensemble of the trap, its stiffness and its k_BT."""
    parameters = TetheredParticle().parameters()
    physics = physics_of("tethered_particle", parameters)
    assert physics.energy is not None
    return (
        Boltzmann(physics, physics.energy, low, high),
        float(parameters["stiffness"]),
        physics.thermal_energy,
    )


def test_relaxed_states_of_the_trap_are_the_exact_ones() -> None:
    """Q ∝ exp(−k/2 [(ε − x)² + x²]/k_BT): ⟨x⟩ = ε/2, σ = kε/2."""
    boltzmann, stiffness, _ = relaxed_trap()
    strain = np.linspace(-1.0, 2.0, 13)
    mean = boltzmann.controlled_weights(strain) @ boltzmann.nodes
    np.testing.assert_allclose(mean, 0.5 * strain, rtol=0, atol=1e-9)
    stress = boltzmann.controlled_stress(strain)
    np.testing.assert_allclose(stress, 0.5 * stiffness * strain, rtol=0, atol=1e-9)


def test_relaxed_trap_has_the_width_of_both_its_springs() -> None:
    """Two springs of stiffness k hold the particle: variance k_BT/2k whatever ε."""
    boltzmann, stiffness, thermal = relaxed_trap()
    weights = boltzmann.controlled_weights(np.linspace(-1.0, 2.0, 13))
    mean = weights @ boltzmann.nodes
    variance = weights @ boltzmann.nodes**2 - mean**2
    np.testing.assert_allclose(variance, thermal / (2.0 * stiffness), rtol=1e-6)


def test_relaxed_springs_have_the_mean_that_was_asked_for() -> None:
    """A linear spring of stiffness 3: σ = 3ε, and variance k_BT/3 whatever ε."""
    physics = Physics(lambda x, strain: 1.5 * x[..., 0] ** 2, 0.2, 1.0, 1.0)
    assert physics.energy is not None
    boltzmann = Boltzmann(physics, physics.energy, -5.0, 5.0)
    strain = np.linspace(-0.4, 0.7, 9)
    weights, stress = boltzmann.averaged_weights(strain)
    np.testing.assert_allclose(stress, 3.0 * strain, rtol=0, atol=1e-8)
    np.testing.assert_allclose(weights @ boltzmann.nodes, strain, rtol=0, atol=1e-8)
    variance = weights @ boltzmann.nodes**2 - strain**2
    np.testing.assert_allclose(variance, 0.2 / 3.0, rtol=1e-6)


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
