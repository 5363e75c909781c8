"""Roll-outs of an exported law in the convention of the data (forward Euler, old time)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..data.ensemble import TrajectoryEnsemble
from ..rollouts.drives import Record, drive_of
from ..rollouts.material_point import Rollout
from .encoded_records import encode_record, within_bounds_of
from .implicit_rollout import Implicit, implicit
from .interface import Law
from .order_parameters import measured_mean, order_parameter

FloatArray = npt.NDArray[np.float64]

MOST_STEPS = 4000
"""Forward Euler steps over a record that are taken; longer records are rolled out implicitly."""
ROUND_OFF = 1e-9
"""Of fractions."""


class Trajectories(NamedTuple):
    """Shapes ``(n_protocol, n_time, n_point, n)``; ``force`` ``(n_protocol, n_time)``.

    ``force`` is the external force of a chain; under a given strain, where there is none, the first
    stress of the first point. ``order_parameter`` ``(n_protocol, n_time, n_point)`` is the order
    parameter of the system. It is None where the system has none, and in trajectories for which it
    was not computed.
    """

    strain: FloatArray
    internal: FloatArray
    stress: FloatArray
    force: FloatArray
    order_parameter: FloatArray | None = None


def encoded(law: Law, data: TrajectoryEnsemble) -> Trajectories:
    """Return what was measured, with α from the encoder."""
    internal = encode_record(law, data)
    order = order_parameter(data)
    return Trajectories(
        strain_of(law, data),
        internal,
        data.stress,
        external_force(data),
        None if order is None else measured_mean(order, data),
    )


def external_force(data: TrajectoryEnsemble) -> FloatArray:
    """Return the measured external force, ``(n_protocol, n_time)``: see :class:`Trajectories`."""
    return data.drive.external_force(data.stress)


def strain_of(law: Law, data: TrajectoryEnsemble) -> FloatArray:
    """Return ε of the data in the measure of the law, whose zero is its declared equilibrium."""
    shifted: FloatArray = data.strain - law.strain_reference
    return shifted


def roll_out(
    law: Law,
    data: TrajectoryEnsemble,
    start: Trajectories,
    modes: Sequence[str] | None = None,
    force: FloatArray | None = None,
) -> dict[str, Trajectories]:
    """Roll every protocol out from its first state, in every mode of the drive.

    The steps are those of the data's own scheme. Where the strain drives, and they are too many or
    carry fractions out of their bounds, those of the law's implicit update take their place, as
    short as it takes for the result to change no more.

    Args:
        law: The law.
        data: Supplies what drives.
        start: States whose first instants are the initial conditions.
        modes: Some of the modes of the drive; by default all.
        force: External force in place of the measured one, where one drives.

    Returns:
        Mode → trajectories: "controlled" under a strain, "end" and "force" for chains.
    """
    time = torch.from_numpy(data.time)
    eps, alpha = (torch.from_numpy(a) for a in (start.strain, start.internal))

    def rates(strain: Tensor, internal: Tensor) -> tuple[Tensor, Tensor]:
        result = law.rates(
            strain.numpy().reshape(-1, law.strain_size),
            internal.numpy().reshape(-1, law.internal_size),
        )
        stress = torch.from_numpy(result.stress).reshape(strain.shape)
        return stress, torch.from_numpy(result.rate).reshape(internal.shape)

    drive = drive_of(data)
    if force is not None:
        drive = drive.with_force(torch.from_numpy(force))
    record = Record(time, eps, data.strides)
    replaceable = drive.strain_given and isinstance(law, Implicit)
    if not replaceable or sum(data.strides) <= MOST_STEPS:
        runs = drive.roll_out(rates, record, alpha[:, 0], modes=modes)
        explicit = {mode: _arrays(run) for mode, run in runs.items()}
        if not replaceable or all(_stable(law, run) for run in explicit.values()):
            return explicit
    assert isinstance(law, Implicit)  # noqa: S101 (that is what makes them replaceable)
    internal = implicit(law, data.time, start.strain, start.internal[:, 0])
    stress = rates(eps, torch.from_numpy(internal))[0].numpy()
    return {"controlled": Trajectories(start.strain, internal, stress, stress[:, :, 0, 0])}


def _stable(law: Law, run: Trajectories) -> bool:
    """Whether a roll-out has kept the law's bounds, as short steps do."""
    moved = within_bounds_of(law, run.internal) - run.internal
    return bool(np.isfinite(run.stress).all() and np.abs(moved).max(initial=0.0) <= ROUND_OFF)


def _arrays(run: Rollout) -> Trajectories:
    return Trajectories(*(series.numpy() for series in run))
