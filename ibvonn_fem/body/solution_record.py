"""Whether a problem has a solution that may be committed: one that nothing changed since."""

from __future__ import annotations

from collections.abc import Sequence

from mpi4py import MPI

from ..errors import StepError
from .law import InternalVariableLaw

NO_SOLVE = "there was none since the last commit or restore"


class SolutionRecord:
    """Revisions of the laws at the last solve that converged, or why there is none.

    Args:
        comm: Communicator of the ranks.
    """

    def __init__(self, comm: MPI.Intracomm) -> None:
        self._comm = comm
        self._revisions: list[int] | None = None
        self._reason = NO_SOLVE

    def clear(self, reason: str = NO_SOLVE) -> None:
        """There is no solution, for a reason that completes "needs a solve that converged"."""
        self._revisions, self._reason = None, reason

    def store(self, laws: Sequence[InternalVariableLaw]) -> None:
        """A solve has converged; the laws are in the state of its solution."""
        self._revisions = [law.revision for law in laws]

    def require(self, laws: Sequence[InternalVariableLaw], *, same_u: bool) -> None:
        """Raise unless the laws and u are in the state of a solution. Collective.

        Args:
            laws: The laws.
            same_u: Whether u on this rank is that of the solution.

        Raises:
            StepError: On every rank, if there is no solution or something was changed since.
        """
        if self._revisions is None:
            raise StepError(
                f"commit: needs a solve that converged; {self._reason}. Solve with a shorter "
                "step, or restore()."
            )
        same_u = self._comm.allreduce(same_u, op=MPI.LAND)
        if not same_u or self._revisions != [law.revision for law in laws]:
            change = "a law was updated, restored or committed" if same_u else "u was changed"
            raise StepError(
                f"commit: needs the state of the solve; {change} since then. Solve again."
            )
