"""What a run of a training stores so that it can go on, and whether it may go on from that."""

from __future__ import annotations

import importlib.metadata
import platform
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ..law.learned_law import LearnedLaw
from ..statistical_mechanics.microscopic_energy import Physics
from . import checkpoint
from .dataset import TrainingSet
from .training_config import TrainingConfig


@dataclass
class RunStart:
    """Where a run begins; the defaults are those of a new one.

    Attributes:
        stage: Index of the stage.
        total: Steps that were taken in all stages.
        rows: Rows of the log.
        seconds: CPU time that was spent.
        run: State of the stage, empty where it has not begun.
        before: Weights of the law with which the stage began.
    """

    stage: int = 0
    total: int = 0
    rows: int = 0
    seconds: float = 0.0
    run: dict[str, Any] = field(default_factory=dict)
    before: dict[str, Tensor] = field(default_factory=dict)


def versions() -> dict[str, str]:
    """Return the versions of what decides the numbers."""
    names = ("ibvonn", "torch", "nflows", "numpy")
    return {"python": platform.python_version()} | {n: importlib.metadata.version(n) for n in names}


def physics_record(physics: Physics, data: TrainingSet) -> dict[str, Any]:
    """Return what a checkpoint remembers of the physics: constants, and e at some states."""
    measure = data.training[0].measures.absolute
    x = (measure.nodes if measure.shared else measure.nodes[0])[::16]
    strain = data.scales.strain_centre.expand(len(x), -1)
    energy = None
    if physics.energy is not None:
        energy = physics.energy(x[:, None], strain).flatten().tolist()
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


def run_state(
    config: TrainingConfig,
    provenance: dict[str, Any],
    physics: dict[str, Any],
    law: LearnedLaw,
    stage: int,
    run: dict[str, Any],
    total: int,
    rows: int,
    start_time: float,
) -> dict[str, Any]:
    """Return what a checkpoint holds, but for the weights with which its stage began.

    Args:
        config: The run.
        provenance: Hash of the data, protocols that are held out.
        physics: From :func:`physics_record`.
        law: As it is.
        stage: Index of the stage that comes next, or goes on.
        run: State of the stage, empty where it has not begun.
        total: Steps that were taken in all stages.
        rows: Rows of the log.
        start_time: CPU time at which the run began, less what earlier runs spent [s].
    """
    return {
        "kind": "checkpoint",
        "config": config.resolved(),
        **provenance,
        "physics": physics,
        "versions": versions(),
        "law": law.state_dict(),
        "stage": stage,
        "run": run,
        "total": total,
        "rows": rows,
        "seconds": time.process_time() - start_time,
    }


def read_start(
    path: Path,
    config: TrainingConfig,
    provenance: dict[str, Any],
    law: LearnedLaw,
    physics: dict[str, Any],
) -> RunStart:
    """Read a checkpoint, and its weights into the law.

    Args:
        path: Of the checkpoint.
        config: The run.
        provenance: Hash of the data, protocols that are held out.
        law: Receives the weights.
        physics: From :func:`physics_record`.

    Raises:
        CheckpointError: If the checkpoint is of another configuration, other data or physics.
    """
    content = checkpoint.load(path)
    if content.get("kind") != "checkpoint":
        raise checkpoint.CheckpointError(f"{path}: is not a checkpoint of a training run.")
    recorded, resolved = content["config"], config.resolved()
    differing = [key for key in resolved if recorded.get(key) != resolved[key]]
    if differing:
        raise checkpoint.CheckpointError(
            f"{path}: was written with another configuration (differs in {differing}). Train into "
            "another directory, or without resume."
        )
    before, now = content["data_sha256"], provenance["data_sha256"]
    if before != now:
        raise checkpoint.CheckpointError(
            f"{path}: was written with other data (sha256 {before[:12]}…, now {now[:12]}…). Train "
            "into another directory, or without resume."
        )
    held_out = content.get("validation")  # older files do not say
    if held_out not in (None, provenance["validation"]):
        raise checkpoint.CheckpointError(
            f"{path}: was written with other protocols held out ({held_out}, now "
            f"{provenance['validation']}). Train into another directory, or without resume."
        )
    there = content.get("physics", physics)  # older files do not say
    differing = [key for key in physics if not _agree(there.get(key), physics[key])]
    if differing:
        raise checkpoint.CheckpointError(
            f"{path}: was written with other physics (differs in {differing}). Train into another "
            "directory, or without resume."
        )
    try:
        law.load_state_dict(content["law"])
    except RuntimeError:
        raise checkpoint.CheckpointError(
            f"{path}: was written by another version, whose networks are others. Train into "
            "another directory, or without resume."
        ) from None
    names = ("stage", "total", "rows", "seconds", "run", "before")
    return RunStart(**{name: content[name] for name in names})
