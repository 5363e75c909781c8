"""Configuration of a training run: frozen dataclasses, read from the [training] table of a TOML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from ..files.toml_tables import ConfigError as ConfigError
from ..files.toml_tables import build, plain, read_table, require_plain_name, shown

KINDS = ("populations", "means")


@dataclass(frozen=True)
class ExpertConfig:
    """What an expert may override; every default serves all systems of this project.

    Attributes:
        width: Units of one class in each of the two hidden layers of f; the networks of ψ and φ are
            scaled with it, see :func:`~ibvonn_train.training.build_law.build_law`.
        nodes: Number of nodes on which microstates of one dimension are binned.
        batch: Windows in each step of *identify*, times the number of classes of elements.
        identify_steps: Adam steps of *identify*; the fit of f and φ before it has 2.5 times as many
            iterations of L-BFGS at most.
        polish_steps: Iterations of *polish* at most; 0 leaves the stage out.
        density_steps: Adam steps of *density*; 0 leaves the stage out.
        learning_rate: Largest rate of Adam; three times this for the density of a mixture.
        tolerance: Error that counts as none beside the sampling error, in standard deviations of
            the quantity.
        likelihood: Weight of the decoder's −⟨ln q⟩ in the loss that shapes ψ; 0 trains the decoder
            afterwards only.
    """

    width: int = 16
    nodes: int = 160
    batch: int = 200
    identify_steps: int = 600
    polish_steps: int = 400
    density_steps: int = 1000
    learning_rate: float = 1e-2
    tolerance: float = 0.005
    likelihood: float = 1.0

    def __post_init__(self) -> None:
        least = {"width": 4, "nodes": 8, "batch": 1, "identify_steps": 1}
        least |= {"polish_steps": 0, "density_steps": 0}
        for name, bound in least.items():
            if getattr(self, name) < bound:
                raise ConfigError(
                    f"training.expert.{name}: must be at least {bound}; got {getattr(self, name)}."
                )
        if not (self.learning_rate > 0 and self.tolerance > 0 and self.likelihood >= 0):
            raise ConfigError(
                "training.expert: learning_rate and tolerance must be positive and likelihood not "
                f"negative; got {self.learning_rate}, {self.tolerance} and {self.likelihood}."
            )


_STAGES = (
    'is no longer needed: one recipe serves all systems. Leave it out; internal = "auto", or for '
    "example { populations = 2 }, says what is learned"
)


@dataclass(frozen=True)
class TrainingConfig:
    """What is learned; where and with how many threads are arguments of `train`.

    Attributes:
        name: Name of the model.
        seed: Seed of every random number of the run.
        internal: "auto", or a table: `populations` = number of states of a population, or a list of
            such numbers, `means` = number of means of unbounded features; each class of elements
            has them.
        expert: What is rarely changed.
    """

    FORMER_KEYS: ClassVar[Mapping[str, str]] = {
        "stages": _STAGES,
        "internal_size": "is now internal, for example { means = 1 } or { populations = 2 }",
        "entropic_barriers": "is no longer needed: populations have their mixing entropy exactly",
        "width": "is now a key of [training.expert]",
        "nodes": "is now a key of [training.expert]",
        "decoder": "is no longer a choice: the decoder is a conditional flow",
        "data": "is no longer a table: 'nodes' is a key of [training.expert], and 'validation' an "
        "argument of train and the option --validation",
        "model": "is no longer a table: internal says what is learned, and [training.expert] has "
        "'width'",
        "device": "is now an argument of train and the option --device",
        "threads": "is now an argument of train and the option --threads",
        "checkpoint_every": "is now an argument of train",
    }

    name: str = "model"
    seed: int = 0
    internal: str | dict[str, Any] = "auto"
    expert: ExpertConfig = field(default_factory=ExpertConfig)

    def __post_init__(self) -> None:
        require_plain_name("training.name", self.name)
        if not 0 <= self.seed < 2**50:
            raise ConfigError(
                f"training.seed: must lie between 0 and 2^50 - 1; got {shown(self.seed)}."
            )
        if self.internal != "auto":
            self._require_table()

    @property
    def populations(self) -> tuple[int, ...]:
        """Numbers of states of the populations that the table names."""
        states = self._table.get("populations", [])
        return tuple(states) if isinstance(states, list | tuple) else (states,)

    @property
    def means(self) -> int:
        """Number of means that the table names."""
        number: int = self._table.get("means", 0)
        return number

    @property
    def _table(self) -> dict[str, Any]:
        return self.internal if isinstance(self.internal, dict) else {}

    def _require_table(self) -> None:
        table = self.internal
        if not isinstance(table, dict) or not set(table) <= set(KINDS):
            raise ConfigError(
                "training.internal: must be \"auto\" or a table with 'populations' (a number of "
                "states of at least 2, or a list of such numbers) and 'means' (a number); got "
                f"{shown(table)}."
            )
        whole = [*self.populations, self.means]
        if not self.populations and not self.means:
            raise ConfigError(
                "training.internal: must name at least one internal variable, for example "
                f"{{ means = 1 }}; got {shown(table)}."
            )
        if any(isinstance(n, bool) or not isinstance(n, int) for n in whole) or (
            any(m < 2 for m in self.populations) or self.means < 0
        ):
            raise ConfigError(
                "training.internal: populations must have at least 2 states and means must be 0 or "
                f"more, all whole numbers; got {shown(table)}."
            )

    def resolved(self) -> dict[str, Any]:
        """Return every value, defaults included, as plain lists, numbers and text."""
        table: dict[str, Any] = plain(asdict(self))
        return table

    @classmethod
    def from_dict(cls, table: dict[str, Any]) -> TrainingConfig:
        """Build from nested tables, e.g. those of a TOML.

        Raises:
            ConfigError: If a key is unknown (the nearest known one is named) or a value is of the
                wrong type.
        """
        return build(cls, table, "training")

    @classmethod
    def from_toml(cls, path: str | Path) -> TrainingConfig:
        """Read the ``[training]`` table of a TOML file; other tables belong to other commands.

        Raises:
            ConfigError: If the file has no such table, is not TOML, or `from_dict` refuses it.
        """
        table = read_table(path, "training")
        try:
            return cls.from_dict(table)
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from None
