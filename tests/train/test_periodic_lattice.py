"""Periodic lattices: geometry, energy, exact identities, laminates, and both engines."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from ibvonn_train.simulation import PeriodicLattice, simulate
from ibvonn_train.simulation.compiler import lattice_library
from ibvonn_train.simulation.protocols import Protocol
from ibvonn_train.simulation.strain_paths import strain_path
from ibvonn_train.simulation.systems.lattice_geometry import (
    GEOMETRIES,
    LatticeGeometry,
    mandel,
    tensor,
)
from ibvonn_train.simulation.systems.lattice_stretch import stretch_slope, stretch_tensor
from ibvonn_train.simulation.systems.registry import recorded_system
from ibvonn_train.simulation.systems.system import MicroscopicSystem, Preparation

SYSTEMS = [
    PeriodicLattice(cells=4),
    PeriodicLattice(cells=4, series=False),
    PeriodicLattice(geometry="square_with_diagonals", cells=5),
    PeriodicLattice(geometry="fcc", cells=3),
]
NAMES = ["triangular", "plain", "square", "fcc"]
TRUE = [
    PeriodicLattice(cells=4, true_lengths=True),
    PeriodicLattice(cells=4, series=False, true_lengths=True),
    PeriodicLattice(geometry="fcc", cells=3, true_lengths=True),
]
TRUE_NAMES = ["true triangular", "true plain", "true fcc"]


@pytest.mark.parametrize(
    ("geometry", "elements", "volume"),
    [
        (GEOMETRIES["triangular"], 6, np.sqrt(3.0) / 2.0),
        (GEOMETRIES["square_with_diagonals"], 4, 1.0),
        (GEOMETRIES["fcc"], 24, 1.0 / np.sqrt(2.0)),
    ],
    ids=["triangular", "square", "fcc"],
)
def test_the_group_of_a_lattice_maps_bonds_on_bonds(
    geometry: LatticeGeometry, elements: int, volume: float
) -> None:
    assert geometry.volume == pytest.approx(volume)
    assert len(geometry.symmetry) == elements  # of the point group over the inversion
    strain = np.random.default_rng(0).normal(size=geometry.strain_basis.shape[1])
    mean = geometry.strain_basis @ strain
    for element in geometry.symmetry:
        moved = geometry.strain_basis @ (element.strain @ strain)
        np.testing.assert_allclose(moved[list(element.classes)], mean, atol=1e-12)
    # e_a = l n·ε n, and Mandel order keeps the product of tensors.
    ε, size = tensor(strain, geometry.dimension), geometry.dimension
    n = geometry.directions
    np.testing.assert_allclose(mean, geometry.lengths * np.einsum("ai,ij,aj->a", n, ε, n))
    assert mandel(ε) @ mandel(ε) == pytest.approx((ε * ε).sum())
    assert size == len(ε)


def moved(system: PeriodicLattice) -> tuple[torch.Tensor, torch.Tensor]:
    """Positions far from rest at two strains."""
    random = torch.Generator().manual_seed(0)
    λ = torch.zeros(2, system.strain_basis.shape[2], dtype=torch.float64)
    λ[0, :3], λ[1, 1], λ[1, -1] = torch.tensor([0.05, -0.02, 0.03]), 0.1, -0.04
    x = system.start(λ, 3, random)
    return x + 0.04 * torch.randn(x.shape, dtype=torch.float64, generator=random), λ


@pytest.mark.parametrize("system", SYSTEMS + TRUE, ids=NAMES + TRUE_NAMES)
def test_force_and_stress_are_the_slopes_of_the_energy(system: PeriodicLattice) -> None:
    x, λ = moved(system)
    force, stress = system.force(x, λ), system.stress_of_replicas(x, λ)
    volume = system.nodes * system.lattice.volume
    step = 1e-6
    for degree in (0, 1, system.nodes, x.shape[1] - 1):
        ends = []
        for sign in (1.0, -1.0):
            shifted = x.clone()
            shifted[:, degree] += sign * step
            ends.append(system.energy(shifted, λ))
        torch.testing.assert_close(
            (ends[1] - ends[0]) / (2 * step), force[:, degree], rtol=1e-6, atol=1e-9
        )
    virial = MicroscopicSystem.stress_of_replicas(system, x, λ)
    assert virial is not None
    torch.testing.assert_close(virial / volume, stress, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("system", SYSTEMS, ids=NAMES)
def test_bonds_of_a_direction_have_the_mean_elongation_of_the_strain(
    system: PeriodicLattice,
) -> None:
    x, λ = moved(system)
    microstate = system.microstate(x, λ)
    per_replica = microstate.reshape(*microstate.shape[:2], 3, -1, microstate.shape[-1])
    assert per_replica[..., 0].mean(3).abs().max() < 1e-15
    if system.series:  # the stress is k (e − ⟨z⟩) of the directions
        tension = system.mean_elongations(λ)[..., None] - per_replica[..., 1].mean(3)
        basis = torch.from_numpy(system.lattice.strain_basis / system.lattice.volume)
        expected = system.stiffness * torch.einsum("car,ae->cre", tension, basis)
        torch.testing.assert_close(system.stress_of_replicas(x, λ)[:, 0], expected)
    back = system.positions(microstate, λ)
    torch.testing.assert_close(system.microstate(back, λ), microstate, rtol=0, atol=1e-14)


@pytest.mark.parametrize("direction", [0, 1, 2])
@pytest.mark.parametrize("opened", [(1,), (0, 2, 3)])
def test_row_laminates_of_equal_wells_cost_nothing(direction: int, opened: tuple[int, ...]) -> None:
    """Cherkaev, Kouznetsov and Panchenko (2009): rows of folded bonds, open bonds between them."""
    system = PeriodicLattice(cells=6, offset=0.0)
    lattice, z_h = system.lattice, system.well_distance
    along = lattice.directions[direction]
    normal = np.array([-along[1], along[0]])
    crossing = [a for a in range(3) if a != direction]
    # Across an open layer the rows move apart so far that both crossing bonds lengthen by z_h.
    jump = z_h / np.abs(lattice.directions[crossing] @ normal).mean() * normal
    vectors = lattice.vectors
    index = np.indices((6, 6)).reshape(2, -1).T
    # Rows along the direction are numbered by their distance, in heights of the triangles.
    height = np.sqrt(3.0) / 2.0
    rows = np.rint(index @ vectors @ normal / height).astype(int) % 6
    layers = np.isin(np.arange(6), opened)
    mean = layers.mean()
    strain = mandel(0.5 * mean / height * (np.outer(jump, normal) + np.outer(normal, jump)))
    # w = what the open layers below a row add, over what the mean strain gives it.
    added = (np.cumsum(layers) - layers)[rows][:, None] * jump
    affine = (rows[:, None] * height) * (mean / height * jump)
    w = torch.tensor(added - affine).reshape(1, -1, 1)
    λ = torch.tensor(strain)[None]
    plain = replace(system, series=False)
    # Rotations aside: the elongations see the symmetric part only.
    u = plain.parts(w, λ).elongations
    z = z_h * (u > 0.5 * z_h).double()
    x = torch.cat([w, z.reshape(1, -1, 1)], 1)
    assert float(system.energy(x, λ)) < 1e-26
    assert float((z > 0).double().mean()) == pytest.approx(2.0 / 3.0 * mean)
    assert float(system.energy(torch.cat([0 * w, z.reshape(1, -1, 1)], 1), λ)) > 1e-3


def test_without_noise_small_strains_find_the_elastic_solid() -> None:
    system = PeriodicLattice(cells=4, thermal_energy=0.0, preparation=())
    target = [0.01, -0.005, 0.004]
    path = [strain_path([0.0, 1.0], [[0.0, 0.0, 0.0], target])]
    for engine in ("torch", "auto"):
        data = simulate(
            system, path, duration=200.0, time_step=0.1, replicas=2, seed=0, stride=2000,
            engine=engine, dtype=torch.float64, progress=False,
        )  # fmt: skip
        series = system.stiffness * system.well_stiffness
        series /= system.stiffness + system.well_stiffness
        basis = system.lattice.strain_basis
        exact = series / system.lattice.volume * basis.T @ basis @ np.array(target)
        np.testing.assert_allclose(data.stress[0, -1, 0], exact, rtol=1e-10)


def moments(
    system: PeriodicLattice, engine: str, seed: int, replicas: int = 1600
) -> tuple[np.ndarray, np.ndarray]:
    """First three moments of the bonds of each direction at two instants, and their variances."""
    target = np.zeros(system.strain_basis.shape[2])
    target[:2], target[-1] = (0.1, 0.02), 0.03
    pull = [strain_path([0.0, 20.0], [(0 * target).tolist(), target.tolist()])]
    data = simulate(
        replace(system, preparation=(Preparation(200, 0.1),)), pull, duration=30.0, time_step=0.1,
        replicas=replicas, seed=seed, stride=150, engine=engine, record="samples", progress=False,
    )  # fmt: skip
    samples = data.samples[0].astype(float)
    each = samples.reshape(*samples.shape[:2], replicas, -1, samples.shape[-1])
    powers = np.concatenate([each[..., 1:].mean(3), (each**2).mean(3), (each**3).mean(3)], -1)
    return powers.mean(2), powers.var(2) / replicas


def apart(one: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Differences in standard errors."""
    z: np.ndarray = (one[0] - other[0]) / np.sqrt(one[1] + other[1])
    return z


