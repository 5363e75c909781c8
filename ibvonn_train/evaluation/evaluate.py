"""Errors of a law on an ensemble, beside what a perfect law would show on the same data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..data import TrajectoryEnsemble
from ..exact_trap import ExactTrap
from .errors import Gauge, deviation, relative_error
from .law import Law
from .rollouts import Trajectories, encoded, roll_out

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Evaluation:
    """What was found.

    Attributes:
        errors: "DRIVE/QUANTITY" → error in per cent against the ensemble.
        floor: Same keys → what the noise-free truth shows against the ensemble, where it is known.
        noise_free: Same keys → error in per cent against the noise-free truth, where it is known.
        potentials: Errors in per cent of f and φ along the data, where they are known.
        measured: The data with the encoder's α.
        predicted: Drive → roll-outs.
        outside: Fraction of the states outside the law's training range.
    """

    errors: dict[str, float]
    floor: dict[str, float]
    noise_free: dict[str, float]
    potentials: dict[str, float]
    measured: Trajectories
    predicted: dict[str, Trajectories]
    outside: float

    def record(self) -> dict[str, Any]:
        """Return the numbers, for JSON."""
        return {
            "errors_percent": self.errors,
            "floor_percent": self.floor,
            "noise_free_percent": self.noise_free,
            "potentials_percent": self.potentials,
            "states_outside_training_range": self.outside,
        }


def evaluate(law: Law, data: TrajectoryEnsemble, *, gauge: Gauge | None = None) -> Evaluation:
    """Roll a law out on every protocol of an ensemble and compare.

    Errors are 100 ‖value − truth‖/‖truth‖ pooled over protocols, times and sites; α is compared in
    ``gauge`` (zero mean and unit variance over the training set).

    Args:
        law: The law.
        data: An ensemble that the training has not seen.
        gauge: Of the training set; by default the one that the law knows, else that of ``data``.

    Raises:
        ValueError: If law and data do not belong together.
    """
    _check(law, data)
    measured = encoded(law, data)
    gauge = gauge or law.training_gauge or Gauge.of(measured.internal)
    predicted = roll_out(law, data, measured)
    truth = _noise_free_trap(law, data, measured) if data.system == "tethered_particle" else None
    errors, floor, noise_free = {}, {}, {}
    for drive, run in predicted.items():
        for name in _QUANTITIES[drive]:
            key = f"{drive}/{name}"
            errors[key] = _error(name, run, measured, gauge)
            if truth is not None:
                floor[key] = _error(name, truth, measured, gauge)
                noise_free[key] = _error(name, run, truth, gauge)
    potentials = _trap_potentials(law, data, measured) if truth is not None else {}
    return Evaluation(
        errors, floor, noise_free, potentials, measured, predicted, _outside(law, measured)
    )


_QUANTITIES = {
    "controlled": ("force", "internal"),
    "end": ("strain", "force", "stress", "internal"),
    "force": ("strain", "stress", "internal"),
}


def _error(name: str, run: Trajectories, truth: Trajectories, gauge: Gauge) -> float:
    if name == "internal":
        return relative_error(gauge(run.internal), gauge(truth.internal))
    return relative_error(getattr(run, name), getattr(truth, name))


def _check(law: Law, data: TrajectoryEnsemble) -> None:
    kind = "averaged" if law.averaged else "controlled"
    if data.strain_kind != kind:
        raise ValueError(
            f"evaluate: the law {law.name!r} needs {kind} strain; the data of {data.system!r} have "
            f"{data.strain_kind} strain. Simulate the system that the law was trained on."
        )


def _outside(law: Law, measured: Trajectories) -> float:
    states = np.concatenate([measured.strain, measured.internal], -1)
    low, high = law.envelope.T
    return float(np.mean(np.any((states < low) | (states > high), axis=-1)))


def _exact_trap(data: TrajectoryEnsemble) -> ExactTrap:
    return ExactTrap(
        data.parameters["stiffness"], data.parameters["friction"], data.parameters["thermal_energy"]
    )


def _noise_free_trap(law: Law, data: TrajectoryEnsemble, measured: Trajectories) -> Trajectories:
    """Return the exact mean of the data's own scheme, given the first ensemble."""
    exact, x = _exact_trap(data), data.microstate[:, :, 0, :, 0].astype(np.float64)
    mean = exact.discrete_mean(data.time, data.control, x[:, 0].mean(-1))
    variance = exact.discrete_variance(data.time, x[:, 0].var(-1))
    _, internal = law.encode(exact.ensemble(mean, variance)[:, :, None])
    force = exact.stress(data.control, mean)
    return measured._replace(internal=internal, stress=force[:, :, None, None], force=force)


def _trap_potentials(
    law: Law, data: TrajectoryEnsemble, measured: Trajectories
) -> dict[str, float]:
    """Return the errors of f (one constant removed, over sd f) and φ on the states of the data."""
    exact = _exact_trap(data)
    mean = data.microstate[:, :, 0, :, 0].mean(-1, dtype=np.float64).reshape(-1)
    strain = measured.strain.reshape(-1, 1)
    internal = measured.internal.reshape(-1, law.internal_size)
    rates = law.rates(strain, internal)
    errors = {"free_energy": deviation(rates.energy, exact.energy(strain[:, 0], mean))}
    if law.has_potentials:
        value, _ = law.dual_dissipation(rates.driving_force, strain, internal)
        truth = exact.dual_dissipation(exact.driving_force(strain[:, 0], mean))
        errors["dual_dissipation"] = relative_error(value, truth)
    return errors
