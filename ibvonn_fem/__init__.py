"""Learned inelastic laws at the quadrature points of FEniCSx.

A law that was exported by ``ibvonn_train`` is loaded from its directory and evaluated point by
point with NumPy arrays, without DOLFINx::

    model = ibvonn_fem.load_model("trap")
    update = model.update(strain, strain_old, statev, dt)  # stress, tangent, new state, …

or put into a boundary-value problem. A bar that creeps under a force held at its right end::

    from mpi4py import MPI  # always before dolfinx

    import numpy as np, ufl, ibvonn_fem
    from dolfinx import fem, mesh

    bar = mesh.create_interval(MPI.COMM_WORLD, 8, (0.0, 1.0))
    V = fem.functionspace(bar, ("Lagrange", 1))
    u, v = fem.Function(V), ufl.TestFunction(V)
    clamp = fem.dirichletbc(0.0, fem.locate_dofs_geometrical(V, lambda x: x[0] < 1e-9), V)
    force = fem.Constant(bar, 0.3) * ufl.conditional(ufl.SpatialCoordinate(bar)[0] > 0.5, 1.0, 0.0)

    model = ibvonn_fem.load_model("exact_trap")
    law = ibvonn_fem.InternalVariableLaw(model, ibvonn_fem.Uniaxial(), u, quadrature_degree=0)
    problem = ibvonn_fem.InternalVariableProblem(law, u, [clamp], loads=force * v * ufl.ds)
    stepping = ibvonn_fem.TimeStepping(problem)
    stepping.run(np.linspace(0.0, 3.0, 61), callback=lambda step: print(step.time, law.measure[0]))

``law.stress`` and ``law.tangent`` are ordinary quadrature Functions for forms of your own;
integrate them with ``law.dx``. The finite-element classes import DOLFINx when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from .errors import EnvelopeWarning as EnvelopeWarning
from .errors import StepError as StepError
from .model.exported_model import ExportedModel as ExportedModel
from .model.exported_model import load_model as load_model
from .model.scaling import Scaled as Scaled

if TYPE_CHECKING:
    from .body.energy_balance import EnergyBalance as EnergyBalance
    from .body.law import InternalVariableLaw as InternalVariableLaw
    from .body.problem import InternalVariableProblem as InternalVariableProblem
    from .fields import FieldWriter as FieldWriter
    from .kinematics import Axisymmetric as Axisymmetric
    from .kinematics import FullStrain as FullStrain
    from .kinematics import Microcircle as Microcircle
    from .kinematics import Microsphere as Microsphere
    from .kinematics import PlaneStrain as PlaneStrain
    from .kinematics import PlaneStress as PlaneStress
    from .kinematics import Uniaxial as Uniaxial
    from .kinematics import UniaxialStress as UniaxialStress
    from .stepping.checkpoint import read_checkpoint as read_checkpoint
    from .stepping.checkpoint import write_checkpoint as write_checkpoint
    from .stepping.time_stepping import TimeStepping as TimeStepping

# Name → module that needs DOLFINx, imported on first use.
_FINITE_ELEMENT = {
    "Axisymmetric": ".kinematics",
    "EnergyBalance": ".body.energy_balance",
    "FieldWriter": ".fields",
    "FullStrain": ".kinematics",
    "InternalVariableLaw": ".body.law",
    "InternalVariableProblem": ".body.problem",
    "Microcircle": ".kinematics",
    "Microsphere": ".kinematics",
    "PlaneStrain": ".kinematics",
    "PlaneStress": ".kinematics",
    "TimeStepping": ".stepping.time_stepping",
    "Uniaxial": ".kinematics",
    "UniaxialStress": ".kinematics",
    "read_checkpoint": ".stepping.checkpoint",
    "write_checkpoint": ".stepping.checkpoint",
}


__all__ = [
    "Axisymmetric",
    "EnergyBalance",
    "EnvelopeWarning",
    "ExportedModel",
    "FieldWriter",
    "FullStrain",
    "InternalVariableLaw",
    "InternalVariableProblem",
    "Microcircle",
    "Microsphere",
    "PlaneStrain",
    "PlaneStress",
    "Scaled",
    "StepError",
    "TimeStepping",
    "Uniaxial",
    "UniaxialStress",
    "load_model",
    "read_checkpoint",
    "write_checkpoint",
]


def __getattr__(name: str) -> object:
    if name not in _FINITE_ELEMENT:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_FINITE_ELEMENT[name], __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_FINITE_ELEMENT})
