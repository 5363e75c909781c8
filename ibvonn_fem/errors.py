"""Errors and warnings of the finite-element side.

Wrong arguments raise :class:`ValueError` or :class:`TypeError`; the classes here are for exported
directories, kernels, local solves and time steps.
"""

from __future__ import annotations

from .files.model_directory import ExportedModelError as ExportedModelError


class CheckpointError(ValueError):
    """A checkpoint cannot be read, or belongs to another mesh, law or number of ranks."""


class HistoryError(ValueError):
    """A file of histories cannot be read, or belongs to another law, mesh or time."""


class KernelUnavailableError(RuntimeError):
    """A kernel cannot run on this machine or for this model (no compiler, no onnxruntime, …)."""


class LocalSolveError(ArithmeticError):
    """The update did not converge at some points; a smaller time increment may help.

    Attributes:
        failed: Number of points that did not converge (of all MPI ranks).
        total: Number of points.
        residual: Scaled residual of the worst point (NaN or infinity if it has no value).
    """

    def __init__(self, message: str, *, failed: int, total: int, residual: float) -> None:
        super().__init__(message)
        self.failed = failed
        self.total = total
        self.residual = residual


class StepError(ArithmeticError):
    """A time step failed and cannot be cut back any further; the state is the last committed."""


class EnvelopeError(ValueError):
    """A point left the range of the training data and the law was loaded with ``strict_range``."""


class EnvelopeWarning(UserWarning):
    """Some points left the range of the training data: the law extrapolates there."""
