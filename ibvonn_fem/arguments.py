"""Mistakes in how laws and problems are put together, each with what to do instead."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ufl

from . import _compat


def check_law(model: Any, kinematics: Any) -> None:
    """Raise unless a law is given a loaded model and an instance of a kinematics.

    Raises:
        TypeError: If not.
    """
    if not hasattr(model, "manifest"):
        raise TypeError(
            "InternalVariableLaw: model must be a loaded model; found "
            f"{type(model).__name__}. Pass load_model(DIRECTORY)."
        )
    if isinstance(kinematics, type) or not hasattr(kinematics, "measure"):
        is_class = isinstance(kinematics, type)
        found = f"the class {kinematics.__name__}" if is_class else type(kinematics).__name__
        raise TypeError(
            "InternalVariableLaw: kinematics must be an instance, for example Uniaxial(); found "
            f"{found}."
        )


def check_unknown(laws: Sequence[Any], u: Any) -> None:
    """Raise unless the unknown of a problem is what its laws strain.

    Raises:
        TypeError: If there is no law.
        ValueError: If a law depends on another Function.
    """
    if not laws or not all(hasattr(law, "virtual_work") for law in laws):
        found = ", ".join(type(law).__name__ for law in laws) or "none"
        raise TypeError(
            f"InternalVariableProblem: needs one or several InternalVariableLaws; found {found}."
        )
    for law in laws:
        functions = ufl.algorithms.extract_coefficients(ufl.as_ufl(law.u))
        if not any(getattr(function, "x", None) is u.x for function in functions):
            raise ValueError(
                f"InternalVariableProblem: the law {law.name!r} was made with another Function "
                "than u, so that its stress would not follow u. Pass the same u to both."
            )


def check_conditions(bcs: Any, space: Any) -> None:
    """Raise unless the Dirichlet conditions are a sequence of them on u's space or its parts.

    Raises:
        TypeError: If they are not a sequence of conditions.
        ValueError: If one is on another space: its dofs would be other ones.
    """
    if not isinstance(bcs, Sequence) or not all(hasattr(bc, "dof_indices") for bc in bcs):
        raise TypeError(
            "InternalVariableProblem: bcs must be a list of conditions from "
            f"dolfinx.fem.dirichletbc; found {type(bcs).__name__}."
        )
    for number, bc in enumerate(bcs):
        if not _compat.holds(space, bc):
            raise ValueError(
                f"InternalVariableProblem: bcs[{number}] is on another function space than u. Make "
                "it with u.function_space, or with a part of it."
            )


def check_loads(loads: Any) -> None:
    """Raise unless the loads are a virtual work, linear in a test function.

    Raises:
        TypeError: If they are not a UFL form.
        ValueError: If the form has no test function, or a trial function too.
    """
    if loads is None:
        return
    if not isinstance(loads, ufl.Form):
        raise TypeError(
            "InternalVariableProblem: loads must be a UFL form such as force * v * ufl.ds with "
            f"v = ufl.TestFunction(V); found {type(loads).__name__}."
        )
    arguments = loads.arguments()
    if len(arguments) != 1:
        raise ValueError(
            "InternalVariableProblem: loads must be linear in one ufl.TestFunction, the virtual "
            f"work of the loads; found a form with {len(arguments)} arguments."
        )
