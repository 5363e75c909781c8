"""UFL expressions that a user gives: the Functions, Constants and mesh in them."""

from __future__ import annotations

from math import isfinite
from numbers import Real
from typing import Any

import numpy as np
import ufl
from ufl.algorithms import extract_coefficients, extract_type
from ufl.algorithms.analysis import extract_constants
from ufl.geometry import GeometricQuantity

from .. import _compat


def expression_of(context: str, value: Any, shape: tuple[int, ...], mesh: Any) -> Any:
    """A number, Constant, Function or UFL expression that a user gave, as a UFL expression.

    Raises:
        TypeError: If it is none of these.
        ValueError: If it is not finite, of another shape or on another mesh.
    """
    is_number = isinstance(value, Real) and not isinstance(value, bool | np.bool_)
    if not is_number and not isinstance(value, ufl.core.expr.Expr):
        raise TypeError(
            f"{context}: must be a number, a Constant, a Function or a UFL expression of shape "
            f"{shape}; found {type(value).__name__}. Write fem.Constant(mesh, ...) or "
            "ufl.as_vector(...)."
        )
    if is_number and not isfinite(value):
        raise ValueError(f"{context}: must be finite; found {value}.")
    expression = ufl.as_ufl(float(value) if is_number else value)
    if expression.ufl_shape != shape:
        raise ValueError(
            f"{context}: must have the shape {shape}; found {expression.ufl_shape}. Give one value "
            "for each component."
        )
    require_mesh(context, expression, mesh)
    return expression


def functions_of(expression: Any) -> list[Any]:
    """The DOLFINx Functions in a UFL expression or form."""
    coefficients = extract_coefficients(expression)
    return [function for function in coefficients if hasattr(function, "function_space")]


def constants_of(context: str, expression: Any) -> dict[str, Any]:
    """Values of the Constants in a UFL expression or form, by the words that name them."""
    constants = (c for c in extract_constants(expression) if hasattr(c, "value"))
    return {f"Constant {number} of {context}": c.value for number, c in enumerate(constants, 1)}


def in_terms_of(u: Any, expression: Any) -> Any:
    """The expression or form with parts such as ``u.sub(0)`` replaced by components, ``u[0]``.

    DOLFINx makes a Function of its own of such a part; UFL does not see that it follows u.
    """
    parts = {
        function: _part(u, function)
        for function in functions_of(expression)
        if function is not u and _compat.share_values(function, u)
    }
    return ufl.replace(expression, parts) if parts else expression


def _part(u: Any, function: Any) -> Any:
    """The components of u that a Function of ``u.sub`` holds, in the shape of that Function."""
    element, first = u.function_space.ufl_element(), 0
    for index in function.function_space.component():
        first += sum(_size(preceding) for preceding in element.sub_elements[:index])
        element = element.sub_elements[index]
    components = [u[index] if index else u for index in np.ndindex(*u.ufl_shape)]
    if not function.ufl_shape:
        return components[first]
    tensor = np.empty(function.ufl_shape, dtype=object)
    for number, index in enumerate(np.ndindex(*function.ufl_shape)):
        tensor[index] = components[first + number]
    return ufl.as_tensor(tensor.tolist())


def _size(element: Any) -> int:
    """Number of components of a value of an element."""
    return int(np.prod(element.reference_value_shape, dtype=np.int64))


def require_mesh(context: str, expression: Any, mesh: Any) -> None:
    """Raise unless the Functions and the coordinates in an expression or form are of a mesh.

    Raises:
        ValueError: If not.
    """
    for function in functions_of(expression):
        if not _compat.same_mesh(function.function_space.mesh, mesh):
            raise ValueError(
                f"{context}: must be on the mesh of u; found the Function {function.name!r} on "
                "another one. Interpolate it onto u's mesh first."
            )
    integrals = expression.integrals() if isinstance(expression, ufl.Form) else ()
    domains = [integral.ufl_domain() for integral in integrals]
    geometric = extract_type(expression, GeometricQuantity)
    domains += [ufl.domain.extract_unique_domain(quantity) for quantity in geometric]
    if any(domain != mesh.ufl_domain() for domain in domains):
        raise ValueError(
            f"{context}: must be on the mesh of u; found a measure or coordinate of another one. "
            "Make measures with domain=u.function_space.mesh."
        )
