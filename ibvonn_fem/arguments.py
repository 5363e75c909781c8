"""Mistakes in how laws and problems are put together, each with what to do instead."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from math import comb
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


def warn_of_few_points(name: str, u: Any, points: int, dimension: int) -> None:
    """Warn where fewer points than the strains of u have polynomials leave motions without force.

    Args:
        name: Of the law.
        u: What the law strains.
        points: In one cell.
        dimension: Of the cells.
    """
    for function in ufl.algorithms.extract_coefficients(ufl.as_ufl(u)):
        order = _complete_order(function.ufl_element())
        needed = comb(order - 1 + dimension, dimension) if order else 0
        if points < needed:
            warnings.warn(
                f"InternalVariableLaw: {name!r} has {points} quadrature point(s) in a cell of "
                f"elements of order {order}, whose strains need {needed}: some motions meet no "
                f"resistance. Take quadrature_degree={2 * (order - 1)}.",
                stacklevel=3,
            )


def _complete_order(element: Any) -> int:
    """Return the degree up to which an element has all polynomials; of its parts, the lowest."""
    parts = element.sub_elements
    order = min(map(_complete_order, parts)) if parts else element.embedded_subdegree
    return int(order)


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
