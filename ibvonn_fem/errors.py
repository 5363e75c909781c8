"""Errors and warnings of the finite-element side.

Wrong arguments raise :class:`ValueError` or :class:`TypeError`; the classes here name what only this
package can get wrong: an exported directory, a local solve, a time step.
"""

from __future__ import annotations

from dataclasses import dataclass


class ExportedModelError(ValueError):
    """An exported directory cannot be used: missing, altered, too new or inconsistent."""


class KernelUnavailableError(RuntimeError):
    """A kernel cannot run on this machine or for this model (no compiler, no onnxruntime, …)."""


@dataclass
class LocalSolveError(ArithmeticError):
    """The update did not converge at some law points; a smaller time increment may help.

    The fields are the same on every MPI rank.
    """

    message: str
    failed: int = 0
    total: int = 0
    residual: float = float("nan")

    def __str__(self) -> str:
        return self.message


class StepError(ArithmeticError):
    """A time step failed and could not be cut back any further; the state is the last committed."""


class EnvelopeError(ValueError):
    """A point left the range of the training data and the law was loaded with ``strict_range``."""


class EnvelopeWarning(UserWarning):
    """Some points left the range of the training data: the law extrapolates there."""
