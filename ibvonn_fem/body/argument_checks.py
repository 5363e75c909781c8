"""What a user hands over to laws and problems: checked here, in words, on all ranks alike."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import combinations
from math import isfinite
from numbers import Integral as Whole
from numbers import Real
from typing import Any

from mpi4py import MPI

import numpy as np
import ufl
from ufl.algorithms import extract_coefficients, extract_type
from ufl.algorithms.analysis import extract_constants
from ufl.geometry import GeometricQuantity

from .. import _compat
from ..kernels.base import LONGEST_STEP

_Wrong: tuple[type[Exception], ...] = (TypeError, ValueError, IndexError, ArithmeticError)


@contextmanager
def on_all_ranks(comm: MPI.Intracomm) -> Iterator[None]:
    """Raise on every rank what the block raises on one of them. Collective.

    The block itself must not communicate: it may stop early on some ranks.
    """
    error: Exception | None = None
    try:
        yield
    except _Wrong as raised:
        error = raised
    # Not the exception itself: some cannot be sent.
    own = [(kind, str(error)) for kind in _Wrong if isinstance(error, kind)][:1]
    every = comm.allgather(own)
    if error is not None:
        raise error
    for rank, wrong in enumerate(every):
        for kind, message in wrong:
            raise kind(f"{message} (on rank {rank})")


def require_same(comm: MPI.Intracomm, place: str, values: Mapping[str, Any]) -> None:
    """Raise on every rank unless all ranks were given the same values. Collective.

    Raises:
        ValueError: If they differ.
    """
    if comm.size == 1:
        return
    contents = {name: _content(value) for name, value in values.items()}
    digest = zlib.crc32(repr(contents).encode())
    ends = np.array([digest, -digest], dtype=np.int64)
    comm.Allreduce(MPI.IN_PLACE, ends, op=MPI.MAX)
    if ends[0] == -ends[1]:
        return
    every = comm.allgather(contents)
    for rank, other in enumerate(every):
        for name in {**every[0], **other}:
            here, there = every[0].get(name, "nothing"), other.get(name, "nothing")
            if here != there:
                raise ValueError(
                    f"{place}: {name} must be the same on all ranks; found {here} on rank 0 and "
                    f"{there} on rank {rank}. Set it on every rank."
                )


def _content(value: Any) -> str:
    return repr(value.tolist() if isinstance(value, np.ndarray | np.generic) else value)


def require_number(place: str, name: str, value: Any) -> float:
    """A real number as a float.

    Raises:
        TypeError: If it is none.
    """
    if isinstance(value, bool | np.bool_) or not isinstance(value, Real):
        raise TypeError(
            f"{place}: {name} must be a number; found {value!r} of type {type(value).__name__}."
        )
    return float(value)


def time_step(place: str, dt: Any) -> float:
    """The length of a step as a float.

    Raises:
        TypeError: If it is no real number.
        ValueError: If it is negative, not finite or above the longest step of every runtime.
    """
    length = require_number(place, "dt", dt)
    if not (length >= 0.0 and isfinite(length)):
        raise ValueError(f"{place}: dt must be finite and >= 0 (0 is an elastic step); found {dt}.")
    if length > LONGEST_STEP:
        raise ValueError(
            f"{place}: dt must be at most {LONGEST_STEP:g}; found {dt}. For the equilibrium use "
            "law.start_at_equilibrium()."
        )
    return length


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


def mesh_of(u: Any, mesh: Any) -> Any:
    """The mesh of what a law strains: made of Functions on one mesh, in double precision.

    Args:
        u: Function or UFL expression.
        mesh: The mesh, if it was given; an expression without Functions needs it.

    Raises:
        TypeError: If it is not.
        ValueError: If the mesh that is given is another one.
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
        ValueError: If not.
    """
    manifest = model.manifest
    found = comm.allgather((model.fingerprint(), str(manifest.directory)))
    if len({fingerprint for fingerprint, _ in found}) > 1:
        other = next(rank for rank, each in enumerate(found) if each[0] != found[0][0])
        raise ValueError(
            f"InternalVariableLaw: all ranks must have the same model; {found[0][1]} on rank 0 is "
            f"another than {found[other][1]} on rank {other}. Load one directory on all ranks."
        )


def check_unknown(laws: Sequence[Any], u: Any) -> None:
    """Raise unless the unknown of a problem is what its laws strain, each on cells of its own.

    Raises:
        TypeError: If there is no law, or u is no Function of real numbers in double precision.
        ValueError: If a law depends on another Function, or two laws share a cell.
    """
    if not laws or not all(hasattr(law, "virtual_work") for law in laws):
        found = ", ".join(type(law).__name__ for law in laws) or "none"
        raise TypeError(
            f"InternalVariableProblem: needs one or several InternalVariableLaws; found {found}."
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
        if not any(_compat.share_values(found, u) for found in functions_of(law.u)):
            raise ValueError(
                f"InternalVariableProblem: the law {law.name!r} was made with another Function "
                "than u, so that its stress would not follow u. Pass the same u to both."
            )
    for one, other in combinations(laws, 2):
        shared = np.intersect1d(one.points.cells, other.points.cells)
        if shared.size:
            raise ValueError(
                f"InternalVariableProblem: laws must have cells of their own; {one.name!r} and "
                f"{other.name!r} share {shared.size}. Give each its own subdomain."
            )


def functions_of(expression: Any) -> list[Any]:
    """The DOLFINx Functions in a UFL expression or form."""
    return [each for each in extract_coefficients(expression) if hasattr(each, "function_space")]


def in_terms_of(u: Any, expression: Any) -> Any:
    """The expression or form with parts such as ``u.sub(0)`` written as what they are, ``u[0]``.

    DOLFINx makes a Function of its own of such a part; UFL does not see that it follows u.
    """
    parts = {
        found: _part(u, found)
        for found in functions_of(expression)
        if found is not u and _compat.share_values(found, u)
    }
    return ufl.replace(expression, parts) if parts else expression


def _part(u: Any, function: Any) -> Any:
    element, first = u.function_space.ufl_element(), 0
    for index in function.function_space.component():
        first += sum(_size(each) for each in element.sub_elements[:index])
        element = element.sub_elements[index]
    components = [u[index] if index else u for index in np.ndindex(*u.ufl_shape)]
    if not function.ufl_shape:
        return components[first]
    own = np.empty(function.ufl_shape, dtype=object)
    for number, index in enumerate(np.ndindex(*function.ufl_shape)):
        own[index] = components[first + number]
    return ufl.as_tensor(own.tolist())


def _size(element: Any) -> int:
    return int(np.prod(element.reference_value_shape, dtype=np.int64))


def check_conditions(bcs: Any, space: Any) -> None:
    """Raise unless the Dirichlet conditions are a sequence of them on u's space or its parts.

    Raises:
        TypeError: If they are not a sequence of conditions.
        ValueError: If one is on another space: its dofs would be other ones; or if a dof is not
            one of the space.
    """
    if not isinstance(bcs, Sequence) or not all(hasattr(bc, "dof_indices") for bc in bcs):
        raise TypeError(
            "InternalVariableProblem: bcs must be a list of conditions from "
            f"dolfinx.fem.dirichletbc; found {type(bcs).__name__}."
        )
    index_map, block = space.dofmap.index_map, space.dofmap.index_map_bs
    size = (index_map.size_local + index_map.num_ghosts) * block
    for number, bc in enumerate(bcs):
        if not _compat.holds(space, bc):
            raise ValueError(
                f"InternalVariableProblem: bcs[{number}] is on another function space than u. Make "
                "it with u.function_space, or with a part of it."
            )
        dofs = bc.dof_indices()[0]
        if dofs.size and not (dofs.min() >= 0 and dofs.max() < size):
            raise ValueError(
                f"InternalVariableProblem: the dofs of bcs[{number}] must lie below {size}, the "
                f"number of this rank; found {dofs.min()} to {dofs.max()}. Locate them on "
                "u.function_space."
            )


def check_loads(loads: Any, u: Any) -> None:
    """Raise unless the loads are a virtual work, linear in the test function of u's space.

    Raises:
        TypeError: If they are not a UFL form.
        ValueError: If the form has no test function or a trial function too, or does not belong to
            the space and mesh of u.
    """
    if loads is None:
        return
    if not isinstance(loads, ufl.Form):
        raise TypeError(
            "InternalVariableProblem: loads must be a UFL form such as force * v * ufl.ds with "
            f"v = ufl.TestFunction(V); found {type(loads).__name__}."
        )
    arguments = loads.arguments()
    if len(arguments) != 1 or arguments[0].number() != 0:
        found = "one TrialFunction" if len(arguments) == 1 else f"{len(arguments)} arguments"
        raise ValueError(
            "InternalVariableProblem: loads must be linear in one ufl.TestFunction, the virtual "
            f"work of the loads; found a form with {found}."
        )
    space = u.function_space
    if arguments[0].ufl_function_space() != space:
        raise ValueError(
            "InternalVariableProblem: the test function of loads is of another function space than "
            "u, so that the loads would act on other dofs. Make it with "
            "ufl.TestFunction(u.function_space)."
        )
    require_mesh("InternalVariableProblem: loads", loads, space.mesh)
    for integral in loads.integrals():
        _check_tags(integral, space.mesh)


def require_mesh(place: str, expression: Any, mesh: Any) -> None:
    """Raise unless the Functions and the coordinates in an expression or form are of a mesh.

    Raises:
        ValueError: If not.
    """
    for function in functions_of(expression):
        if not _compat.same_mesh(function.function_space.mesh, mesh):
            raise ValueError(
                f"{place}: must be on the mesh of u; found the Function {function.name!r} on "
                "another one. Interpolate it onto u's mesh first."
            )
    integrals = expression.integrals() if isinstance(expression, ufl.Form) else ()
    domains = [each.ufl_domain() for each in integrals]
    geometric = extract_type(expression, GeometricQuantity)
    domains += [ufl.domain.extract_unique_domain(each) for each in geometric]
    if any(domain != mesh.ufl_domain() for domain in domains):
        raise ValueError(
            f"{place}: must be on the mesh of u; found a measure or coordinate of another one. "
            "Make measures with domain=u.function_space.mesh."
        )


_ENTITIES = {"cell": ("cell", 0), "exterior_facet": ("facet", 1), "interior_facet": ("facet", 1)}


def _check_tags(integral: Any, mesh: Any) -> None:
    tags = integral.subdomain_data()
    if not hasattr(tags, "find") or integral.integral_type() not in _ENTITIES:
        return
    entity, codimension = _ENTITIES[integral.integral_type()]
    check_tags("InternalVariableProblem: loads", tags, mesh, entity, codimension)


def require_tagged(comm: MPI.Intracomm, loads: Any) -> None:
    """Raise on every rank unless some entity has each tag over which loads are integrated.

    Raises:
        ValueError: If there is none: the load would be nought. Collective.
    """
    for integral in () if loads is None else loads.integrals():
        tags, numbers = integral.subdomain_data(), integral.subdomain_id()
        if not hasattr(tags, "find"):
            continue
        for number in numbers if isinstance(numbers, tuple) else (numbers,):
            if not isinstance(number, Whole):
                continue  # everywhere, or what has no tag
            if comm.allreduce(len(tags.find(number)), op=MPI.SUM) == 0:
                entity = _ENTITIES.get(integral.integral_type(), ("entity", 0))[0]
                raise ValueError(
                    f"InternalVariableProblem: loads: no {entity} has the tag {number}, so that "
                    "the load there would be nought. See how the tags were made."
                )


def require_ghosts(mesh: Any, loads: Any) -> None:
    """Raise on every rank where loads between cells would miss those between two ranks. Collective.

    Raises:
        ValueError: If the mesh has no ghost cells.
    """
    kinds = [] if loads is None else [each.integral_type() for each in loads.integrals()]
    if mesh.comm.size == 1 or "interior_facet" not in kinds:
        return
    ghosts = mesh.topology.index_map(mesh.topology.dim).num_ghosts
    if mesh.comm.allreduce(ghosts, op=MPI.SUM) == 0:
        raise ValueError(
            "InternalVariableProblem: loads: integrals over interior facets need ghost cells on "
            "several ranks; the mesh has none. Make it with "
            "ghost_mode=dolfinx.mesh.GhostMode.shared_facet."
        )


def check_tags(place: str, tags: Any, mesh: Any, entity: str, codimension: int) -> None:
    """Raise unless mesh tags are of a mesh and of its entities of a codimension.

    Raises:
        TypeError: If they are no tags.
        ValueError: If they are of another mesh, or of entities of another dimension.
    """
    if not hasattr(tags, "find") or not hasattr(tags, "topology"):
        raise TypeError(
            f"{place}: needs tags from dolfinx.mesh.meshtags; found {type(tags).__name__}."
        )
    if not _compat.tags_belong(tags, mesh):
        raise ValueError(
            f"{place}: the {entity} tags are of another mesh than u. Make them with "
            "dolfinx.mesh.meshtags on the mesh of u."
        )
    dimension = mesh.topology.dim - codimension
    if tags.dim != dimension:
        raise ValueError(
            f"{place}: needs {entity} tags, of entities of dimension {dimension}; found tags of "
            f"dimension {tags.dim}."
        )


def expression_of(place: str, value: Any, shape: tuple[int, ...], mesh: Any) -> Any:
    """A number, Constant, Function or UFL expression that a user gave, as a UFL expression.

    Raises:
        TypeError: If it is none of these.
        ValueError: If it is not finite, of another shape or on another mesh.
    """
    is_number = isinstance(value, Real) and not isinstance(value, bool | np.bool_)
    if not is_number and not isinstance(value, ufl.core.expr.Expr):
        raise TypeError(
            f"{place}: must be a number, a Constant, a Function or a UFL expression of shape "
            f"{shape}; found {type(value).__name__}. Write fem.Constant(mesh, ...) or "
            "ufl.as_vector(...)."
        )
    if is_number and not isfinite(value):
        raise ValueError(f"{place}: must be finite; found {value}.")
    expression = ufl.as_ufl(float(value) if is_number else value)
    if expression.ufl_shape != shape:
        raise ValueError(
            f"{place}: must have the shape {shape}; found {expression.ufl_shape}. Give one value "
            "for each component."
        )
    require_mesh(place, expression, mesh)
    return expression


def constants_of(place: str, expression: Any) -> dict[str, Any]:
    """Values of the Constants in a UFL expression or form, by the words that name them."""
    found = [each for each in extract_constants(expression) if hasattr(each, "value")]
    return {f"Constant {number} of {place}": each.value for number, each in enumerate(found, 1)}


def require_finite(place: str, values: Mapping[str, Any]) -> None:
    """Raise unless all values are finite.

    Raises:
        ValueError: If one is not.
    """
    for name, value in values.items():
        if not np.isfinite(value).all():
            raise ValueError(f"{place}: {name} must be finite; found {_content(value)}.")
