"""Records of several components of strain and several classes of elements, on disk."""

from dataclasses import replace

import numpy as np
import pytest

from ibvonn_train.data import ClassSymmetry
from ibvonn_train.data.ensemble import TrajectoryEnsemble
from ibvonn_train.statistical_mechanics.microscopic_energy import physics_of

HEXAGON = np.array([[np.cos(a), np.sin(a)] for a in np.pi / 3 * np.arange(3)])
"""Directions of the bonds of a triangular lattice."""


def in_mandel_order(directions):
    """Rows that give the elongation n·ε n of small strain in Mandel order."""
    x, y = directions.T
    return np.stack([x * x, y * y, np.sqrt(2.0) * x * y], 1)[:, None]


def turned(angle):
    """Matrix of a rotation on strain in Mandel order."""
    c, s = np.cos(angle), np.sin(angle)
    r2 = np.sqrt(2.0)
    return np.array(
        [
            [c * c, s * s, -r2 * c * s],
            [s * s, c * c, r2 * c * s],
            [r2 * c * s, -r2 * c * s, c * c - s * s],
        ]
    )


def lattice(**changed):
    """A record of three components of strain, three classes and their symmetry."""
    random = np.random.default_rng(0)
    strain = np.cumsum(0.01 * random.normal(size=(2, 6, 1, 3)), 1)
    fields = dict(
        time=0.1 * np.arange(6), strain=strain, stress=2.0 * strain,
        microstate=random.normal(size=(2, 6, 3, 8, 2)), samples_per_replica=4,
        system="lattice", strain_kind="controlled",
        parameters={"friction": 1.0, "thermal_energy": 1.0}, time_step=0.1, seed=0,
        strain_names=("11", "22", "√2 12"), stress_names=("11", "22", "√2 12"),
        strain_measure="small strain in Mandel order", classes=("0°", "60°", "120°"),
        strain_basis=in_mandel_order(HEXAGON), reference_volume=np.sqrt(3) / 2,
        symmetry=(
            ClassSymmetry.identity(3, 3), ClassSymmetry((1, 2, 0), turned(np.pi / 3)),
            ClassSymmetry((2, 0, 1), turned(2 * np.pi / 3)),
        ),
        energy=random.normal(size=(2, 6, 1)), stress_variance=strain**2,
    )  # fmt: skip
    return TrajectoryEnsemble(**(fields | changed))


def test_a_record_of_several_components_and_classes_comes_back(tmp_path):
    data = lattice()
    data.save(tmp_path / "lattice.h5")
    read = TrajectoryEnsemble.load(tmp_path / "lattice.h5")
    assert (read.points, read.sites, read.replicas, read.elements) == (1, 3, 2, 4)
    for name in ("strain_names", "strain_measure", "classes", "reference_volume"):
        assert getattr(read, name) == getattr(data, name)
    assert [s.classes for s in read.symmetry] == [s.classes for s in data.symmetry]
    assert np.array_equal(read.strain_basis, data.strain_basis)
    assert read.sha256() == data.sha256()
    assert read.parameters["reference_volume"] == np.sqrt(3) / 2  # exported laws have it from here
    assert physics_of("lattice", read.parameters).thermal_energy == pytest.approx(2 / np.sqrt(3))
    with pytest.raises(ValueError, match="reference_volume must be that of the parameters"):
        replace(read, reference_volume=2.0)
    assert read.drive.strain_rate is None
    assert read.select([1], slice(0, 4)).strain.shape == (1, 4, 1, 3)


def test_a_symmetry_must_be_one_of_the_strain_basis():
    """A rotation by 60° with the classes of the other sense of rotation."""
    wrong = (ClassSymmetry.identity(3, 3), ClassSymmetry((2, 0, 1), turned(np.pi / 3)))
    with pytest.raises(ValueError, match=r"symmetry\[1\]: A of class"):
        lattice(symmetry=wrong)
    with pytest.raises(ValueError, match="strain_basis must be given for 3 classes"):
        lattice(strain_basis=np.empty((0, 0, 0)))
