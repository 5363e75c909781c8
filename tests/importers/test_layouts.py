"""Particles become replicas, sites and samples: orders, types, bonds, chains, classes."""

from __future__ import annotations

import numpy as np
import pytest
from foreign_files import description, write_dump

from ibvonn_train.data import TrajectoryEnsemble
from ibvonn_train.importers import StudyDescription, import_trajectories

RNG = np.random.default_rng(5)
INSTANTS, REPLICAS, BEADS = 7, 3, 4


def record(folder, values, columns, **parts):
    """Import one dump of two protocols, the second its copy."""
    box = parts.pop("box", None)
    files = [
        write_dump(folder / f"{i}.dump", values, columns=f"id {columns}", box=box) for i in (0, 1)
    ]
    study = StudyDescription.from_toml(description(folder, **parts))
    import_trajectories(files, study, folder / "data.h5")
    return TrajectoryEnsemble.load(folder / "data.h5")


LOAD = 'strain = "a*t"\nstress = "strain - x"'
CELL = 'strain_kind = "averaged"\nstress = "stiffness*x"'


def test_ids_count_the_particles_of_a_replica_or_one_element_through_all(tmp_path):
    """Two particles of a replica are like samples of one site, side by side."""
    x = RNG.normal(size=(INSTANTS, REPLICAS, 2))
    by_replica = record(tmp_path, x.reshape(INSTANTS, -1), "x", layout="replicas = 3", load=LOAD)
    swapped = x.swapaxes(1, 2).reshape(INSTANTS, -1)
    by_element = record(tmp_path, swapped, "x", layout='replicas = 3\norder = "element"', load=LOAD)
    np.testing.assert_array_equal(by_element.samples, by_replica.samples)
    assert by_replica.samples_per_replica == 2
    np.testing.assert_allclose(
        by_replica.samples[0, :, 0, :, 0], x.reshape(INSTANTS, -1), rtol=1e-6
    )


def test_types_and_ranges_select_particles(tmp_path):
    x = RNG.normal(size=(INSTANTS, 6))
    kinds = np.broadcast_to([1, 2, 1, 2, 1, 2], x.shape)
    values = np.stack([x, kinds], -1)
    data = record(tmp_path, values, "x type", layout="types = [2]", load=LOAD)
    np.testing.assert_allclose(data.samples[0, :, 0, :, 0], x[:, 1::2], rtol=1e-6)
    data = record(tmp_path, values, "x type", layout="particles = [3, 5]", load=LOAD)
    np.testing.assert_allclose(data.samples[0, :, 0, :, 0], x[:, 2:5], rtol=1e-6)


def test_a_type_that_changes_is_refused(tmp_path):
    """Guards the test above."""
    x = RNG.normal(size=(INSTANTS, 6))
    kinds = np.ones_like(x)
    kinds[:, 0] = kinds[3:, 2] = 2
    with pytest.raises(ValueError, match="types of particles must not change"):
        record(tmp_path, np.stack([x, kinds], -1), "x type", layout="types = [2]", load=LOAD)


def ring(lengths):
    """Beads of rings of four bonds of rest length 10 in a periodic box, wrapped, and the box."""
    u = RNG.normal(scale=0.1, size=(INSTANTS, REPLICAS, BEADS))
    u += (lengths[:, None, None] / BEADS - 10) - u.mean(2, keepdims=True)
    places = np.cumsum(10 + u, axis=2) + RNG.uniform(0, 40, (1, REPLICAS, 1))
    wrapped = places % lengths[:, None, None] - 5
    return u, wrapped.reshape(INSTANTS, -1), [(-5.0, length - 5.0) for length in lengths]


def test_bonds_of_a_ring_close_through_the_periodic_box(tmp_path):
    lengths = 40 + 0.5 * np.arange(INSTANTS)
    u, wrapped, box = ring(lengths)
    parts = {
        "layout": "replicas = 3",
        "microstate": 'bonds = "ring"\nelongation = ["r - 10"]',
        "load": f'{CELL}\nstrain = "lx/4 - 10"',
    }
    with pytest.raises(ValueError, match="'lx' is not known"):
        record(tmp_path, wrapped, "x", box=box, **parts)
    parts["load"] = f'{CELL}\nstrain = "0.5*t/0.01/4"'
    data = record(tmp_path, wrapped, "x", box=box, **parts)
    # Bond i lies between particles i and i + 1.
    np.testing.assert_allclose(
        data.samples[0, :, 0, :, 0].reshape(u.shape), np.roll(u, -1, axis=2), atol=1e-6
    )
    np.testing.assert_allclose(data.strain[0, :, 0, 0], lengths / 4 - 10, atol=1e-9)
    np.testing.assert_allclose(data.drive.strain_rate, 12.5)
    assert data.samples_per_replica == BEADS


