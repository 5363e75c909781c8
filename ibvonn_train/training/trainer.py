"""Train a law: read top to bottom."""

from __future__ import annotations

import hashlib
import importlib.metadata
import logging
import platform
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from ..data.ensemble import TrajectoryEnsemble
from ..data.same_system import require_alike
from ..files.plain_files import make_folder
from ..law.learned_law import LearnedLaw
from ..statistical_mechanics.microscopic_energy import Physics, physics_of
from . import checkpoint
from .build import build_law, set_scales
from .dataset import TrainingSet, prepare
from .interrupt import Interruption
from .log import RunLog, alone, write_json
from .stages import StageRun
from .trained_model import TrainedModel
from .training_config import TrainingConfig
from .validation import advice, rollout_verdict, validation_record

logger = logging.getLogger(__name__)

CHECKPOINT = "checkpoint.pt"
MODEL = "model.pt"


def train(
    config: TrainingConfig,
    ensembles: TrajectoryEnsemble | Sequence[TrajectoryEnsemble],
    out_dir: str | Path,
    *,
    resume: bool = False,
    physics: Physics | None = None,
    progress: bool = True,
    tensorboard: bool = True,
) -> TrainedModel:
    """Train a law on ensembles of microscopic trajectories.

    Every random number follows from `config.seed`. Checkpoints are written every
    `config.checkpoint_every` steps, after every stage and on Ctrl-C
    or SIGTERM; a run resumed from one gives
    the same numbers, bit by bit on the same machine, as one that was never interrupted.

    Args:
        config: The run.
        ensembles: Training data, one ensemble for each duration.
        out_dir: Receives `checkpoint.pt`, `model.pt`, `config.json`, `log.csv` and TensorBoard's.
        resume: Continue from `checkpoint.pt` where there is one.
        physics: What is known of the system; by default what follows from the data's record.
        progress: Show a progress bar.
        tensorboard: Log to TensorBoard too.

    Returns:
        The trained model, also written to `model.pt`.

    Raises:
        KeyboardInterrupt: On Ctrl-C or SIGTERM, after the checkpoint was written.
        CheckpointError: If the checkpoint is of another configuration or other data.
    """
    group = [ensembles] if isinstance(ensembles, TrajectoryEnsemble) else list(ensembles)
    require_alike(group)
    out = Path(out_dir)
    make_folder(out)
    with alone(out):
        return _train(config, group, out, resume, physics, progress, tensorboard)


def _train(
    config: TrainingConfig,
    group: list[TrajectoryEnsemble],
    out: Path,
    resume: bool,
    physics: Physics | None,
    progress: bool,
    tensorboard: bool,
) -> TrainedModel:
    if physics is None:
        physics = physics_of(str(group[0].system), dict(group[0].parameters))
    fingerprint = data_hash(group)
    torch.set_num_threads(config.threads)

    data = prepare(group, config.data, torch.device(config.device), config.seed)
    law = new_law(config, data)
    known = _known(physics, data)
    start = _Start()
    if resume and (out / CHECKPOINT).is_file():
        start = _read_checkpoint(out / CHECKPOINT, config, fingerprint, law, known)
        logger.info("resume at stage %d, step %d", start.stage, start.run.get("step", 0))
    write_json(out / "config.json", {"training": config.resolved()})

    began = time.process_time() - start.seconds
    total = start.total
    with (
        closing(RunLog(out, tensorboard=tensorboard, rows=start.rows)) as log,
        Interruption() as interruption,
    ):
        for index in range(start.stage, len(config.stages)):
            stage = config.stages[index]
            resumed = index == start.stage and bool(start.run)
            run = StageRun(law, data, physics, stage, config.data, config.seed * 1009 + index)
            if resumed:
                run.restore(start.run)
            elif index == config.stage_of_walls:
                run.objective.add_walls()
            bar = tqdm(
                total=run.total,
                initial=run.step,
                desc=stage.name,
                disable=None if progress else True,
            )
            while not run.done:
                record = run.advance()
                total += 1
                log.write(stage.name, run.step, total, record)
                bar.set_postfix_str(f"loss {record['loss']:.3e}", refresh=False)
                bar.update()
                if interruption.requested or run.step % config.checkpoint_every == 0:
                    log.flush()
                    checkpoint.save(
                        out / CHECKPOINT,
                        _state(
                            config, fingerprint, known, law, index, run.state(), total, log, began
                        ),
                    )
                if interruption.requested:
                    raise KeyboardInterrupt(
                        f"training stopped in stage {stage.name!r}; continue with resume."
                    )
            bar.close()
            run.finish()
            record = validation_record(law, data, physics)
            log.write(stage.name, run.step, total, record)
            logger.info("%s: %s", stage.name, ", ".join(f"{k} {v:.4g}" for k, v in record.items()))
            log.flush()
            checkpoint.save(
                out / CHECKPOINT,
                _state(config, fingerprint, known, law, index + 1, {}, total, log, began),
            )

    verdict = rollout_verdict(law, data, physics)
    if verdict["verdict"] == "fail":
        logger.warning("training: %s", advice(verdict, config))
    model = TrainedModel.of(
        law,
        config=config,
        data=data,
        ensemble=group[0],
        provenance={
            "data_sha256": fingerprint,
            "versions": versions(),
            "cpu_seconds": time.process_time() - began,
        },
        verdict=verdict,
    )
    model.save(out / MODEL)
    return model


