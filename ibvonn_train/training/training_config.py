"""Configuration of a training run: frozen dataclasses, read from the [training] table of a TOML."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..files.toml_tables import ConfigError as ConfigError
from ..files.toml_tables import build, plain, read_table, require_plain_name, shown

PARTS = ("encoder", "decoder", "energy", "dissipation")
"""Parts of a law that a stage may train."""


@dataclass(frozen=True)
class ModelConfig:
    """Sizes of the networks.

    Attributes:
        internal_size: Number n_α of internal variables.
        centred_features: How many of them are means of features of x − ⟨x⟩: frozen under rigid
            translation by construction (averaged strain).
        encoder_widths: Hidden layers of ψ.
        encoder_gain: Factor on ψ's initial first layer; above 1 where microstates have structure
            that is fine against their range.
        energy_widths: Hidden layers of f.
        walls: Further units of f at each end of each α, placed where loss.equilibrium first counts:
            for two-state systems, whose entropy of mixing has infinite slopes there.
        ridges: Number of softplus ridges of φ; 0 makes φ quadratic in g.
        context_widths: Hidden layers of φ's network of the state.
        decoder: "flow" or "mixture".
        flow_hidden, flow_blocks, flow_bins, flow_bound: Masked networks and spline of the flow.
        mixture_components, mixture_widths: Gaussians of the mixture and its network's layers.
    """

    internal_size: int = 1
    centred_features: int = 0
    encoder_widths: tuple[int, ...] = (10, 10)
    encoder_gain: float = 1.0
    energy_widths: tuple[int, ...] = (20, 20)
    walls: int = 0
    ridges: int = 8
    context_widths: tuple[int, ...] = (16, 16)
    decoder: Literal["flow", "mixture"] = "flow"
    flow_hidden: int = 16
    flow_blocks: int = 1
    flow_bins: int = 8
    flow_bound: float = 4.0
    mixture_components: int = 8
    mixture_widths: tuple[int, ...] = (16, 16)

    def __post_init__(self) -> None:
        if not 0 <= self.centred_features <= self.internal_size:
            raise ConfigError(
                "training.model: centred_features must lie between 0 and internal_size = "
                f"{self.internal_size}; got {self.centred_features}."
            )
        if self.walls < 0 or (self.walls and not (self.energy_widths and self.internal_size)):
            raise ConfigError(
                "training.model: walls must not be negative, and need energy_widths and internal "
                f"variables; got {self.walls}, {list(self.energy_widths)} and {self.internal_size}."
            )


@dataclass(frozen=True)
class DataConfig:
    """What of the data is used, and how.

    Attributes:
        protocols: Indices of the training protocols; empty = all. Test protocols are left out here
            and never read.
        validation: Indices, among all, of protocols held out to judge choices.
        nodes: Number of nodes on which microstates of one dimension are binned.
        samples: Number of replicas kept where microstates have more dimensions.
        weak_widths: Widths, in stored steps, of the test functions of the weak form.
    """

    protocols: tuple[int, ...] = ()
    validation: tuple[int, ...] = ()
    nodes: int = 320
    samples: int = 512
    weak_widths: tuple[int, ...] = (20, 60)

    def __post_init__(self) -> None:
        if self.nodes < 8 or self.samples < 2 or min(self.weak_widths, default=1) < 1:
            raise ConfigError(
                "training.data: nodes must be at least 8, samples 2 and each of weak_widths 1; got "
                f"{self.nodes}, {self.samples} and {list(self.weak_widths)}."
            )


@dataclass(frozen=True)
class LossWeights:
    """Weight of each term of the loss; a term of weight 0 is not computed.

    Attributes:
        stress: |∂f/∂ε − σ|²/Var σ.
        weak: Weak form of α̇ = ∂φ/∂g, divided by Var α̇.
        likelihood: −⟨ln q⟩ per replica.
        tie: Var(f − F_flow)/Var(F_flow).
        tie_gradient: |g − g_flow|²/Var(g_flow) with g_flow = −∂F_flow/∂α.
        equilibrium: |(∂²f/∂α²)⁻¹g|², the distance from rest in standard deviations of α, and the
            square error of σ over Var σ, at the relaxed states that the microscopic energy implies
            over the mean strains of the data.
        gauge: ⟨ψ'⟩² in the units of α and ε: freezes α under rigid translation (averaged strain).
        fluctuation: |φ'' − M⟨ψ'ψ'ᵀ⟩Mᵀ/η|², relative: the mobility that the noise of α implies. For
            controlled strain and a frozen encoder.
        rollout: Roll-outs from encoded states over windows of the data, in all drive modes.
        internal: Weight of the error of α within roll-outs, against those of strain and stress.
        tracking: Roll-outs of α over windows under the measured strain, by implicit steps: for
            records that are coarse against the relaxation of α.
    """

    stress: float = 1.0
    weak: float = 0.1
    likelihood: float = 0.0
    tie: float = 0.0
    tie_gradient: float = 0.0
    equilibrium: float = 0.0
    gauge: float = 0.0
    fluctuation: float = 0.0
    rollout: float = 0.0
    internal: float = 1.0
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
        substeps: Implicit steps between stored instants: for loss.tracking, and for loss.rollout of
            chains whose records are coarse against the scheme.
        starts: Random starts of windows in each Adam step; L-BFGS takes all, half a window apart.
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
        if self.loss.tie_gradient and "encoder" in self.train:
            raise ConfigError(
                f"stage {self.name!r}: loss.tie_gradient needs a frozen encoder; leave it out of "
                "train in this stage, or set the weight to 0."
            )


@dataclass(frozen=True)
class TrainingConfig:
    """A training run.

    Attributes:
        name: Name of the model.
        seed: Seed of every random number of the run.
        device: Where torch computes: "cpu", "cuda", …
        threads: Threads of torch on the CPU. The arrays are small: one is fastest, and leaves the
            others to other runs.
        checkpoint_every: Optimiser steps between checkpoints.
        data, model: See there.
        stages: In order.
    """

    name: str = "model"
    seed: int = 0
    device: str = "cpu"
    threads: int = 1
    checkpoint_every: int = 200
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    stages: tuple[StageConfig, ...] = ()

    def __post_init__(self) -> None:
        require_plain_name("training.name", self.name)
        if not 0 <= self.seed < 2**50:
            raise ConfigError(
                f"training.seed: must lie between 0 and 2^50 - 1; got {shown(self.seed)}."
            )
        if min(self.threads, self.checkpoint_every) < 1:
            raise ConfigError(
                "training: threads and checkpoint_every must be at least 1; got "
                f"{self.threads} and {self.checkpoint_every}."
            )
        names = [stage.name for stage in self.stages]
        if len(set(names)) < len(names):
            raise ConfigError(f"stages: names must differ; got {names}.")
        if self.model.walls and self.stage_of_walls is None:
            raise ConfigError(
                f"training.model.walls = {self.model.walls}: needs a stage with loss.equilibrium, "
                "which places them; found none."
            )

    @property
    def stage_of_walls(self) -> int | None:
        """Index of the stage that begins with placing walls, the first with loss.equilibrium."""
        with_term = (i for i, stage in enumerate(self.stages) if stage.loss.equilibrium)
        return next(with_term, None) if self.model.walls else None

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
