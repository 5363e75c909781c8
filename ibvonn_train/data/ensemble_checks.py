"""What a record must be, said in words where it is not."""

from __future__ import annotations

import difflib
import math
import sys
from typing import Any

import numpy as np

from ..files.toml_tables import shown
from .control_rates import SINGLE
from .drive_records import ChainDriven
from .element_classes import require_classes
from .ensemble_fields import DISPENSABLE, EnsembleFields
from .hdf5 import READABLE, StoredMicrostate, require_finite

PARAMETER_KEYS = (
    "stiffness",
    "friction",
    "thermal_energy",
    "effective_thermal_energy",
    "reference_length",
    "reference_volume",
    "well_distance",
    "offset",
    "crossing",
    "springs",
    "initial",
    "preparation",
)
"""Parameters with a meaning here; others are kept, unless they look like one of these misspelt."""
_POSITIVE = ("friction", "stiffness", "reference_length", "reference_volume", "well_distance")
_NOT_NEGATIVE = ("thermal_energy", "effective_thermal_energy")


def require_record(data: EnsembleFields) -> None:
    """Check a record.

    Raises:
        ValueError: If shapes, values or parameters contradict the conventions.
    """
    _check_microstates(data)
    _check_series(data)
    _check_attributes(data)
    _check_kind(data)
    _check_intervals(data)
    require_classes(data.classes, data.strain_basis, data.symmetry, data.strain.shape[-1])
    data.drive.require_consistent(data.time, data.strain)


def _check_microstates(data: EnsembleFields) -> None:
    if (data.microstate is None) == (data.histogram is None):
        raise ValueError(
            "a record must have either microstates or a histogram of them; found "
            f"{'neither' if data.histogram is None else 'both'}."
        )
    if data.microstate is None:
        return
    shape = data.microstate.shape
    if len(shape) != 5 or 0 in shape:
        raise ValueError(
            "microstate must have the axes (protocol, time, site, replica, x), none of them empty; "
            f"found shape {shape}."
        )
    if data.microstate.dtype not in READABLE:
        raise ValueError(
            f"microstate must be of type float32 or float64; found {data.microstate.dtype}."
        )
    if data.samples_per_replica < 1 or shape[3] % data.samples_per_replica:
        raise ValueError(
            f"samples_per_replica must divide the {shape[3]} samples of microstate; found "
            f"{data.samples_per_replica}."
        )
    if data.replicas < 2:
        raise ValueError(
            f"microstate must have at least 2 replicas, whose distribution is learned; found "
            f"{data.replicas}."
        )
    if not isinstance(data.microstate, StoredMicrostate):
        require_finite("microstate", data.microstate)


def _check_series(data: EnsembleFields) -> None:
    count, instants = data.state_shape[:2]
    if data.time.shape != (instants,):
        raise ValueError(
            f"time must have shape {(instants,)} to match microstate; found {data.time.shape}."
        )
    steps = np.diff(data.time)
    if not (steps > 0).all():
        at = int(np.argmax(~(steps > 0)))
        raise ValueError(
            f"time must be strictly increasing; time[{at}] = {data.time[at]:g} is followed by "
            f"{data.time[at + 1]:g}."
        )
    strain = data.strain.shape
    if len(strain) != 4 or 0 in strain or strain[:2] != data.state_shape[:2]:
        raise ValueError(
            f"strain must have the axes (protocol, time, point, component), of {count} protocols "
            f"and {instants} instants to match microstate; found shape {strain}."
        )
    shapes = {name: data.strain.shape for name in ("stress", "stress_variance")}
    for name, shape in {**shapes, "energy": data.strain.shape[:3]}.items():
        array = getattr(data, name)
        if array is not None and array.shape != shape:
            raise ValueError(
                f"{name} must have shape {shape} to match strain; found {array.shape}."
            )
    for name, array in data.small_datasets().items():
        require_finite(name, array)


