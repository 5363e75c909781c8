"""What drove a record: a strain path, or the end of a chain of springs.

The record of a drive is plain arrays; `rollouts/drives.py` integrates a law under it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from ..files.toml_tables import shown
from .control_rates import require_rate

FloatArray = npt.NDArray[np.float64]
Rows = slice | list[int]
Instants = slice | list[int] | npt.NDArray[np.integer[Any]]


@dataclass(frozen=True, eq=False)
class StrainDriven:
    """The strain of the record is what drives: any number of components and of points.

    Attributes:
        strain_rate: ε̇ at the stored instants, the slope of the strain ahead of each, shape
            ``(n_protocol, n_time, n_point, n_ε)``; None where it is not recorded. Repetitions of a
            simulation follow the path between stored instants by it.
    """

    kind: ClassVar[str] = "strain"

    strain_rate: FloatArray | None = None

    def datasets(self) -> dict[str, FloatArray]:
        """Return the arrays that a file holds of the drive."""
        return {} if self.strain_rate is None else {"strain_rate": self.strain_rate}

    def path(self, strain: FloatArray) -> tuple[FloatArray, FloatArray | None]:
        """Return what was imposed and its rate, ``(n_protocol, n_time, n_ε)``.

        Raises:
            ValueError: If points have strains of their own, which no single path imposes.
        """
        if strain.shape[2] != 1:
            raise ValueError(
                f"one path of the strain needs one material point; found {strain.shape[2]}. Take "
                "the points as protocols."
            )
        return strain[:, :, 0], None if self.strain_rate is None else self.strain_rate[:, :, 0]

    def external_force(self, stress: FloatArray) -> FloatArray:
        """Return the first stress of the first point, ``(n_protocol, n_time)``."""
        return stress[:, :, 0, 0]

    def select(self, protocols: Rows, instants: Instants = slice(None)) -> StrainDriven:
        """Return the drive of some protocols at some instants."""
        if self.strain_rate is None:
            return self
        return StrainDriven(self.strain_rate[protocols][:, instants])

    def require_consistent(self, time: FloatArray, strain: FloatArray) -> None:
        """Raise :class:`ValueError` where the rate is not the slope of the strain."""
        if self.strain_rate is None:
            return
        _require_shape("strain_rate", self.strain_rate, strain.shape)
        for case, point, component in np.ndindex(strain.shape[0], *strain.shape[2:]):
            at = (case, slice(None), point, component)
            place = f"strain_rate of protocol {case}, point {point}, component {component}"
            require_rate(place, time, strain[at], self.strain_rate[at])


@dataclass(frozen=True, eq=False)
class ChainDriven:
    """A chain of springs in series between a wall and an end that is moved or pulled.

    Its points are the springs, in their order from the wall.

    Attributes:
        kind: "end" (the control λ is the position of the end) or "force" (λ is the force on it).
        control: λ, ``(n_protocol, n_time)``.
        control_rate: λ̇, the slope of λ ahead of each instant, same shape.
        force: Mean external force, same shape.
    """

    kind: Literal["end", "force"]
    control: FloatArray
    control_rate: FloatArray
    force: FloatArray

    def datasets(self) -> dict[str, FloatArray]:
        """Return the arrays that a file holds of the drive."""
        return {
            "control": self.control,
            "control_rate": self.control_rate,
            "force": self.force,
        }

    def path(self, strain: FloatArray) -> tuple[FloatArray, FloatArray | None]:  # noqa: ARG002
        """Return what was imposed and its rate, ``(n_protocol, n_time, 1)``."""
        return self.control[..., None], self.control_rate[..., None]

    def external_force(self, stress: FloatArray) -> FloatArray:  # noqa: ARG002
        """Return the mean force on the end, ``(n_protocol, n_time)``."""
        return self.force

    def select(self, protocols: Rows, instants: Instants = slice(None)) -> ChainDriven:
        """Return the drive of some protocols at some instants."""
        parts = (array[protocols][:, instants] for array in self.datasets().values())
        return ChainDriven(self.kind, *parts)

    def require_consistent(self, time: FloatArray, strain: FloatArray) -> None:
        """Raise :class:`ValueError` where the arrays do not fit the record of a chain."""
        if self.kind not in ("end", "force"):
            raise ValueError(f"drive must be one of {tuple(DRIVES)}; found {shown(self.kind)}.")
        for name, array in self.datasets().items():
            _require_shape(name, array, strain.shape[:2])
        if strain.shape[3] != 1:
            raise ValueError(
                "strain of a chain must have one component, the elongation of a spring; found "
                f"{strain.shape[3]}. Strains of more components are driven by the strain itself."
            )
        for case, (control, rate) in enumerate(zip(self.control, self.control_rate, strict=True)):
            require_rate(f"control_rate of protocol {case}", time, control, rate)


Drive = StrainDriven | ChainDriven
DRIVES: dict[str, type[StrainDriven] | type[ChainDriven]] = {
    "strain": StrainDriven,
    "end": ChainDriven,
    "force": ChainDriven,
}
"""Kinds of drives by the names that files carry."""
CHAIN_DATASETS = ("control", "control_rate", "force")
STRAIN_DATASETS = ("strain_rate",)


def drive_named(kind: str, arrays: dict[str, Any]) -> Drive:
    """Return the drive of a file: its kind, and the datasets of that kind.

    Raises:
        ValueError: If the kind is unknown, or one of its datasets is missing.
    """
    if kind == "strain":
        return StrainDriven(arrays.get("strain_rate"))
    if kind not in ("end", "force"):
        raise ValueError(f"drive must be one of {tuple(DRIVES)}; found {shown(kind)}.")
    missing = [name for name in CHAIN_DATASETS if arrays.get(name) is None]
    if missing:
        raise ValueError(
            f"a chain that is driven by its {kind} must have the datasets "
            f"{', '.join(CHAIN_DATASETS)}; missing: {missing}."
        )
    ends: dict[str, Literal["end", "force"]] = {"end": "end", "force": "force"}
    return ChainDriven(ends[kind], *(arrays[name] for name in CHAIN_DATASETS))


def _require_shape(name: str, array: FloatArray, shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise ValueError(f"{name} must have shape {shape}; found {array.shape}.")
