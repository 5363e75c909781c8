"""Microscopic data: replicas of a microscopic system under several protocols (CONVENTIONS.md)."""

from __future__ import annotations

import difflib
import hashlib
import json
import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..files.toml_tables import shown
from .control_rates import SINGLE, require_rate
from .hdf5 import (
    FORMAT,
    READABLE,
    StoredMicrostate,
    located,
    open_fields,
    require_finite,
    unreadable,
    write_file,
)

FloatArray = npt.NDArray[np.float64]

PARAMETER_KEYS = (
    "stiffness",
    "friction",
    "thermal_energy",
    "effective_thermal_energy",
    "reference_length",
    "well_distance",
    "offset",
    "crossing",
    "springs",
    "initial",
    "preparation",
)
"""Parameters with a meaning here; others are kept, unless they look like one of these misspelt."""
_POSITIVE = ("friction", "stiffness", "reference_length", "well_distance")
_NOT_NEGATIVE = ("thermal_energy", "effective_thermal_energy")


@dataclass(frozen=True, eq=False)
class TrajectoryEnsemble:
    """Replicas of a microscopic system under several protocols of one duration.

    Attributes:
        time: Stored instants, ``(n_time,)`` [time].
        control: λ, ``(n_protocol, n_time)``.
        control_rate: λ̇, same shape.
        microstate: Dimensionless, ``(n_protocol, n_time, n_site, n_replica, n_x)``.
        force: Mean external force, ``(n_protocol, n_time)`` [force].
        site_force: Mean spring forces, ``(n_protocol, n_time, n_site)`` [force], or None.
        system: Name of the microscopic system.
        drive: "end" (λ is a position) or "force".
        strain_kind: "controlled" (ε = λ) or "averaged" (ε = ⟨microstate⟩).
        parameters: Physical parameters, see :data:`PARAMETER_KEYS`.
        time_step: The integrator's step [time].
        seed: Of the simulation.
        units: Unit of each quantity.

    Raises:
        ValueError: If shapes, values or parameters contradict the conventions.
    """

    time: FloatArray
    control: FloatArray
    control_rate: FloatArray
    microstate: npt.NDArray[np.floating[Any]]
    force: FloatArray
    site_force: FloatArray | None
    system: str
    drive: str
    strain_kind: str
    parameters: dict[str, Any]
    time_step: float
    seed: int
    units: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _take_native(self)
        _check_arrays(self)
        _check_attributes(self)
        _check_kind(self)
        _check_intervals(self)
        for case, (control, rate) in enumerate(zip(self.control, self.control_rate, strict=True)):
            require_rate(f"control_rate of protocol {case}", self.time, control, rate)

    @property
    def stride(self) -> int:
        """Steps of the integrator in the longest interval between stored instants."""
        return max(self.strides, default=1)

    @property
    def strides(self) -> tuple[int, ...]:
        """Steps of the integrator in each interval between stored instants, at least one."""
        steps = np.rint(np.diff(self.time) / self.time_step)
        return tuple(int(count) for count in np.maximum(steps, 1))

    @property
    def strain(self) -> FloatArray:
        """ε, shape ``(n_protocol, n_time, n_site, n_ε)``."""
        if self.strain_kind == "controlled":
            return self.control[:, :, None, None]
        return np.asarray(self.microstate.mean(axis=3, dtype=np.float64))

    @property
    def stress(self) -> FloatArray:
        """σ, the measured mean force, shape ``(n_protocol, n_time, n_site, 1)``."""
        if self.strain_kind == "controlled":
            return self.force[:, :, None, None]
        if self.site_force is None:
            raise ValueError(
                f"{self.system}: averaged strain needs site_force for the stress; found none."
            )
        return self.site_force[..., None]

    def select(self, protocols: slice | list[int]) -> TrajectoryEnsemble:
        """Return the given protocols, in memory."""
        return replace(
            self,
            control=self.control[protocols],
            control_rate=self.control_rate[protocols],
            microstate=self.microstate[protocols],
            force=self.force[protocols],
            site_force=None if self.site_force is None else self.site_force[protocols],
        )

    def sha256(self) -> str:
        """Return a hash of all arrays and attributes, independent of file and compression."""
        digest = hashlib.sha256(json.dumps(_attributes(self), sort_keys=True).encode())
        for name, array in _datasets(self).items():
            digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
            for index in range(len(array)):  # row by row: it may be larger than memory
                digest.update(np.ascontiguousarray(array[index]).tobytes())
        return digest.hexdigest()

    def save(self, path: str | Path) -> None:
        """Write the HDF5 file; an interrupted write leaves an existing file as it was."""
        write_file(path, _datasets(self), _attributes(self))

    @classmethod
    def load(
        cls, path: str | Path, protocols: slice | list[int] = slice(None), group: str = "/"
    ) -> TrajectoryEnsemble:
        """Read a file, or some of its protocols, and check it.

        Args:
            path: Of the file.
            protocols: Which ones.
            group: Group of the file that holds the ensemble.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If the file is not such data; the message names file and dataset.
        """
        with open_ensemble(path, group) as data:
            try:
                return data.select(protocols)
            except ValueError as error:
                raise located(path, error) from error
            except (OSError, RuntimeError, KeyError) as error:
                raise unreadable(f"{path}: microstate", error) from error


