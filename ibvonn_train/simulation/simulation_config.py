"""Configuration of microsimulations: the [simulation] table of a TOML.

A study has one system and several named sets of protocols, each simulated with a seed of its own
and written to a file of its own::

    [simulation]
    system = "tethered_particle"
    duration = 3.0
    time_step = 0.01
    replicas = 4000

    [[simulation.sets]]
    name = "train"
    seed = 1
    protocols = [{ kind = "smooth_pull", speed = [0.5, 0.75, 1.0], sine = 2.0, frequency = 1.0 }]

A list as the value of a number makes one protocol for each entry.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..files.toml_tables import ConfigError, build, read_table, require_plain_name
from .simulate_ensemble import Engine


@dataclass(frozen=True)
class SetConfig:
    """One set of protocols.

    Attributes:
        name: Name of the file.
        seed: Of all its random numbers; different sets need different seeds.
        protocols: Tables with `kind` and the arguments of that protocol, or `kind = "paper"` with
            `part` train, test or extrapolation, or `kind = "rich_family"` or "unseen_family".
        duration, replicas, stride: Other than those of the study, where they are positive.
    """

    name: str
    seed: int
    protocols: tuple[dict[str, Any], ...]
    duration: float = 0.0
    replicas: int = 0
    stride: int = 0

    def __post_init__(self) -> None:
        require_plain_name("simulation.sets.name", self.name)
        if min(self.duration, self.replicas, self.stride) < 0:
            raise ConfigError(
                f"simulation.sets.{self.name}: duration, replicas and stride must not be negative; "
                f"got {self.duration}, {self.replicas} and {self.stride}."
            )


@dataclass(frozen=True)
class SimulationConfig:
    """A study.

    Attributes:
        system: "tethered_particle", "double_well_chain", "unfolding_chain", or "FILE.py:CLASS" for
            a system of one's own, FILE relative to the TOML.
        duration: Length of the record [time].
        time_step: Δt of the integrator [time].
        replicas: Number of replicas of each protocol.
        stride: Integrator steps between stored instants.
        parameters: Parameters of the system other than its defaults.
        engine: "auto", "torch" or "compiled".
        device: Device of the torch engine.
        dtype: "float32" or "float64".
        sets: Sets of protocols.
    """

    system: str
    duration: float
    time_step: float
    replicas: int
    stride: int = 1
    parameters: dict[str, Any] = field(default_factory=dict)
    engine: Engine = "auto"
    device: str = "cpu"
    dtype: Literal["float32", "float64"] = "float32"
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
        for each in self.sets:
            if each.name == name:
                return each
        raise ConfigError(
            f"simulation.sets: has no set {name!r}; its sets are {[s.name for s in self.sets]}."
        )
