"""A law as an operator of dolfinx-external-operator, for problems that are written with it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import metadata
from typing import Any

import numpy as np

from .._compat import release
from ..kernels.base import FloatArray
from .law import InternalVariableLaw

PACKAGE = "dolfinx-external-operator"


def external_stress(law: InternalVariableLaw, dt: Any) -> Any:
    r"""Return the stress of a law as a ``FEMExternalOperator`` of its deformation.

    The operator is σ(ε(u)) at the end of a step of length Δt from the committed state of the law;
    its derivative is the consistent tangent dσ/dε. In three lines, with ``v`` a test function::

        law = InternalVariableLaw(load_model("exact_sls"), FullStrain(), u, 2)
        sigma = external_stress(law, dt := fem.Constant(domain, 0.1))
        residual = law.virtual_work(v, sigma) - loads

    Import ``dolfinx_external_operator`` at the top of the program: UFL learns of an operator only
    before its first form. The rest is that of that package: ``replace_external_operators``,
    ``evaluate_operands`` and ``evaluate_external_operators``. An evaluation of the operators of the
    Jacobian sets the stress, too, so that those of the residual need none. Call ``law.commit()``
    once per step, after its last evaluation.

    Args:
        law: The law, with any kinematics. ``sigma.ref_coefficient`` is its ``stress``.
        dt: Δt as a Constant [time of the model], read at every evaluation.

    Returns:
        The operator, of the shape of the law's measure.

    Raises:
        ValueError: If the quadrature degree is 0, of which that package drops the operator.
        ImportError: If dolfinx-external-operator is not installed, is for another DOLFINx, or has
            not been imported before the law was made.
    """
    _require_package()
    if law.stress.function_space.ufl_element().is_cellwise_constant():
        raise ValueError(
            f"external_stress: {law.name} needs a quadrature_degree of at least 1; found "
            f"{law.points.degree}, of which {PACKAGE} makes a zero. The rule of degree 1 has one "
            "point on simplices, too."
        )
    from dolfinx_external_operator import FEMExternalOperator

    points, size = law.points, law.measure.shape[1]

    def measure_of(operand: Any) -> FloatArray:
        # Operands come for all cells of a rank, its ghosts too; a law is of the owned, or tagged.
        rows = np.asarray(operand).reshape(-1, points.per_cell, size)[points.cells]
        return rows.reshape(-1, size)

    def stress(operand: Any) -> FloatArray:
        law.update(float(dt.value), measure_of(operand))
        law.stress.x.scatter_forward()
        values: FloatArray = law.stress.x.array.copy()
        return values

    def tangent_and_stress(operand: Any) -> tuple[FloatArray, FloatArray]:
        values = stress(operand)
        return law.tangent.x.array.copy(), values

    def response(derivatives: tuple[int, ...]) -> Callable[[Any], Any]:
        if sum(derivatives) > 1:
            raise ValueError(
                f"external_stress: {law.name} has first derivatives, its tangent; found a form "
                "with the second. Derive the residual once."
            )
        return tangent_and_stress if sum(derivatives) else stress

    return FEMExternalOperator(
        law.deformation,
        function_space=law.stress.function_space,
        external_function=response,
        coefficient=law.stress,
        name=law.stress.name,
    )


def _require_package() -> None:
    """Raise :class:`ImportError` unless the package is there for this DOLFINx."""
    own = release()
    try:
        version = metadata.version(PACKAGE)
    except metadata.PackageNotFoundError:
        raise ImportError(
            f"external_stress: needs {PACKAGE} for DOLFINx {own}, which is not installed. "
            f"Install it with `pip install --no-deps '{PACKAGE}=={own}.*'`, or use "
            "InternalVariableProblem, which needs no other package."
        ) from None
    if version.split(".")[:2] != own.split("."):
        raise ImportError(
            f"external_stress: needs {PACKAGE} of the version of DOLFINx, {own}; found {version}. "
            f"Install it with `pip install --no-deps '{PACKAGE}=={own}.*'`."
        )
    if "dolfinx_external_operator" not in sys.modules:
        raise ImportError(
            "external_stress: needs dolfinx_external_operator to be imported before the first form "
            "and the first law, as UFL fixes its kinds of expressions then; it has not been. Write "
            "`import dolfinx_external_operator` at the top of the program."
        )
