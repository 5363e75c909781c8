"""Bodies cut out of a lattice: geometry, energy, the compiled engine against a plain integrator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from tiny_lattices import ROW, TURNED, Array, held_at_its_rows, ramp, stretched, tiny, tiny_in_space

from ibvonn_train.simulation import PeriodicLattice
from ibvonn_train.simulation.compiled_bodies import CompiledBody
from ibvonn_train.simulation.compiled_replicas import aligned
from ibvonn_train.simulation.compiler import body_library, lattice_library
from ibvonn_train.simulation.simulate_body import simulate_body
from ibvonn_train.simulation.systems.finite_lattice import FiniteLattice
from ibvonn_train.simulation.systems.lattice_body import (
    lattice_block,
    lattice_box,
)
from ibvonn_train.simulation.systems.system import Preparation

STEP = 0.1
BODIES = pytest.mark.parametrize("made", [tiny, tiny_in_space], ids=["triangular", "fcc"])


def plain_run(
    lattice: FiniteLattice, steps: int, replicas: int, noise: float = 1.0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Integrate by Leimkuhler–Matthews from the energy alone, in double precision."""
    body, bond = lattice.body, lattice.bond
    random = torch.Generator().manual_seed(7)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=random, dtype=torch.float64)

    w = torch.zeros(replicas, *body.nodes.shape, dtype=torch.float64)
    spread = (bond.thermal_energy / (bond.stiffness + bond.well_stiffness)) ** 0.5
    z = spread * normal(replicas, len(body.bonds))
    free = torch.from_numpy(~body.gripped).double()[None, :, None]
    drags = (bond.friction, bond.inner_friction)
    last = [normal(*x.shape) for x in (w, z)]
    for step in range(steps):
        x = [w.detach().requires_grad_(), z.detach().requires_grad_()]
        c = torch.from_numpy(ramp(np.array([step * STEP]))[0])
        slopes = torch.autograd.grad(lattice.energy(x[0], x[1], c).sum(), x)
        moved = []
        for number, (part, slope, drag) in enumerate(zip(x, slopes, drags, strict=True)):
            fresh = normal(*part.shape)
            amplitude = noise * (2.0 * bond.thermal_energy * STEP / drag) ** 0.5
            kick = amplitude * 0.5 * (last[number] + fresh)
            last[number] = fresh
            moved.append(part.detach() - STEP / drag * slope + kick)
        w, z = moved[0] * free, moved[1]
    return w, z


