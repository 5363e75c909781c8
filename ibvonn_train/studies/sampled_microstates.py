"""Microstates at a quadrature point and an instant of an analysis: decoder beside re-run.

The decoder of a law says how the microstates are distributed, given the strain and the internal
variables that the analysis had there. The re-run simulates the microscopic system along the strain
that the point has seen until then. Both give the same number of microstates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ..data.point_histories import PointHistories
from ..evaluation.exported_law import ExportedLaw
from ..simulation.simulate_ensemble import simulate
from ..simulation.systems.chain_cell import ChainCell
from ..simulation.systems.periodic_lattice import PeriodicLattice
from ..simulation.systems.system import MicroscopicSystem
from .followed_histories import (
    protocols_of,
    require_followable,
    stepped_path,
    time_step_or_default,
    warn_of_shorter_steps,
)

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Microstates:
    """Microstates of decoder and re-run at one point and instant.

    Attributes:
        point: Its number.
        time: Instant of the analysis.
        strain: ε of the law there, ``(n_ε,)``.
        control: The same in the measure of the system, ``(n_ε,)``.
        stress: σ of the analysis, ``(n_ε,)``.
        internal: α of the analysis, ``(n_α,)``.
        validity: Excursion of the analysis from the training range.
        decoded: Microstates of the decoder, ``(n_class, n_sample, n_x)``.
        simulated: Those of the re-run, same shape, the elements of a replica side by side.
        simulated_stress: Mean stress of the re-run, ``(n_ε,)``.
        stress_error: Its standard error, where the system gives the stress of replicas.
        replicas: Of the re-run.
    """

    point: int
    time: float
    strain: FloatArray
    control: FloatArray
    stress: FloatArray
    internal: FloatArray
    validity: float
    decoded: FloatArray
    simulated: FloatArray
    simulated_stress: FloatArray
    stress_error: FloatArray | None
    replicas: int

    def of_replica(self, microstates: FloatArray) -> FloatArray:
        """Return the microstates of the first replica, ``(n_class, n_element, n_x)``."""
        return microstates[:, : microstates.shape[1] // self.replicas]


def microstates(
    law: ExportedLaw,
    histories: PointHistories,
    system: MicroscopicSystem,
    *,
    point: int,
    time: float | None = None,
    replicas: int = 16,
    seed: int = 0,
    time_step: float | None = None,
    progress: bool = True,
) -> Microstates:
    """Sample the decoder of a law, and simulate its system, at a point and instant of an analysis.

    Args:
        law: A law with a decoder.
        histories: What points of the analysis have seen.
        system: Its microscopic system.
        point: Number of the point.
        time: Instant of the analysis; by default the last one.
        replicas: Of the re-run, at least 2.
        seed: Of both.
        time_step: Of the integrator at most; by default that of the training.
        progress: Show a progress bar.

    Raises:
        ValueError: If the law has no decoder, the point or instant was not recorded, or the system
            cannot follow the strain.
    """
    if replicas < 2:
        raise ValueError(f"microstates: needs at least 2 replicas; found {replicas}.")
    if not law.has_decoder:
        raise ValueError(
            f"microstates: the law {law.name!r} has no decoder, so it does not say how microstates "
            "are distributed. Take a law that was learned from microstates."
        )
    require_followable("microstates", law, histories, system)
    history = histories.select([point]).until(float(histories.time[-1]) if time is None else time)
    longest = time_step_or_default("microstates", law.manifest, time_step)
    path = stepped_path(history.time, longest, 1)
    if time_step is not None:
        warn_of_shorter_steps("microstates", path, time_step)
    data = simulate(
        system,
        protocols_of(law, history, path),
        duration=path.time_step * path.steps,
        time_step=path.time_step,
        replicas=replicas,
        seed=seed,
        stride=path.steps,
        record="samples",
        progress=progress,
    )
    simulated = data.samples[0, -1].astype(np.float64)
    strain, internal = history.strain[:, -1], history.internal[:, -1]
    noise = np.random.default_rng(seed).standard_normal(simulated.shape)
    decoded = law.sample(noise if law.classes == 1 else noise[None], strain, internal)
    variance = data.stress_variance
    return Microstates(
        point,
        float(history.time[-1]),
        strain[0],
        strain[0] + law.strain_reference,
        history.stress[0, -1],
        internal[0],
        float(history.validity[0, -1]),
        decoded.reshape(simulated.shape),
        simulated,
        data.stress[0, -1, 0].astype(np.float64),
        None if variance is None else np.sqrt(variance[0, -1, 0] / replicas),
        replicas,
    )


def opened(
    system: MicroscopicSystem, microstate: FloatArray, control: FloatArray
) -> BoolArray | None:
    """Return which elements are open, ``(n_class, n_sample)``; None of a system without wells.

    Args:
        system: The system.
        microstate: ``(n_class, n_sample, n_x)``.
        control: Strain in the measure of the system, ``(n_ε,)``.
    """
    if isinstance(system, PeriodicLattice):
        if system.series:
            return np.asarray(microstate[..., 1] > system.crossing)
        mean = system.mean_elongations(torch.from_numpy(control)[None])[0].numpy()
        return np.asarray(microstate[..., 0] + mean[:, None] > system.crossing)
    if isinstance(system, ChainCell):
        return np.asarray(system.order_parameter().of(microstate[..., 0]) > 0.5)
    return None


def record_of(system: MicroscopicSystem, sample: Microstates) -> dict[str, Any]:
    """Return the numbers behind the picture, as plain values."""
    both = {"decoder": sample.decoded, "simulation": sample.simulated}
    record: dict[str, Any] = {
        "point": sample.point,
        "time": sample.time,
        "system": system.name,
        "replicas": sample.replicas,
        "validity": sample.validity,
        "strain": sample.strain.tolist(),
        "stress": sample.stress.tolist(),
        "stress_of_simulation": sample.simulated_stress.tolist(),
        "internal": sample.internal.tolist(),
    }
    if sample.stress_error is not None:
        record["stress_error_of_simulation"] = sample.stress_error.tolist()
    for name, states in both.items():
        open_ones = opened(system, states, sample.control)
        record[name] = {
            "mean": states.mean(1).tolist(),
            "standard_deviation": states.std(1).tolist(),
            **({} if open_ones is None else {"open_fraction": open_ones.mean(1).tolist()}),
        }
    return record
