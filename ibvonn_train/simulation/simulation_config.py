"""Configuration of microsimulations: the [simulation] table of a TOML.

A study has one system and several named sets of protocols, each simulated with a seed of its own
and written to a file of its own::

    [simulation]
    system = "tethered_particle"
    time_step = 0.01
    replicas = 4000

    [[simulation.sets]]
    name = "train"
    seed = 1
    duration = 3.0
    protocols = [{ kind = "smooth_pull", speed = [0.5, 0.75, 1.0], sine = 2.0, frequency = 1.0 }]

A list as the value of a number makes one protocol for each entry.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from ..files.toml_tables import ConfigError, build, read_table, require_plain_name


@dataclass(frozen=True)
class SetConfig:
    """One set of protocols.

    Attributes:
        name: Name of the file.
        seed: Of all its random numbers; different sets need different seeds.
        duration: Length of the record [time].
        protocols: Tables with `kind` and the arguments of that protocol, or `kind = "paper"` with
            `part` train, test or extrapolation, or `kind = "training_set"` or "test_set".
        stride: Integrator steps between stored instants.
        record: "samples" keeps every microstate, "histogram" their weights on nodes, made while
            simulating; "auto" keeps samples while they are few.
        replicas: Of each protocol, where it is not that of all sets: data to test a law on need a
            smaller sampling error than data to train on.
    """

    name: str
    seed: int
    duration: float
    protocols: tuple[dict[str, Any], ...]
    stride: int = 1
    record: Literal["auto", "samples", "histogram"] = "auto"
    replicas: int | None = None

    def __post_init__(self) -> None:
        require_plain_name("simulation.sets.name", self.name)
        if self.replicas is not None and self.replicas < 1:
            raise ConfigError(
                f"simulation.sets.{self.name}: replicas must be at least 1; got {self.replicas}."
            )
        if self.duration <= 0 or self.stride < 1:
            raise ConfigError(
                f"simulation.sets.{self.name}: duration must be positive and stride at least 1; "
                f"got {self.duration} and {self.stride}."
            )


@dataclass(frozen=True)
class SimulationConfig:
    """A study; engine, device and precision are arguments of `run_set`.

    Attributes:
        system: "tethered_particle", "double_well_chain", "unfolding_chain", or "FILE.py:CLASS" for
            a system of one's own, FILE relative to the TOML.
        time_step: Δt of the integrator [time].
        replicas: Number of replicas of each protocol of the sets that do not say their own.
        parameters: Parameters of the system other than its defaults.
        sets: Sets of protocols.
    """

    FORMER_KEYS: ClassVar[Mapping[str, str]] = {
        "duration": "is a key of each of [[simulation.sets]] now",
        "stride": "is a key of each of [[simulation.sets]] now",
        "engine": "is now an argument of simulate and the option --engine",
        "device": "is now an argument of simulate and the option --device",
        "dtype": "is now an argument of simulate and the option --dtype",
    }

    system: str
    time_step: float
    replicas: int
    parameters: dict[str, Any] = field(default_factory=dict)
    sets: tuple[SetConfig, ...] = ()

    def __post_init__(self) -> None:
        names, seeds = [s.name for s in self.sets], [s.seed for s in self.sets]
        if not names or len(set(names)) < len(names) or len(set(seeds)) < len(seeds):
            raise ConfigError(
                "simulation.sets: must be one or more sets that differ in name and in seed; got "
                f"names {names} and seeds {seeds}."
            )

    @classmethod
    def from_toml(cls, path: str | Path) -> SimulationConfig:
        """Read the ``[simulation]`` table of a TOML file.

        Raises:
            ConfigError: If there is no such table, a key is unknown, or a value is wrong.
        """
        try:
            return build(cls, read_table(path, "simulation"), "simulation")
        except ConfigError as error:
            raise ConfigError(f"{path}: {str(error).removeprefix(f'{path}: ')}") from None

    def pick(self, name: str) -> SetConfig:
        """Return the set of that name.

        Raises:
            ConfigError: If there is none.
        """
        for protocol_set in self.sets:
            if protocol_set.name == name:
                return protocol_set
        raise ConfigError(
            f"simulation.sets: has no set {name!r}; its sets are {[s.name for s in self.sets]}."
        )
