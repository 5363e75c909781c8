"""UFL forms of a problem, compiled so that several sets of tags may meet in one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mpi4py import MPI  # noqa: F401 - loads MPI, which the next imports need
from petsc4py import PETSc

import ufl
from dolfinx import fem
from dolfinx.fem import petsc as fem_petsc


def compiled(form: Any) -> list[Any]:
    """Compile a form in as few parts as possible, each with one set of tags for cells and facets.

    DOLFINx refuses measures with different tags in a single form.
    """
    parts: list[tuple[dict[str, Any], list[Any]]] = []
    for integral in form.integrals():
        kind, tags = integral.integral_type(), integral.subdomain_data()
        for tags_of_kind, integrals in parts:
            if tags_of_kind.setdefault(kind, tags) is tags:
                integrals.append(integral)
                break
        else:
            parts.append(({kind: tags}, [integral]))
    return [fem.form(ufl.Form(integrals)) for _, integrals in parts]


def add_vectors(forms: Sequence[Any], function: Any) -> None:
    """Assemble the sum of linear forms into a Function. Collective."""
    function.x.array[:] = 0.0
    vector = function.x.petsc_vec
    for form in forms:
        fem_petsc.assemble_vector(vector, form)
    vector.ghostUpdate(addv=PETSc.InsertMode.ADD, mode=PETSc.ScatterMode.REVERSE)
    function.x.scatter_forward()


def matrix_of(space: Any, *, across_facets: bool) -> Any:
    """A matrix with entries for all pairs of dofs that share a cell, or an interior facet.

    PETSc removes entries that the first assembly leaves empty and ignores later values there, so a
    form on every cell is assembled first, whatever the cells of the laws are.
    """
    v, du = ufl.TestFunction(space), ufl.TrialFunction(space)
    form = ufl.inner(du, v) * ufl.dx(domain=space.mesh)
    if across_facets:
        form += ufl.inner(ufl.avg(du), ufl.avg(v)) * ufl.dS(domain=space.mesh)
    matrix = fem_petsc.assemble_matrix(fem.form(form))
    matrix.assemble()
    return matrix
