"""A bar and a plate in scikit-fem; their law is ``constitutive.onnx``, run by onnxruntime.

Stretched by 0.1 in time 0.5, then held until 2; prints time and the tension of the moving ends::

    python scikit_fem_bar_and_plate.py exported_models 40
"""

import sys

import numpy as np
import onnxruntime
import skfem
from skfem.helpers import grad

END, RAMP, HELD = 2.0, 0.5, 0.1
OUTPUTS = ["stress", "tangent", "statev_new", "residual"]


def bar_strain(u):
    return [grad(u)[0]]


def plate_strain(u):  # Mandel components
    g, zero = grad(u), 0 * grad(u)[0, 0]
    return [g[0, 0], g[1, 1], zero, (g[0, 1] + g[1, 0]) / np.sqrt(2), zero, zero]


def stretch(model, basis, strain, fixed, moving, steps):
    """Time and tension of the ``moving`` degrees of freedom; the ``fixed`` stay."""
    session = onnxruntime.InferenceSession(f"{model}/constitutive.onnx")
    size, internal = (session.get_inputs()[i].shape[1] for i in (0, 2))
    shape, points = basis.dx.shape, basis.dx.size

    @skfem.LinearForm
    def force(v, w):
        return sum(w.stress[i] * e for i, e in enumerate(strain(v)))

    @skfem.BilinearForm
    def stiffness(u, v, w):
        a, b = strain(u), strain(v)
        return sum(w.tangent[i, j] * a[j] * b[i] for i in range(size) for j in range(size))

    u, old, statev = basis.zeros(), np.zeros((points, size)), np.zeros((points, internal))
    inner = np.setdiff1d(np.arange(basis.N), np.union1d(fixed, moving))
    dt, history = END / steps, []
    for time in dt * np.arange(1, steps + 1):
        u[moving] = HELD * min(time / RAMP, 1.0)
        for _ in range(20):
            new = np.stack([np.ravel(e) for e in strain(basis.interpolate(u))], axis=1)
            inputs = dict(strain=new, strain_old=old, statev=statev, dt=np.full((points, 1), dt))
            stress, tangent, statev_new, residual = session.run(OUTPUTS, inputs)
            assert (residual <= 1e-10).all(), f"time {time}: a point did not converge"
            r = force.assemble(basis, stress=stress.T.reshape(size, *shape))
            if np.abs(r[inner]).max(initial=0.0) < 1e-13:
                break
            k = stiffness.assemble(basis, tangent=tangent.T.reshape(size, size, *shape))
            u += skfem.solve(*skfem.condense(k, -r, I=inner))
        old, statev = new, statev_new
        history.append((time, r[moving].sum()))
    return np.array(history)


def bar(models, steps):
    basis = skfem.Basis(skfem.MeshLine(np.linspace(0, 1, 9)), skfem.ElementLineP1())
    return stretch(f"{models}/exact_trap", basis, bar_strain, [0], [8], steps)


def plate(models, steps):
    """Plane strain; the left side is clamped, the right one may contract."""
    grid = skfem.MeshTri().refined(2).with_defaults()
    basis = skfem.Basis(grid, skfem.ElementVector(skfem.ElementTriP2()), intorder=2)
    sides = basis.get_dofs("left").all(), basis.get_dofs("right").all("u^1")
    return stretch(f"{models}/exact_sls", basis, plate_strain, *sides, steps)


if __name__ == "__main__":
    models, steps = sys.argv[1:] if len(sys.argv) == 3 else sys.exit(__doc__)
    bars, plates = (run(models, int(steps)) for run in (bar, plate))
    np.savetxt(sys.stdout, np.column_stack([bars, plates[:, 1]]), "%.16e")