@pytest.mark.usefixtures("c_compiler")
@pytest.mark.parametrize("system", SYSTEMS + TRUE, ids=NAMES + TRUE_NAMES)
def test_both_engines_draw_from_one_distribution(system: PeriodicLattice) -> None:
    torch_engine = moments(system, "torch", 1)
    z = apart(torch_engine, moments(system, "compiled", 2))
    assert np.abs(z).max() < 4.0
    assert 0.5 < np.sqrt((z**2).mean()) < 1.6


@pytest.mark.usefixtures("c_compiler")
def test_two_per_cent_of_noise_are_seen() -> None:
    system = PeriodicLattice(cells=6)
    louder = replace(system, thermal_energy=1.02**2 * system.thermal_energy)
    z = apart(moments(system, "torch", 1, 3000), moments(louder, "compiled", 2, 3000))
    assert np.abs(z).max() > 4.0


@pytest.mark.usefixtures("c_compiler")
@pytest.mark.parametrize("cells", [4, 6])
def test_wells_have_their_variance_at_a_large_step(cells: int) -> None:
    """Leimkuhler and Matthews: harmonic wells at k_BT, here at Δt = 0.2."""
    system = PeriodicLattice(cells=cells, thermal_energy=1e-4, preparation=(Preparation(400, 0.2),))
    rest = Protocol("rest", lambda t: np.zeros((len(t), 3)), lambda t: np.zeros((len(t), 3)))
    data = simulate(
        system, [rest], duration=40.0, time_step=0.2, replicas=1600, seed=3, stride=100,
        record="samples", progress=False,
    )  # fmt: skip
    measured = data.samples[0].astype(float).var(2).mean((0, 1))
    λ = torch.zeros(1, 3, dtype=torch.float64)
    degrees = 5 * system.nodes
    stiffness = -system.force(torch.eye(degrees, dtype=torch.float64)[None] * 1e-3, λ)[0] / 1e-3
    covariance = system.thermal_energy * torch.linalg.pinv(stiffness)
    root = torch.linalg.cholesky(covariance + 1e-14 * torch.eye(degrees).double())
    exact = system.microstate(root[None], λ).square().reshape(3, degrees, -1, 2).sum(1).mean((0, 1))
    np.testing.assert_allclose(measured, exact.numpy(), rtol=0.01)


