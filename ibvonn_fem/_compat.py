"""The only file that depends on DOLFINx's version (0.9 to 0.11 are supported).

Everything here exists because a signature changed between releases; each function names it.
"""

from __future__ import annotations

from typing import Any

from mpi4py import MPI  # noqa: F401 - loads MPI, which the next imports need
from petsc4py import PETSc

import numpy as np
from dolfinx import cpp
from dolfinx.fem import petsc as fem_petsc
from numpy.typing import NDArray

from .kernels.base import FloatArray

_RELEASE = str(cpp.__version__)
_VERSION = tuple(int(part) for part in _RELEASE.split(".")[:2])

if _VERSION < (0, 9):
    raise ImportError(
        f"ibvonn_fem: needs DOLFINx 0.9 or newer; found {_RELEASE}. "
        "Install a newer one (conda-forge: fenics-dolfinx)."
    )


def release() -> str:
    """Return the two numbers of DOLFINx's release, by which other packages choose theirs."""
    return ".".join(map(str, _VERSION))


def require_real_scalars() -> None:
    """Raise if PETSc is built for complex numbers.

    Raises:
        TypeError: If PETSc was built for complex scalars.
    """
    if np.issubdtype(PETSc.ScalarType, np.complexfloating):
        raise TypeError(
            "ibvonn_fem: needs a PETSc built for real scalars, because strains and energies are "
            f"real; this one has {np.dtype(PETSc.ScalarType).name}. Activate the real build "
            "(conda-forge: petsc=*=real*; Debian: PETSC_DIR of libpetsc-real-dev)."
        )


def add_to_matrix(matrix: Any, form: Any, bcs: list[Any], diagonal: float) -> None:
    """Add a form to ``matrix``; constrained rows get ``diagonal`` (keyword ``diag`` since 0.10)."""
    keyword = "diagonal" if _VERSION < (0, 10) else "diag"
    assemble: Any = fem_petsc.assemble_matrix
    assemble(matrix, form, bcs=bcs, **{keyword: diagonal})
    matrix.assemble()


def evaluate_expression(
    expression: Any, mesh: Any, cells: NDArray[np.int32], per_cell: int, out: FloatArray
) -> None:
    """Write the values at the points of ``cells`` into ``out``, shape (cells * per_cell, size).

    0.9 wants an array (cells, points * size), 0.11 one of shape (cells, points, shape…).
    """
    if _VERSION < (0, 10):
        expression.eval(mesh, cells, out.reshape(len(cells), per_cell * out.shape[1]))
    else:
        shape = (len(cells), per_cell, *expression.ufl_expression.ufl_shape)
        expression.eval(mesh, cells, out.reshape(shape))


def geometry_nodes(geometry: Any) -> NDArray[np.int32]:
    """Nodes of every cell, shape (cells, nodes): ``dofmap``, deprecated in 0.11 for ``dofmaps``."""
    nodes: NDArray[np.int32] = geometry.dofmap if _VERSION < (0, 11) else geometry.dofmaps[0]
    return nodes


def geometry_order(geometry: Any) -> int:
    """Polynomial order of the cells' shape: ``cmap``, deprecated in 0.11 for ``cmaps``."""
    return int((geometry.cmap if _VERSION < (0, 11) else geometry.cmaps[0]).degree)


def holds(space: Any, bc: Any) -> bool:
    """Whether a Dirichlet condition is on a function space or on a part of it.

    A condition gives its space as the C++ object, which has no Python counterpart to compare.
    """
    part = bc.function_space
    return bool(space._cpp_object.contains(getattr(part, "_cpp_object", part)))


def owned_dofs(bc: Any, owned: int) -> NDArray[np.int32]:
    """Dofs of a Dirichlet condition that this rank owns; ``owned`` is the number of its own dofs.

    The count that ``dof_indices`` returns takes ghosts of vector-valued spaces for owned (seen in
    0.9), and the dofs themselves are right in all versions.
    """
    dofs: NDArray[np.int32] = bc.dof_indices()[0]
    return dofs[dofs < owned]


def share_values(function: Any, other: Any) -> bool:
    """Whether two Functions are views of the same values, as ``u.sub(0)`` is of ``u``.

    Each has a Python object of its own around the same C++ vector.
    """
    return function.x is other.x or function._cpp_object.x is other._cpp_object.x


def same_mesh(mesh: Any, other: Any) -> bool:
    """Whether two Python objects stand for the same mesh."""
    return mesh is other or mesh._cpp_object is other._cpp_object


def tags_belong(tags: Any, mesh: Any) -> bool:
    """Whether mesh tags are of a mesh: their topology is the C++ object, or wraps it."""
    topology, other = tags.topology, mesh.topology
    return getattr(topology, "_cpp_object", topology) is getattr(other, "_cpp_object", other)
