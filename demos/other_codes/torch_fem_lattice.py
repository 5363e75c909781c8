"""A sheet in torch-fem with a law of three strains, which is ``constitutive.pt`` (TorchScript).

The side x = 0 of a unit square is clamped; the side x = 1 is moved by (0.08, 0.05) in time 300,
held until 900 and moved back until 1200. Prints time and force on that side::

    python torch_fem_lattice.py exported_models/lattice 16
"""

import json
import sys
import warnings

import numpy as np
import torch
from torchfem import Planar
from torchfem.materials import MechanicsMaterial
from torchfem.mesh import rect_quad

MOVED, TIMES = (0.08, 0.05), (300.0, 900.0, 1200.0)


class Law(MechanicsMaterial):
    """Stress, state and tangent at one point of every element; ``dt`` is the time step."""

    dim, dt = 2, 0.0

    def __init__(self, model):
        super().__init__()
        files, r = {"ibvonn_manifest": ""}, 0.5**0.5
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of TorchScript
            self.respond = torch.jit.load(f"{model}/constitutive.pt", _extra_files=files)
        self.n_state = len(json.loads(files["ibvonn_manifest"])["internal"]["components"])
        # Mandel components xx yy xy as tensors, (3, 2, 2)
        self.basis = torch.tensor([[[1, 0], [0, 0]], [[0, 0], [0, 1]], [[0, r], [r, 0]]])
        zero = torch.zeros(1, 3)
        self.rest = self.respond(zero, zero, torch.zeros(1, self.n_state), torch.zeros(1, 1))[0]

    def vectorize(self, n_elem):  # noqa: ARG002
        return self

    def step(self, H_inc, F, stress, state, *_):
        old = torch.einsum("aij,nij->na", self.basis, F - torch.eye(2))
        new = old + torch.einsum("aij,nij->na", self.basis, H_inc)
        dt = torch.full((len(new), 1), self.dt)
        stress, statev, tangent, _, _, residual, _ = self.respond(new, old, state, dt)
        assert (residual <= 1e-10).all(), "a point did not converge: take shorter steps"
        stress = torch.einsum("na,aij->nij", stress - self.rest, self.basis)
        return stress, statev, torch.einsum("nab,aij,bkl->nijkl", tangent, self.basis, self.basis)


def sheet(model, steps):
    """Time and force, ``(steps, 3)``, corners and quadrilaterals of the mesh."""
    torch.set_default_dtype(torch.float64)
    nodes, cells = rect_quad(5, 5)
    law = Law(model)
    solid, dt = Planar(nodes, cells, law), TIMES[-1] / steps
    solid.K = torch.empty(0)  # its own solve would begin so, but takes no time without load steps
    left, right = (torch.isclose(nodes[:, 0], torch.tensor(at)) for at in (0.0, 1.0))
    fixed = (left | right).repeat_interleave(2)
    points = (solid.n_int, solid.n_elem)
    u, state = torch.zeros(solid.n_nod, 2), torch.zeros(*points, solid.n_state)
    grad, flux = torch.eye(2).repeat(*points, 1, 1), torch.zeros(*points, 2, 2)
    law.dt, history = dt, []
    for time in dt * np.arange(1, steps + 1):
        du = torch.zeros_like(u)
        share = np.interp(time, [0.0, *TIMES], [0.0, 1.0, 1.0, 0.0])
        du[right] = share * torch.tensor(MOVED) - u[right]
        for _ in range(20):
            new = solid.integrate_material(u, grad, flux, state, du.ravel(), 0.0, 0)
            r = solid.assemble_rhs(new[1])
            if r[~fixed].abs().max() < 1e-13:
                break
            k = solid.assemble_matrix(new[0], torch.nonzero(fixed).ravel()).to_dense()
            du -= torch.linalg.solve(k, torch.where(fixed, 0.0, r)).view_as(du)
        u, (grad, flux, state) = u + du, new[2:]
        history.append((time, *r.view_as(u)[right].sum(0).tolist()))
    return np.array(history), nodes.numpy(), cells.numpy()[:, [0, 1, 3, 2]]


if __name__ == "__main__":
    model, steps = sys.argv[1:] if len(sys.argv) == 3 else sys.exit(__doc__)
    np.savetxt(sys.stdout, sheet(model, int(steps))[0], "%.16e")