@contextmanager
def open_ensemble(path: str | Path, group: str = "/") -> Iterator[TrajectoryEnsemble]:
    """Open an ensemble whose microstates are read when they are indexed: for large files.

    ``microstate[i]`` reads one protocol, :meth:`TrajectoryEnsemble.select` some of them into
    memory; ``strain``, ``sha256`` and training work through the file one protocol at a time.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is not such data; the message names file and dataset.
    """
    with open_fields(path, group) as fields:
        try:
            data = TrajectoryEnsemble(**fields)
        except ValueError as error:
            raise located(path, error) from error
        yield data


def _datasets(data: TrajectoryEnsemble) -> dict[str, npt.NDArray[Any]]:
    arrays: dict[str, npt.NDArray[Any]] = {
        "time": data.time,
        "control": data.control,
        "control_rate": data.control_rate,
        "microstate": data.microstate,
        "force": data.force,
    }
    if data.site_force is not None:
        arrays["site_force"] = data.site_force
    return arrays


def _attributes(data: TrajectoryEnsemble) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "system": data.system,
        "drive": data.drive,
        "strain_kind": data.strain_kind,
        "parameters": json.dumps(data.parameters, sort_keys=True),
        "time_step": data.time_step,
        "seed": data.seed,
        "units": json.dumps(data.units, sort_keys=True),
    }


def _take_native(data: TrajectoryEnsemble) -> None:
    """Hold numbers in the byte order of the machine, as a file that is read back holds them."""
    for name, array in _datasets(data).items():
        if name != "microstate":
            object.__setattr__(data, name, np.asarray(array, np.float64))
        elif isinstance(array, np.ndarray) and not array.dtype.isnative:
            object.__setattr__(data, name, array.astype(array.dtype.newbyteorder("=")))


def _check_kind(data: TrajectoryEnsemble) -> None:
    """Refuse what strain and stress of one component cannot hold."""
    sites, replicas, size = data.microstate.shape[2:]
    if data.strain_kind == "averaged" and size > 1:
        raise ValueError(
            f"microstate of averaged strain must have one component; found {size}. Its stress, "
            "site_force, has one component too: learn one direction at a time."
        )
    if data.strain_kind == "controlled" and sites > 1:
        raise ValueError(
            f"microstate of controlled strain must have one site; found {sites}. The control is "
            "one strain: write the sites as replicas if they are alike, else as ensembles."
        )
    if replicas < 2:
        raise ValueError(
            f"microstate must have at least 2 replicas, whose distribution is learned; found "
            f"{replicas}."
        )


def _check_intervals(data: TrajectoryEnsemble) -> None:
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


def _check_arrays(data: TrajectoryEnsemble) -> None:
    if data.microstate.ndim != 5 or 0 in data.microstate.shape:
        raise ValueError(
            "microstate must have the axes (protocol, time, site, replica, x), none of them empty; "
            f"found shape {data.microstate.shape}."
        )
    if data.microstate.dtype not in READABLE:
        raise ValueError(
            f"microstate must be of type float32 or float64; found {data.microstate.dtype}."
        )
    count, instants, sites = data.microstate.shape[:3]
    shapes = {
        "time": (instants,),
        "control": (count, instants),
        "control_rate": (count, instants),
        "force": (count, instants),
        "site_force": (count, instants, sites),
    }
    for name, array in _datasets(data).items():
        if name in shapes and array.shape != shapes[name]:
            raise ValueError(
                f"{name} must have shape {shapes[name]} to match microstate; found {array.shape}."
            )
        if not isinstance(array, StoredMicrostate):
            require_finite(name, array)
    steps = np.diff(data.time)
    if not (steps > 0).all():
        at = int(np.argmax(~(steps > 0)))
        raise ValueError(
            f"time must be strictly increasing; time[{at}] = {data.time[at]:g} is followed by "
            f"{data.time[at + 1]:g}."
        )


def _check_attributes(data: TrajectoryEnsemble) -> None:
    for name, allowed in (("drive", ("end", "force")), ("strain_kind", ("controlled", "averaged"))):
        value = getattr(data, name)
        if value not in allowed:
            raise ValueError(f"{name} must be one of {allowed}; found {shown(value)}.")
    if not (data.time_step > 0 and math.isfinite(data.time_step)):
        raise ValueError(f"time_step must be positive; found {data.time_step}.")
    parameters = data.parameters
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


def _is_number(value: Any, positive: bool) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    # Integers of JSON may be beyond every float.
    return (0 < value if positive else 0 <= value) and value <= sys.float_info.max