def test_a_strain_that_is_not_the_mean_is_refused(tmp_path):
    """Guards the test above."""
    _, wrapped, box = ring(40 + 0.5 * np.arange(INSTANTS))
    with pytest.raises(ValueError, match="strain must be the mean of the microstates"):
        record(
            tmp_path,
            wrapped,
            "x",
            box=box,
            layout="replicas = 3",
            microstate='bonds = "ring"\nelongation = ["r - 10"]',
            load=f'{CELL}\nstrain = "0.6*t/0.01/4"',
        )


def test_springs_of_a_chain_are_points_and_its_end_is_moved(tmp_path):
    """Drag is on the moved end too: its force is that of the last spring and η λ̇."""
    u = RNG.normal(scale=0.1, size=(INSTANTS, REPLICAS, 2))
    time = 0.01 * np.arange(INSTANTS)
    end = 2.0 + 0.5 * time
    u[..., 1] = end[:, None] - 2.0 - u[..., 0]
    beads = np.concatenate([np.zeros((INSTANTS, REPLICAS, 1)), np.cumsum(1 + u, axis=2)], axis=2)
    data = record(
        tmp_path,
        beads.reshape(INSTANTS, -1),
        "x",
        layout="replicas = 3",
        microstate='bonds = "chain"\nelongation = ["dx - 1"]\nelements = "points"',
        load=f'{CELL}\ndrive = "end"\ncontrol = "2 + 0.5*t"',
    )
    assert data.strain.shape == (2, INSTANTS, 2, 1)
    np.testing.assert_allclose(data.samples[0, ..., 0].swapaxes(1, 2), u, atol=1e-6)
    np.testing.assert_allclose(data.drive.control[0], end)
    np.testing.assert_allclose(data.drive.force[0], u[..., 1].mean(1) + 0.5, rtol=1e-6)


def test_pairs_and_classes_are_sites_of_their_own(tmp_path):
    """Bonds of two directions in the plane, whose microstates have two components."""
    x = RNG.normal(size=(INSTANTS, REPLICAS * 3, 2))
    study = description(
        tmp_path,
        top='classes = ["a", "b"]\nstrain_basis = [[[1.0]], [[1.0]]]',
        layout="replicas = 3",
        microstate='bonds = [[1, 2], [3, 1]]\nelongation = ["dx", "dy"]\nclass_of = [1, 2]',
        load='strain = "a*t"\nstress = "x1 + x2"',
    )
    files = [write_dump(tmp_path / f"{i}.dump", x, columns="id x y") for i in (0, 1)]
    import_trajectories(files, StudyDescription.from_toml(study), tmp_path / "data.h5")
    data = TrajectoryEnsemble.load(tmp_path / "data.h5")
    beads = x.reshape(INSTANTS, REPLICAS, 3, 2)
    apart = np.stack([beads[:, :, 1] - beads[:, :, 0], beads[:, :, 0] - beads[:, :, 2]], 1)
    np.testing.assert_allclose(data.samples[0], apart, atol=1e-6)
    assert data.classes == ("a", "b")
    np.testing.assert_allclose(data.stress[0, :, 0, 0], apart.sum(-1).mean((1, 2)), rtol=1e-6)


def test_scaled_and_wrapped_coordinates_are_made_of_box_and_images(tmp_path):
    x = RNG.normal(scale=3.0, size=(INSTANTS, 6)) + 12.0
    low, length = -5.0, 10.0
    images = np.floor((x - low) / length)
    scaled = (x - low) / length - images
    box = [(low, low + length)] * INSTANTS
    place = 'coordinates = ["xu"]'
    values = np.stack([scaled, images], -1)
    data = record(tmp_path, values, "xs ix", box=box, microstate=place, load=LOAD)
    np.testing.assert_allclose(data.samples[0, :, 0, :, 0], x, rtol=1e-6)
    unwrapped = (x - low) / length
    data = record(tmp_path, unwrapped, "xsu", box=box, microstate=place, load=LOAD)
    np.testing.assert_allclose(data.samples[0, :, 0, :, 0], x, rtol=1e-6)
