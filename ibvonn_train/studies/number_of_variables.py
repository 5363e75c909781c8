"""Compare trainings with several kinds and numbers of internal variables."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..audits.audit_data import Evidence
from ..audits.kinetics import markov_residual
from ..data.ensemble import TrajectoryEnsemble
from ..data.same_system import require_alike
from ..evaluation import open_law
from ..evaluation.law_rollouts import encoded
from ..statistical_mechanics.microscopic_energy import physics_of
from ..training import TrainedModel, TrainingConfig, train
from ..training.dataset import Block, prepare
from ..training.validation import decoder_negative_log_likelihood, rollout_errors
from .tables import Cell, text_table

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ScanEntry:
    """Results of one choice of internal variables on unseen data.

    Attributes:
        internal: Kinds and numbers, such as "populations = 2".
        internal_size: n_α.
        negative_log_likelihood: −⟨ln q⟩ in nats per replica.
        information: I(x; α), how much less that is than the entropy of all microstates together:
            what α retains of a microstate. None for microstates of several components.
        errors: "DRIVE/QUANTITY" → relative L2 error of roll-outs in per cent.
        markov: Markov residual in per cent.
        cpu_seconds: CPU time of the training.
    """

    internal: str
    internal_size: int
    negative_log_likelihood: float
    information: float | None
    errors: dict[str, float]
    markov: float | None
    cpu_seconds: float


CHOICES: tuple[dict[str, Any], ...] = (
    {"means": 1}, {"means": 2}, {"populations": 2}, {"populations": 3},
)  # fmt: skip


def scan(
    config: TrainingConfig,
    training: Sequence[TrajectoryEnsemble],
    unseen: TrajectoryEnsemble,
    out: Path,
    *,
    choices: Sequence[str | dict[str, Any]] = CHOICES,
    progress: bool = True,
) -> list[ScanEntry]:
    """Train with several choices of internal variables and evaluate on unseen data.

    Trainings that exist in ``out`` are used again. For averaged strain, means describe the shape of
    the distribution about it.

    Args:
        config: Configuration of the training; its `internal` is replaced.
        training: Training data, one ensemble for each duration.
        unseen: An ensemble of other seeds.
        out: Folder; it receives a folder for each choice.
        choices: Values of `internal`.
        progress: Show progress bars.
    """
    require_alike(
        [*training, unseen], [*(f"training data {i}" for i in range(len(training))), "unseen data"]
    )
    physics = physics_of(str(unseen.system), dict(unseen.parameters))
    entries: list[ScanEntry] = []
    for choice in choices:
        chosen = dataclasses.replace(config, internal=choice)
        name = words_of(choice)
        folder = out / name.replace(" = ", "_").replace(", ", "_")
        model = train(
            chosen, training, folder, resume=True, physics=physics, progress=progress,
            tensorboard=False,
        )  # fmt: skip
        logger.info("evaluating the law with %s", name)
        entries.append(_entry(name, model, folder, unseen))
    return entries


def words_of(choice: str | dict[str, Any]) -> str:
    """Return a value of `internal` as a TOML has it, without braces."""
    if isinstance(choice, str):
        return choice
    return ", ".join(
        f"{kind} = {'+'.join(map(str, n)) if isinstance(n, list | tuple) else n}"
        for kind, n in choice.items()
    )


def scan_table(entries: Sequence[ScanEntry]) -> str:
    """Return the table: one line for each choice of internal variables."""
    keys = list(entries[-1].errors)
    header = ["internal", "n_α", "−⟨ln q⟩", "information", "Markov residual in %"]
    header += [*(f"{key} in %" for key in keys), "CPU s"]
    rows: list[list[Cell]] = [
        [
            entry.internal,
            str(entry.internal_size),
            entry.negative_log_likelihood,
            entry.information,
            entry.markov,
            *(entry.errors.get(key) for key in keys),
            entry.cpu_seconds,
        ]
        for entry in entries
    ]
    return text_table(header, rows)


def _entry(name: str, model: TrainedModel, folder: Path, unseen: TrajectoryEnsemble) -> ScanEntry:
    config = model.config
    data = prepare([unseen], torch.device("cpu"), config.seed, nodes=config.expert.nodes)
    block = data.training[0]
    negative_log_likelihood = decoder_negative_log_likelihood(model.law, block)
    entropy = _entropy(model, block)
    law = open_law(folder)
    provenance: dict[str, Any] = model.record["provenance"]
    return ScanEntry(
        internal=name,
        internal_size=model.law.internal_size,
        negative_log_likelihood=negative_log_likelihood,
        information=None if entropy is None else entropy - negative_log_likelihood,
        errors={key: 100.0 * error for key, error in rollout_errors(model.law, block).items()},
        markov=markov_residual(law, Evidence(unseen, encoded(law, unseen))).value,
        cpu_seconds=float(provenance["cpu_seconds"]),
    )


def _entropy(model: TrainedModel, block: Block) -> float | None:
    """Return the entropy of what the decoder describes, of all states together, in nats."""
    averaged = model.law.strain_kind == "averaged"
    measure = block.measures.centred if averaged else block.measures.absolute
    if not measure.shared or measure.nodes.shape[-1] > 1:
        return None
    weights = measure.weights.mean(0).clamp(min=0.0)
    spacing = measure.nodes[1, 0] - measure.nodes[0, 0]
    return -float(torch.special.xlogy(weights, weights / spacing).sum())
