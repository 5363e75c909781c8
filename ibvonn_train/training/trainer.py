"""Train a law: read top to bottom."""

from __future__ import annotations

import copy
import hashlib
import logging
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from ..data.ensemble import TrajectoryEnsemble
from ..data.same_system import require_alike
from ..files.plain_files import make_folder
from ..law.learned_law import LearnedLaw
from ..statistical_mechanics.microscopic_energy import Physics, physics_of
from . import checkpoint
from .build_law import LawSizes, build_law
from .choose_variables import Choice, choose_variables
from .dataset import TrainingSet, prepare, rows_of
from .encode import encode
from .interrupt import Interruption
from .log import RunLog, alone, write_json
from .recipe import recipe
from .resumption import RunStart, physics_record, read_start, run_state, versions
from .slow_features import SlowFeatures, slow_features
from .stage import Material
from .trained_model import TrainedModel
from .training_config import TrainingConfig
from .training_report import TrainingReport
from .validation import advice, conclusion, rollout_verdict, validation_record

logger = logging.getLogger(__name__)

CHECKPOINT = "checkpoint.pt"
REPORT = "report.npz"
MODEL = "model.pt"
FIT_ITERATIONS = 2.5
"""Of the first fit at most, for each step of *identify*."""


def train(
    config: TrainingConfig,
    ensembles: TrajectoryEnsemble | Sequence[TrajectoryEnsemble],
    out_dir: str | Path,
    *,
    validation: Sequence[int] | None = None,
    resume: bool = False,
    start: TrainedModel | None = None,
    physics: Physics | None = None,
    device: str = "cpu",
    threads: int = 1,
    checkpoint_every: int = 200,
    progress: bool = True,
    tensorboard: bool = True,
) -> TrainedModel:
    """Train a law on ensembles of microscopic trajectories.

    Every random number follows from `config.seed`. Checkpoints are written every
    `checkpoint_every` steps, after every stage and on Ctrl-C or SIGTERM; a run resumed from one
    gives the same numbers, bit by bit on the same machine, as one that was never interrupted.

    Args:
        config: The run.
        ensembles: Training data, one ensemble for each duration.
        out_dir: Receives `checkpoint.pt`, `model.pt`, `config.json`, `log.csv`, `report.npz` (what
            :func:`~ibvonn_train.figures.training_figures` draws) and TensorBoard's.
        validation: Indices, among the protocols of all ensembles in order, of those that are held
            out to evaluate choices: they are not trained on, the training stops by them, and the
            log has their errors. By default every fifth, where there are five or more.
        resume: Continue from `checkpoint.pt` where there is one.
        start: A trained law from whose weights, scales and internal variables the stages begin, in
            place of those that *encode* takes from the data; its seed and steps do not count.
        physics: What is known of the system; by default what follows from the record of the data.
        device: Where torch computes: "cpu", "cuda", …
        threads: Threads of torch on the CPU. The arrays are small: one is fastest, and leaves the
            others to other runs.
        checkpoint_every: Optimiser steps between checkpoints.
        progress: Show a progress bar.
        tensorboard: Log to TensorBoard too.

    Returns:
        The trained model, also written to `model.pt`.

    Raises:
        KeyboardInterrupt: On Ctrl-C or SIGTERM, after the checkpoint was written.
        CheckpointError: If the checkpoint is of another configuration or other data.
        ValueError: If threads or checkpoint_every is below 1, the data cannot be trained on, or
            ``start`` is a law of another system or other variables.
    """
    if min(threads, checkpoint_every) < 1:
        raise ValueError(
            "train: threads and checkpoint_every must be at least 1; got "
            f"{threads} and {checkpoint_every}."
        )
    group = [ensembles] if isinstance(ensembles, TrajectoryEnsemble) else list(ensembles)
    require_alike(group)
    out = Path(out_dir)
    make_folder(out)
    if physics is None:
        physics = physics_of(str(group[0].system), dict(group[0].parameters))
    torch.set_num_threads(threads)
    total = sum(ensemble.protocols for ensemble in group)
    if validation is None:
        validation = range(2, total, 5) if total >= 5 else ()
    held_out = sorted(set(validation))
    with alone(out):
        data = prepare(
            group, torch.device(device), config.seed, nodes=config.expert.nodes, validation=held_out
        )
        provenance = {"data_sha256": data_hash(group), "validation": held_out}
        return _train(
            config, group, data, physics, provenance, out, resume, start, checkpoint_every,
            progress, tensorboard,
        )  # fmt: skip