@pytest.mark.usefixtures("c_compiler")
def test_the_noise_has_the_moments_of_a_normal_and_no_memory() -> None:
    ffi, library = lattice_library()
    lanes, count = library.lattice_lanes(), 60_000
    state = np.empty((1, 4, lanes), np.uint32)
    noise = np.empty((count, lanes), np.float32)
    library.lattice_seed(7, 1, ffi.cast("uint32_t *", ffi.from_buffer(state)))
    pointers = (ffi.cast("uint32_t *", ffi.from_buffer(state)), count)
    library.lattice_normals(*pointers, ffi.cast("float *", ffi.from_buffer(noise)))
    error = 1.0 / np.sqrt(noise.size)
    assert abs(noise.mean()) < 4 * error
    assert abs(noise.var() - 1.0) < 4 * np.sqrt(2.0) * error
    assert abs((noise.astype(float) ** 3).mean()) < 4 * np.sqrt(15.0) * error
    assert (noise.astype(float) ** 4).mean() == pytest.approx(3.0, abs=0.12)
    for lag in (1, 2, 3, 5):
        assert abs((noise[lag:] * noise[:-lag]).mean()) < 4 * error
    assert np.abs(np.corrcoef(noise.T) - np.eye(lanes)).max() < 5 / np.sqrt(count)