def compiled_run(
    lattice: FiniteLattice, steps: int, replicas: int, precision: str = "float"
) -> tuple[torch.Tensor, torch.Tensor]:
    """The same by the compiled engine, ``(replica, …)``."""
    parts: list[tuple[Array, Array]] = []
    amplitudes = ramp(np.arange(steps) * STEP)
    for seed in np.random.SeedSequence(3).spawn(replicas // 16):
        block = CompiledBody(lattice, seed, precision)
        block.advance(amplitudes, STEP)
        parts.append((np.moveaxis(block.w, -1, 0).copy(), block.z.T.copy()))
    w, z = (np.concatenate(each).astype(float) for each in zip(*parts, strict=True))
    return torch.from_numpy(w), torch.from_numpy(z)


def moments(w: torch.Tensor, z: torch.Tensor, opened: float) -> tuple[Array, Array]:
    """First and second moments of all coordinates and the open fractions, with their variances."""
    moving = w[:, :, :].reshape(len(w), -1)
    moving = moving[:, moving.std(0) > 0]
    x = torch.cat([moving, z], 1)
    features = torch.cat([x, (x - x.mean(0)) ** 2, (z > opened).double()], 1)
    return features.mean(0).numpy(), (features.var(0) / len(features)).numpy()


def test_blocks_have_the_bonds_of_their_lattice() -> None:
    """Inner nodes have six bonds; areas by bonds lie between those of nodes and of cells."""
    body = lattice_block(7, 6)
    degree = np.bincount(body.bonds.ravel())
    inner = (body.nodes[:, 1] > 0.1) & (body.nodes[:, 1] < 4.9 * ROW)
    inner &= (body.nodes[:, 0] > 0.6) & (body.nodes[:, 0] < 5.9)
    assert (degree[inner] == 6).all()
    assert degree.min() >= 2
    cells = 2 * 6 * 5 * ROW / 2.0
    assert cells < body.volume < len(body.nodes) * ROW
    square = lattice_block(4, 5, "square_with_diagonals")
    assert len(square.bonds) == 3 * 5 + 4 * 4 + 2 * 3 * 4
    smaller = body.without(lambda x: np.hypot(x[:, 0] - 3.0, x[:, 1] - 2 * ROW) < 1.1)
    assert len(body.nodes) - len(smaller.nodes) == 7
    assert len(body.bonds) - len(smaller.bonds) == 12 + 18  # between seven nodes, and around


@BODIES
def test_the_force_of_grips_is_the_slope_of_the_energy(made: Callable[[], FiniteLattice]) -> None:
    """Engine in double precision, one step without noise, against differences of the energy."""
    base = made()
    lattice = replace(base, bond=replace(base.bond, thermal_energy=0.0))
    block = CompiledBody(lattice, np.random.SeedSequence(0), "double")
    random = np.random.default_rng(1)
    free = ~lattice.body.gripped
    block.w[free] = 0.05 * random.standard_normal(block.w[free].shape)
    block.z[...] = 0.1 * random.random(block.z.shape)
    before = [block.w.copy(), block.z.copy()]
    c, h = np.array([0.12]), 1e-6
    pulls = np.zeros(block.w[~free].shape)
    block.advance(c[None], h, 1.0, pulls)

    def energy(w: Array, z: Array) -> Array:
        w, z = np.moveaxis(w, -1, 0).copy(), z.T.copy()
        value = lattice.energy(torch.from_numpy(w), torch.from_numpy(z), torch.from_numpy(c))
        return value.numpy()

    def slope(number: int, index: tuple[int, ...], small: float = 1e-6) -> Array:
        ends = []
        for sign in (1.0, -1.0):
            x = [each.copy() for each in before]
            x[number][index] += sign * small
            ends.append(energy(*x))
        return (ends[0] - ends[1]) / (2.0 * small)

    held = np.flatnonzero(lattice.body.gripped)
    for row, node in enumerate(held[:3]):
        for d in range(block.w.shape[1]):
            np.testing.assert_allclose(pulls[row, d], -slope(0, (node, d)), atol=1e-8)
    assert np.abs(pulls).max() > 0.01
    for node in np.flatnonzero(free)[:4]:
        moved = (block.w[node, 1] - before[0][node, 1]) / h * lattice.bond.friction
        np.testing.assert_allclose(moved, -slope(0, (node, 1)), atol=1e-7)
    for b in (0, 5, 11):
        moved = (block.z[b] - before[1][b]) / h * lattice.bond.inner_friction
        np.testing.assert_allclose(moved, -slope(1, (b,)), atol=1e-7)
    assert (block.w[held] == 0.0).all()


@BODIES
def test_the_engine_agrees_in_distribution_with_the_energy(
    made: Callable[[], FiniteLattice],
) -> None:
    """All moments within 4 standard errors; with noise that is 10 % larger some are not."""
    lattice, steps, replicas = made(), 300, 1024
    compiled = moments(*compiled_run(lattice, steps, replicas), lattice.bond.crossing)
    fast, noisy = (
        moments(*plain_run(lattice, steps, replicas, noise), lattice.bond.crossing)
        for noise in (1.0, 1.1)
    )

    def worst(other: tuple[Array, Array]) -> float:
        variance = compiled[1] + other[1]
        rare = 5.0 / replicas**2  # fractions of a few replicas are no normal variables
        counted = variance > rare
        return float((np.abs(compiled[0] - other[0])[counted] / np.sqrt(variance[counted])).max())

    assert compiled[0][-len(lattice.body.bonds) :].max() > 0.1, "bonds must open"
    assert worst(fast) < 4.0
    assert worst(noisy) > 5.0


def test_a_list_of_the_bonds_of_a_periodic_cell_is_the_periodic_cell() -> None:
    """The same numbers in the same order: both engines agree to round-off, step by step."""
    system = PeriodicLattice(cells=4)
    geometry, nodes = system.lattice, system.nodes
    far = geometry.neighbours(4).astype(np.int32)
    (ffi, cells), (body_ffi, bodies) = lattice_library(), body_library()
    results = []
    means = np.array([[0.05, 0.02, -0.01]])
    for of_body in (False, True):
        interface = body_ffi if of_body else ffi
        library = bodies if of_body else cells
        struct = interface.new("struct lattice *")
        for name, value in (
            ("dimension", 2),
            ("directions", 3),
            ("nodes", nodes),
            ("series", 1),
            ("stiffness", system.stiffness),
            ("well_stiffness", system.curvature),
            ("well", system.well_distance),
            ("crossing", system.crossing),
            ("drift", STEP),
            ("drift_inner", STEP / system.inner_friction),
            ("amplitude", 0.014),
            ("amplitude_inner", 0.005),
        ):
            setattr(struct, name, value)
        for number, component in enumerate(geometry.directions.ravel()):
            struct.vectors[number] = component
        x, kept = aligned((5 * nodes, 16), np.float64), aligned((5 * nodes, 16), np.float32)
        state = aligned((4, 16), np.uint32)
        x[...] = 0.0

        def pointer(array: Array, kind: str, interface: Any = interface) -> Any:
            return interface.cast(f"{kind} *", interface.from_buffer(array))

        seed = bodies.body_seed if of_body else cells.lattice_seed
        seed(5, 1, pointer(state, "uint32_t"))
        if of_body:
            start = np.tile(np.arange(nodes, dtype=np.int32), 3)
            ends = np.ascontiguousarray(np.stack([start, far.ravel()], 1))
            kinds = np.repeat(np.arange(3, dtype=np.int32), nodes)
            stretches = np.ascontiguousarray(np.eye(3)[kinds])
            rows = np.repeat(means, 50, 0)
            gripped = np.zeros(nodes, np.uint8)
            refused = library.body_advance_double(
                pointer(x, "double"), 1, struct, len(kinds), pointer(ends, "int32_t"),
                pointer(kinds, "int32_t"), 3, pointer(stretches, "double"),
                pointer(rows, "double"), 50, pointer(gripped, "uint8_t"),
                pointer(state, "uint32_t"), pointer(kept, "float"), 1, interface.NULL,
            )  # fmt: skip
        else:
            refused = library.lattice_advance_double(
                pointer(x, "double"), 1, struct, pointer(far, "int32_t"),
                pointer(means, "double"), 1, 50, pointer(state, "uint32_t"),
                pointer(kept, "float"), 1, 50, 16, interface.NULL,
            )  # fmt: skip
        assert refused == 0
        results.append(x.copy())
    assert np.abs(results[0]).max() > 0.02
    np.testing.assert_allclose(results[1], results[0], rtol=1e-12, atol=1e-14)


def test_a_box_has_the_nodes_and_bonds_of_its_lattice() -> None:
    """Nodes and bonds of n³ cubes; in a turned box inner nodes have twelve bonds of length 1."""
    n, edge = 3, 2.0**0.5
    cube = lattice_box((n * edge,) * 3, np.eye(3))
    assert len(cube.nodes) == 4 * n**3 + 6 * n**2 + 3 * n + 1
    # Six of a node, less half of what the four inclined directions lack on each face.
    assert len(cube.bonds) == 24 * n**3 + 12 * n**2
    turned = lattice_box((2 * edge, 3.0, 3.0), TURNED)
    place = turned.nodes @ TURNED.T
    np.testing.assert_allclose(place.min(0), 0.0, atol=1e-12)
    np.testing.assert_allclose(place.max(0), [2 * edge, 3.0, 3.0], atol=1e-12)
    inner = ((place > 0.99) & (place < [2 * edge - 0.99, 2.01, 2.01])).all(1)
    assert inner.any()
    assert (np.bincount(turned.bonds.ravel())[inner] == 12).all()
    lengths = np.linalg.norm(np.diff(turned.nodes[turned.bonds], axis=1)[:, 0], axis=1)
    np.testing.assert_allclose(lengths, 1.0)
    plane = lattice_box((3.0, 2.0), np.eye(2), "square_with_diagonals")
    assert len(plane.bonds) == len(lattice_block(4, 3, "square_with_diagonals").bonds)
    for size, axes, message in (
        ((1.0, 1.0), np.eye(3), "size must be 3 positive lengths"),
        ((1.0, 1.0, 1.0), 2.0 * np.eye(3), "axes must be orthonormal"),
    ):
        with pytest.raises(ValueError, match=f"lattice_box: {message}"):
            lattice_box(size, axes)


def test_forces_and_moments_of_grips_in_space_balance() -> None:
    """Of a body that is pulled along a direction without symmetry, and without noise."""
    base = tiny_in_space()
    bond = replace(base.bond, thermal_energy=0.0)
    pulled = np.outer(base.body.nodes @ TURNED[2], [1.0, 0.3, -0.2])
    record = simulate_body(
        FiniteLattice(base.body, pulled[None], bond),
        lambda t: 0.02 * np.minimum(t / 50.0, 1.0)[:, None],
        np.array([0.0, 600.0]),
        replicas=16,
    )
    assert record.reactions.shape == (2, 2, 6, 16)
    grips = record.reactions[-1].mean(-1)
    assert np.abs(grips).max(0).min() > 1e-3
    np.testing.assert_allclose(grips.sum(0), 0.0, atol=1e-3 * np.abs(grips).max())


def test_a_patch_with_gripped_edges_has_the_mean_elongations_of_its_strain() -> None:
    """Lines of bonds from edge to edge: e_a on the mean in every replica, as in a periodic cell."""
    body = lattice_block(8, 8)
    degree = np.bincount(body.bonds.ravel())
    body = body.with_grip("edge", lambda x: degree < 6)
    c = np.array([0.1, -0.04, 0.06])
    fields = np.zeros((3, len(body.nodes), 2))
    fields[0, :, 0], fields[1, :, 1], fields[2, :, 0] = (
        body.nodes[:, 0],
        body.nodes[:, 1],
        np.sqrt(2.0) * body.nodes[:, 1],
    )
    lattice = FiniteLattice(body, fields)
    block = CompiledBody(lattice, np.random.SeedSequence(0))
    block.advance(np.repeat(c[None], 400, 0), STEP)
    w = torch.from_numpy(np.moveaxis(block.w, -1, 0).astype(float))
    u = lattice.elongations(w, torch.from_numpy(c)).numpy()
    expected = body.lattice.strain_basis @ c
    assert u.std() > 0.01
    for a in range(3):
        np.testing.assert_allclose(u[:, body.directions == a].mean(1), expected[a], atol=1e-6)


def test_reactions_balance_and_follow_the_grips() -> None:
    """Without noise a slow pull is carried by both grips, with the force of springs in series."""
    body = held_at_its_rows(6, 5)
    bond = PeriodicLattice(thermal_energy=0.0, preparation=(Preparation(10, STEP),))
    lattice = FiniteLattice(body, stretched(body), bond)
    strain = 0.02
    instants = np.array([0.0, 200.0, 400.0])
    record = simulate_body(
        lattice,
        lambda t: strain * np.minimum(t / 200.0, 1.0)[:, None],
        instants,
        replicas=16,
        window=20.0,
    )
    bottom, top = record.reactions[-1].mean(-1)
    np.testing.assert_allclose(top + bottom, 0.0, atol=2e-5)
    # Inclined bonds lengthen by 3/4 of the strain less what the rows contract.
    series = bond.stiffness * bond.well_stiffness / (bond.stiffness + bond.well_stiffness)
    held = 2 * 5.5 * series * 0.75 * strain * ROW
    assert 0.75 * held < top[1] < held
    assert record.opened.max() == 0.0
    moved = record.displacements[-1]
    np.testing.assert_allclose(moved[body.gripped], strain * stretched(body)[0][body.gripped])
    assert record.node_steps == 30 * 16 * (4000 + 10 + 100)


def test_moments_of_grips_balance_in_shear() -> None:
    """The forces of a sheared body are a couple, which those across the rows hold in balance."""
    body = held_at_its_rows(6, 5)
    bond = PeriodicLattice(thermal_energy=0.0, preparation=())
    sheared = stretched(body)[..., ::-1].copy()
    record = simulate_body(
        FiniteLattice(body, sheared, bond),
        lambda t: 0.02 * np.minimum(t / 50.0, 1.0)[:, None],
        np.array([0.0, 400.0]),
        replicas=16,
    )
    grips = record.reactions[-1].mean(-1)
    force, moments = grips[1, 0], grips[:, 2]
    assert force > 0.02
    assert abs(moments).max() > 0.2 * force * 4 * ROW
    np.testing.assert_allclose(moments.sum(), 0.0, atol=1e-3 * force)


def test_results_do_not_depend_on_threads_and_repeat() -> None:
    lattice = tiny()
    records = [
        simulate_body(lattice, ramp, np.array([0.0, 10.0, 20.0]), replicas=32, seed=4, threads=n)
        for n in (1, 2)
    ]
    np.testing.assert_array_equal(records[0].reactions, records[1].reactions)
    np.testing.assert_array_equal(records[0].opened, records[1].opened)
    other = simulate_body(lattice, ramp, np.array([0.0, 10.0, 20.0]), replicas=32, seed=5)
    assert not np.array_equal(records[0].reactions, other.reactions)
    assert records[0].opened.shape == (2, 3, len(lattice.body.bonds))
