"""Histories that ibvonn_fem records are what ibvonn spot-check reads: only the file crosses."""

import json
from pathlib import Path

from mpi4py import MPI

import numpy as np
import pytest
from dolfinx import fem, mesh

from ibvonn_fem import (
    FullStrain,
    InternalVariableLaw,
    InternalVariableProblem,
    Scaled,
    TimeStepping,
    Uniaxial,
    load_model,
)
from ibvonn_fem.stepping import Histories, LargestPoints
from ibvonn_train.cli import main

EXPORTED = Path(__file__).resolve().parents[2] / "exported_models"

pytestmark = pytest.mark.fem


def spot_check(folder, model, *options):
    out = folder / "check.json"
    command = ["spot-check", str(folder / "body.h5"), "--model", str(EXPORTED / model), "-q"]
    code = main([*command, "--json", str(out), *options])
    return code, json.loads(out.read_text())


@pytest.mark.parametrize("scaled", [False, True])
def test_a_bar_of_the_exact_trap_is_within(tmp_path, scaled):
    model = load_model(EXPORTED / "exact_trap")
    seconds = 10.0 if scaled else 1.0
    if scaled:
        model = Scaled(model, stress_scale=7.0, time_scale=seconds, strain_scale=0.5)
    bar = mesh.create_unit_interval(MPI.COMM_SELF, 4)
    space = fem.functionspace(bar, ("Lagrange", 1))
    u, pulled = fem.Function(space), fem.Constant(bar, 0.0)
    ends = [
        fem.locate_dofs_geometrical(space, lambda x, at=at: np.isclose(x[0], at)) for at in (0, 1)
    ]
    bcs = [fem.dirichletbc(0.0, ends[0], space), fem.dirichletbc(pulled, ends[1], space)]
    law = InternalVariableLaw(model, Uniaxial(), u, quadrature_degree=0)
    problem = InternalVariableProblem(law, u, bcs)
    record = Histories(tmp_path / "body.h5", LargestPoints("stress", 1))
    size = 0.5 if scaled else 1.0
    stepping = TimeStepping(
        problem,
        lambda t: setattr(pulled, "value", 3.0 * size * np.sin(2.0 * t / seconds)),
        record=record,
    )
    stepping.run(np.linspace(0.0, 2.0 * seconds, 21))
    code, report = spot_check(tmp_path, "exact_trap", "--replicas", "2000", "--strict")
    (point,) = report["points"]
    assert code == 0
    assert point["verdict"] == "within"
    assert 0.1 < point["time_error"] < 10.0  # twenty steps of backward Euler
    assert "largest stress" in point["chosen_for"]


@pytest.mark.filterwarnings("ignore::ibvonn_fem.errors.EnvelopeWarning")
def test_a_square_of_the_lattice_is_checked_with_its_populations(tmp_path):
    square = mesh.create_unit_square(MPI.COMM_SELF, 1, 1)
    space = fem.functionspace(square, ("Lagrange", 1, (2,)))
    u, pulled = fem.Function(space), fem.Function(space)
    edge = mesh.locate_entities_boundary(square, 1, lambda x: np.full(x.shape[1], True))
    bcs = [fem.dirichletbc(pulled, fem.locate_dofs_topological(space, 1, edge))]
    law = InternalVariableLaw(load_model(EXPORTED / "lattice"), FullStrain(3), u, 0)
    problem = InternalVariableProblem(law, u, bcs)

    def load(t):
        part = t / 300.0
        pulled.interpolate(lambda x: np.stack([0.15 * part * x[0], 0.08 * part * x[1]]))

    stepping = TimeStepping(problem, load, record=Histories(tmp_path / "body.h5", [0]))
    stepping.run(np.linspace(0.0, 300.0, 31))
    code, report = spot_check(tmp_path, "lattice", "--replicas", "8", "--tolerance", "4")
    (point,) = report["points"]
    assert code == 0
    assert point["verdict"] != "off"
    assert len(point["populations"]) == 3
    assert max(point["populations"]) > 0.05
    np.testing.assert_allclose(point["law_populations"], point["populations"], atol=0.05)
