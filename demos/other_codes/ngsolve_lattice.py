"""A sheet in NGSolve with a law of three strains, which is ``constitutive.onnx``.

The side x = 0 of a unit square is clamped; the side x = 1 is moved by (0.08, 0.05) in time 300,
held until 900 and moved back until 1200. Prints time and force on that side::

    python ngsolve_lattice.py exported_models/lattice 16
"""

import sys

import ngsolve as ng
import numpy as np
import onnxruntime
from ngsolve.comp import IntegrationRuleSpace
from ngsolve.meshes import MakeStructured2DMesh

MOVED, TIMES = (0.08, 0.05), (300.0, 900.0, 1200.0)
OUTPUTS = ["stress", "tangent", "statev_new", "residual"]


def strain(u):  # Mandel components xx yy xy
    g = ng.Grad(u)
    return ng.CF((g[0, 0], g[1, 1], (g[0, 1] + g[1, 0]) / np.sqrt(2)))


def sheet(model, steps):
    """Time and force, ``(steps, 3)``, corners and quadrilaterals of the mesh."""
    session = onnxruntime.InferenceSession(f"{model}/constitutive.onnx")
    grid = MakeStructured2DMesh(quads=True, nx=4, ny=4)
    V = ng.VectorH1(grid, order=1, dirichlet="left|right")
    trial, test = V.TnT()
    points = IntegrationRuleSpace(grid, order=1)  # two by two in each quadrilateral
    dx, n = ng.dx(intrules=points.GetIntegrationRules()), points.ndof
    measured = ng.GridFunction(ng.VectorValued(points, 3))
    stressed, stiff = (ng.GridFunction(ng.VectorValued(points, k)) for k in (3, 9))
    tangent_cf = ng.CF(tuple(stiff), dims=(3, 3))
    stiffness = ng.BilinearForm(ng.InnerProduct(tangent_cf * strain(trial), strain(test)) * dx)
    force = ng.LinearForm(ng.InnerProduct(stressed, strain(test)) * dx)

    def rows(function, size):  # components lie one after the other
        return function.vec.FV().NumPy().reshape(size, n).T

    def respond(new, old, statev, dt):
        inputs = dict(strain=new, strain_old=old, statev=statev, dt=np.full((n, 1), dt))
        stress, tangent, statev_new, residual = session.run(OUTPUTS, inputs)
        assert (residual <= 1e-10).all(), "a point did not converge: take shorter steps"
        return stress, tangent, statev_new

    u, old = ng.GridFunction(V), np.zeros((n, 3))
    statev = np.zeros((n, session.get_inputs()[2].shape[1]))
    rest = respond(old, old, statev, 0.0)[0]  # the undeformed sheet bears no stress
    right = [
        np.array(V.GetDofs(grid.Boundaries("right")))[i * grid.nv :][: grid.nv] for i in (0, 1)
    ]
    moving = [i * grid.nv + np.flatnonzero(mask) for i, mask in enumerate(right)]
    values, free = u.vec.FV().NumPy(), np.array(V.FreeDofs())
    dt, history = TIMES[-1] / steps, []
    for time in dt * np.arange(1, steps + 1):
        for dofs, moved in zip(moving, MOVED, strict=True):
            values[dofs] = moved * np.interp(time, [0.0, *TIMES], [0.0, 1.0, 1.0, 0.0])
        for _ in range(20):
            measured.Interpolate(strain(u))
            new = np.ascontiguousarray(rows(measured, 3))
            stress, tangent, statev_new = respond(new, old, statev, dt)
            rows(stressed, 3)[:] = stress - rest
            rows(stiff, 9)[:] = tangent.reshape(n, 9)
            force.Assemble()
            r = force.vec.FV().NumPy()
            if np.abs(r[free]).max() < 1e-13:
                break
            stiffness.Assemble()
            u.vec.data -= stiffness.mat.Inverse(V.FreeDofs()) * force.vec
        old, statev = new, statev_new
        history.append((time, r[moving[0]].sum(), r[moving[1]].sum()))
    corners = np.array([vertex.point for vertex in grid.vertices])
    cells = np.array([[v.nr for v in cell.vertices] for cell in grid.Elements(ng.VOL)])
    return np.array(history), corners, cells[:, [0, 1, 3, 2]]


if __name__ == "__main__":
    model, steps = sys.argv[1:] if len(sys.argv) == 3 else sys.exit(__doc__)
    np.savetxt(sys.stdout, sheet(model, int(steps))[0], "%.16e")
