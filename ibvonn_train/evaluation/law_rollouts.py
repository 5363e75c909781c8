"""Roll-outs of an exported law in the convention of the data (forward Euler, old time)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..data.ensemble import TrajectoryEnsemble
from ..rollouts.drives import Chain, Record, of_chains, under_strain
from ..rollouts.material_point import Rollout
from .interface import Law
from .order_parameters import measured_mean, order_parameter

FloatArray = npt.NDArray[np.float64]


class Trajectories(NamedTuple):
    """Shapes ``(n_protocol, n_time, n_site, n)``; ``force`` ``(n_protocol, n_time)``.

    ``order_parameter`` ``(n_protocol, n_time, n_site)`` is the order parameter of the system. It is
    None where the system has none, and in trajectories for which it was not computed.
    """

    strain: FloatArray
    internal: FloatArray
    stress: FloatArray
    force: FloatArray
    order_parameter: FloatArray | None = None


def encoded(law: Law, data: TrajectoryEnsemble) -> Trajectories:
    """Return what was measured, with α from the encoder."""
    microstate = data.microstate.astype(np.float64, copy=False)
    _, internal = law.encode(microstate)
    order = order_parameter(data)
    return Trajectories(
        strain_of(law, data),
        internal,
        data.stress,
        data.force,
        None if order is None else measured_mean(order, data),
    )


def strain_of(law: Law, data: TrajectoryEnsemble) -> FloatArray:
    """Return ε of the data in the measure of the law, whose zero is its declared equilibrium."""
    shifted: FloatArray = data.strain - law.strain_reference
    return shifted


def roll_out(
    law: Law,
    data: TrajectoryEnsemble,
    start: Trajectories,
    drives: Sequence[str] = ("end", "force"),
) -> dict[str, Trajectories]:
    """Roll every protocol out from its first state, in every drive mode of the system.

    Args:
        law: The law.
        data: Supplies the controls and forces.
        start: States whose first instants are the initial conditions.
        drives: Drive modes of a chain: its end is moved, or pulled.

    Returns:
        "controlled" → trajectories, or "end" and "force" for chains.
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

    record = Record(
        time,
        eps,
        torch.from_numpy(np.asarray(data.force)),
        torch.from_numpy(np.asarray(data.control_rate)) if data.drive == "end" else None,
        data.strides,
    )
    if not law.averaged:
        return {"controlled": _arrays(under_strain(rates, record, alpha[:, 0]))}
    if law.physics is None:
        raise ValueError(
            f"{law.name}: a chain's roll-out needs its friction; the manifest has none."
        )
    chain = Chain(law.physics.friction, law.physics.reference_length)
    runs = of_chains(rates, record, alpha[:, 0], chain, drives=drives)
    return {drive: _arrays(run) for drive, run in runs.items()}


def _arrays(run: Rollout) -> Trajectories:
    return Trajectories(*(series.numpy() for series in run))
