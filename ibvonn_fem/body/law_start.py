"""The state from which a law starts: internal variables of the user, or those of equilibrium."""

from __future__ import annotations

from typing import Protocol

from mpi4py import MPI

import numpy as np

from ..kernels.base import FloatArray
from ..kinematics import Kinematics
from ..kinematics.evaluation import strains_of_law
from ..model.exported_model import ExportedModel
from ..model.microstates import equilibrium_state
from .rank_agreement import on_all_ranks

MOST_STEPS = 40
"""Steps towards equilibrium, each tenfold the one before up to :data:`LONGEST_STEP`."""

LONGEST_STEP = 1e12


class Relaxing(Protocol):
    """A law that can take and commit steps at a displacement that stays."""

    name: str
    model: ExportedModel
    kinematics: Kinematics

    @property
    def comm(self) -> MPI.Intracomm:
        """Communicator of the mesh."""
        ...

    @property
    def internal(self) -> FloatArray:
        """Committed internal variables."""
        ...

    def measure_of_u(self) -> FloatArray:
        """Measure of deformation at u."""
        ...

    def update(self, dt: float) -> None:
        """Evaluate a step."""
        ...

    def commit(self) -> None:
        """Accept it."""
        ...


def checked_statev(name: str, statev: object, shape: tuple[int, ...]) -> FloatArray:
    """Internal variables that a user gave, as an array that broadcasts to a shape.

    Args:
        name: Name of the law, for messages.
        statev: Of shape ``(n_α,)``, ``(directions, n_α)`` or ``shape``.
        shape: ``(points, directions, n_α)``.

    Raises:
        TypeError: If they are no real numbers.
        ValueError: If they are not finite or of another shape.
    """
    try:
        values = np.asarray(statev)
        if values.dtype.kind not in "fiu":
            raise TypeError
    except (TypeError, ValueError):
        raise TypeError(
            f"{name}: statev must be an array of real numbers; found {type(statev).__name__}."
        ) from None
    if values.shape not in (shape, shape[1:], shape[2:]) or not np.isfinite(values).all():
        raise ValueError(
            f"{name}: statev must be finite, of shape {shape[2:]}, {shape[1:]} or {shape}; found "
            f"shape {values.shape}."
        )
    return values.astype(np.float64)


def equilibrium_of(law: Relaxing) -> FloatArray:
    """Internal variables at which every point of a law is in equilibrium at its u. Collective.

    Args:
        law: The law; it takes steps where its kinematics finds strains from zero stress.

    Returns:
        α, shape ``(points, directions, n_α)``.

    Raises:
        ArithmeticError: If a point has no equilibrium.
    """
    if law.kinematics.condensed:
        relax(law)
        return law.internal.copy()
    strain = strains_of_law(law.model, law.kinematics, law.measure_of_u())
    with on_all_ranks(law.comm):
        statev = equilibrium_state(law.model, strain)
    return statev.reshape(law.internal.shape)


def relax(law: Relaxing) -> None:
    """Take steps at constant u, tenfold longer each, until no internal variable moves. Collective.

    Strains that the kinematics finds from zero stress are updated in every step.

    Raises:
        ArithmeticError: If internal variables still move after the last step.
    """
    manifest = law.model.manifest
    dt = float(manifest.envelope.time_step[1]) or 1.0
    for _ in range(MOST_STEPS):
        before = law.internal.copy()
        law.update(dt)
        law.commit()
        bound = 1e-12 * (manifest.internal_scale + np.abs(before))
        at_rest = bool((np.abs(law.internal - before) <= bound).all())
        if law.comm.allreduce(at_rest, op=MPI.LAND):
            return
        dt = min(10.0 * dt, LONGEST_STEP)
    raise ArithmeticError(
        f"{law.name}: the body has no equilibrium at its displacement; internal variables still "
        f"move after a step of {dt:.3g}. Stay within the range of the training data."
    )
