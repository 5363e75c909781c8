"""A sheet in FElupe with a law of three strains, which is ``constitutive.onnx``.

The side x = 0 of a unit square is clamped; the side x = 1 is moved by (0.08, 0.05) in time 300,
held until 900 and moved back until 1200. Prints time and force on that side::

    python felupe_lattice.py exported_models/lattice 16
"""

import sys

import felupe
import numpy as np
import onnxruntime

MOVED, TIMES = (0.08, 0.05), (300.0, 900.0, 1200.0)
OUTPUTS = ["stress", "tangent", "statev_new", "residual"]
ROOT2 = np.sqrt(2.0)
# Mandel components xx yy xy as tensors, (3, 2, 2)
TENSORS = np.array([[[1, 0], [0, 0]], [[0, 0], [0, 1]], [[0, 1 / ROOT2], [1 / ROOT2, 0]]])


def material(model):
    """The law as FElupe's material of strain increment, old strain, stress and state variables."""
    session = onnxruntime.InferenceSession(f"{model}/constitutive.onnx")
    internal = session.get_inputs()[2].shape[1]

    def respond(new, old, statev, dt):
        inputs = dict(strain=new, strain_old=old, statev=statev, dt=np.full((len(new), 1), dt))
        stress, tangent, statev_new, residual = session.run(OUTPUTS, inputs)
        assert (residual <= 1e-10).all(), "a point did not converge: take shorter steps"
        return stress, tangent, statev_new

    zero = np.zeros((1, 3))
    rest = respond(zero, zero, np.zeros((1, internal)), 0.0)[0]  # undeformed, no stress

    def law(increment, old, _, states, dt, **__):
        increment, old = np.broadcast_arrays(increment, old)
        points = increment.shape[2:]

        def mandel(tensor):
            return np.einsum("aij,ij...->...a", TENSORS, tensor).reshape(-1, 3)

        statev = np.broadcast_to(states[0], (internal, *points)).reshape(internal, -1).T
        stress, tangent, statev_new = respond(
            mandel(old + increment), mandel(old), np.ascontiguousarray(statev), dt
        )
        pulled = np.einsum("na,aij->ijn", stress - rest, TENSORS)
        stiff = np.einsum("nab,aij,bkl->ijkln", tangent, TENSORS, TENSORS)
        return (
            stiff.reshape(2, 2, 2, 2, *points),
            pulled.reshape(2, 2, *points),
            [statev_new.T.reshape(internal, *points)],
        )

    return law, internal


def sheet(model, steps):
    """Time and force, ``(steps, 3)``, corners and quadrilaterals of the mesh."""
    law, internal = material(model)
    mesh, dt = felupe.Rectangle(n=5), TIMES[-1] / steps
    field = felupe.FieldContainer([felupe.Field(felupe.RegionQuad(mesh), dim=2)])
    sides = {
        "clamped": dict(fx=0.0),
        "x": dict(fx=1.0, skip=(0, 1)),
        "y": dict(fx=1.0, skip=(1, 0)),
    }
    bounds = {name: felupe.Boundary(field[0], **side) for name, side in sides.items()}
    solid = felupe.SolidBody(
        felupe.MaterialStrain(law, dim=2, statevars=((internal,),), dt=dt), field
    )
    times = dt * np.arange(1, steps + 1)
    share = np.interp(times, [0.0, *TIMES], [0.0, 1.0, 1.0, 0.0])
    ramp = {bounds[axis]: moved * share for axis, moved in zip("xy", MOVED, strict=True)}
    step = felupe.Step(items=[solid], ramp=ramp, boundaries=bounds)
    history = []
    for time, _ in zip(times, step.generate(verbose=False, x0=field, tol=1e-10), strict=True):
        history.append((time, *felupe.tools.force(field, solid.results.force, bounds["x"])[:2]))
    return np.array(history), mesh.points, mesh.cells[:, [0, 1, 3, 2]]


if __name__ == "__main__":
    model, steps = sys.argv[1:] if len(sys.argv) == 3 else sys.exit(__doc__)
    np.savetxt(sys.stdout, sheet(model, int(steps))[0], "%.16e")
