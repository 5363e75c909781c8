r"""A thick-walled cylinder in your own rotationally symmetric form.

The law gives `stress` and `tangent` at the quadrature points; the rest is your own UFL, without the
problem class of the package. In the meridian $(r, z)$, with $\varepsilon = (u_{r,r}, u_{z,z},
u_r/r, \sqrt2\,\varepsilon_{rz})$: find $u$, with $u_z = 0$ at both ends, such that

$$ \int \sigma \cdot \varepsilon(v)\, 2\pi r\,\mathrm dr\,\mathrm dz
   = \int_{r=a} p\, v_r\, 2\pi r\,\mathrm dz \quad \text{for all } v. $$

The material is a microsphere with the linear law of an optical trap; its instantaneous moduli are
$\lambda = \mu = 1$. Under a constant pressure the displacement is Lamé's solution times the creep
function, $u_r = (A r + B/r)\,(2 - e^{-t})$. The demo measures the order of convergence in the mesh
and in time.
"""

import argparse
from pathlib import Path

from mpi4py import MPI
from petsc4py import PETSc

import numpy as np
import ufl
from dolfinx import fem, mesh
from dolfinx.fem import petsc

import ibvonn_fem
from ibvonn_fem.kinematics import Axisymmetric, Microsphere

MODEL = ibvonn_fem.load_model(Path(__file__).parents[1] / "exported_models/exact_trap")
INNER, OUTER, PRESSURE, DURATION = 1.0, 2.0, 0.1, 1.0
A = PRESSURE * INNER**2 / (OUTER**2 - INNER**2) / 4.0  # over 2 (λ + μ)
B = PRESSURE * INNER**2 * OUTER**2 / (OUTER**2 - INNER**2) / 2.0  # over 2 μ


def strain(v):
    """Components rr, zz, θθ, rz (√2) in the order of the law's stress."""
    r = ufl.SpatialCoordinate(v)[0]
    shear = (v[0].dx(1) + v[1].dx(0)) / np.sqrt(2.0)
    return ufl.as_vector([v[0].dx(0), v[1].dx(1), v[0] / r, shear])


def cylinder(cells, steps):
    """Apply the pressure suddenly and hold it; return the law, first and last error of u_r."""
    corners = [[INNER, 0.0], [OUTER, 0.5]]
    domain = mesh.create_rectangle(MPI.COMM_WORLD, corners, [cells, max(1, cells // 2)])
    V = fem.functionspace(domain, ("Lagrange", 2, (2,)))
    u, v, du = fem.Function(V), ufl.TestFunction(V), ufl.TrialFunction(V)
    solid = Axisymmetric(Microsphere(25, density=15.0))
    law = ibvonn_fem.InternalVariableLaw(MODEL, solid, u, quadrature_degree=4)
    r = ufl.SpatialCoordinate(domain)[0]
    inside = mesh.locate_entities_boundary(domain, 1, lambda x: np.isclose(x[0], INNER))
    tags = mesh.meshtags(domain, 1, np.sort(inside), np.ones(len(inside), dtype=np.int32))
    ds = ufl.Measure("ds", domain=domain, subdomain_data=tags)(1)
    ends = mesh.locate_entities_boundary(
        domain, 1, lambda x: np.isclose(x[1], 0.0) | np.isclose(x[1], 0.5)
    )
    bc = fem.dirichletbc(0.0, fem.locate_dofs_topological(V.sub(1), 1, ends), V.sub(1))

    turn = 2.0 * ufl.pi * r
    internal = ufl.inner(law.stress, strain(v)) * turn * law.dx
    residual = fem.form(internal - PRESSURE * v[0] * turn * ds)
    jacobian = fem.form(ufl.inner(law.tangent * strain(du), strain(v)) * turn * law.dx)
    creep = fem.Constant(domain, 1.0)
    error = fem.form((u[0] - creep * (A * r + B / r)) ** 2 * turn * law.dx)
    solver = PETSc.KSP().create(domain.comm)
    solver.setType("preonly")
    solver.getPC().setType("lu")
    errors = []
    for n in range(steps + 1):  # the first step is instantaneous
        dt = DURATION / steps if n else 0.0
        law.update(dt)
        matrix, b = petsc.assemble_matrix(jacobian, bcs=[bc]), petsc.assemble_vector(residual)
        matrix.assemble()
        b.ghostUpdate(addv=PETSc.InsertMode.ADD, mode=PETSc.ScatterMode.REVERSE)
        petsc.set_bc(b, [bc])
        solver.setOperators(matrix)
        increment = b.duplicate()
        solver.solve(b, increment)  # one Newton iteration: this law is linear
        u.x.petsc_vec.axpy(-1.0, increment)
        u.x.scatter_forward()
        law.update(dt)
        law.commit()
        creep.value = 2.0 - np.exp(-n * DURATION / steps)
        errors.append(np.sqrt(domain.comm.allreduce(fem.assemble_scalar(error))))
    return law, errors[0], errors[-1]


def main():
    """Refine mesh and time step, compare with Lamé's solution, draw the hoop stress."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--figure", help="where to write the hoop stress as PNG")
    parser.add_argument("--short", action="store_true", help="coarser")
    arguments = parser.parse_args()
    cells, steps = (4, 10) if arguments.short else (8, 40)
    initial = [cylinder(m, 1)[1] for m in (cells, 2 * cells)]
    law, *at_end = cylinder(2 * cells, steps)[::2]
    at_end.append(cylinder(2 * cells, 2 * steps)[2])
    orders = np.log2([initial[0] / initial[1], at_end[0] / at_end[1]])
    r = law.points.evaluator(ufl.SpatialCoordinate(law.points.mesh))()[:, 0]
    hoop, lame = law.points.rows(law.stress).get()[:, 2], 4.0 * A + 2.0 * B / r**2
    hoop_error = abs(hoop / lame - 1.0).max()
    print(f"error of u_r at t = 0: {initial[1]:.2e}, order in the mesh {orders[0]:.2f}")
    print(f"error of u_r at t = 1: {at_end[1]:.2e}, order in the time step {orders[1]:.2f}")
    print(f"largest error of the hoop stress against Lamé's solution: {100 * hoop_error:.3f} %")
    if arguments.figure is not None and MPI.COMM_WORLD.rank == 0:
        import matplotlib.pyplot as plt

        plt.plot(np.sort(r), np.sort(lame)[::-1], "k-", label="hoop stress, Lamé")
        plt.plot(r, hoop, ".", label="quadrature points, t = 1")
        plt.xlabel("radius r / inner radius [–]")
        plt.ylabel("hoop stress σ_θθ / μ [–]")
        plt.legend()
        plt.savefig(arguments.figure, dpi=150)
    assert orders[0] > 2.8, f"quadratic elements: third order expected, found {orders[0]:.2f}"
    assert 0.9 < orders[1] < 1.1, f"backward Euler: first order expected, found {orders[1]:.2f}"
    assert hoop_error < 5e-3, f"error of the hoop stress {hoop_error:.1e}"


if __name__ == "__main__":
    main()