def _train(
    config: TrainingConfig,
    group: Sequence[TrajectoryEnsemble],
    data: TrainingSet,
    physics: Physics,
    provenance: dict[str, Any],
    out: Path,
    resume: bool,
    warm: TrainedModel | None,
    checkpoint_every: int,
    progress: bool,
    tensorboard: bool,
) -> TrainedModel:
    start_time = time.process_time()
    if warm is None:
        law, choice, features = new_law(config, group, data, physics, provenance["validation"])
    else:
        law, choice, features = law_that_goes_on(config, group, data, warm, provenance)
    logger.info("internal variables: %s", choice.reason)
    known_physics = physics_record(physics, data)
    start = RunStart()
    if resume and (out / CHECKPOINT).is_file():
        start = read_start(out / CHECKPOINT, config, provenance, law, known_physics)
        logger.info("resume at stage %d, step %d", start.stage, start.run.get("step", 0))
    write_json(out / "config.json", {"training": config.resolved()})

    start_time -= start.seconds
    total = start.total
    stages = recipe(config, law, data)
    material = Material.of(law, data, physics, config.expert, features.slowest)
    with (
        closing(RunLog(out, tensorboard=tensorboard, rows=start.rows)) as log,
        Interruption() as interruption,
    ):

        def store(index: int, run: dict[str, Any], before: dict[str, Tensor]) -> None:
            log.flush()
            content = run_state(
                config, provenance, known_physics, law, index, run, total, log.rows, start_time
            )
            checkpoint.save(out / CHECKPOINT, {**content, "before": before})

        for index, make in enumerate(stages):
            if index < start.stage:
                continue
            # A stage takes scales and sampling errors from the law with which it begins: a resumed
            # run has to begin it with the same one.
            resumed = index == start.stage and bool(start.run)
            there = _copied(law)
            if resumed:
                law.load_state_dict(start.before)
            before = _copied(law)
            stage = make(material, config.seed * 1009 + index)
            if resumed:
                law.load_state_dict(there)
                stage.restore(start.run)
            bar = tqdm(
                total=stage.total,
                initial=stage.step,
                desc=stage.name,
                disable=None if progress else True,
            )
            while not stage.done:
                record = stage.advance()
                total += 1
                log.write(stage.name, stage.step, total, record)
                bar.set_postfix_str(f"loss {record['loss']:.3e}", refresh=False)
                bar.update()
                if interruption.requested or stage.step % checkpoint_every == 0:
                    store(index, stage.state(), before)
                if interruption.requested:
                    raise KeyboardInterrupt(
                        f"training stopped in stage {stage.name!r}; continue with resume."
                    )
            bar.close()
            stage.finish()
            record = validation_record(law, data)
            log.write(stage.name, stage.step, total, record)
            words = ", ".join(f"{k} {v:.4g}" for k, v in record.items())
            logger.info("%s (%.0f s): %s", stage.name, time.process_time() - start_time, words)
            store(index + 1, {}, {})

    verdict = rollout_verdict(law, data)
    if verdict["verdict"] == "fail":
        logger.warning("training: %s", advice(verdict))
    else:
        logger.info("training: %s", conclusion(verdict))
    model = TrainedModel.of(
        law,
        config=config,
        data=data,
        ensemble=group[0],
        sizes=law_sizes(config, group[0], data, choice),
        provenance={
            **provenance,
            "versions": versions(),
            "cpu_seconds": time.process_time() - start_time,
            "internal_variables": choice.reason,
        },
        verdict=verdict,
    )
    TrainingReport.of(law, data, features, choice.reason).save(out / REPORT)
    model.save(out / MODEL)
    return model


