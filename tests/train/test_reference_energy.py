"""Free energies of measured distributions in several dimensions."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from small_ensembles import small_ensemble
from vector_systems import VectorTether

from ibvonn_train.statistical_mechanics.microscopic_energy import physics_of
from ibvonn_train.training.dataset import Block, prepare
from ibvonn_train.training.reference_energy import measured_free_energy


@pytest.fixture(scope="module", params=[2, 3])
def block_and_system(request: pytest.FixtureRequest) -> tuple[Block, VectorTether]:
    """Microstates on a lattice in two dimensions and as samples in three."""
    system = VectorTether(request.param)
    paths = system.protocols(2.0, walks=3, directions=1)
    data = small_ensemble(system, paths, duration=2.0, stride=10, replicas=4000)
    (block,) = prepare([data], torch.device("cpu"), 0, nodes=160).training
    return block, system


def test_a_normal_distribution_has_the_free_energy_of_its_means(
    block_and_system: tuple[Block, VectorTether],
) -> None:
    """Harmonic, so that F = e(⟨x⟩, ε) + (n/2) k_BT ln(k/2π k_BT), k = 2, whatever the drive."""
    block, system = block_and_system
    physics = physics_of(system.name, system.parameters(), system.microscopic_energy)
    measured = measured_free_energy(block, physics)
    assert measured is not None
    mean = block.measures.absolute.mean(block.measures.absolute.nodes)
    strain, size = block.flat(block.strain), mean.shape[-1]
    exact = system.microscopic_energy(mean[:, None], strain)[:, 0]
    constant = (
        0.5 * size * system.thermal_energy * np.log(2.0 / (2 * np.pi * system.thermal_energy))
    )
    error = (measured - exact - constant) / system.thermal_energy
    assert error.abs().max() < 0.1  # in k_BT: the units of f in training
    assert exact.std() / system.thermal_energy > 5.0


def test_distributions_that_are_not_nearly_normal_have_none(
    block_and_system: tuple[Block, VectorTether],
) -> None:
    block, system = block_and_system
    physics = physics_of(system.name, system.parameters(), system.microscopic_energy)
    own = block.measures.absolute
    if own.shared:  # two peaks: half of the weights moved by some widths
        moved = own.weights.roll(8 * round(len(own.nodes) ** 0.5), -1)
        two = dataclasses.replace(own, weights=0.5 * (own.weights + moved))
    else:
        apart = torch.zeros_like(own.nodes)
        apart[:, ::2, 0] = 1.0
        two = dataclasses.replace(own, nodes=own.nodes + apart)
    peaks = dataclasses.replace(block.measures, absolute=two)
    assert measured_free_energy(dataclasses.replace(block, measures=peaks), physics) is None


def test_without_energy_there_is_none(block_and_system: tuple[Block, VectorTether]) -> None:
    block, system = block_and_system
    unknown = dataclasses.replace(physics_of(system.name, system.parameters()), energy=None)
    assert measured_free_energy(block, unknown) is None