def new_law(config: TrainingConfig, data: TrainingSet) -> LearnedLaw:
    """Return an untrained law with the scales of the data; its weights follow from the seed."""
    law = build_law(
        config.model,
        strain_kind=data.strain_kind,
        strain_size=data.training[0].strain.shape[-1],
        microstate_size=data.microstate_size,
        generator=torch.Generator().manual_seed(config.seed),
    ).to(torch.device(config.device))
    set_scales(law, data)
    return law


def data_hash(ensembles: Sequence[TrajectoryEnsemble]) -> str:
    """Return one sha256 for all ensembles."""
    parts = [ensemble.sha256() for ensemble in ensembles]
    return parts[0] if len(parts) == 1 else hashlib.sha256("".join(parts).encode()).hexdigest()


def versions() -> dict[str, str]:
    """Return the versions of what decides the numbers."""
    names = ("ibvonn", "torch", "nflows", "numpy")
    return {"python": platform.python_version()} | {n: importlib.metadata.version(n) for n in names}


def _known(physics: Physics, data: TrainingSet) -> dict[str, Any]:
    """Return what a checkpoint remembers of the physics: constants, and e at some states."""
    measure = data.training[0].measures.absolute
    x = (measure.nodes if measure.shared else measure.nodes[0])[::16]
    strain = data.scales.strain_centre.expand(len(x), -1)
    energy = None if physics.energy is None else physics.energy(x, strain).flatten().tolist()
    return {
        "thermal_energy": physics.thermal_energy,
        "friction": physics.friction,
        "reference_length": physics.reference_length,
        "energy": energy,
    }


def _agree(one: Any, other: Any) -> bool:
    if one is None or other is None:
        return one is other
    return np.shape(one) == np.shape(other) and np.allclose(one, other, rtol=1e-9)


class _Start:
    """Where a run begins; the defaults are those of a new one."""

    def __init__(self) -> None:
        self.stage = 0
        self.total = 0
        self.rows = 0
        self.seconds = 0.0
        self.run: dict[str, Any] = {}


def _state(
    config: TrainingConfig,
    fingerprint: str,
    known: dict[str, Any],
    law: LearnedLaw,
    stage: int,
    run: dict[str, Any],
    total: int,
    log: RunLog,
    began: float,
) -> dict[str, Any]:
    return {
        "kind": "checkpoint",
        "config": config.resolved(),
        "data_sha256": fingerprint,
        "physics": known,
        "versions": versions(),
        "law": law.state_dict(),
        "stage": stage,
        "run": run,
        "total": total,
        "rows": log.rows,
        "seconds": time.process_time() - began,
    }


def _read_checkpoint(
    path: Path,
    config: TrainingConfig,
    fingerprint: str,
    law: LearnedLaw,
    known: dict[str, Any],
) -> _Start:
    content = checkpoint.load(path)
    if content.get("kind") != "checkpoint":
        raise checkpoint.CheckpointError(f"{path}: is not a checkpoint of a training run.")
    found, wanted = content["config"], config.resolved()
    differing = [key for key in wanted if key != "stages" and found.get(key) != wanted[key]]
    begun = content["stage"] + bool(content["run"])  # what lies ahead may change
    if found["stages"][:begun] != wanted["stages"][:begun]:
        differing.append("stages that have begun")
    if differing:
        raise checkpoint.CheckpointError(
            f"{path}: was written with another configuration (differs in {differing}). Train into "
            "another directory, or without resume."
        )
    if content["data_sha256"] != fingerprint:
        raise checkpoint.CheckpointError(
            f"{path}: was written with other data (sha256 {content['data_sha256'][:12]}…, now "
            f"{fingerprint[:12]}…). Train into another directory, or without resume."
        )
    there = content.get("physics", known)  # older files do not say
    differing = [key for key in known if not _agree(there.get(key), known[key])]
    if differing:
        raise checkpoint.CheckpointError(
            f"{path}: was written with other physics (differs in {differing}). Train into another "
            "directory, or without resume."
        )
    law.load_state_dict(content["law"])
    start = _Start()
    start.stage, start.total, start.rows = content["stage"], content["total"], content["rows"]
    start.seconds, start.run = content["seconds"], content["run"]
    return start
