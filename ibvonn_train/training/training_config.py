"""Configuration of a training run: frozen dataclasses, read from the [training] table of a TOML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from ..files.toml_tables import ConfigError as ConfigError
from ..files.toml_tables import build, plain, read_table, require_plain_name, shown

PARTS = ("encoder", "decoder", "energy", "dissipation")
"""Parts of a law that a stage may train."""


@dataclass(frozen=True)
class LossWeights:
    """Weight of each term of the loss; a term of weight 0 is not computed.

    Attributes:
        stress: |∂f/∂ε − σ|²/Var σ.
        weak_form: Weak form of α̇ = ∂φ/∂g, divided by Var α̇.
        negative_log_likelihood: −⟨ln q⟩ per replica.
        free_energy_consistency: Var(f − F_flow)/Var(F_flow).
        driving_force_consistency: |g − g_flow|²/Var(g_flow) with g_flow = −∂F_flow/∂α.
        equilibrium: |(∂²f/∂α²)⁻¹g|², the distance from rest in standard deviations of α, and the
            square error of σ over Var σ, at the relaxed states that the microscopic energy implies
            over the mean strains of the data.
        translation_invariance: ⟨ψ'⟩² in the units of α and ε: freezes α under rigid translation
            (averaged strain).
        fluctuation: |φ'' − M⟨ψ'ψ'ᵀ⟩Mᵀ/η|², relative: the mobility that the noise of α implies. For
            controlled strain and a frozen encoder.
        rollout: Roll-outs from encoded states over windows of the data, in all drive modes.
        tracking: Roll-outs of α over windows under the measured strain, by implicit steps: for
            records that are coarse against the relaxation of α.
    """

    FORMER_KEYS: ClassVar[Mapping[str, str]] = {
        "weak": "is now called 'weak_form'",
        "likelihood": "is now called 'negative_log_likelihood'",
        "tie": "is now called 'free_energy_consistency'",
        "tie_gradient": "is now called 'driving_force_consistency'",
        "gauge": "is now called 'translation_invariance'",
        "internal": "is now the key 'internal_weight' of the stage",
    }

    stress: float = 1.0
    weak_form: float = 0.1
    negative_log_likelihood: float = 0.0
    free_energy_consistency: float = 0.0
    driving_force_consistency: float = 0.0
    equilibrium: float = 0.0
    translation_invariance: float = 0.0
    fluctuation: float = 0.0
    rollout: float = 0.0
    tracking: float = 0.0


@dataclass(frozen=True)
class StageConfig:
    """One stage of the training: an optimiser, what it trains and on which loss.

    Attributes:
        name: Shown in the log.
        optimiser: "adam" (one-cycle learning rate) or "lbfgs" (strong Wolfe).
        steps: Adam steps, or L-BFGS iterations.
        train: Parts that are trained; the others are frozen.
        learning_rate: Largest rate of Adam.
        loss: Weights.
        trajectories: Trajectories in each Adam step; 0 = all.
        states: States on which the decoder is evaluated in each Adam step, or throughout L-BFGS.
        window: Length of the roll-outs, in stored steps; 0 = the whole duration.
        starts: Random starts of windows in each Adam step; L-BFGS takes all, half a window apart.
        substeps: Implicit steps between stored instants: for loss.tracking, and for loss.rollout of
            chains whose records are coarse against the scheme.
        internal_weight: Weight of the error of α in loss.rollout; strain and stress have 1.
    """

    name: str
    optimiser: Literal["adam", "lbfgs"]
    steps: int
    train: tuple[str, ...] = PARTS
    learning_rate: float = 1e-2
    loss: LossWeights = field(default_factory=LossWeights)
    trajectories: int = 0
    states: int = 128
    window: int = 0
    starts: int = 2
    substeps: int = 2
    internal_weight: float = 1.0

    def __post_init__(self) -> None:
        for part in self.train:
            if part not in PARTS:
                raise ConfigError(
                    f"stage {self.name!r}: train must name parts of {PARTS}; got {part!r}."
                )
        if min(self.steps, self.states, self.starts, self.substeps) < 1 or self.window < 0:
            raise ConfigError(
                f"stage {self.name!r}: steps, states, starts and substeps must be at least 1, "
                f"window not negative; got {self.steps}, {self.states}, {self.starts}, "
                f"{self.substeps}, {self.window}."
            )
        if self.loss.driving_force_consistency and "encoder" in self.train:
            raise ConfigError(
                f"stage {self.name!r}: loss.driving_force_consistency needs a frozen encoder; "
                "leave it out of train in this stage, or set the weight to 0."
            )


@dataclass(frozen=True)
class TrainingConfig:
    """What is learned, and how; where and with how many threads are arguments of `train`.

    Attributes:
        name: Name of the model.
        seed: Seed of every random number of the run.
        internal_size: Number n_α of internal variables. With an averaged strain, all but the first
            are means of features of x − ⟨x⟩: frozen under rigid translation by construction.
        width: Units in each of the two hidden layers of f; the networks of ψ and φ are scaled with
            it, see :func:`~ibvonn_train.training.build.build_law`.
        decoder: "flow" or "mixture" (of Gaussians, for microstates of one dimension).
        entropic_barriers: Further units of f at each end of each α, placed where loss.equilibrium
            first counts: for two-state systems, whose entropy of mixing has infinite slopes there.
        nodes: Number of nodes on which microstates of one dimension are binned.
        stages: In order.
    """

    FORMER_KEYS: ClassVar[Mapping[str, str]] = {
        "data": "is no longer a table: its 'nodes' is a key of [training], and 'validation' an "
        "argument of train and the option --validation",
        "model": "is no longer a table: 'internal_size', 'decoder' and 'entropic_barriers' (once "
        "'walls') are keys of [training], and 'width' sets the sizes of the networks",
        "device": "is now an argument of train and the option --device",
        "threads": "is now an argument of train and the option --threads",
        "checkpoint_every": "is now an argument of train",
    }

    name: str = "model"
    seed: int = 0
    internal_size: int = 1
    width: int = 20
    decoder: Literal["flow", "mixture"] = "flow"
    entropic_barriers: int = 0
    nodes: int = 320
    stages: tuple[StageConfig, ...] = ()

    def __post_init__(self) -> None:
        require_plain_name("training.name", self.name)
        if not 0 <= self.seed < 2**50:
            raise ConfigError(
                f"training.seed: must lie between 0 and 2^50 - 1; got {shown(self.seed)}."
            )
        if self.width < 4 or self.nodes < 8 or self.internal_size < 0:
            raise ConfigError(
                "training: width must be at least 4, nodes 8, and internal_size not negative; got "
                f"{self.width}, {self.nodes} and {self.internal_size}."
            )
        names = [stage.name for stage in self.stages]
        if len(set(names)) < len(names):
            raise ConfigError(f"stages: names must differ; got {names}.")
        if self.entropic_barriers < 0 or (self.entropic_barriers and not self.internal_size):
            raise ConfigError(
                "training.entropic_barriers: must not be negative, and needs internal variables; "
                f"got {self.entropic_barriers} and internal_size = {self.internal_size}."
            )
        if self.entropic_barriers and self.stage_of_barriers is None:
            raise ConfigError(
                f"training.entropic_barriers = {self.entropic_barriers}: needs a stage with "
                "loss.equilibrium, which places them; found none."
            )

    @property
    def stage_of_barriers(self) -> int | None:
        """Index of the stage that begins with placing entropic barrier units.

        It is the first stage with loss.equilibrium; None without such units.
        """
        with_term = (i for i, stage in enumerate(self.stages) if stage.loss.equilibrium)
        return next(with_term, None) if self.entropic_barriers else None

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
