"""A sheet in scikit-fem with a law of three strains, which is ``constitutive.onnx``.

The side x = 0 of a unit square is clamped; the side x = 1 is moved by (0.08, 0.05) in time 300,
held until 900 and moved back until 1200. Prints time and force on that side::

    python scikit_fem_lattice.py exported_models/lattice 16
"""

import sys

import numpy as np
import onnxruntime
import skfem
from skfem.helpers import grad

MOVED, TIMES = (0.08, 0.05), (300.0, 900.0, 1200.0)
OUTPUTS = ["stress", "tangent", "statev_new", "residual"]


def strain(u):  # Mandel components xx yy xy
    g = grad(u)
    return [g[0, 0], g[1, 1], (g[0, 1] + g[1, 0]) / np.sqrt(2)]


@skfem.LinearForm
def force(v, w):
    return sum(w.stress[i] * e for i, e in enumerate(strain(v)))


@skfem.BilinearForm
def stiffness(u, v, w):
    a, b = strain(u), strain(v)
    return sum(w.tangent[i, j] * a[j] * b[i] for i in range(3) for j in range(3))


def sheet(model, steps):
    """Time and force, ``(steps, 3)``, corners and triangles of the mesh."""
    session = onnxruntime.InferenceSession(f"{model}/constitutive.onnx")
    grid = skfem.MeshTri().refined(1).with_defaults()
    basis = skfem.Basis(grid, skfem.ElementVector(skfem.ElementTriP2()), intorder=2)
    shape, n = basis.dx.shape, basis.dx.size

    def respond(new, old, statev, dt):
        inputs = dict(strain=new, strain_old=old, statev=statev, dt=np.full((n, 1), dt))
        stress, tangent, statev_new, residual = session.run(OUTPUTS, inputs)
        assert (residual <= 1e-10).all(), "a point did not converge: take shorter steps"
        return stress, tangent, statev_new

    u, old = basis.zeros(), np.zeros((n, 3))
    statev = np.zeros((n, session.get_inputs()[2].shape[1]))
    rest = respond(old, old, statev, 0.0)[0]  # the undeformed sheet bears no stress
    clamped, sides = basis.get_dofs("left").all(), basis.get_dofs("right")
    moving = [sides.all("u^1"), sides.all("u^2")]
    inner = np.setdiff1d(np.arange(basis.N), np.concatenate([clamped, *moving]))
    dt, history = TIMES[-1] / steps, []
    for time in dt * np.arange(1, steps + 1):
        for dofs, moved in zip(moving, MOVED, strict=True):
            u[dofs] = moved * np.interp(time, [0.0, *TIMES], [0.0, 1.0, 1.0, 0.0])
        for _ in range(20):
            new = np.stack([np.ravel(e) for e in strain(basis.interpolate(u))], axis=1)
            stress, tangent, statev_new = respond(new, old, statev, dt)
            r = force.assemble(basis, stress=(stress - rest).T.reshape(3, *shape))
            if np.abs(r[inner]).max() < 1e-13:
                break
            k = stiffness.assemble(basis, tangent=tangent.T.reshape(3, 3, *shape))
            u += skfem.solve(*skfem.condense(k, -r, I=inner))
        old, statev = new, statev_new
        history.append((time, r[moving[0]].sum(), r[moving[1]].sum()))
    return np.array(history), grid.p.T, grid.t.T


if __name__ == "__main__":
    model, steps = sys.argv[1:] if len(sys.argv) == 3 else sys.exit(__doc__)
    np.savetxt(sys.stdout, sheet(model, int(steps))[0], "%.16e")
