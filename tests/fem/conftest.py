"""A Zener solid in NumPy, in closed form, behind the kernel protocol.

f = k/2 (ε − α)² + k/2 α² + c/4 ε⁴,  φ = g²/(2η),  k = η = 1: the optical trap, with a quartic term
that the tests of Newton's method switch on.
"""

from __future__ import annotations

import gc
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mpi4py import MPI

import numpy as np
import pytest
import ufl
from dolfinx import fem, mesh

from ibvonn_fem import InternalVariableLaw, InternalVariableProblem, Uniaxial
from ibvonn_fem.kernels import LocalUpdate, Rates
from ibvonn_fem.model.exported_model import ExportedModel
from ibvonn_fem.model.manifest import Envelope, InitialState, Manifest


class ZenerKernel:
    """The exact backward Euler step; may fail where |ε⁺ − ε_n| exceeds ``fails_beyond``."""

    codename = "closed form"
    strain_size = 1
    internal_size = 1

    def __init__(self, quartic: float = 0.0, fails_beyond: float = np.inf) -> None:
        self.quartic = quartic
        self.fails_beyond = fails_beyond

    def update(self, strain, strain_old, statev, dt, *, guess=None, out=None):
        n = len(strain)
        assert guess is None or np.isfinite(guess).all()
        out = LocalUpdate.empty(n, 1, 1) if out is None else out
        a = np.broadcast_to(np.asarray(dt, dtype=float), (n,))[:, np.newaxis]
        new = (statev + a * strain) / (1.0 + 2.0 * a)
        out.statev_new[...] = new
        out.stress[...] = (strain - new) + self.quartic * strain**3
        out.tangent[:, :, 0] = (1.0 + a) / (1.0 + 2.0 * a) + 3.0 * self.quartic * strain**2
        energy = 0.5 * (strain - new) ** 2 + 0.5 * new**2 + 0.25 * self.quartic * strain**4
        out.energy[...] = energy[:, 0]
        out.dissipation[...] = ((strain - 2.0 * new) * (new - statev))[:, 0]
        out.residual[...] = np.abs(new - statev - a * (strain - 2.0 * new))[:, 0]
        failed = np.abs(strain - strain_old)[:, 0] > self.fails_beyond
        out.residual[failed] = np.inf
        out.statev_new[failed] = np.nan
        out.residual[~np.isfinite(strain[:, 0])] = np.nan
        excursion = np.maximum(np.abs(strain), np.abs(new)) - 1.0
        out.validity[...] = np.maximum(excursion, 0.0)[:, 0]
        return out

    def rates(self, strain, statev):
        energy = 0.5 * (strain - statev) ** 2 + 0.5 * statev**2 + 0.25 * self.quartic * strain**4
        force = strain - 2.0 * statev
        return Rates(energy[:, 0], strain - statev + self.quartic * strain**3, force, force.copy())


def zener_manifest(**changes: Any) -> Manifest:
    """Description of the law above, with the box |ε|, |α| ≤ 1 as its training range."""
    values: dict[str, Any] = {
        "directory": Path("zener"),
        "name": "zener",
        "description": "closed form",
        "family": "graph",
        "strain_components": ("strain",),
        "stress_components": ("stress",),
        "internal_components": ("alpha",),
        "internal_scale": np.ones(1),
        "units": {"time": "s"},
        "initial_state": InitialState(np.zeros(1), np.zeros(1), np.zeros(1), 0.0),
        "envelope": Envelope(
            strain=np.array([[-1.0, 1.0]]),
            statev=np.array([[-1.0, 1.0]]),
            strain_rate=np.array([[-1e6, 1e6]]),
            time_step=np.array([0.0, 1e3]),
        ),
        "residual_tolerance": 1e-10,
        "reference_tolerance": 1e-10,
        "sha256": {},
        "raw": {},
    }
    return Manifest(**{**values, **changes})


@pytest.fixture(autouse=True)
def _collective_destruction():
    """Objects of a failed or raising test are destroyed on all ranks together, as MPI demands."""
    yield
    if MPI.COMM_WORLD.size > 1:
        gc.collect()
        MPI.COMM_WORLD.barrier()


@pytest.fixture
def bar():
    """Factory of bars, see :func:`make_bar`."""
    return make_bar


@pytest.fixture
def zener():
    """Factory of models: ``zener(quartic=…, fails_beyond=…, strict_range=…)``."""

    def make(*, strict_range: bool = False, **options: float) -> ExportedModel:
        return ExportedModel(zener_manifest(), ZenerKernel(**options), strict_range=strict_range)

    return make


@dataclass
class Bar:
    """A bar of length 2, held at the left, with a law at its quadrature points."""

    law: InternalVariableLaw
    problem: InternalVariableProblem
    u: fem.Function
    left: fem.DirichletBC
    right: fem.DirichletBC | None
    elongation: fem.Constant
    force: fem.Constant

    @property
    def strain(self) -> np.ndarray:
        return self.law.measure[:, 0]

    @property
    def stress(self) -> np.ndarray:
        return self.law.points.rows(self.law.stress).get()[:, 0]


def make_bar(
    model: ExportedModel,
    *,
    drive: str = "end",
    cells: int = 5,
    order: int = 2,
    length: float = 2.0,
    comm: MPI.Intracomm = MPI.COMM_SELF,
    body_force: float | None = None,
    options: dict[str, Any] | None = None,
) -> Bar:
    """A bar with nodes at uneven distances, pulled at its end (``drive="end"``) or by a force."""
    bar = mesh.create_interval(comm, cells, [0.0, length])
    x = bar.geometry.x
    x[:, 0] += 0.1 * length / cells * np.sin(2.0 * np.pi * x[:, 0] / length)
    space = fem.functionspace(bar, ("Lagrange", order))
    u = fem.Function(space)
    elongation, force = fem.Constant(bar, 0.0), fem.Constant(bar, 0.0)
    ends = [
        fem.locate_dofs_geometrical(space, lambda x, end=end: np.isclose(x[0], end))
        for end in (0.0, length)
    ]
    left = fem.dirichletbc(0.0, ends[0], space)
    right = fem.dirichletbc(elongation, ends[1], space) if drive == "end" else None
    facets = mesh.locate_entities_boundary(bar, 0, lambda x: np.isclose(x[0], length))
    tags = mesh.meshtags(bar, 0, np.sort(facets), np.ones(len(facets), dtype=np.int32))
    ds = ufl.Measure("ds", domain=bar, subdomain_data=tags)
    law = InternalVariableLaw(model, Uniaxial(), u, quadrature_degree=2 * (order - 1))
    problem = InternalVariableProblem(
        law,
        u,
        [left] if right is None else [left, right],
        force * ufl.TestFunction(space) * ds(1) if drive == "force" else None,
        body_force=None if body_force is None else fem.Constant(bar, body_force),
        options=options,
    )
    return Bar(law, problem, u, left, right, elongation, force)


@pytest.fixture
def zener_at():
    """Factory of models whose declared equilibrium is elsewhere."""

    def make(strain: float, statev: float) -> ExportedModel:
        initial = InitialState(
            np.array([strain]), np.array([statev]), np.array([strain - statev]), 0.0
        )
        return ExportedModel(zener_manifest(initial_state=initial), ZenerKernel())

    return make
