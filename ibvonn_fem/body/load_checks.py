"""Checks of the loads, Dirichlet conditions and mesh tags of a problem."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral as Whole
from typing import Any

from mpi4py import MPI

import ufl

from .. import _compat
from .expressions import require_mesh

# Integral → its entities, and by how much their dimension is below that of the cells.
_ENTITIES = {"cell": ("cell", 0), "exterior_facet": ("facet", 1), "interior_facet": ("facet", 1)}


def check_conditions(bcs: Any, space: Any) -> None:
    """Raise unless ``bcs`` is a sequence of Dirichlet conditions on u's space or its parts.

    Raises:
        TypeError: If it is not a sequence of conditions.
        ValueError: If a condition is on another space, whose dofs have other numbers, or if one of
            its dofs does not exist in the space.
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
        ValueError: If the form has no test function, if it also has a trial function, or if it
            does not belong to the space and mesh of u.
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
        content = "one TrialFunction" if len(arguments) == 1 else f"{len(arguments)} arguments"
        raise ValueError(
            "InternalVariableProblem: loads must be linear in one ufl.TestFunction, the virtual "
            f"work of the loads; found a form with {content}."
        )
    space = u.function_space
    if arguments[0].ufl_function_space() != space:
        raise ValueError(
            "InternalVariableProblem: the test function of loads must be in the function space of "
            "u; found another function space, in which the loads would act on other dofs. Make "
            "it with ufl.TestFunction(u.function_space)."
        )
    require_mesh("InternalVariableProblem: loads", loads, space.mesh)
    for integral in loads.integrals():
        _check_tags(integral, space.mesh)


def _check_tags(integral: Any, mesh: Any) -> None:
    tags = integral.subdomain_data()
    if not hasattr(tags, "find") or integral.integral_type() not in _ENTITIES:
        return
    entity, codimension = _ENTITIES[integral.integral_type()]
    check_tags("InternalVariableProblem: loads", tags, mesh, entity, codimension)


def check_tags(context: str, tags: Any, mesh: Any, entity: str, codimension: int) -> None:
    """Raise unless mesh tags are of a mesh and of its entities of a codimension.

    Args:
        context: Beginning of the message: what needs the tags.
        tags: The tags.
        mesh: The mesh of u.
        entity: The entities in words, "cell" or "facet".
        codimension: Dimension of the cells minus that of the entities.

    Raises:
        TypeError: If they are no tags.
        ValueError: If they are of another mesh, or of entities of another dimension.
    """
    if not hasattr(tags, "find") or not hasattr(tags, "topology"):
        raise TypeError(
            f"{context}: needs tags from dolfinx.mesh.meshtags; found {type(tags).__name__}."
        )
    if not _compat.tags_belong(tags, mesh):
        raise ValueError(
            f"{context}: the {entity} tags must be of the mesh of u; found tags of another mesh. "
            "Make them with dolfinx.mesh.meshtags on the mesh of u."
        )
    dimension = mesh.topology.dim - codimension
    if tags.dim != dimension:
        raise ValueError(
            f"{context}: needs {entity} tags, of entities of dimension {dimension}; found tags of "
            f"dimension {tags.dim}."
        )


def require_tagged(comm: MPI.Intracomm, loads: Any) -> None:
    """Raise on every rank unless every tag over which loads are integrated exists. Collective.

    Raises:
        ValueError: If no entity has such a tag: the load would be zero.
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
                    "the load there would be zero. See how the tags were made."
                )


def require_ghosts(mesh: Any, loads: Any) -> None:
    """Raise on every rank if loads on facets between two ranks would be missed. Collective.

    Raises:
        ValueError: If loads are integrated over interior facets and the mesh has no ghost cells.
    """
    integrals = () if loads is None else loads.integrals()
    kinds = [integral.integral_type() for integral in integrals]
    if mesh.comm.size == 1 or "interior_facet" not in kinds:
        return
    ghosts = mesh.topology.index_map(mesh.topology.dim).num_ghosts
    if mesh.comm.allreduce(ghosts, op=MPI.SUM) == 0:
        raise ValueError(
            "InternalVariableProblem: loads: integrals over interior facets need ghost cells on "
            "several ranks; the mesh has none. Make it with "
            "ghost_mode=dolfinx.mesh.GhostMode.shared_facet."
        )
