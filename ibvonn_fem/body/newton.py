"""Newton's method through PETSc's SNES, with a stop in units of force.

The residual of equilibrium has no natural size: at the first guess it depends on the step, and at
the solution it is round-off. It is therefore compared with the forces in the body,

    ‖residual‖ ≤ rtol × (largest norm of internal or external forces seen so far),

which depends neither on the first guess nor on the units. On fine meshes round-off in the residual
is larger than that, of the order of ε_machine × stiffness × displacement; there it suffices, as
does the round-off of the laws in a body without load.
"""

from __future__ import annotations

import itertools
import warnings
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from mpi4py import MPI
from petsc4py import PETSc

import numpy as np

from .rank_agreement import require_same

DEFAULT_OPTIONS: dict[str, Any] = {
    "snes_type": "newtonls",
    "snes_linesearch_type": "bt",
    "snes_rtol": 1e-10,
    "snes_atol": 1e-50,
    "snes_stol": 1e-14,
    "snes_max_it": 25,
    "ksp_type": "preonly",
    "pc_type": "lu",
}

_prefixes = itertools.count()


class Equations(Protocol):
    """The equations residual(x) = 0."""

    def residual(self, x: Any, b: Any) -> None:
        """Write the residual at ``x`` into ``b``; NaN where it cannot be evaluated."""
        ...

    def jacobian(self, x: Any) -> None:
        """Assemble the derivative of the residual at ``x`` into the solver's matrix."""
        ...

    def force_norm(self) -> float:
        """Size of the forces that balance each other, in the unit of the residual."""
        ...

    def round_off(self, x_norm: float) -> float:
        """Size of a residual that is nothing but round-off, for unknowns of norm ``x_norm``."""
        ...


@dataclass(frozen=True)
class SolveReport:
    """Outcome of one global solve.

    Attributes:
        converged: Whether equilibrium was reached.
        iterations: Newton iterations.
        residual_history: Norms of the residual at every iteration [force].
        message: Reason for which it stopped.
        local_residual: Largest scaled residual of the laws at the solution, of all ranks.
    """

    converged: bool
    iterations: int
    residual_history: tuple[float, ...]
    message: str
    local_residual: float = 0.0