def _check_attributes(data: EnsembleFields) -> None:
    if data.strain_kind not in ("controlled", "averaged"):
        raise ValueError(
            "strain_kind must be one of ('controlled', 'averaged'); found "
            f"{shown(data.strain_kind)}."
        )
    size = data.strain.shape[-1]
    for name in ("strain_names", "stress_names"):
        names = getattr(data, name)
        if len(names) != size or len(set(names)) != size or not all(names):
            raise ValueError(
                f"{name} must name the {size} components of {name.split('_')[0]}, each once; found "
                f"{shown(names)}."
            )
    for name in ("time_step", "reference_volume"):
        value = getattr(data, name)
        if not (value > 0 and math.isfinite(value)):
            raise ValueError(f"{name} must be positive; found {value}.")
    unknown = sorted(set(data.not_recorded) - set(DISPENSABLE))
    if unknown:
        raise ValueError(
            f"not_recorded must name some of {DISPENSABLE}, which alone a record may lack; found "
            f"{shown(unknown)}."
        )
    _check_parameters(data.parameters)
    recorded = data.parameters.get("reference_volume", data.reference_volume)
    if not math.isclose(recorded, data.reference_volume, rel_tol=1e-9):
        raise ValueError(
            f"reference_volume must be that of the parameters, {recorded:g}; found "
            f"{data.reference_volume:g}."
        )


def _check_parameters(parameters: dict[str, Any]) -> None:
    for key in parameters.keys() - set(PARAMETER_KEYS):
        missing = [known for known in PARAMETER_KEYS if known not in parameters]
        near = difflib.get_close_matches(key, missing, n=1, cutoff=0.85)
        if near and not key.startswith(f"{near[0]}_"):
            raise ValueError(f"parameters: {key!r} is not known; did you mean {near[0]!r}?")
    for key in ("friction", "thermal_energy"):
        if key not in parameters:
            raise ValueError(f"parameters must hold {key!r}; found {sorted(parameters)}.")
    for key, least in [(key, "positive") for key in _POSITIVE] + [
        (key, "not negative") for key in _NOT_NEGATIVE
    ]:
        if key in parameters and not _is_number(parameters[key], least == "positive"):
            raise ValueError(
                f"parameters: {key} must be a number that is {least}; found "
                f"{shown(parameters[key])}."
            )


def _check_kind(data: EnsembleFields) -> None:
    """Refuse sites that are no classes of the points, and means that are not the strain."""
    sites, points, classes = data.sites, data.points, len(data.classes)
    if sites != points * classes:
        raise ValueError(
            f"microstate must have a site for each class of each material point, {points} points "
            f"of strain times {classes} classes; found {sites} sites. Like elements of one point "
            "are samples of one site."
        )
    if isinstance(data.drive, ChainDriven) and data.strain_kind != "averaged":
        raise ValueError(
            "a chain must have averaged strain, the mean elongation of each spring; found "
            f"{data.strain_kind} strain."
        )
    if data.strain_kind == "controlled":
        return
    if classes > 1 or data.microstate_size != data.strain.shape[-1]:
        raise ValueError(
            "averaged strain is the mean of the microstate: of one class, with as many components "
            f"as the strain; found {classes} classes, {data.microstate_size} components of "
            f"microstate and {data.strain.shape[-1]} of strain."
        )
    for case, at in ((0, 0), (-1, -1)):
        if data.histogram is None:
            mean = np.asarray(data.samples[case, at]).mean(1, dtype=np.float64)
        else:
            mean = data.histogram.weights[case, at] @ data.histogram.nodes
        gap = float(np.abs(mean - data.strain[case, at]).max())
        if not gap <= 1e-5 * max(1.0, float(np.abs(data.strain).max())):
            raise ValueError(
                f"strain of averaged kind must be the mean of the microstate; at an instant of "
                f"protocol {case % len(data.strain)} they differ by {gap:.3g}. Correct the strain, "
                "or call it controlled."
            )


def _check_intervals(data: EnsembleFields) -> None:
    """Refuse stored intervals that are no whole numbers of steps: time in other units."""
    steps = np.diff(data.time) / data.time_step
    rounding = SINGLE * float(np.abs(data.time).max()) / data.time_step
    off = np.abs(steps - np.maximum(np.round(steps), 1.0)) - rounding
    if steps.size and not (off <= 0.01 * np.maximum(steps, 1.0)).all():
        at = int(np.argmax(off / np.maximum(steps, 1.0)))
        raise ValueError(
            f"time must be stored every whole number of steps, in the unit of time_step = "
            f"{data.time_step:g}; time[{at}] = {data.time[at]:g} and time[{at + 1}] = "
            f"{data.time[at + 1]:g} are {steps[at]:.4g} steps apart."
        )


def _is_number(value: Any, positive: bool) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    # Integers of JSON may be beyond every float.
    return (0 < value if positive else 0 <= value) and value <= sys.float_info.max