def new_law(
    config: TrainingConfig,
    group: Sequence[TrajectoryEnsemble],
    data: TrainingSet,
    physics: Physics,
    validation: Sequence[int],
) -> tuple[LearnedLaw, Choice, SlowFeatures]:
    """Return an encoded law, its variables, and the slow features of the data.

    Its weights follow from the seed, its variables from the data.
    """
    features = features_of(config, group, validation)
    choice = choose_variables(config, features, len(group[0].classes))
    generator = torch.Generator().manual_seed(config.seed)
    law = build_law(law_sizes(config, group[0], data, choice), generator)
    law = law.to(data.scales.strain_scale.device)
    iterations = round(FIT_ITERATIONS * config.expert.identify_steps)
    encode(law, data, features, physics, iterations)
    return law, choice, features


def law_that_goes_on(
    config: TrainingConfig,
    group: Sequence[TrajectoryEnsemble],
    data: TrainingSet,
    warm: TrainedModel,
    provenance: dict[str, Any],
) -> tuple[LearnedLaw, Choice, SlowFeatures]:
    """Return a copy of a trained law, its variables, and the slow features of the data.

    Raises:
        ValueError: If the law is one of another system, or its networks have other sizes.
    """
    features = features_of(config, group, provenance["validation"])
    sizes = warm.law_sizes
    choice = Choice(sizes.variables, "those of the law from which the training goes on")
    there, here = sizes.record(), law_sizes(config, group[0], data, choice).record()
    differing = [key for key in here if here[key] != there.get(key)]
    if warm.record["system"] != group[0].system:
        differing = ["system", *differing]
    if differing:
        raise ValueError(
            f"train: the law {warm.config.name!r} to go on from must be one of the system of the "
            f"data, with networks of the sizes of the configuration; it differs in {differing}. "
            "Train anew."
        )
    law = copy.deepcopy(warm.law).to(data.scales.strain_scale.device)
    return law.requires_grad_(True), choice, features


def features_of(
    config: TrainingConfig, group: Sequence[TrajectoryEnsemble], validation: Sequence[int]
) -> SlowFeatures:
    """Return the slow features of the protocols that are trained on."""
    total = sum(ensemble.protocols for ensemble in group)
    used = [i for i in range(total) if i not in set(validation)]
    return slow_features(rows_of(group, used), count=4, seed=config.seed)


def law_sizes(
    config: TrainingConfig, ensemble: TrajectoryEnsemble, data: TrainingSet, choice: Choice
) -> LawSizes:
    """Return what decides the shapes of a law's networks."""
    populations = choice.variables.populations
    return LawSizes(
        strain_kind=data.strain_kind,
        strain_size=int(ensemble.strain.shape[-1]),
        microstate_size=data.microstate_size,
        variables=choice.variables,
        strain_basis=tuple(
            tuple(tuple(float(v) for v in row) for row in rows) for rows in ensemble.strain_basis
        ),
        permutations=tuple(tuple(int(c) for c in s.classes) for s in ensemble.symmetry),
        width=config.expert.width,
        mixed_states=populations[0] if len(populations) == 1 else 0,
    )


def data_hash(ensembles: Sequence[TrajectoryEnsemble]) -> str:
    """Return one sha256 for all ensembles."""
    parts = [ensemble.sha256() for ensemble in ensembles]
    return parts[0] if len(parts) == 1 else hashlib.sha256("".join(parts).encode()).hexdigest()


def _copied(law: LearnedLaw) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in law.state_dict().items()}
