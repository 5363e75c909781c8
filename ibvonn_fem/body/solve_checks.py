"""Checks before a solve: the data of the step, the first guess, and the support of the body."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mpi4py import MPI

import numpy as np

from .. import _compat
from ..kernels.base import FloatArray
from .argument_checks import require_finite, time_step
from .drag import Drag
from .expressions import constants_of
from .law import InternalVariableLaw
from .prescribed import Prescribed
from .rank_agreement import on_all_ranks, require_same


def read_step_data(
    dt: Any,
    laws: Sequence[InternalVariableLaw],
    external: Any,
    prescribed: Prescribed,
    drag: Drag | None,
) -> float:
    """Read what may have changed since the last solve and return the length of the step.

    Collective.

    Args:
        dt: Length of the step, as the user gave it.
        laws: The laws, on one mesh.
        external: External virtual work as a UFL form.
        prescribed: Dirichlet conditions.
        drag: Drag on the body.

    Raises:
        TypeError: If ``dt`` is no number.
        ValueError: If ``dt`` is negative, a value is not finite or not the same on all ranks, or
            the mesh was moved.
    """
    comm = laws[0].comm
    prescribed.read()
    with on_all_ranks(comm):
        for law in laws:
            law.points.require_unmoved()
    constants = constants_of("loads and body_force", external)
    if drag is not None:
        constants |= constants_of("drag", drag.coefficient)
    for law in laws:
        constants |= law.constants()
    require_same(comm, "solve", {"dt": dt, **constants, **prescribed.constants()})
    length = time_step("solve", dt)
    require_finite("solve", constants)
    prescribed.require_numbers()
    if drag is not None:
        drag.read()
    return length


def require_finite_functions(comm: MPI.Intracomm, functions: Mapping[str, Any]) -> None:
    """Raise on all ranks unless all values of Functions are finite. Collective.

    Args:
        comm: Communicator of the ranks.
        functions: Functions by the words that name them in the message.

    Raises:
        ValueError: If a value is not finite.
    """
    wrong = np.array([float((~np.isfinite(f.x.array)).sum()) for f in functions.values()])
    comm.Allreduce(MPI.IN_PLACE, wrong, op=MPI.MAX)
    for name, count in zip(functions, wrong, strict=True):
        if count:
            raise ValueError(
                f"solve: {name} must be finite; found NaN or infinity at {count:.0f} dofs. Mend "
                "the data, restore() and solve again."
            )


def require_resistance(
    comm: MPI.Intracomm, tangent: Any, prescribed: Prescribed, drag: Drag | None
) -> None:
    """Raise where a dof is neither prescribed nor has a stiffness or drag. Collective.

    Args:
        comm: Communicator of the ranks.
        tangent: PETSc matrix of internal minus external virtual work, without conditions.
        prescribed: Dirichlet conditions.
        drag: Drag on the body.

    Raises:
        ValueError: If there is such a dof.
    """
    first, last = tangent.getOwnershipRange()
    owned = last - first
    free = np.ones(owned, dtype=bool)
    for bc in prescribed.bcs:
        free[_compat.owned_dofs(bc, owned)] = False
    if drag is not None:
        free &= drag.diagonal[:owned] == 0.0
    zero = tangent.findZeroRows()
    rows = zero.getIndices() if zero else np.zeros(0, dtype=np.int64)  # null where none is
    loose = comm.allreduce(int(free[rows - first].sum()), op=MPI.SUM)
    if loose > 0:
        raise ValueError(
            f"solve: nothing resists the motion of {loose} of {tangent.size[0]} dofs: they are "
            "not prescribed, and no law or load has a stiffness there. Give every cell a law, "
            "prescribe u where there is none, or take a submesh."
        )


def common_displacement(laws: Sequence[InternalVariableLaw], u: Any, owned: int) -> FloatArray:
    """Displacement at which all laws of a problem were committed, ghosts included. Collective.

    Args:
        laws: The laws.
        u: The unknown of the problem.
        owned: Number of dofs that this rank owns.

    Raises:
        ValueError: If two laws were committed at different displacements.
    """
    first, *others = (law.displacement(u) for law in laws)
    same = all(np.array_equal(first[:owned], other[:owned]) for other in others)
    if not laws[0].comm.allreduce(same, op=MPI.LAND):
        names = ", ".join(repr(law.name) for law in laws)
        raise ValueError(
            f"InternalVariableProblem: the laws {names} must have a common start; they were "
            "committed at different displacements. Solve with all of them, or make them at the "
            "same u."
        )
    return first
