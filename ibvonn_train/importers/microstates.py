"""From the particles of a frame to the microstates of a record: layout, coordinates, bonds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..files.toml_tables import ConfigError
from .description import StudyDescription, expressions
from .frames import FloatArray, SimulationBox, Trajectory

BOX_NAMES = ("lx", "ly", "lz", "xlo", "ylo", "zlo", "xhi", "yhi", "zhi")
BOND_NAMES = ("dx", "dy", "dz", "r")


@dataclass(frozen=True, eq=False)
class FrameBlock:
    """Some instants of one file.

    Attributes:
        time: t, ``(n,)``.
        step: Steps, ``(n,)``, NaN where they are not known.
        values: Columns of the particles, ``(n, n_particle, n_column)``.
        boxes: Of the instants.
        beside: Observables, each ``(n,)``.
    """

    time: FloatArray
    step: FloatArray
    values: FloatArray
    boxes: Sequence[SimulationBox | None]
    beside: Mapping[str, FloatArray]


class MicrostateReader:
    """Makes microstates of blocks of frames.

    Args:
        study: The description.
        trajectory: A file, whose columns are those of all.

    Raises:
        ConfigError: If the file lacks what the description names.
    """

    def __init__(self, study: StudyDescription, trajectory: Trajectory) -> None:
        rule, self._study = study.microstate, study
        self._rule, self._layout, self._path = rule, study.layout, trajectory.path
        of_bond = bool(rule.bonds)
        texts = rule.elongation if of_bond else rule.coordinates
        self._rules = expressions(texts, "microstate")
        constants = {**study.parameters, **study.values}
        known = {*constants, "t", "step", *BOX_NAMES}
        of_particle = BOND_NAMES if of_bond else trajectory.columns
        for rule_of_component in self._rules:
            rule_of_component.require(dict.fromkeys([*known, *of_particle]))
        used = set().union(*(expression.names for expression in self._rules))
        if of_bond:
            self.coordinates = _bond_columns(trajectory)
        else:
            shadowed = sorted(used & known & set(trajectory.columns))
            if shadowed:
                raise ConfigError(
                    f"[import.microstate]: {shadowed[0]!r} is a column of {trajectory.path} and a "
                    "parameter or value too; rename the parameter."
                )
            self.coordinates = tuple(n for n in trajectory.columns if n in used)
        self.velocities = _velocities(self.coordinates, trajectory.columns)
        names = [*self.coordinates, *self.velocities]
        if study.layout.types:
            names.append("type")
        self.columns = tuple(dict.fromkeys(names))
        self._chosen: npt.NDArray[np.bool_] | None = None
        length = study.parameters.get("reference_length", 1.0)
        self.length = float(length) if isinstance(length, int | float) else 1.0

    def taken(self, block: FrameBlock) -> FloatArray:
        """Return the particles that are taken, ``(n, n_taken, n_column)``.

        Raises:
            ValueError: If there is none, or a type has changed.
        """
        values, layout = block.values, self._layout
        if layout.types:
            types = values[:, :, self.columns.index("type")]
            chosen = np.isin(types, list(layout.types))
            if self._chosen is None:
                self._chosen = chosen[0]
            changed = (chosen != self._chosen).any(1)
            if changed.any():
                raise ValueError(
                    f"{self._path}: types of particles must not change; they do before t = "
                    f"{block.time[int(np.argmax(changed))]:g}. Select by particles instead."
                )
            values = values[:, self._chosen]
        if layout.particles:
            first, last = layout.particles
            if last > values.shape[1]:
                raise ConfigError(
                    f"[import.layout]: particles must end at {values.shape[1]} at most, as many "
                    f"as {self._path} has; got {last}."
                )
            values = values[:, first - 1 : last]
        if not values.shape[1]:
            raise ConfigError(
                f"[import.layout]: types must select particles of {self._path}; they select none."
            )
        return values

    def by_replica(self, taken: FloatArray) -> FloatArray:
        """Return particles by replica, ``(n, n_replica, n_member, n_column)``.

        Raises:
            ConfigError: If they cannot be divided so.
        """
        instants, particles, columns = taken.shape
        replicas = self._layout.replicas or (1 if self._rule.bonds else particles)
        if particles % replicas:
            raise ConfigError(
                f"[import.layout]: replicas must divide the {particles} particles that are taken "
                f"from {self._path}; got {replicas}."
            )
        members = particles // replicas
        if self._layout.order == "replica":
            return taken.reshape(instants, replicas, members, columns)
        return taken.reshape(instants, members, replicas, columns).swapaxes(1, 2)

    def elements(self, block: FrameBlock, constants: Mapping[str, float]) -> FloatArray:
        """Return microstates of elements, ``(n, n_replica, n_element, n_x)``, dimensionless."""
        names, shape = self._names(block, constants)
        parts = [np.broadcast_to(rule.value(names), shape) for rule in self._rules]
        return np.stack(parts, -1) / self.length

    def stretch(self, block: FrameBlock, constants: Mapping[str, float]) -> dict[str, float]:
        """Return the largest slope of a microstate in lengths by each coordinate of a particle."""
        if self._rule.bonds:
            return dict.fromkeys(self.coordinates, 1.0)
        names, _ = self._names(block, constants)
        return {
            name: float(np.max([np.abs(rule.slope(names, name)).max() for rule in self._rules]))
            for name in self.coordinates
        }

    def _names(
        self, block: FrameBlock, constants: Mapping[str, float]
    ) -> tuple[dict[str, Any], tuple[int, ...]]:
        """Return what expressions of elements know, and the shape of elements."""
        members = self.by_replica(self.taken(block))
        names: dict[str, Any] = {
            **constants,
            "t": block.time[:, None, None],
            "step": block.step[:, None, None],
            **_box_names(block.boxes),
        }
        if self._rule.bonds:
            names |= self._bond_names(members, block.boxes)
            return names, names["r"].shape
        names |= {name: members[..., i] for i, name in enumerate(self.columns)}
        return names, members.shape[:3]

    def pairs(self, members: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return first and second particle of every bond of a replica, counted from 0.

        Raises:
            ConfigError: If a bond names a particle that is not there.
        """
        bonds = self._rule.bonds
        if isinstance(bonds, str):
            first = np.arange(members if bonds == "ring" else members - 1)
            if not first.size:
                raise ConfigError(
                    f"[import.microstate]: bonds need two particles in a replica; {self._path} "
                    f"has {members}. Correct replicas."
                )
            return first, (first + 1) % members
        pairs = np.asarray(bonds, np.int64) - 1
        if pairs.max() >= members:
            raise ConfigError(
                f"[import.microstate]: bonds must join the {members} particles of a replica, "
                f"counted from 1; got {pairs.max() + 1}."
            )
        return pairs[:, 0], pairs[:, 1]

    def _bond_names(
        self, members: FloatArray, boxes: Sequence[SimulationBox | None]
    ) -> dict[str, FloatArray]:
        first, second = self.pairs(members.shape[2])
        names: dict[str, FloatArray] = {}
        square: Any = 0.0
        for column in self.coordinates:
            place = members[..., self.columns.index(column)]
            apart = place[:, :, second] - place[:, :, first]
            axis = "xyz".index(column[0])
            for at, box in enumerate(boxes):
                if box is None or not box.periodic[axis]:
                    continue
                length = box.high[axis] - box.low[axis]
                if length > 0 and (column in "xyz" or self._rule.bonds == "ring"):
                    apart[at] -= length * np.round(apart[at] / length)
            names[f"d{column[0]}"] = apart
            square = square + apart**2
        names["r"] = np.sqrt(square)
        for letter in "xyz":
            names.setdefault(f"d{letter}", np.zeros_like(names["r"]))
        return names

    def sites(self, elements: FloatArray) -> FloatArray:
        """Return microstates by site, ``(n, n_site, n_sample, n_x)``, a replica side by side.

        Raises:
            ConfigError: If classes do not divide the elements.
        """
        instants, replicas, count, size = elements.shape
        if self._rule.elements == "points":
            return elements.swapaxes(1, 2)
        classes = sorted(set(self._rule.class_of))
        if len(classes) < 2:
            return elements.reshape(instants, 1, replicas * count, size)
        pattern = np.asarray(self._rule.class_of)
        if count % len(pattern):
            raise ConfigError(
                f"[import.microstate]: class_of must be repeated whole through the {count} "
                f"elements of a replica; it has {len(pattern)} entries."
            )
        of_element = np.tile(pattern, count // len(pattern))
        parts = [elements[:, :, of_element == number] for number in classes]
        if len({part.shape[2] for part in parts}) > 1:
            raise ConfigError(
                "[import.microstate]: every class must have as many elements; found "
                f"{[part.shape[2] for part in parts]}."
            )
        return np.stack([part.reshape(instants, -1, size) for part in parts], 1)

    def samples_per_replica(self, elements: int) -> int:
        """Return the samples of a site that belong to one replica."""
        if self._rule.elements == "points":
            return 1
        return elements // max(1, len(set(self._rule.class_of)))


def _bond_columns(trajectory: Trajectory) -> tuple[str, ...]:
    """Return the coordinates that bonds are measured with: unwrapped ones where they are there."""
    candidates = [
        next((name for name in (f"{letter}u", letter) if name in trajectory.columns), None)
        for letter in "xyz"
    ]
    names = tuple(name for name in candidates if name is not None)
    if not names:
        raise ConfigError(
            f"{trajectory.path}: must have coordinates x, y, z for bonds; it has "
            f"{', '.join(trajectory.columns)}."
        )
    return names


def _velocities(coordinates: Sequence[str], columns: Sequence[str]) -> tuple[str, ...]:
    letters = dict.fromkeys(name[0] for name in coordinates if name[:1] in "xyz" and len(name) < 3)
    return tuple(name for letter in letters if (name := f"v{letter}") in columns)


def _box_names(boxes: Sequence[SimulationBox | None]) -> dict[str, FloatArray]:
    corners = np.array(
        [[box.low, box.high] if box else np.full((2, 3), np.nan) for box in boxes]
    ).reshape(len(boxes), 2, 3, 1, 1)
    names: dict[str, FloatArray] = {}
    for axis, letter in enumerate("xyz"):
        low, high = corners[:, 0, axis], corners[:, 1, axis]
        names |= {f"{letter}lo": low, f"{letter}hi": high, f"l{letter}": high - low}
    return names
