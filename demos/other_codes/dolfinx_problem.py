"""A block in FEniCSx by the problem class of this package.

The face x = 0 of a unit cube is clamped; the face x = 1 is moved by 0.08 along x in time 0.5 and
held until 2. Prints time and force on that face::

    python dolfinx_problem.py exact_sls 8
"""

import sys

from mpi4py import MPI  # before dolfinx

import numpy as np
from dolfinx import fem, mesh

from ibvonn_fem import (
    FullStrain,
    InternalVariableLaw,
    InternalVariableProblem,
    TimeStepping,
    load_model,
)


def block(model, steps):
    """Time and force along x, ``(steps, 2)``."""
    domain = mesh.create_unit_cube(MPI.COMM_WORLD, 2, 2, 2)
    V = fem.functionspace(domain, ("Lagrange", 1, (3,)))
    u, moved = fem.Function(V), fem.Constant(domain, np.zeros(3))
    faces = [fem.locate_dofs_geometrical(V, lambda x, at=at: np.isclose(x[0], at)) for at in (0, 1)]
    bcs = [fem.dirichletbc(np.zeros(3), faces[0], V), fem.dirichletbc(moved, faces[1], V)]
    law = InternalVariableLaw(load_model(model), FullStrain(), u, quadrature_degree=1)
    problem, history = InternalVariableProblem(law, u, bcs), []

    def load(time):
        moved.value[0] = 0.08 * min(time / 0.5, 1.0)

    def record(step):
        history.append((step.time, problem.reaction(bcs[1])[0]))

    TimeStepping(problem, load).run(np.linspace(0.0, 2.0, steps + 1), record)
    return np.array(history)[1:]


if __name__ == "__main__":
    model, steps = sys.argv[1:] if len(sys.argv) == 3 else sys.exit(__doc__)
    np.savetxt(sys.stdout, block(model, int(steps)), "%.16e")
