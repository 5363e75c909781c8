"""Learned inelastic laws at the quadrature points of FEniCSx.

A law that was exported by ``ibvonn_train`` is loaded from its directory and evaluated point by
point with NumPy arrays (no DOLFINx needed)::

    model = ibvonn_fem.load_model("exported_models/trap")
    update = model.update(strain, strain_old, statev, dt)

or put into a boundary-value problem. A bar, clamped on the left, pulled by a held force::

    u = fem.Function(V)
    law = InternalVariableLaw(model, Uniaxial(), u, quadrature_degree=1)
    v = ufl.TestFunction(V)
    problem = InternalVariableProblem(law, u, bcs=[clamp], loads=force * v * ds(1))
    stepping = TimeStepping(problem, loading=lambda t: set_force(t))
    stepping.run(np.linspace(0.0, 3.0, 301), callback=lambda step: print(step.time, law.stress))

The finite-element classes import DOLFINx when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from .errors import EnvelopeError as EnvelopeError
from .errors import EnvelopeWarning as EnvelopeWarning
from .errors import ExportedModelError as ExportedModelError
from .errors import KernelUnavailableError as KernelUnavailableError
from .errors import LocalSolveError as LocalSolveError
from .errors import StepError as StepError
from .kernels import LocalUpdate as LocalUpdate
from .kernels import Rates as Rates
from .model import ExportedModel as ExportedModel
from .model import load_model as load_model

if TYPE_CHECKING:
    from .diagnostics import EnergyBalance as EnergyBalance
    from .kinematics import Kinematics as Kinematics
    from .kinematics import Uniaxial as Uniaxial
    from .law import InternalVariableLaw as InternalVariableLaw
    from .output import FieldWriter as FieldWriter
    from .problem import InternalVariableProblem as InternalVariableProblem
    from .time_stepping import Step as Step
    from .time_stepping import TimeStepping as TimeStepping

# Name → module that needs DOLFINx, imported on first use.
_FINITE_ELEMENT = {
    "EnergyBalance": ".diagnostics",
    "FieldWriter": ".output",
    "InternalVariableLaw": ".law",
    "InternalVariableProblem": ".problem",
    "Kinematics": ".kinematics",
    "Step": ".time_stepping",
    "TimeStepping": ".time_stepping",
    "Uniaxial": ".kinematics",
}


def __getattr__(name: str) -> object:
    if name not in _FINITE_ELEMENT:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_FINITE_ELEMENT[name], __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_FINITE_ELEMENT})
