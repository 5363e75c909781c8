"""Compare trainings with several numbers of internal variables."""

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
from ..training.dataset import prepare
from ..training.validation import decoder_negative_log_likelihood, rollout_errors
from .tables import Cell, text_table

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ScanEntry:
    """Results of one number of internal variables on unseen data.

    Attributes:
        internal_size: n_α.
        negative_log_likelihood: −⟨ln q⟩ in nats per replica.
        information: I(x; α), the decrease of −⟨ln q⟩ from n_α = 0: what α retains of a microstate.
        errors: "DRIVE/QUANTITY" → relative L2 error of roll-outs in per cent.
        markov: Markov residual in per cent, None for n_α = 0.
        cpu_seconds: CPU time of the training.
    """

    internal_size: int
    negative_log_likelihood: float
    information: float
    errors: dict[str, float]
    markov: float | None
    cpu_seconds: float


def scan(
    config: TrainingConfig,
    training: Sequence[TrajectoryEnsemble],
    unseen: TrajectoryEnsemble,
    out: Path,
    *,
    sizes: Sequence[int] = (0, 1, 2, 3),
    progress: bool = True,
) -> list[ScanEntry]:
    """Train with several numbers of internal variables and evaluate on unseen data.

    Trainings that exist in ``out`` are used again. For averaged strain, all variables but the first
    describe the shape of the distribution.

    Args:
        config: Configuration of the training; its `internal_size` is replaced.
        training: Training data, one ensemble for each duration.
        unseen: An ensemble of other seeds.
        out: Folder; it receives a folder for each number.
        sizes: Numbers of internal variables; 0 is added, because the information refers to it.
        progress: Show progress bars.
    """
    require_alike(
        [*training, unseen], [*(f"training data {i}" for i in range(len(training))), "unseen data"]
    )
    physics = physics_of(str(unseen.system), dict(unseen.parameters))
    entries: list[ScanEntry] = []
    for size in sorted({0, *sizes}):
        folder = out / f"variables_{size}"
        chosen = with_size(config, size)
        model = train(
            chosen, training, folder, resume=True, physics=physics, progress=progress,
            tensorboard=False,
        )  # fmt: skip
        logger.info("evaluating the law with %d internal variables", size)
        first = entries[0].negative_log_likelihood if entries else None
        entries.append(_entry(model, folder, unseen, first))
    return entries


def with_size(config: TrainingConfig, size: int) -> TrainingConfig:
    """Return the configuration for another number of internal variables.

    Terms of the loss that need internal variables are left out where there are none.
    """
    stages = config.stages
    if not size:
        needing = ("weak_form", "translation_invariance", "driving_force_consistency",
                   "fluctuation", "tracking", "equilibrium")  # fmt: skip
        without = dict.fromkeys(needing, 0.0)
        stages = tuple(
            dataclasses.replace(stage, loss=dataclasses.replace(stage.loss, **without))
            for stage in stages
        )
    barriers = config.entropic_barriers if size else 0
    return dataclasses.replace(
        config, internal_size=size, entropic_barriers=barriers, stages=stages
    )


def scan_table(entries: Sequence[ScanEntry]) -> str:
    """Return the table: one line for each number of internal variables."""
    keys = list(entries[-1].errors)
    header = ["n_α", "−⟨ln q⟩", "information", "Markov residual in %"]
    header += [*(f"{key} in %" for key in keys), "CPU s"]
    rows: list[list[Cell]] = [
        [
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


def _entry(
    model: TrainedModel,
    folder: Path,
    unseen: TrajectoryEnsemble,
    without: float | None,
) -> ScanEntry:
    config = model.config
    data = prepare([unseen], torch.device("cpu"), config.seed, nodes=config.nodes)
    block = data.training[0]
    negative_log_likelihood = decoder_negative_log_likelihood(model.law, block)
    size = model.law.internal_size
    markov: float | None = None
    if size:
        law = open_law(folder)
        markov = markov_residual(law, Evidence(unseen, encoded(law, unseen))).value
    errors = rollout_errors(model.law, block)
    provenance: dict[str, Any] = model.record["provenance"]
    return ScanEntry(
        internal_size=size,
        negative_log_likelihood=negative_log_likelihood,
        information=0.0 if without is None else without - negative_log_likelihood,
        errors={key: 100.0 * error for key, error in errors.items()},
        markov=markov,
        cpu_seconds=float(provenance["cpu_seconds"]),
    )
