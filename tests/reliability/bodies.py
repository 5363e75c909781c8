"""A bar that the scripts share."""

from __future__ import annotations

from pathlib import Path

from mpi4py import MPI

import numpy as np
from dolfinx import fem, mesh

from ibvonn_fem import (
    InternalVariableLaw,
    InternalVariableProblem,
    TimeStepping,
    Uniaxial,
    load_model,
)
from ibvonn_fem.model.exported_model import ExportedModel

MODEL = Path(__file__).parents[2] / "exported_models" / "exact_trap"


def pulled_bar(
    model: ExportedModel | None = None, cells: int = 4, comm: MPI.Intracomm = MPI.COMM_SELF
) -> TimeStepping:
    """A bar of length 1 under its weight, whose end follows a sine."""
    bar = mesh.create_interval(comm, cells, [0.0, 1.0])
    space = fem.functionspace(bar, ("Lagrange", 2))
    u = fem.Function(space)
    end = fem.Constant(bar, 0.0)
    bcs = [
        fem.dirichletbc(
            value, fem.locate_dofs_geometrical(space, lambda x, a=a: np.isclose(x[0], a)), space
        )
        for value, a in ((fem.Constant(bar, 0.0), 0.0), (end, 1.0))
    ]
    law = InternalVariableLaw(model or load_model(MODEL), Uniaxial(), u, 2)
    problem = InternalVariableProblem(law, u, bcs, body_force=fem.Constant(bar, 0.1))
    return TimeStepping(problem, lambda t: setattr(end, "value", 0.3 * np.sin(4.0 * t)))
