"""A sheet in Akantu with a law of three strains, which is ``constitutive.onnx``.

The side x = 0 of a unit square is clamped; the side x = 1 is moved by (0.08, 0.05) in time 300,
held until 900 and moved back until 1200. Prints time and force on that side::

    python akantu_lattice.py exported_models/lattice 16
"""

import sys
import tempfile

import akantu
import numpy as np
import onnxruntime

MOVED, TIMES = (0.08, 0.05), (300.0, 900.0, 1200.0)
OUTPUTS = ["stress", "tangent", "statev_new", "residual"]
M = np.diag([1.0, 1.0, np.sqrt(0.5)])  # Mandel to Voigt: σ_h = M σ, ε = Mᵀ ε_h, C_h = M C Mᵀ


class Law(akantu.Material):
    """The law at the points of all elements; ``session`` and ``dt`` belong to the class."""

    session, dt, step = None, 0.0, None

    def respond(self, new, old, statev, dt):
        inputs = dict(strain=new, strain_old=old, statev=statev, dt=np.full((len(new), 1), dt))
        stress, tangent, statev_new, residual = self.session.run(OUTPUTS, inputs)
        assert (residual <= 1e-10).all(), "a point did not converge: take shorter steps"
        return stress, tangent, statev_new

    def computeStress(self, kind, ghost):
        g = self.getGradU(kind, ghost)
        new = np.stack([g[:, 0], g[:, 3], (g[:, 1] + g[:, 2]) / np.sqrt(2)], axis=1)
        if Law.step is None:  # the undeformed sheet bears no stress
            statev = np.zeros((len(new), self.session.get_inputs()[2].shape[1]))
            Law.rest, Law.start = self.respond(0 * new, 0 * new, statev, 0.0)[0], (0 * new, statev)
        stress, self.tangent, statev = self.respond(new, *self.start, self.dt)
        Law.step = new, statev
        self.getStress(kind, ghost)[:] = ((stress - self.rest) @ M)[:, [0, 2, 2, 1]]

    def computeTangentModuli(self, _, tangent, __):
        tangent[:] = (M @ self.tangent @ M.T).transpose(0, 2, 1).reshape(-1, 9)


akantu.MaterialFactory.getInstance().registerAllocator("law", lambda _, __, *at: Law(*at))
with tempfile.NamedTemporaryFile("w", suffix=".dat") as file:  # once: both are of the process
    file.write("material law [\n name = law\n rho = 1.\n]\n")
    file.flush()
    akantu.parseInput(file.name)


def sheet(model, steps):
    """Time and force, ``(steps, 3)``, corners and quadrilaterals of the mesh."""
    Law.session, Law.step = onnxruntime.InferenceSession(f"{model}/constitutive.onnx"), None
    kind, grid, line = akantu._quadrangle_4, akantu.Mesh(2), np.linspace(0.0, 1.0, 5)
    corners, i = np.array([(x, y) for x in line for y in line]), np.arange(25).reshape(5, 5)
    cells = np.stack([i[:-1, :-1], i[1:, :-1], i[1:, 1:], i[:-1, 1:]], -1).reshape(-1, 4)
    access = akantu.MeshAccessor(grid)
    access.resizeNodes(len(corners))
    grid.getNodes()[:] = corners
    grid.addConnectivityType(kind)
    access.resizeConnectivity(len(cells), kind)
    grid.getConnectivity(kind)[:] = cells
    access.makeReady()
    solid = akantu.SolidMechanicsModel(grid)
    solid.initFull(_analysis_method=akantu._static)
    u, force = solid.getDisplacement(), solid.getInternalForce()  # force is −∫ Bᵀ σ
    right, dt, history = corners[:, 0] == 1.0, TIMES[-1] / steps, []
    inner = np.flatnonzero(np.repeat((corners[:, 0] > 0.0) & ~right, 2))
    Law.dt = dt
    for time in dt * np.arange(1, steps + 1):
        u[right] = np.interp(time, [0.0, *TIMES], [0.0, 1.0, 1.0, 0.0]) * np.array(MOVED)
        for _ in range(20):
            solid.assembleInternalForces()
            r = -force.reshape(-1)
            if np.abs(r[inner]).max() < 1e-13:
                break
            solid.assembleStiffnessMatrix()
            k = akantu.AkantuSparseMatrix(solid.getDOFManager().getMatrix("K")).toarray()
            u.reshape(-1)[inner] -= np.linalg.solve(k[np.ix_(inner, inner)], r[inner])
        Law.start = Law.step
        history.append((time, *r.reshape(-1, 2)[right].sum(axis=0)))
    return np.array(history), corners, cells[:, [0, 1, 3, 2]]


if __name__ == "__main__":
    model, steps = sys.argv[1:] if len(sys.argv) == 3 else sys.exit(__doc__)
    np.savetxt(sys.stdout, sheet(model, int(steps))[0], "%.16e")
