"""Spins of a relaxed lattice have its energies and Boltzmann's weights."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from ibvonn_train.simulation import PeriodicLattice
from ibvonn_train.simulation.systems.lattice_spins import LatticeSpins


@pytest.mark.parametrize("geometry", ["triangular", "square_with_diagonals"])
def test_spins_have_the_energy_of_the_relaxed_lattice(geometry: str) -> None:
    """E(b) against the minimum over displacements and inner coordinates, by linear algebra."""
    system = PeriodicLattice(geometry=geometry, cells=4)
    spins, rng = system.spins(), np.random.default_rng(0)
    bonds = len(spins.projector)
    state = (rng.random(bonds) < 0.4).astype(float)
    strain = np.array([0.08, -0.03, 0.05])
    imposed = np.repeat(spins.strain_basis @ strain, system.nodes)
    elastic = spins.projector @ (imposed - spins.jump * state)
    expected = 0.5 * spins.stiffness * elastic @ elastic + spins.offset * state.sum()
    x = torch.zeros(1, 2 * system.nodes + bonds, 1, dtype=torch.float64, requires_grad=True)
    control = torch.from_numpy(strain)[None]

    def harmonic() -> torch.Tensor:
        """The energy with every bond in the well of its state, however far it is."""
        parts = system.parts(x, control)
        assert parts.inner is not None
        b = torch.from_numpy(state).reshape(1, -1, system.nodes, 1)
        series = 0.5 * system.stiffness * (parts.elongations - parts.inner) ** 2
        well = 0.5 * system.well_stiffness * (parts.inner - system.well_distance * b) ** 2
        return (series + well + system.offset * b).sum()

    optimiser = torch.optim.LBFGS(
        [x], max_iter=500, tolerance_grad=1e-14, tolerance_change=1e-18,
        line_search_fn="strong_wolfe",
    )  # fmt: skip

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        energy = 1e3 * harmonic()
        energy.backward()  # type: ignore[no-untyped-call]
        return energy

    for _ in range(3):
        optimiser.step(closure)  # type: ignore[no-untyped-call]
    assert float(harmonic().detach()) == pytest.approx(expected, rel=1e-6)


def test_sampled_spins_have_the_boltzmann_weights_of_all_states() -> None:
    """Of three bonds, whose eight states can be counted."""
    rng = np.random.default_rng(1)
    root = np.linalg.qr(rng.normal(size=(3, 3)))[0][:, :2]
    spins = LatticeSpins(
        projector=root @ root.T, strain_basis=np.eye(3), stiffness=2.0, jump=0.6, offset=0.1,
        thermal_energy=0.15, volume=1.0,
    )  # fmt: skip
    strain = np.array([[0.2, 0.4, -0.1], [0.5, 0.3, 0.6]])
    states = np.array(list(itertools.product((0.0, 1.0), repeat=3)))
    p, _, _ = spins.relaxed(strain, replicas=2000, sweeps=60, seed=2)
    for row, imposed in enumerate(strain):
        away = (imposed - spins.jump * states) @ spins.projector
        energy = 0.5 * spins.stiffness * np.square(away).sum(1) + spins.offset * states.sum(1)
        weight = np.exp(-energy / spins.thermal_energy)
        np.testing.assert_allclose(p[row], weight @ states / weight.sum(), atol=0.01)


def test_cooled_spins_have_the_boltzmann_energy_at_every_temperature() -> None:
    """Of three bonds, whose eight states can be counted."""
    root = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0][:, :2]
    spins = LatticeSpins(
        projector=root @ root.T, strain_basis=np.eye(3), stiffness=2.0, jump=0.6, offset=0.1,
        thermal_energy=1.0, volume=1.0,
    )  # fmt: skip
    strain = np.array([0.5, 0.3, 0.6])
    baths = [0.6, 0.15]
    energy, error = spins.cooled(strain[None], baths, replicas=2000, sweeps=60, seed=2)
    states = np.array(list(itertools.product((0.0, 1.0), repeat=3)))
    away = (strain - spins.jump * states) @ spins.projector
    levels = 0.5 * spins.stiffness * np.square(away).sum(1) + spins.offset * states.sum(1)
    for bath, mean, wide in zip(baths, energy[:, 0], error[:, 0], strict=True):
        weight = np.exp(-levels / bath)
        assert abs(mean - weight @ levels / weight.sum()) < 4.0 * wide
    assert 20.0 * error.max() < energy[0, 0] - energy[1, 0]  # one would not do for the other


def test_the_relaxed_energy_of_equal_wells_vanishes_with_the_temperature() -> None:
    """Cherkaev, Kouznetsov and Panchenko (2010): at every strain that rows of open bonds can make.

    Beyond, where a direction is longer than with all of its bonds open, an elastic energy remains.
    """
    spins = PeriodicLattice(cells=4, offset=0.0).spins()
    # A laminate of two directions; rows of all three; the first direction z_h/4 too long.
    elongations = spins.jump * np.array([[0.5, 0.5, 0.0], [0.25, 0.5, 0.25], [1.25, 0.5, 0.5]])
    strain = elongations @ np.linalg.inv(spins.strain_basis).T
    unit = spins.stiffness * spins.jump**2
    baths = unit * np.array([0.3, 0.1, 0.05, 0.025, 0.01])
    energy, _ = spins.cooled(strain, baths.tolist(), replicas=16, sweeps=60, seed=0)
    per_node = energy / 16
    assert (np.diff(per_node, axis=0) < 0.0).all()
    compatible, beyond = per_node[:, :2], per_node[:, 2]
    # P has about one dimension for each node, which bears k_BT/2 if harmonic; spins bear less.
    assert (compatible < 0.55 * baths[:, None]).all()
    assert compatible[-1].max() < 1e-3 * unit
    assert beyond[-1] == pytest.approx(0.5 * spins.stiffness * (0.25 * spins.jump) ** 2, rel=1e-2)
    # Cells that meet the last bath at once freeze with bonds of the wrong state.
    quenched, _ = spins.cooled(strain, [float(baths[-1])], replicas=16, sweeps=60, seed=0)
    assert quenched[0, :2].min() > 10.0 * max(energy[-1, :2].max(), 1e-3 * unit)
