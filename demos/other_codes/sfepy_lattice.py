"""A sheet in SfePy with a law of three strains, which is ``constitutive.onnx``.

The side x = 0 of a unit square is clamped; the side x = 1 is moved by (0.08, 0.05) in time 300,
held until 900 and moved back until 1200. Prints time and force on that side::

    python sfepy_lattice.py exported_models/lattice 16
"""

import sys

import numpy as np
import onnxruntime
from scipy.sparse.linalg import spsolve
from sfepy import discrete
from sfepy.base.base import output
from sfepy.discrete import FieldVariable
from sfepy.discrete.fem import FEDomain, Field
from sfepy.mesh.mesh_generators import gen_block_mesh
from sfepy.terms import Term

MOVED, TIMES = (0.08, 0.05), (300.0, 900.0, 1200.0)
OUTPUTS = ["stress", "tangent", "statev_new", "residual"]
M = np.diag([1.0, 1.0, np.sqrt(0.5)])  # Mandel to SfePy: σ_h = M σ, ε = Mᵀ ε_h, C_h = M C Mᵀ


def sheet(model, steps):
    """Time and force, ``(steps, 3)``, corners and quadrilaterals of the mesh."""
    output.set_output(quiet=True)
    session = onnxruntime.InferenceSession(f"{model}/constitutive.onnx")
    grid = gen_block_mesh([1, 1], [5, 5], [0.5, 0.5], verbose=False)
    domain = FEDomain("sheet", grid)
    omega = domain.create_region("Omega", "all")
    points = discrete.Integral("i", order=3)  # two by two in each quadrilateral
    field = Field.from_args("displacement", np.float64, "vector", omega, approx_order=1)
    step = FieldVariable("s", "unknown", field)  # of Newton's method
    v = FieldVariable("v", "test", field, primary_var_name="s")
    u = FieldVariable("u", "parameter", field, primary_var_name="(set-to-None)")
    response = {}

    def values_at_points(_, __, mode=None, **___):
        return response if mode == "qp" else None

    law = discrete.Material("law", function=values_at_points)
    stiff = Term.new("dw_lin_elastic(law.C, v, s)", points, omega, law=law, v=v, s=step)
    stressed = Term.new("dw_lin_prestress(law.S, v)", points, omega, law=law, v=v)
    balance = discrete.Equations([discrete.Equation("balance", stiff + stressed)])
    problem = discrete.Problem("sheet", equations=balance)
    problem.time_update()
    problem.equations.init_state()
    values, fixed = np.zeros(2 * grid.n_nod), np.isin(grid.coors[:, 0], (0.0, 1.0))
    inner = np.flatnonzero(~np.repeat(fixed, 2))
    right = grid.coors[:, 0] == 1.0

    def respond(new, old, statev, dt):
        inputs = dict(strain=new, strain_old=old, statev=statev, dt=np.full((len(new), 1), dt))
        stress, tangent, statev_new, residual = session.run(OUTPUTS, inputs)
        assert (residual <= 1e-10).all(), "a point did not converge: take shorter steps"
        return stress, tangent, statev_new

    def strain():
        u.set_data(values)
        text, rules = "ev_cauchy_strain.i.Omega(u)", discrete.Integrals([points])
        host = problem.evaluate(text, integrals=rules, u=u, mode="qp")
        return host.reshape(-1, 3) @ M

    old = strain()
    statev = np.zeros((len(old), session.get_inputs()[2].shape[1]))
    rest = respond(old, old, statev, 0.0)[0]  # the undeformed sheet bears no stress
    dt, history = TIMES[-1] / steps, []
    for time in dt * np.arange(1, steps + 1):
        share = np.interp(time, [0.0, *TIMES], [0.0, 1.0, 1.0, 0.0])
        values.reshape(-1, 2)[right] = share * np.array(MOVED)
        for _ in range(20):
            new = strain()
            stress, tangent, statev_new = respond(new, old, statev, dt)
            response.update(C=M @ tangent @ M.T, S=((stress - rest) @ M.T)[..., None])
            problem.update_materials()
            evaluator, zero = problem.get_evaluator(), np.zeros_like(values)
            r = evaluator.eval_residual(zero)
            if np.abs(r[inner]).max() < 1e-13:
                break
            k = evaluator.eval_tangent_matrix(zero).tocsr()
            values[inner] -= spsolve(k[inner][:, inner].tocsc(), r[inner])
        old, statev = new, statev_new
        history.append((time, *r.reshape(-1, 2)[right].sum(axis=0)))
    cells = grid.get_conn("2_4")
    return np.array(history), grid.coors, cells[:, [0, 1, 3, 2]]


if __name__ == "__main__":
    model, steps = sys.argv[1:] if len(sys.argv) == 3 else sys.exit(__doc__)
    np.savetxt(sys.stdout, sheet(model, int(steps))[0], "%.16e")