def test_a_record_names_the_lattice_and_gives_it_back() -> None:
    square = PeriodicLattice(geometry="square_with_diagonals", cells=4, offset=0.004)
    for system in (square, TRUE[0]):
        assert recorded_system(system.name, system.parameters(), "strain") == system


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (
            {"geometry": "square_with_diagonals", "true_lengths": True},
            "has 4 directions and 3 strains",
        ),
        (
            {"geometry": "kagome"},
            r"geometry must be one of \['fcc', 'square_with_diagonals', 'triang",
        ),
        ({"cells": 2}, "cells must be at least 3"),
        ({"well_distance": 0.0}, "well_distance must be positive"),
        ({"thermal_energy": -1.0}, "thermal_energy must not be negative"),
    ],
)
def test_what_is_no_lattice_is_refused(changed: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        PeriodicLattice(**changed)


@pytest.mark.usefixtures("c_compiler")
def test_a_lattice_of_too_many_directions_is_refused_by_the_compiled_engine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plane = GEOMETRIES["triangular"]
    many = LatticeGeometry(plane.vectors, np.array([[1, n] for n in range(9)]))
    monkeypatch.setitem(GEOMETRIES, "many", many)
    rest = Protocol("rest", lambda t: np.zeros((len(t), 3)), lambda t: np.zeros((len(t), 3)))
    with pytest.raises(ValueError, match="up to 8 directions; found 9 directions in 2 dim"):
        simulate(
            PeriodicLattice(geometry="many", cells=20, preparation=()), [rest], duration=0.1,
            time_step=0.01, replicas=2, seed=0, engine="compiled", progress=False,
        )  # fmt: skip


def test_a_step_that_would_explode_is_refused() -> None:
    with pytest.raises(ValueError, match=r"time_step must be below 0\.333"):
        PeriodicLattice().effective_thermal_energy(0.34)


@pytest.mark.parametrize("system", TRUE, ids=TRUE_NAMES)
def test_the_deformation_of_a_strain_has_its_elongations(system: PeriodicLattice) -> None:
    """|U n_a| l_a − l_a = A_a ε to round-off, U is symmetric, and its slope that of differences."""
    lattice, size = system.lattice, system.lattice.dimension
    λ = torch.from_numpy(
        np.random.default_rng(3).uniform(-0.15, 0.2, (6, lattice.strain_basis.shape[1]))
    )
    λ[0] = 0.0  # where two principal stretches are the same
    stretch = stretch_tensor(λ, lattice)
    torch.testing.assert_close(stretch, stretch.mT)
    torch.testing.assert_close(stretch[0], torch.eye(size, dtype=torch.float64))
    length = torch.einsum("cij,aj->cai", stretch, torch.from_numpy(lattice.bonds)).norm(dim=2)
    e = length - torch.from_numpy(lattice.lengths)
    torch.testing.assert_close(e, system.mean_elongations(λ), rtol=0, atol=1e-14)
    slope, step = stretch_slope(λ, lattice), 1e-6
    for column in range(λ.shape[1]):
        moved = torch.zeros_like(λ)
        moved[:, column] = step
        ends = [stretch_tensor(λ + sign * moved, lattice) for sign in (1.0, -1.0)]
        torch.testing.assert_close(
            (ends[0] - ends[1]) / (2 * step), slope[..., column], rtol=0, atol=1e-8
        )


def turned_parts(system: PeriodicLattice, x: torch.Tensor, affine: torch.Tensor) -> Any:
    """Parts of a cell whose bonds have the affine vectors ``(n_case, n_direction, d)``."""

    class Turned(PeriodicLattice):
        def affine_bonds(self, control: torch.Tensor) -> torch.Tensor:
            return affine

    return Turned(**{key: getattr(system, key) for key in ARGUMENTS}).parts(x, torch.zeros(2, 3))


ARGUMENTS = ("geometry", "cells", "series", "true_lengths")


@pytest.mark.parametrize("system", [SYSTEMS[0], *TRUE], ids=["linearised", *TRUE_NAMES])
def test_a_turned_cell_of_true_lengths_has_the_same_energy(system: PeriodicLattice) -> None:
    """E(Q w, z; Q F) = E(w, z; F) and P(Q F) = Q P(F), of every replica; not linearised."""
    x, λ = moved(system)
    size, count = system.lattice.dimension, system.lattice.dimension * system.nodes
    angle = 0.8
    q = torch.eye(size, dtype=torch.float64)
    q[:2, :2] = torch.tensor(
        [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]], dtype=torch.float64
    )
    w = x[:, :count].reshape(2, system.nodes, size, -1)
    turned = torch.cat([torch.einsum("ij,cnjr->cnir", q, w).reshape(2, count, -1), x[:, count:]], 1)
    if not system.true_lengths:
        still, there = (system.energy(each, λ) for each in (x, turned))
        assert (still - there).abs().max() > 1e-2 * still.abs().max()
        return
    affine = system.affine_bonds(λ)
    still, there = turned_parts(system, x, affine), turned_parts(system, turned, affine @ q.T)
    energy = [
        system.two_state_bond.energy(parts.elongations, parts.inner).sum((1, 2))
        for parts in (still, there)
    ]
    torch.testing.assert_close(energy[1], energy[0], rtol=1e-12, atol=1e-14)
    stress = [system.nominal_stress(parts) for parts in (still, there)]
    torch.testing.assert_close(stress[1], q @ stress[0], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("system", TRUE[:1] + TRUE[2:], ids=["triangular", "fcc"])
def test_small_motions_of_true_lengths_are_linearised(system: PeriodicLattice) -> None:
    """Elongations differ in the second order of displacements and strain."""
    x, λ = moved(system)
    plain = replace(system, true_lengths=False)
    count = system.lattice.dimension * system.nodes
    differences = []
    for size in (0.1, 0.05):
        small = torch.cat([size * x[:, :count], x[:, count:]], 1)
        pair = [each.parts(small, size * λ).elongations for each in (system, plain)]
        differences.append(float((pair[0] - pair[1]).abs().max()))
    assert 3.5 < differences[0] / differences[1] < 4.5


def test_what_needs_linearised_elongations_refuses_true_lengths() -> None:
    system = TRUE[0]
    with pytest.raises(ValueError, match="linearised"):
        system.spins()
    with pytest.raises(ValueError, match="cannot be restarted"):
        system.positions(torch.zeros(1, 3, 16, 2), torch.zeros(1, 3))
    crushed = torch.tensor([[-1.2, 0.0, 0.0]], dtype=torch.float64)
    with pytest.raises(ValueError, match="a positive length"):
        system.affine_bonds(crushed)
