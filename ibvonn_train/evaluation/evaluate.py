"""Errors of a law on an ensemble, beside what a perfect law would show on the same data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..closed_form.exact_trap import ExactTrap
from ..data.ensemble import TrajectoryEnsemble
from ..law.normalisation import Normalisation
from ..rollouts.drives import drive_of
from ..simulation import OrderParameter
from .decoder_density import density_errors
from .errors import deviation, relative_error
from .interface import FloatArray, Law
from .law_rollouts import Trajectories, encoded, roll_out
from .likelihood import negative_log_likelihood
from .noise_free import exact_trap_mean, exact_trap_of, follows_the_scheme, repeated_mean
from .order_parameters import Agreement, agreement, decoded_mean, order_parameter


@dataclass(frozen=True)
class Evaluation:
    """Errors of a law, and what they were computed from.

    Attributes:
        errors: "DRIVE/QUANTITY" → error in per cent against the ensemble.
        sampling_error: Same keys → error of the noise-free reference against the ensemble, where
            there is a reference.
        noise_free: Same keys → error in per cent against the noise-free reference.
        potentials: Errors in per cent of f and φ along the data, where closed forms exist.
        measured: The data with the encoder's α.
        predicted: Mode of the drive → roll-outs.
        outside: Fraction of the states outside the law's training range.
        negative_log_likelihood: Of unseen microstates, in nats per replica.
        density: Relative L2 "error" of the decoder's density in per cent, and its "sampling_error".
        order_parameter: Learned internal variables against the order parameter, where the system
            has one.
        reference: Noise-free trajectories, where there are some.
        quantities: Mode of the drive → what is compared in it.
    """

    errors: dict[str, float]
    sampling_error: dict[str, float]
    noise_free: dict[str, float]
    potentials: dict[str, float]
    measured: Trajectories
    predicted: dict[str, Trajectories]
    outside: float
    negative_log_likelihood: dict[str, float] = field(default_factory=dict)
    density: dict[str, float] = field(default_factory=dict)
    order_parameter: Agreement | None = None
    reference: Trajectories | None = None
    quantities: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        """Return the numbers, for JSON."""
        numbers = {
            "errors_percent": self.errors,
            "sampling_error_percent": self.sampling_error,
            "noise_free_percent": self.noise_free,
            "potentials_percent": self.potentials,
            "states_outside_training_range": self.outside,
            "negative_log_likelihood_nats": self.negative_log_likelihood,
            "density_percent": self.density,
        }
        if self.order_parameter is not None:
            agreement = self.order_parameter._asdict()
            numbers["order_parameter"] = {k: v for k, v in agreement.items() if k != "best"}
        return numbers

    def stresses(self) -> dict[str, FloatArray]:
        """Return "MODE/QUANTITY" → predicted stress and external force where no force is given."""
        return {
            f"{mode}/{name}": getattr(run, name)
            for mode, run in self.predicted.items()
            for name in ("force", "stress")
            if mode != "force" and name in self.quantities[mode]
        }


def evaluate(
    law: Law,
    data: TrajectoryEnsemble,
    *,
    normalisation: Normalisation[FloatArray] | None = None,
    noise_free: TrajectoryEnsemble | Trajectories | None = None,
) -> Evaluation:
    """Roll a law out on every protocol of an ensemble and compare.

    Errors are 100 ‖value − reference‖/‖reference‖ pooled over protocols, times and sites; α is
    compared in ``normalisation`` (zero mean and unit variance over the training set).

    Args:
        law: The law.
        data: An ensemble that the training has not seen.
        normalisation: Of α over the training set; by default the one that the law knows, else
            that over ``data``.
        noise_free: Independent ensemble of many replicas from the same first microstates
            (`simulation.repeat_from_first`), or its means as the law encodes them
            (`noise_free_means`). Not needed for the trap, whose exact mean is known.

    Raises:
        ValueError: If law and data do not belong together.
    """
    _check(law, data)
    measured = encoded(law, data)
    normalise = normalisation or law.training_normalisation or Normalisation.of(measured.internal)
    predicted = roll_out(law, data, measured)
    order = order_parameter(data)
    decoded_order = order if law.has_decoder else None
    if decoded_order is not None:
        for drive in predicted.keys() - {"force"}:
            run = predicted[drive]
            decoded = decoded_mean(decoded_order, law, run.strain, run.internal)
            predicted[drive] = run._replace(order_parameter=decoded)
    reference, ideal = _reference(law, data, measured, predicted, noise_free)
    zero = law.strain_reference
    errors, sampling_error, exact = {}, {}, {}
    quantities = drive_of(data).quantities
    for drive, run in predicted.items():
        names = {name: name for name in quantities[drive]}
        if decoded_order is not None and run.order_parameter is not None:
            names[decoded_order.key] = "order_parameter"
        for label, name in names.items():
            key = f"{drive}/{label}"
            errors[key] = _error(name, run, measured, normalise, zero)
            if reference is not None:
                sampling_error[key] = _error(name, reference, measured, normalise, zero)
                exact[key] = _error(name, ideal[drive], reference, normalise, zero)
    trap = exact_trap_of(data)
    return Evaluation(
        errors,
        sampling_error,
        exact,
        {} if trap is None else _trap_potentials(law, data, measured, trap),
        measured,
        predicted,
        _outside(law, measured),
        negative_log_likelihood(law, data, measured) if law.has_decoder else {},
        density_errors(law, data, measured) if law.has_decoder else {},
        _agreement(order, measured),
        reference,
        quantities,
    )


def _agreement(order: OrderParameter | None, measured: Trajectories) -> Agreement | None:
    if order is None or measured.order_parameter is None:
        return None
    return agreement(measured.internal, measured.order_parameter, order.name)


def _reference(
    law: Law,
    data: TrajectoryEnsemble,
    measured: Trajectories,
    predicted: dict[str, Trajectories],
    noise_free: TrajectoryEnsemble | Trajectories | None,
) -> tuple[Trajectories | None, dict[str, Trajectories]]:
    """Return the noise-free reference and the roll-outs to compare with it.

    A chain that is driven by its measured force is driven by the noise-free force there.
    """
    if noise_free is not None:
        reference = noise_free
        if not isinstance(reference, Trajectories):
            reference = repeated_mean(law, reference, data)
        if "force" not in predicted:
            return reference, predicted
        driven = roll_out(law, data, measured, modes=("force",), force=reference.force)
        return reference, {**predicted, **driven}
    if exact_trap_of(data) is not None and follows_the_scheme(data):
        return exact_trap_mean(law, data, measured), predicted
    return None, predicted


def _error(
    name: str,
    run: Trajectories,
    reference: Trajectories,
    normalise: Normalisation[FloatArray],
    zero: FloatArray,
) -> float:
    """Return the error of one quantity; strains are in the measure of the data, as published."""
    if name == "strain":
        return relative_error(run.strain + zero, reference.strain + zero)
    if name == "internal":
        return relative_error(normalise(run.internal), normalise(reference.internal))
    if name == "order_parameter":
        assert run.order_parameter is not None  # noqa: S101 (the caller has looked)
        assert reference.order_parameter is not None  # noqa: S101 (both are of one system)
        return relative_error(run.order_parameter, reference.order_parameter)
    if name == "last_force":
        return relative_error(run.stress[:, :, -1], reference.stress[:, :, -1])
    return relative_error(getattr(run, name), getattr(reference, name))


def _check(law: Law, data: TrajectoryEnsemble) -> None:
    if len(data.time) < 2:
        raise ValueError(
            f"evaluate: data must have at least 2 instants to roll {law.name!r} out; found "
            f"{len(data.time)}."
        )
    kind = "averaged" if law.averaged else "controlled"
    if data.strain_kind != kind:
        raise ValueError(
            f"evaluate: the law {law.name!r} needs {kind} strain; the data of {data.system!r} have "
            f"{data.strain_kind} strain. Simulate the system that the law was trained on."
        )
    if law.system not in (None, data.system):
        raise ValueError(
            f"evaluate: {law.name!r} is a law of the system {law.system!r}; the data are of "
            f"{data.system!r}. Simulate the system that the law was trained on."
        )


def _outside(law: Law, measured: Trajectories) -> float:
    states = np.concatenate([measured.strain, measured.internal], -1)
    low, high = law.envelope.T
    return float(np.mean(np.any((states < low) | (states > high), axis=-1)))


def _trap_potentials(
    law: Law, data: TrajectoryEnsemble, measured: Trajectories, exact: ExactTrap
) -> dict[str, float]:
    """Return the errors of f (one constant removed, over sd f) and φ on the states of the data."""
    mean: FloatArray = data.samples[:, :, 0, :, 0].mean(-1, dtype=np.float64).reshape(-1)
    strain = measured.strain.reshape(-1, 1)
    internal = measured.internal.reshape(-1, law.internal_size)
    rates = law.rates(strain, internal)
    errors = {"free_energy": deviation(rates.energy, exact.energy(strain[:, 0], mean))}
    if law.has_potentials:
        value, _ = law.dual_dissipation(rates.driving_force, strain, internal)
        reference = exact.dual_dissipation(exact.driving_force(strain[:, 0], mean))
        errors["dual_dissipation"] = relative_error(value, reference)
    return errors
