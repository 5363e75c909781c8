"""Microscopic data: trajectory ensembles in memory and as HDF5 files (CONVENTIONS.md)."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

FORMAT = 1
FloatArray = npt.NDArray[np.float64]

PARAMETER_KEYS = frozenset(
    "stiffness friction thermal_energy effective_thermal_energy reference_length well_distance "
    "offset crossing springs".split()
)
"""Keys with a meaning here; others are kept but must be numbers or text."""


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
        _check(self)

    @property
    def strain(self) -> FloatArray:
        """ε, shape ``(n_protocol, n_time, n_site, 1)``."""
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
        """Return the given protocols."""
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
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def save(self, path: str | Path) -> None:
        """Write the HDF5 file; an interrupted write leaves an existing file as it was."""
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        os.close(handle)
        try:
            with h5py.File(name, "w") as file:
                for key, array in _datasets(self).items():
                    _write(file, key, array)
                file.attrs.update(_attributes(self))
            with Path(name).open("rb") as written:
                os.fsync(written.fileno())
            Path(name).replace(target)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    @classmethod
    def load(cls, path: str | Path, protocols: slice = slice(None)) -> TrajectoryEnsemble:
        """Read a file, or some of its protocols, and check it.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If the file is not such data; the message names file and dataset.
        """
        source = Path(path)
        if not source.exists():
            raise FileNotFoundError(f"{source}: no such file. Write one with `ibvonn simulate`.")
        try:
            with h5py.File(source, "r") as file:
                return _read(cls, file, protocols)
        except OSError as error:
            raise ValueError(
                f"{source}: not a readable HDF5 file, perhaps truncated ({error}). Write it again."
            ) from error
        except ValueError as error:
            raise ValueError(f"{source}: {error}") from error


def protocol_slices(path: str | Path, size: int = 1) -> Iterator[TrajectoryEnsemble]:
    """Yield the protocols of a file, ``size`` at a time: for files larger than memory."""
    with h5py.File(path, "r") as file:
        count = len(file["control"])
    for start in range(0, count, size):
        yield TrajectoryEnsemble.load(path, slice(start, start + size))


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


def _write(file: h5py.File, name: str, array: npt.NDArray[Any]) -> None:
    if name != "microstate":
        file.create_dataset(name, data=array)
        return
    instants = max(1, min(array.shape[1], 2**20 // max(1, array[0, 0].nbytes)))
    file.create_dataset(
        name, data=array, chunks=(1, instants, *array.shape[2:]), shuffle=True, compression="lzf"
    )


def _read(cls: type[TrajectoryEnsemble], file: h5py.File, protocols: slice) -> TrajectoryEnsemble:
    missing = [key for key in _REQUIRED_ATTRIBUTES if key not in file.attrs]
    if missing:
        raise ValueError(f"needs the attributes {_REQUIRED_ATTRIBUTES}; missing: {missing}.")
    if int(file.attrs["format"]) > FORMAT:
        raise ValueError(
            f"written in format {int(file.attrs['format'])}, this version reads up to {FORMAT}. "
            "Update the package."
        )
    absent = [key for key in _REQUIRED_DATASETS if key not in file]
    if absent:
        raise ValueError(f"needs the datasets {_REQUIRED_DATASETS}; missing: {absent}.")
    site_force = file["site_force"][protocols] if "site_force" in file else None
    return cls(
        time=file["time"][:],
        control=file["control"][protocols],
        control_rate=file["control_rate"][protocols],
        microstate=file["microstate"][protocols],
        force=file["force"][protocols],
        site_force=site_force,
        system=str(file.attrs["system"]),
        drive=str(file.attrs["drive"]),
        strain_kind=str(file.attrs["strain_kind"]),
        parameters=_json(file, "parameters"),
        time_step=float(file.attrs["time_step"]),
        seed=int(file.attrs["seed"]),
        units=_json(file, "units"),
    )


_REQUIRED_DATASETS = ("time", "control", "control_rate", "microstate", "force")
_REQUIRED_ATTRIBUTES = (
    "format",
    "system",
    "drive",
    "strain_kind",
    "parameters",
    "time_step",
    "seed",
    "units",
)


def _json(file: h5py.File, name: str) -> dict[str, Any]:
    try:
        value = json.loads(file.attrs[name])
    except (json.JSONDecodeError, TypeError) as error:
        raise ValueError(f"attribute {name} must be a JSON object ({error}).") from error
    if not isinstance(value, dict):
        raise ValueError(f"attribute {name} must be a JSON object; found {value!r}.")
    return value


def _check(data: TrajectoryEnsemble) -> None:
    if data.microstate.ndim != 5:
        raise ValueError(
            "microstate must have the axes (protocol, time, site, replica, x); found shape "
            f"{data.microstate.shape}."
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
        # A sum is finite only where every term is (or overflows, which is as bad).
        if not np.isfinite(array.sum(dtype=np.float64)):
            bad = np.argwhere(~np.isfinite(array))
            where = tuple(int(i) for i in bad[0]) if len(bad) else "its sum"
            raise ValueError(
                f"{name} must be finite; found {len(bad)} bad values, first at {where}."
            )
    steps = np.diff(data.time)
    if not (steps > 0).all():
        at = int(np.argmax(~(steps > 0)))
        raise ValueError(
            f"time must be strictly increasing; time[{at}] = {data.time[at]:g} is followed by "
            f"{data.time[at + 1]:g}."
        )
    _check_attributes(data)


def _check_attributes(data: TrajectoryEnsemble) -> None:
    for name, allowed in (("drive", ("end", "force")), ("strain_kind", ("controlled", "averaged"))):
        value = getattr(data, name)
        if value not in allowed:
            raise ValueError(f"{name} must be one of {allowed}; found {value!r}.")
    if not data.time_step > 0:
        raise ValueError(f"time_step must be positive; found {data.time_step}.")
    for key in ("friction", "thermal_energy"):
        if key not in data.parameters:
            raise ValueError(f"parameters must hold {key!r}; found {sorted(data.parameters)}.")
    if not data.parameters["friction"] > 0:
        raise ValueError(f"friction must be positive; found {data.parameters['friction']}.")
    if not data.parameters["thermal_energy"] >= 0:
        raise ValueError(
            f"thermal_energy must not be negative; found {data.parameters['thermal_energy']}."
        )
