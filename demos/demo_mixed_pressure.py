r"""A nearly incompressible solid in your own mixed displacement–pressure form.

The law gives `stress` and `tangent` at the quadrature points; the rest is your own UFL, without the
problem class of the package. Find $(u, p)$ in the Taylor–Hood space on the unit square in plane
strain, with rollers at $x = 0$ and $y = 0$ and constant tractions $t$ elsewhere, such that

$$ \int \sigma \cdot \varepsilon(v) + p \nabla\!\cdot v \,\mathrm dx
   + \int q\,(\nabla\!\cdot u - p/\kappa)\,\mathrm dx = \int t \cdot v\,\mathrm ds. $$

The material is a microsphere with the linear law of an optical trap, whose instantaneous shear
modulus is $\mu = 1$, and $\kappa = 10^6$. The tractions are those of
$u = c(t)\,(3xy^2, -y^3)$, $p = -3(x^2 - y^2)$ with the creep function $c = (2 - e^{-t})$, which
solves the problem in the incompressible limit. Convergence is of third order in the mesh for $u$,
of second order for $p$, and of first order in time.
"""

import argparse
from pathlib import Path

from mpi4py import MPI
from petsc4py import PETSc

import basix.ufl
import numpy as np
import ufl
from dolfinx import fem, mesh
from dolfinx.fem import petsc

import ibvonn_fem
from ibvonn_fem.kinematics import Microsphere, PlaneStrain

MODEL = ibvonn_fem.load_model(Path(__file__).parents[1] / "exported_models/exact_trap")
BULK, DURATION = 1e6, 1.0


def strain(v):
    """Components xx, yy, zz, xy (√2) in the order of the law's stress."""
    shear = (v[0].dx(1) + v[1].dx(0)) / np.sqrt(2.0)
    return ufl.as_vector([v[0].dx(0), v[1].dx(1), 0.0, shear])


def square(cells, steps):
    """Apply the tractions suddenly and hold them; return w, first and last errors of u and p."""
    domain = mesh.create_unit_square(MPI.COMM_WORLD, cells, cells)
    x, y = ufl.SpatialCoordinate(domain)
    name, n = domain.basix_cell().name, ufl.FacetNormal(domain)
    order2 = basix.ufl.element("Lagrange", name, 2, shape=(2,))
    W = fem.functionspace(
        domain, basix.ufl.mixed_element([order2, basix.ufl.element("P", name, 1)])
    )
    w, dw = fem.Function(W), ufl.TrialFunction(W)
    (u, p), (v, q), (du, _) = ufl.split(w), ufl.TestFunctions(W), ufl.split(dw)
    solid = PlaneStrain(Microsphere(25, density=15.0))
    law = ibvonn_fem.InternalVariableLaw(MODEL, solid, u, quadrature_degree=4)
    bcs = []
    for axis in range(2):
        side = mesh.locate_entities_boundary(domain, 1, lambda x, a=axis: np.isclose(x[a], 0.0))
        V = W.sub(0).sub(axis)
        bcs.append(fem.dirichletbc(0.0, fem.locate_dofs_topological(V, 1, side), V))

    exact, pressure = ufl.as_vector([3.0 * x * y**2, -(y**3)]), -3.0 * (x**2 - y**2)
    held = 2.0 * ufl.sym(ufl.grad(exact)) + pressure * ufl.Identity(2)
    volume = p * ufl.div(v) + q * (ufl.div(u) - p / BULK)
    load = ufl.dot(held * ufl.FacetNormal(domain), v) * ufl.ds(metadata={"quadrature_degree": 6})
    residual = fem.form(ufl.inner(law.stress, strain(v)) * law.dx + volume * law.dx - load)
    jacobian = ufl.inner(law.tangent * strain(du), strain(v)) + ufl.derivative(volume, w, dw)
    jacobian = fem.form(jacobian * law.dx)
    creep = fem.Constant(domain, 1.0)
    difference = (u - creep * exact, p - pressure)
    squares = [fem.form(ufl.inner(part, part) * law.dx) for part in difference]
    solver = PETSc.KSP().create(domain.comm)
    solver.setType("preonly")
    solver.getPC().setType("lu")
    solver.getPC().setFactorSolverType("mumps")  # it pivots
    errors = []
    for n in range(steps + 1):  # the first step is instantaneous
        dt = DURATION / steps if n else 0.0
        law.update(dt)
        matrix, b = petsc.assemble_matrix(jacobian, bcs=bcs), petsc.assemble_vector(residual)
        matrix.assemble()
        b.ghostUpdate(addv=PETSc.InsertMode.ADD, mode=PETSc.ScatterMode.REVERSE)
        petsc.set_bc(b, bcs)
        solver.setOperators(matrix)
        increment = b.duplicate()
        solver.solve(b, increment)  # one Newton iteration: this law is linear
        w.x.petsc_vec.axpy(-1.0, increment)
        w.x.scatter_forward()
        law.update(dt)
        law.commit()
        creep.value = 2.0 - np.exp(-n * DURATION / steps)
        errors.append([domain.comm.allreduce(fem.assemble_scalar(form)) for form in squares])
    return w, np.sqrt(errors[0]), np.sqrt(errors[-1])


def main():
    """Refine mesh and time step, compare with the closed form, draw the pressure."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--figure", help="where to write the pressure as PNG")
    parser.add_argument("--short", action="store_true", help="coarser")
    arguments = parser.parse_args()
    cells, steps = (4, 10) if arguments.short else (8, 40)
    initial = [square(m, 1)[1] for m in (cells, 2 * cells)]
    at_end = [square(2 * cells, n) for n in (steps, 2 * steps)]
    mesh_u, mesh_p = np.log2(initial[0] / initial[1])
    time = np.log2(at_end[0][2][0] / at_end[1][2][0])
    for instant, (u, p) in (("t = 0", initial[1]), ("t = 1", at_end[1][2])):
        print(f"L2 errors at {instant}: u {u:.2e}, p {p:.2e}")
    print(f"orders in the mesh: u {mesh_u:.2f}, p {mesh_p:.2f}; in the time step: u {time:.2f}")
    p = at_end[1][0].sub(1).collapse()
    if arguments.figure is not None and MPI.COMM_WORLD.rank == 0:
        import matplotlib.pyplot as plt

        x = p.function_space.tabulate_dof_coordinates()
        plt.colorbar(plt.tricontourf(x[:, 0], x[:, 1], p.x.array, 20), label="pressure p / μ [–]")
        plt.gca().set(xlabel="x [side]", ylabel="y [side]", aspect="equal")
        plt.savefig(arguments.figure, dpi=150)
    assert mesh_u > 2.8, f"displacement: third order expected, found {mesh_u:.2f}"
    assert mesh_p > 1.8, f"pressure: second order expected, found {mesh_p:.2f}"
    assert 0.9 < time < 1.1, f"backward Euler: first order expected, found {time:.2f}"


if __name__ == "__main__":
    main()