class NewtonSolver:
    """SNES for one set of equations; owns its PETSc objects.

    Args:
        equations: The equations, of which a weak reference is stored. PETSc objects are destroyed
            collectively, so this must happen when the program drops the problem on all ranks, not
            when one rank's garbage collector runs.
        x: Vector of unknowns, which the solver owns from then on.
        matrix: Matrix of the Jacobian, likewise.
        options: PETSc options without prefix, on top of :data:`DEFAULT_OPTIONS`. Those that PETSc
            has not read after the first linear solve are named in a warning.

    Raises:
        TypeError: If the options are no mapping of names.
        ValueError: If a name begins with a dash, or the ranks have different options.

    Attributes:
        snes: The petsc4py object.
        x: Vector of unknowns.
        matrix: Matrix of the Jacobian.
        force_scale: Largest norm of the forces seen so far, with which residuals are compared.
    """

    def __init__(
        self, equations: Equations, x: Any, matrix: Any, options: Mapping[str, Any] | None
    ) -> None:
        self.x, self.matrix = x, matrix
        self._b = x.duplicate()
        self.force_scale = 0.0
        self._history: list[float] = []
        self._equations = weakref.proxy(equations)
        solver = weakref.proxy(self)
        self.snes = PETSc.SNES().create(x.getComm())
        self.snes.setFunction(lambda _, x, b: solver._equations.residual(x, b), self._b)
        self.snes.setJacobian(lambda _, x, *__: solver._equations.jacobian(x), matrix)
        self.snes.setConvergenceTest(lambda *call: solver._has_converged(*call))
        user_options = _own_options(x.getComm().tompi4py(), options)
        self._options = dict(DEFAULT_OPTIONS)
        if self.x.getComm().getSize() > 1 and PETSc.Sys.hasExternalPackage("mumps"):
            self._options["pc_factor_mat_solver_type"] = "mumps"  # PETSc's own LU is serial
        self._options.update(user_options)
        self._unread = set(user_options)
        self._prefix = f"ibvonn_{next(_prefixes)}_"
        self.snes.setOptionsPrefix(self._prefix)
        with self._options_in_place():
            self.snes.setFromOptions()

    @contextmanager
    def _options_in_place(self) -> Iterator[None]:
        """Show PETSc the options: parts of the solver read theirs only where they are set up."""
        database = PETSc.Options()
        for key, value in self._options.items():
            database[self._prefix + key] = value
        try:
            yield
        finally:
            self._unread = {key for key in self._unread if not database.used(self._prefix + key)}
            for key in self._options:
                database.delValue(self._prefix + key)

    def _report_unread(self) -> None:
        """Warn once of the options of the user that PETSc has not read."""
        unread, self._unread = sorted(self._unread), set()
        if unread and self.x.getComm().getRank() == 0:
            warnings.warn(
                f"InternalVariableProblem: PETSc did not ask for the options "
                f"{', '.join(unread)}; they have no effect. Check their spelling, and that the "
                "solver to which they belong is in use.",
                stacklevel=4,
            )

    def __del__(self) -> None:
        for name in ("snes", "matrix", "x", "_b"):
            handle = getattr(self, name, None)
            if handle is not None:
                handle.destroy()

    def solve(self) -> SolveReport:
        """Iterate from the current ``x``, which holds the solution afterwards. Collective."""
        self._history = []
        with self._options_in_place():
            self.snes.solve(None, self.x)
        reason = self.snes.getConvergedReason()
        if self.snes.getLinearSolveIterations() > 0:
            self._report_unread()
        if reason == PETSc.SNES.ConvergedReason.CONVERGED_ITS:  # PETSc did not look at the residual
            self.snes.computeFunction(self.x, self._b)
            norms = (self.x.norm(), np.inf, self._b.norm())
            reason = self._has_converged(self.snes, max(len(self._history), 1), norms)
            reason = reason or int(PETSc.SNES.ConvergedReason.DIVERGED_MAX_IT)
        return SolveReport(
            converged=reason > 0,
            iterations=max(len(self._history) - 1, 0),
            residual_history=tuple(self._history),
            message=_reason_name(reason),
        )

    def _has_converged(self, snes: Any, iteration: int, norms: tuple[float, float, float]) -> int:
        x_norm, step_norm, residual = norms
        self._history.append(residual)
        self.force_scale = max(self.force_scale, self._equations.force_norm())
        rtol, atol, stol, max_it = snes.getTolerances()
        reasons = PETSc.SNES.ConvergedReason
        if residual <= atol:
            return int(reasons.CONVERGED_FNORM_ABS)
        if residual <= rtol * self.force_scale:
            return int(reasons.CONVERGED_FNORM_RELATIVE)
        if residual <= self._equations.round_off(self.x.norm() if iteration == 0 else x_norm):
            return int(reasons.CONVERGED_FNORM_ABS)
        if iteration > 0 and step_norm <= stol * x_norm:
            return int(reasons.CONVERGED_SNORM_RELATIVE)
        if iteration >= max_it:
            return int(reasons.DIVERGED_MAX_IT)
        return int(reasons.ITERATING)


def _own_options(comm: MPI.Intracomm, options: Any) -> dict[str, Any]:
    options = {} if options is None else options
    if not isinstance(options, Mapping) or not all(isinstance(key, str) for key in options):
        raise TypeError(
            "InternalVariableProblem: options must be a dictionary of PETSc options, such as "
            f"{{'snes_max_it': 50}}; found {type(options).__name__}."
        )
    dashed = [key for key in options if key.startswith("-")]
    if dashed:
        raise ValueError(
            f"InternalVariableProblem: options are named without dash; found {dashed[0]!r}. "
            f"Write {dashed[0].lstrip('-')!r}."
        )
    require_same(comm, "InternalVariableProblem: options", options)
    return dict(options)


def mean_diagonal(matrix: Any) -> float:
    """Mean magnitude of the diagonal; 1 for a zero matrix. Collective."""
    diagonal = matrix.getDiagonal()
    diagonal.abs()
    mean = diagonal.sum() / max(diagonal.getSize(), 1)
    diagonal.destroy()
    return float(mean) or 1.0


def _reason_name(reason: int) -> str:
    for name, value in vars(PETSc.SNES.ConvergedReason).items():
        if not name.startswith("_") and value == reason and name != "ITERATING":
            return f"SNES {name.lower()}"
    return f"SNES reason {reason}"
