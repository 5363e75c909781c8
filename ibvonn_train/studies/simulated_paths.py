"""Microscopic paths along the strain of points of an analysis, as data to train on."""

from __future__ import annotations

import numpy as np

from ..data.ensemble import TrajectoryEnsemble
from ..data.point_histories import PointHistories
from ..simulation.simulate_ensemble import simulate
from ..simulation.strain_paths import strain_path
from ..simulation.systems.system import MicroscopicSystem
from .followed_histories import stepped_path


def simulated_paths(
    system: MicroscopicSystem,
    histories: PointHistories,
    strain_reference: np.typing.NDArray[np.float64],
    *,
    time_step: float,
    instants: int,
    replicas: int,
    seed: int,
    progress: bool = True,
) -> TrajectoryEnsemble:
    """Simulate a system along the strain of points, as data to train on.

    The step is that of the other data of a training; the record lasts a whole number of stored
    intervals, at the end of which the last strain is held.

    Args:
        system: The system.
        histories: Of the points.
        strain_reference: Strain of the data that the law calls zero, ``(n_ε,)``.
        time_step: Of the integrator.
        instants: Stored, about.
        replicas: Of each path.
        seed: Of the simulation.
        progress: Show a progress bar.
    """
    knots = stepped_path(histories.time, time_step, 1).knots
    stride = max(1, round(knots[-1] / (time_step * instants)))
    intervals = int(np.ceil(knots[-1] / (time_step * stride) - 1e-9))
    protocols = [
        strain_path(knots.tolist(), (rows + strain_reference).tolist(), f"point {number}")
        for number, rows in zip(histories.point, histories.strain, strict=True)
    ]
    return simulate(
        system,
        protocols,
        duration=intervals * stride * time_step,
        time_step=time_step,
        replicas=replicas,
        seed=seed,
        stride=stride,
        progress=progress,
    )
