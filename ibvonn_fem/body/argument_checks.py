"""Checks of the numbers, models and unknowns that a user gives to laws and problems."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from math import isfinite
from numbers import Real
from typing import Any

import numpy as np
import ufl

from .. import _compat
from ..kernels.base import LONGEST_STEP
from .expressions import functions_of
from .rank_agreement import content


def require_number(context: str, name: str, value: Any) -> float:
    """A real number as a float.

    Args:
        context: Beginning of the message: what needs the number.
        name: Name of the argument.
        value: What the user gave.

    Raises:
        TypeError: If it is no real number.
    """
    if isinstance(value, bool | np.bool_) or not isinstance(value, Real):
        raise TypeError(
            f"{context}: {name} must be a number; found {value!r} of type {type(value).__name__}."
        )
    return float(value)


def require_finite(context: str, values: Mapping[str, Any]) -> None:
    """Raise unless all values are finite.

    Raises:
        ValueError: If one is not.
    """
    for name, value in values.items():
        if not np.isfinite(value).all():
            raise ValueError(f"{context}: {name} must be finite; found {content(value)}.")


def time_step(context: str, dt: Any) -> float:
    """The length of a step as a float.

    Raises:
        TypeError: If it is no real number.
        ValueError: If it is negative, not finite or above the longest step of every runtime.
    """
    length = require_number(context, "dt", dt)
    if not (length >= 0.0 and isfinite(length)):
        raise ValueError(
            f"{context}: dt must be finite and >= 0 (0 is an elastic step); found {dt}."
        )
    if length > LONGEST_STEP:
        raise ValueError(
            f"{context}: dt must be at most {LONGEST_STEP:g}; found {dt}. For the equilibrium use "
            "law.start_at_equilibrium()."
        )
    return length


def check_law(model: Any, kinematics: Any) -> None:
    """Raise unless a law gets a loaded model and an instance of a kinematics.

    Raises:
        TypeError: If it gets something else.
    """
    if not hasattr(model, "manifest"):
        raise TypeError(
            "InternalVariableLaw: model must be a loaded model; found "
            f"{type(model).__name__}. Pass load_model(DIRECTORY)."
        )
    if isinstance(kinematics, type) or not hasattr(kinematics, "measure"):
        is_class = isinstance(kinematics, type)
        kind = f"the class {kinematics.__name__}" if is_class else type(kinematics).__name__
        raise TypeError(
            "InternalVariableLaw: kinematics must be an instance, for example Uniaxial(); found "
            f"{kind}."
        )


def mesh_of(u: Any, mesh: Any) -> Any:
    """The mesh of the displacement of a law, whose Functions must be in double precision.

    Args:
        u: Displacement of the law: a Function or a UFL expression of Functions.
        mesh: The mesh, if the user gave one; an expression without Functions needs it.

    Raises:
        TypeError: If u is neither of these, or is not in double precision.
        ValueError: If a Function in u is on another mesh than the one that the user gave.
    """
    functions = functions_of(u) if isinstance(u, ufl.core.expr.Expr) else []
    if not isinstance(u, ufl.core.expr.Expr) or (mesh is None and not functions):
        raise TypeError(
            "InternalVariableLaw: u must be a dolfinx.fem.Function or a part of one; found "
            f"{type(u).__name__}."
        )
    mesh = functions[0].function_space.mesh if mesh is None else mesh
    for function in functions:
        if function.x.array.dtype != np.float64:
            raise TypeError(
                f"InternalVariableLaw: u must hold float64; found {function.x.array.dtype}. Leave "
                "dtype out where the mesh and u are made."
            )
        if not _compat.same_mesh(function.function_space.mesh, mesh):
            raise ValueError(
                f"InternalVariableLaw: mesh must be that of u; the Function {function.name!r} is "
                "on another one. Leave mesh= out."
            )
    return mesh


def require_one_model(model: Any, comm: Any) -> None:
    """Raise on all ranks unless they have loaded the same model. Collective.

    Raises:
        ValueError: If the models of two ranks differ.
    """
    manifest = model.manifest
    (first, directory), *others = comm.allgather((model.fingerprint(), str(manifest.directory)))
    for rank, (fingerprint, other) in enumerate(others, 1):
        if fingerprint != first:
            raise ValueError(
                "InternalVariableLaw: all ranks must have the same model; found that of "
                f"{directory} on rank 0 and another one, of {other}, on rank {rank}. Load one "
                "directory on all ranks."
            )


def check_unknown(laws: Sequence[Any], u: Any) -> None:
    """Raise unless all laws of a problem depend on its unknown u and have cells of their own.

    Raises:
        TypeError: If there is no law, or u is no Function of real numbers in double precision.
        ValueError: If a law does not depend on u, or two laws share a cell.
    """
    if not laws or not all(hasattr(law, "virtual_work") for law in laws):
        kinds = ", ".join(type(law).__name__ for law in laws) or "none"
        raise TypeError(
            f"InternalVariableProblem: needs one or several InternalVariableLaws; found {kinds}."
        )
    if not hasattr(u, "function_space"):
        raise TypeError(
            f"InternalVariableProblem: u must be a dolfinx.fem.Function; found {type(u).__name__}."
        )
    if u.x.array.dtype != np.float64:
        raise TypeError(
            "InternalVariableProblem: u must hold float64; found "
            f"{u.x.array.dtype}. Leave dtype out where the mesh and u are made."
        )
    if u.function_space.component():
        raise ValueError(
            "InternalVariableProblem: u must be the whole Function; found the part "
            f"{list(u.function_space.component())} of one. Pass the Function itself."
        )
    for law in laws:
        if not any(_compat.share_values(function, u) for function in functions_of(law.u)):
            raise ValueError(
                f"InternalVariableProblem: the law {law.name!r} must be made with u; found one of "
                "another Function, whose stress would not follow u. Pass the same u to both."
            )
    for law, other in combinations(laws, 2):
        shared = np.intersect1d(law.points.cells, other.points.cells)
        if shared.size:
            raise ValueError(
                f"InternalVariableProblem: laws must have cells of their own; {law.name!r} and "
                f"{other.name!r} share {shared.size}. Give each law its own subdomain."
            )
