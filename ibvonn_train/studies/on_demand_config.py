"""The tables of a study of learning on demand: [simulation], [training] and [on_demand]."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ..files.toml_tables import ConfigError, build, plain, read_table
from ..simulation.simulation_config import SimulationConfig
from ..training.training_config import TrainingConfig

PLACES = ("{model}", "{histories}", "{folder}")


@dataclass(frozen=True)
class OnDemandConfig:
    """What is learned on demand, and with which budget.

    Attributes:
        analysis: Command of the analysis, run in the folder of the TOML. ``{model}``,
            ``{histories}`` and ``{folder}`` stand for the exported law, the file of histories that
            it has to write, and the folder of the round.
        start: Names of the sets of [simulation] that the first law learns from.
        rounds: Laws that are trained after the first one at most.
        simulations: New paths in all at most.
        paths: New paths of a round at most.
        checked: Points that are checked in each round, at least 2; the one of the largest excursion
            from the training range is among them.
        check_replicas: Of each of these.
        tolerance: Largest error of the stress that passes, in % of the largest stress.
        replicas: Of each new path; 0 stands for those of [simulation].
        instants: Stored of a new path, about.
        warm_steps: Part of the steps of [training.expert] when a law goes on from the last one.
        seed: Of checks and new paths.
    """

    analysis: tuple[str, ...]
    start: tuple[str, ...]
    rounds: int = 4
    simulations: int = 20
    paths: int = 5
    checked: int = 8
    check_replicas: int = 32
    tolerance: float = 2.0
    replicas: int = 0
    instants: int = 100
    warm_steps: float = 0.5
    seed: int = 1

    def __post_init__(self) -> None:
        words = " ".join(self.analysis)
        if not all(place in words for place in PLACES[:2]):
            raise ConfigError(
                "on_demand.analysis: must be a command, a list of texts, with {model} and "
                f"{{histories}} in it; found {list(self.analysis)}."
            )
        least = {"rounds": 1, "simulations": 1, "paths": 1, "checked": 2, "check_replicas": 8,
                 "replicas": 0, "instants": 20, "seed": 0}  # fmt: skip
        for name, bound in least.items():
            if getattr(self, name) < bound:
                raise ConfigError(
                    f"on_demand.{name}: must be at least {bound}; found {getattr(self, name)}."
                )
        if not (self.tolerance > 0.0 and 0.0 < self.warm_steps <= 1.0):
            raise ConfigError(
                "on_demand: tolerance must be positive and warm_steps in (0, 1]; found "
                f"{self.tolerance} and {self.warm_steps}."
            )
        if not self.start:
            raise ConfigError("on_demand.start: must name a set of [simulation] at least.")


@dataclass(frozen=True)
class OnDemandStudy:
    """A study and where its files are.

    Attributes:
        simulation: System, and the sets to start from.
        training: Of every law.
        on_demand: Analysis and budget.
        folder: Of the TOML: its files, and where the analysis runs.
    """

    simulation: SimulationConfig
    training: TrainingConfig
    on_demand: OnDemandConfig
    folder: Path

    @classmethod
    def from_toml(cls, path: str | Path) -> OnDemandStudy:
        """Read a study.

        Raises:
            ConfigError: If a table is missing, a key is unknown, or a value is wrong.
        """
        path = Path(path)
        try:
            on_demand = build(OnDemandConfig, read_table(path, "on_demand"), "on_demand")
        except ConfigError as error:
            raise ConfigError(f"{path}: {str(error).removeprefix(f'{path}: ')}") from None
        simulation = SimulationConfig.from_toml(path)
        for name in on_demand.start:
            simulation.pick(name)
        return cls(simulation, TrainingConfig.from_toml(path), on_demand, path.resolve().parent)

    def record(self) -> dict[str, Any]:
        """Return what decides the laws and data of a run, as plain values."""
        simulation: dict[str, Any] = plain(asdict(self.simulation))
        settings = {
            name: getattr(self.on_demand, name)
            for name in ("replicas", "instants", "warm_steps", "seed")
        }
        return {
            "simulation": simulation,
            "training": self.training.resolved(),
            "analysis": list(self.on_demand.analysis),
            "start": list(self.on_demand.start),
            **settings,
        }

    def warm_training(self) -> TrainingConfig:
        """Return the training of a law that goes on from the last one: fewer steps."""
        part, expert = self.on_demand.warm_steps, self.training.expert
        return replace(
            self.training,
            expert=replace(
                expert,
                identify_steps=max(1, round(part * expert.identify_steps)),
                polish_steps=round(part * expert.polish_steps),
                density_steps=round(part * expert.density_steps),
            ),
        )

    def command(self, **places: Path) -> Sequence[str]:
        """Return the command of the analysis with its places filled in."""
        words = []
        for word in self.on_demand.analysis:
            for name, path in places.items():
                word = word.replace(f"{{{name}}}", str(path))
            words.append(word)
        return words
