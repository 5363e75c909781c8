"""A block in FEniCSx by dolfinx-external-operator.

The face x = 0 of a unit cube is clamped; the face x = 1 is moved by 0.08 along x in time 0.5 and
held until 2. Prints time and force on that face::

    python dolfinx_operator.py exact_sls 8
"""

import sys

from mpi4py import MPI
from petsc4py import PETSc  # after mpi4py, before dolfinx

import numpy as np
import ufl
from dolfinx import fem, mesh
from dolfinx.fem import petsc
from dolfinx_external_operator import (
    evaluate_external_operators,
    evaluate_operands,
    replace_external_operators,
)

from ibvonn_fem import FullStrain, InternalVariableLaw, load_model
from ibvonn_fem.body.external_operator import external_stress


def block(model, steps):
    """Time and force along x, ``(steps, 2)``; on one rank."""
    domain = mesh.create_unit_cube(MPI.COMM_SELF, 2, 2, 2)
    V = fem.functionspace(domain, ("Lagrange", 1, (3,)))
    u, moved = fem.Function(V), fem.Constant(domain, np.zeros(3))
    faces = [fem.locate_dofs_geometrical(V, lambda x, at=at: np.isclose(x[0], at)) for at in (0, 1)]
    bcs = [fem.dirichletbc(np.zeros(3), faces[0], V), fem.dirichletbc(moved, faces[1], V)]
    law = InternalVariableLaw(load_model(model), FullStrain(), u, quadrature_degree=1)
    sigma = external_stress(law, fem.Constant(domain, 2.0 / steps))
    work = law.virtual_work(ufl.TestFunction(V), sigma)
    form, _ = replace_external_operators(work)
    tangent, operators = replace_external_operators(ufl.derivative(work, u, ufl.TrialFunction(V)))
    residual, jacobian = fem.form(form), fem.form(tangent)
    solver, history = PETSc.KSP().create(domain.comm), []
    solver.setType("preonly")
    solver.getPC().setType("lu")
    for time in np.linspace(0.0, 2.0, steps + 1)[1:]:
        moved.value[0] = 0.08 * min(time / 0.5, 1.0)
        petsc.set_bc(u.x.petsc_vec, bcs)
        for _ in range(20):
            evaluate_external_operators(operators, evaluate_operands(operators))
            force = petsc.assemble_vector(residual)
            pulled = force.array.reshape(-1, 3)[faces[1], 0].sum()
            force.array.reshape(-1, 3)[np.concatenate(faces)] = 0.0
            if np.abs(force.array).max() < 1e-13:
                break
            matrix = petsc.assemble_matrix(jacobian, bcs=bcs)
            matrix.assemble()
            solver.setOperators(matrix)
            step = force.duplicate()
            solver.solve(force, step)
            u.x.array[:] -= step.array
        law.commit()
        history.append((time, pulled))
    return np.array(history)


if __name__ == "__main__":
    model, steps = sys.argv[1:] if len(sys.argv) == 3 else sys.exit(__doc__)
    np.savetxt(sys.stdout, block(model, int(steps)), "%.16e")
