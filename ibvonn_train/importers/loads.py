"""Strain, stress and energy of the instants, from expressions, tables and microstates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..files.toml_tables import ConfigError
from .description import StudyDescription, expressions
from .expressions import Expression
from .frames import FloatArray, Trajectory
from .number_tables import NumberTable, read_table_file
from .single_energy import ElementEnergy


@dataclass(frozen=True, eq=False)
class InstantNames:
    """What expressions know at some instants of a protocol: numbers, and series ``(n,)``."""

    constants: Mapping[str, float]
    series: Mapping[str, FloatArray]

    def flat(self) -> dict[str, Any]:
        """Return all, series as they are."""
        return {**self.constants, **self.series}

    def along_states(self) -> dict[str, Any]:
        """Return all, series with the axes of microstates, ``(n, 1, 1)``."""
        return {
            **self.constants,
            **{name: array[:, None, None] for name, array in self.series.items()},
        }


@dataclass(frozen=True, eq=False)
class Response:
    """Sums over the samples of a part of the replicas, ``(n, n_point, n_σ)`` or ``(n, n_point)``.

    Attributes:
        stress: Mean stress.
        square: Mean square over replicas of the stress of a replica, None where it is not of the
            microstates.
        energy: Mean energy, None where it is not known.
        from_energy: Mean stress of the energy, None where it is not known or is the stress.
    """

    stress: FloatArray
    square: FloatArray | None
    energy: FloatArray | None
    from_energy: FloatArray | None


class LoadReader:
    """Evaluates what drove the simulation and what answered.

    Args:
        study: The description.
        energy: Of one element, None where it is not known.

    Raises:
        ConfigError: If neither stress nor energy is there.
    """

    def __init__(self, study: StudyDescription, energy: ElementEnergy | None) -> None:
        rule, self._study, self._energy = study.load, study, energy
        self._rule = rule
        self.strain = expressions(rule.strain, "load.strain")
        self._rate = expressions(rule.strain_rate, "load.strain_rate")
        self.stress = expressions(rule.stress, "load.stress")
        chain = {name: getattr(rule, name) for name in ("control", "control_rate", "force")}
        self._chain = {
            name: Expression(text, f"[import.load.{name}]") for name, text in chain.items() if text
        }
        self._size = study.microstate.size
        self.strain_size = len(self.strain) or self._size
        if not self.stress and energy is None:
            raise ConfigError(
                "[import.load]: must give stress, or the energy of an element, whose slope it is "
                f"(the system {study.system!r} is not one whose energy is known)."
            )
        if self.stress and len(self.stress) != self.strain_size:
            raise ConfigError(
                f"[import.load]: stress must have the {self.strain_size} components of the strain; "
                f"got {len(self.stress)}."
            )
        if not self.stress and self.strain_size > 1:
            raise ConfigError(
                "[import.load]: stress must be given for strains of several components; the slope "
                "of an energy is taken for one."
            )
        volume = study.parameters.get("reference_volume", study.parameters.get("reference_length"))
        self._volume = float(volume) if isinstance(volume, int | float) else 1.0

    @property
    def state_names(self) -> tuple[str, ...]:
        """Names of the components of a microstate in expressions."""
        return ("x",) if self._size == 1 else tuple(f"x{i + 1}" for i in range(self._size))

    @property
    def strain_labels(self) -> tuple[str, ...]:
        """Names of the components of the strain in expressions."""
        if self.strain_size == 1:
            return ("strain",)
        return tuple(f"strain{i + 1}" for i in range(self.strain_size))

    def table_of(self, trajectory: Path) -> NumberTable | None:
        """Return the table beside a trajectory.

        Raises:
            ConfigError: If its name cannot be made.
        """
        if not self._rule.table:
            return None
        stem = trajectory.name.removesuffix(".gz").rpartition(".")[0] or trajectory.name
        try:
            name = self._rule.table.format(stem=stem)
        except (KeyError, IndexError, ValueError) as error:
            raise ConfigError(
                "[import.load]: table must be a name with {stem} for that of the trajectory; got "
                f"{self._rule.table!r}."
            ) from error
        return read_table_file(trajectory.parent / name)

    def require_names(self, table: NumberTable | None, trajectory: Trajectory) -> None:
        """Raise :class:`ConfigError` where an expression names what is not there."""
        series = [*(table.names if table else ()), *trajectory.observables, "t", "step"]
        if table is not None:
            table.require_numbers(self.needed())
        constants = {**self._study.parameters, **self._study.values}
        clash = sorted(set(series) & constants.keys())
        if clash:
            raise ConfigError(
                f"[import]: {clash[0]!r} is a parameter or value and a column of {trajectory.path} "
                "or its table; rename the parameter."
            )
        known = dict.fromkeys([*series, *constants])
        for each in (*self.strain, *self._rate, *self._chain.values()):
            each.require(known)
        known |= dict.fromkeys([*self.strain_labels, *self.state_names])
        for each in self.stress:
            each.require(known)

    def needed(self) -> frozenset[str]:
        """Return the names that expressions of series use."""
        every = (*self.strain, *self._rate, *self.stress, *self._chain.values())
        return frozenset().union(*(each.names for each in every))

    def imposed(self, names: InstantNames) -> FloatArray | None:
        """Return ε as described, ``(n, n_ε)``, None where it is the mean of the microstate."""
        return _stacked(self.strain, names) if self.strain else None

    def rate(self, names: InstantNames) -> FloatArray | None:
        """Return ε̇, ``(n, n_ε)``: as described, or the slope of expressions of t alone."""
        if self._rate:
            return _stacked(self._rate, names)
        if not self.strain:
            return None
        return _slopes(self.strain, names)

    def chain(self, names: InstantNames) -> dict[str, FloatArray]:
        """Return control, control_rate and force of a chain, ``(n,)``, as far as they are known."""
        if not self._chain:
            return {}
        series = {name: _stacked([each], names)[:, 0] for name, each in self._chain.items()}
        if "control_rate" not in series:
            slope = _slopes([self._chain["control"]], names)
            if slope is not None:
                series["control_rate"] = slope[:, 0]
        return series

    def response(
        self, names: InstantNames, strain: FloatArray | None, sites: FloatArray, samples: int
    ) -> Response:
        """Return what answered at some instants.

        Args:
            names: Of the instants.
            strain: ε, ``(n, n_ε)``, None where it is averaged.
            sites: Microstates, ``(n, n_site, n_sample, n_x)``.
            samples: Of one site and replica.
        """
        points = sites.shape[1] // max(1, len(self._study.classes))
        known = names.along_states()
        if strain is None:
            means = sites.mean(2, keepdims=True)
            known |= {label: means[..., i] for i, label in enumerate(self.strain_labels)}
        else:
            known |= {label: strain[:, None, None, i] for i, label in enumerate(self.strain_labels)}
        known |= {name: sites[..., i] for i, name in enumerate(self.state_names)}
        energy = from_energy = None
        if self._energy is not None and points == sites.shape[1]:
            by = "strain" if self._rule.strain_kind == "controlled" else "x"
            values, slopes = self._energy.at(sites, strain, known, by)
            energy = values.mean(2) / self._volume
            from_energy = slopes[..., None] / self._volume
        if not self.stress:
            if from_energy is None:
                raise ConfigError(
                    "[import.load]: stress must be given where elements are of several classes."
                )
            return Response(*_moments(from_energy, points, samples), energy, None)
        shape = sites.shape[:3]
        parts = [np.broadcast_to(each.value(known), shape) for each in self.stress]
        of_states = any(each.names & set(self.state_names) for each in self.stress)
        mean, square = _moments(np.stack(parts, -1), points, samples)
        expected = None if from_energy is None else from_energy.mean(2)
        return Response(mean, square if of_states else None, energy, expected)


def _moments(values: FloatArray, points: int, samples: int) -> tuple[FloatArray, FloatArray]:
    """Return mean and mean square over replicas of a point, ``(n, n_point, n_σ)``."""
    instants, sites, count, size = values.shape
    split = values.reshape(instants, points, sites // points, count // samples, samples, size)
    by_replica = split.mean((2, 4))
    return by_replica.mean(2), np.square(by_replica).mean(2)


def _stacked(rules: Sequence[Expression], names: InstantNames) -> FloatArray:
    known, length = names.flat(), len(names.series["t"])
    parts = [np.broadcast_to(np.asarray(rule.value(known), np.float64), length) for rule in rules]
    return np.stack(parts, 1)


def _slopes(rules: Sequence[Expression], names: InstantNames) -> FloatArray | None:
    """Return slopes over t, None where an expression depends on other series."""
    known, others = names.flat(), set(names.series) - {"t"}
    if any(rule.names & others for rule in rules):
        return None
    length = len(names.series["t"])
    parts = [
        np.broadcast_to(np.asarray(rule.slope(known, "t"), np.float64), length) for rule in rules
    ]
    return np.stack(parts, 1)
