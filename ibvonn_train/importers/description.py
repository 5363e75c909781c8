"""The [import] table: what trajectories lack to be a record (CONVENTIONS.md, docs/how-to)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

from ..files.toml_tables import ConfigError, build, read_table, shown
from .expressions import CONSTANTS, FUNCTIONS, Expression


@dataclass(frozen=True)
class ParticleLayout:
    """Which particles of which files are replicas of which protocol.

    Attributes:
        replicas: In one file; 0 takes one for each particle, and of bonds one for each file.
        files: Files of one protocol, one after the other on the command line, whose replicas are
            put side by side.
        window: Stored instants of a long run that make one replica each; 0 takes the run whole.
        order: What ids count first: the particles of one "replica", or one "element" through all
            replicas.
        particles: First and last of the particles to take, counted from 1 in the order of the ids.
        types: Types of the particles to take.
        group: Of particles in an H5MD file.
    """

    replicas: int = 0
    files: int = 1
    window: int = 0
    order: Literal["replica", "element"] = "replica"
    particles: Sequence[int] = ()
    types: Sequence[int] = ()
    group: str = ""

    def __post_init__(self) -> None:
        for name, least in (("replicas", 0), ("files", 1), ("window", 0)):
            if getattr(self, name) < least:
                raise ConfigError(
                    f"[import.layout]: {name} must be at least {least}; got {getattr(self, name)}."
                )
        first_last = tuple(self.particles)
        if first_last and not (len(first_last) == 2 and 1 <= first_last[0] <= first_last[1]):
            raise ConfigError(
                "[import.layout]: particles must be the first and the last one, counted from 1; "
                f"got {list(first_last)}."
            )


@dataclass(frozen=True)
class StoredTimes:
    """When the frames were stored.

    Attributes:
        time_step: Of the integrator; 0 where it is not known or follows from the file.
        every: Steps of the integrator between frames, where the file does not count them (DCD).
        zero: Whether t is the time of the "file" or begins with the "first" instant that is taken.
        uneven: Whether intervals may differ; else an interval that does is a gap.
        skip: Frames at the beginning that are left out.
        thin: Every how many frames one is taken.
    """

    time_step: float = 0.0
    every: int = 0
    zero: Literal["file", "first"] = "file"
    uneven: bool = False
    skip: int = 0
    thin: int = 1

    def __post_init__(self) -> None:
        for name, least in (("time_step", 0), ("every", 0), ("skip", 0), ("thin", 1)):
            if getattr(self, name) < least:
                raise ConfigError(
                    f"[import.time]: {name} must be at least {least}; got {getattr(self, name)}."
                )


@dataclass(frozen=True)
class MicrostateRule:
    """What of the particles is the microstate, in lengths; it is divided by ``reference_length``.

    Attributes:
        coordinates: One expression of the columns of a particle for each component.
        bonds: In place of coordinates "chain", "ring", or pairs of particles of a replica, counted
            from 1.
        elongation: One expression of dx, dy, dz and r of a bond for each component.
        elements: Whether the elements of a replica are like "samples" of one point, or "points" of
            their own, as the springs of a chain are.
        class_of: Class of each element, counted from 1, repeated through the replica.
        mass: Of a particle, where its momenta are simulated too.
        precision: Of the microstates in the file that is written.
    """

    coordinates: Sequence[str] = ()
    bonds: Any = ()
    elongation: Sequence[str] = ("r - rest_length",)
    elements: Literal["samples", "points"] = "samples"
    class_of: Sequence[int] = ()
    mass: float = 0.0
    precision: Literal["float32", "float64"] = "float32"

    def __post_init__(self) -> None:
        if bool(self.coordinates) == bool(self.bonds):
            raise ConfigError(
                "[import.microstate]: must have either coordinates or bonds; found "
                f"{'both' if self.bonds else 'neither'}."
            )
        if self.mass < 0:
            raise ConfigError(f"[import.microstate]: mass must be positive; got {self.mass}.")
        if isinstance(self.bonds, str) and self.bonds not in ("chain", "ring"):
            raise ConfigError(
                "[import.microstate]: bonds must be 'chain', 'ring' or a list of pairs; got "
                f"{shown(self.bonds)}."
            )
        if isinstance(self.bonds, list):
            for pair in self.bonds:
                two = isinstance(pair, list) and len(pair) == 2
                if not (two and all(type(i) is int and i > 0 for i in pair)):
                    raise ConfigError(
                        "[import.microstate]: bonds must be pairs of particles of a replica, "
                        f"counted from 1; got {shown(pair)}."
                    )

    @property
    def size(self) -> int:
        """n_x."""
        return len(self.coordinates or self.elongation)


@dataclass(frozen=True)
class LoadRule:
    """What drove the simulation, and what answered: expressions, one for each component.

    Attributes:
        strain_kind: "controlled" or "averaged", where the strain is the mean of the microstate.
        strain: ε of t, step, columns of the table, parameters and values of the protocol.
        strain_rate: ε̇; where the strain is an expression of t alone it is not needed.
        stress: σ, of the same names and of x (x1, x2, …), over which its mean is taken.
        energy: e of one element, of x and strain; where no stress is given, its slope is.
        table: Name of the table beside a trajectory, with {stem} for the name of the trajectory.
        drive: What drives: the strain, or the "end" of a chain that is moved or pulled by "force".
        control: λ of a chain.
        control_rate: λ̇.
        force: On the end of a chain, where it is not that of the last spring and the drag.
    """

    strain_kind: Literal["controlled", "averaged"] = "controlled"
    strain: Any = ()
    strain_rate: Any = ()
    stress: Any = ()
    energy: str = ""
    table: str = ""
    drive: Literal["strain", "end", "force"] = "strain"
    control: str = ""
    control_rate: str = ""
    force: str = ""

    def __post_init__(self) -> None:
        for name in ("strain", "strain_rate", "stress"):
            given = getattr(self, name)
            texts = [given] if isinstance(given, str) else list(given)
            if not all(isinstance(text, str) for text in texts):
                raise ConfigError(
                    f"[import.load]: {name} must be an expression or a list of one for each "
                    f"component; got {shown(given)}."
                )
            object.__setattr__(self, name, tuple(texts))
        if self.strain_kind == "controlled" and not self.strain:
            raise ConfigError(
                "[import.load]: strain must be given where it is controlled: an expression of t, "
                "or a column of the table."
            )
        if self.strain_rate and len(self.strain_rate) != len(self.strain):
            raise ConfigError(
                "[import.load]: strain_rate must have the components of strain, "
                f"{len(self.strain)}; got {len(self.strain_rate)}."
            )
        if (self.drive == "strain") == bool(self.control):
            raise ConfigError(
                "[import.load]: control must be given for a chain that is driven by its end or by "
                f"force, and for nothing else; drive is {self.drive!r}."
            )


@dataclass(frozen=True)
class StudyDescription:
    """What trajectories lack.

    Attributes:
        system: Name of the microscopic system; that of a known one gives its energy.
        seed: Of the simulation, where it is known.
        layout: Replicas, sites, order.
        time: When frames were stored.
        microstate: What of the particles.
        load: Strain, stress, energy.
        values: Name → one number for each protocol.
        parameters: ``friction`` and ``thermal_energy``, ``reference_length`` and further ones.
        units: Quantity → unit.
        classes: Names of the classes of elements.
        strain_basis: A of each class.
        strain_names: Of the components.
        stress_names: Of the components.
        strain_measure: In words.
    """

    system: str
    microstate: MicrostateRule
    load: LoadRule
    parameters: dict[str, Any]
    seed: int = -1
    layout: ParticleLayout = field(default_factory=ParticleLayout)
    time: StoredTimes = field(default_factory=StoredTimes)
    values: dict[str, Any] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    classes: Sequence[str] = ()
    strain_basis: Any = None
    strain_names: Sequence[str] = ()
    stress_names: Sequence[str] = ()
    strain_measure: str = ""

    def __post_init__(self) -> None:
        for key in ("friction", "thermal_energy"):
            if key not in self.parameters:
                raise ConfigError(
                    f"[import.parameters]: {key} is required; found {sorted(self.parameters)}."
                )
        for name in {*self.parameters, *self.values}:
            if name in FUNCTIONS or name in CONSTANTS or not name.isidentifier():
                raise ConfigError(
                    f"[import]: {name!r} must be a name that expressions can use; choose another."
                )
        if len(self.classes) != len(set(self.microstate.class_of) or {1}) and self.classes:
            raise ConfigError(
                f"[import]: classes must name the {len(set(self.microstate.class_of) or {1})} "
                f"classes of class_of; found {list(self.classes)}."
            )

    @classmethod
    def from_toml(cls, path: str | Path) -> Self:
        """Read the [import] table; the other tables belong to other commands.

        Raises:
            ConfigError: If a key is unknown, missing or cannot be used.
        """
        try:
            return build(cls, read_table(path, "import"), "import")
        except ConfigError as error:
            text = str(error)
            raise error if text.startswith(str(path)) else ConfigError(f"{path}: {text}") from error

    def constants(self, protocol: int) -> dict[str, float]:
        """Return the numbers that expressions of a protocol know."""
        numbers = {
            key: float(value)
            for key, value in self.parameters.items()
            if isinstance(value, int | float) and not isinstance(value, bool)
        }
        return {**numbers, **{name: float(each[protocol]) for name, each in self.values.items()}}

    def require_protocols(self, count: int) -> None:
        """Raise :class:`ConfigError` unless every value is given for every protocol."""
        for name, each in self.values.items():
            numbers = isinstance(each, list) and all(type(v) in (int, float) for v in each)
            if not numbers or len(each) != count:
                raise ConfigError(
                    f"[import.values]: {name} must be a list of one number for each of the {count} "
                    f"protocols, in the order of the trajectories; got {shown(each)}."
                )


def expressions(texts: Sequence[str], place: str) -> tuple[Expression, ...]:
    """Return the expressions of several components."""
    return tuple(Expression(text, f"[import.{place}]") for text in texts)
