"""Microscopic data: replicas of a microscopic system under several protocols (CONVENTIONS.md)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from . import format_1
from .array_shapes import samples, series, steps_and_seed
from .drive_records import Instants, Rows, StrainDriven
from .element_classes import ClassSymmetry, default_basis
from .ensemble_checks import require_record
from .ensemble_fields import EnsembleFields
from .h5md_view import add_h5md_view
from .hdf5 import located, unreadable, write_file
from .record_fields import FORMAT, open_fields

FloatArray = npt.NDArray[np.float64]


def component_names(symbol: str, size: int) -> tuple[str, ...]:
    """Return names of the components of strain or stress where a record gives none."""
    if size == 1:
        return (symbol,)
    return tuple(f"{symbol}_{number}" for number in range(1, size + 1))


@dataclass(frozen=True, eq=False)
class TrajectoryEnsemble(EnsembleFields):
    """Replicas of a microscopic system under several protocols of one duration, checked.

    The fields are those of :class:`EnsembleFields`.

    Raises:
        ValueError: If shapes, values or parameters contradict the conventions.
    """

    def __post_init__(self) -> None:
        _take_native(self)
        _take_defaults(self)
        require_record(self)

    def describe(self) -> str:
        """Return the size of the record in words."""
        if self.histogram is not None:
            shape = (*self.histogram.weights.shape, self.microstate_size)
            return (
                f"{' x '.join(map(str, shape))} (protocol, time, site, node, x), a histogram of "
                f"{self.replicas} replicas with {self.elements} samples each"
            )
        shape = self.samples.shape
        return f"{' x '.join(map(str, shape))} (protocol, time, site, replica, x)"

    def select(self, protocols: Rows, instants: Instants = slice(None)) -> TrajectoryEnsemble:
        """Return the given protocols at the given instants, in memory."""
        cut = ("strain", "stress", "microstate", "energy", "stress_variance")
        parts = {name: getattr(self, name) for name in cut}
        changed: dict[str, Any] = {
            name: None if part is None else part[protocols][:, instants]
            for name, part in parts.items()
        }
        if self.histogram is not None:
            changed["histogram"] = self.histogram.select(protocols, instants)
        drive = self.drive.select(protocols, instants)
        return replace(self, time=self.time[instants], drive=drive, **changed)

    def sha256(self) -> str:
        """Return a hash of all arrays and attributes, independent of file and compression.

        Of a record that format 1 can hold it is the hash of format 1, which leaves out what follows
        from the microstates.
        """
        if format_1.holds(self):
            return format_1.sha256(self)
        return format_1.digest(_attributes(self), _datasets(self))

    def save(self, path: str | Path) -> None:
        """Write the HDF5 file, which is H5MD, too.

        An interrupted write leaves an existing file as it was.
        """
        view = partial(add_h5md_view, data=self)
        write_file(path, _datasets(self), _attributes(self), view)

    @classmethod
    def from_arrays(
        cls,
        time: npt.ArrayLike,
        strain: npt.ArrayLike | None,
        stress: npt.ArrayLike,
        microstate: Any,
        *,
        system: str,
        friction: float,
        thermal_energy: float,
        strain_kind: str = "controlled",
        strain_rate: npt.ArrayLike | None = None,
        time_step: float | None = None,
        seed: int | None = None,
        parameters: Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> TrajectoryEnsemble:
        r"""Return the record of a simulation that NumPy arrays hold; axes that are one are added.

        The replicas follow :math:`\eta\,\mathrm{d}x = -\partial e/\partial x\,\mathrm{d}t +
        \sqrt{2\eta k_BT}\,\mathrm{d}W` under a strain :math:`\varepsilon(t)`. What is not known
        is left out: without the rate, the time step or the seed the audits that need them are "not
        available".

        Args:
            time: Stored instants, ``(n_time,)`` [time].
            strain: ε, ``(n_protocol, n_time)``, ``(n_protocol, n_time, n_ε)`` or with points; of
                averaged strain None, as it is the mean of the microstates.
            stress: σ, the mean of what is conjugate to ε per unit reference volume, same shapes.
            microstate: Dimensionless, ``(n_protocol, n_time, n_sample)``, with a last axis for the
                components, or with all axes (CONVENTIONS.md).
            system: Name of the microscopic system.
            friction: η, not divided by a mass [energy · time / length²].
            thermal_energy: k_BT [energy].
            strain_kind: "controlled" (imposed from outside) or "averaged" (ε = ⟨x⟩).
            strain_rate: ε̇, shape of ``strain`` [1 / time].
            time_step: Of the integrator [time].
            seed: Of the simulation.
            parameters: Further ones, such as ``reference_length`` or ``stiffness``.
            fields: Others of :class:`EnsembleFields`, such as ``units`` or ``drive``.

        Raises:
            ValueError: If axes, values or parameters contradict the conventions.
        """
        instants: FloatArray = np.asarray(time, np.float64)
        states: Any = samples(microstate)
        if strain is None:
            if strain_kind != "averaged":
                raise ValueError(
                    "strain must be given where it is controlled; found None. Only averaged strain "
                    "follows from the microstates."
                )
            strain = states.mean(axis=3, dtype=np.float64)
        if strain_rate is not None:
            if "drive" in fields:
                raise ValueError("strain_rate belongs to a drive by the strain; found another too.")
            fields["drive"] = StrainDriven(series("strain_rate", strain_rate))
        step, number, lacking = steps_and_seed(instants, time_step, seed)
        constants = {"friction": friction, "thermal_energy": thermal_energy}
        return cls(
            time=instants,
            strain=series("strain", strain),
            stress=series("stress", stress),
            microstate=states,
            system=system,
            strain_kind=strain_kind,
            parameters={**(parameters or {}), **constants},
            time_step=step,
            seed=number,
            not_recorded=lacking,
            **fields,
        )

    @classmethod
    def load(
        cls, path: str | Path, protocols: Rows = slice(None), group: str = "/"
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
    memory; ``sha256`` and training work through the file one protocol at a time. The averaged
    strain of a file of format 1 is computed when it is opened, one protocol at a time.

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
    arrays = data.small_datasets()
    if data.histogram is not None:
        return {**arrays, **data.histogram.datasets()}
    return {**arrays, "microstate": data.samples}


def _attributes(data: TrajectoryEnsemble) -> dict[str, Any]:
    symmetry = [{"classes": s.classes, "strain": s.strain.tolist()} for s in data.symmetry]
    lacking = {"not_recorded": json.dumps(data.not_recorded)} if data.not_recorded else {}
    return {
        **lacking,
        "format": FORMAT,
        "system": data.system,
        "drive": data.drive.kind,
        "strain_kind": data.strain_kind,
        "strain_names": json.dumps(data.strain_names),
        "stress_names": json.dumps(data.stress_names),
        "strain_measure": data.strain_measure,
        "classes": json.dumps(data.classes),
        "symmetry": json.dumps(symmetry),
        "reference_volume": data.reference_volume,
        "parameters": json.dumps(data.parameters, sort_keys=True),
        "time_step": data.time_step,
        "seed": data.seed,
        "units": json.dumps(data.units, sort_keys=True),
        "replicas": data.replicas,
        "samples_per_replica": data.elements,
    }


def _take_native(data: TrajectoryEnsemble) -> None:
    """Hold numbers in the byte order of the machine, as a file that is read back holds them."""
    for name in ("time", "strain", "stress", "energy", "stress_variance", "strain_basis"):
        if getattr(data, name) is not None:
            object.__setattr__(data, name, np.asarray(getattr(data, name), np.float64))
    for name, array in data.drive.datasets().items():
        if array.dtype != np.float64 or not array.dtype.isnative:
            object.__setattr__(data.drive, name, np.asarray(array, np.float64))
    samples = data.microstate
    if isinstance(samples, np.ndarray) and not samples.dtype.isnative:
        native = samples.astype(samples.dtype.newbyteorder("="))
        object.__setattr__(data, "microstate", native)


def _take_defaults(data: TrajectoryEnsemble) -> None:
    """Fill in what a record of one class and of nameless components leaves out."""
    size = data.strain.shape[-1] if data.strain.ndim else 0
    classes = len(data.classes)
    length = data.parameters.get("reference_length", 1.0)
    volume = data.parameters.get("reference_volume", length)
    if data.reference_volume not in (0.0, volume):  # laws are exported with the parameters
        extended = {"reference_volume": data.reference_volume, **data.parameters}
        object.__setattr__(data, "parameters", extended)
    measure = "elongation over the reference length" if size == 1 else "small strain"
    defaults = {
        "strain_names": component_names("strain", size),
        "stress_names": component_names("stress", size),
        "strain_measure": measure,
        "symmetry": (ClassSymmetry.identity(classes, size),),
        "reference_volume": volume if isinstance(volume, int | float) else 1.0,
    }
    if not data.strain_basis.size:
        object.__setattr__(data, "strain_basis", default_basis(classes, size))
    for name, value in defaults.items():
        if not getattr(data, name):
            object.__setattr__(data, name, value)
