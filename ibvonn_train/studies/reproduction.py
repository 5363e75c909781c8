"""The two examples of the paper, repeated with several seeds: one table for each."""

from __future__ import annotations

import dataclasses
import logging
import math
import resource
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from ..audits import Audit, certify
from ..data.ensemble import FloatArray, TrajectoryEnsemble
from ..evaluation import Evaluation, ExportedLaw, Law, Normalisation, evaluate, open_law
from ..evaluation.closed_form_reference import ClosedFormReference, fitted_reference
from ..evaluation.law_rollouts import Trajectories, encoded
from ..evaluation.noise_free import NOISE_FREE_SEED, noise_free_means
from ..simulation.simulation_config import SetConfig, SimulationConfig
from ..simulation.study import build_protocols, build_system, require_system, run_set
from ..training import TrainingConfig, train
from ..training.dataset import prepare
from ..training.validation import surprise
from . import published
from .tables import Cell, stress_spread, text_table

logger = logging.getLogger(__name__)

Example = Literal["trap", "chain"]


@dataclass(frozen=True)
class Quantity:
    """One line of the table.

    Attributes:
        label: In words.
        ensemble: Set of the study.
        key: "DRIVE/QUANTITY" of the errors, or a name among the potentials.
        published: Key of the published figures.
        target: Aim, in per cent.
    """

    label: str
    ensemble: str
    key: str
    published: str
    target: float


QUANTITIES: dict[Example, tuple[Quantity, ...]] = {
    "trap": (
        Quantity("F_ex, test", "test", "controlled/force", "force/test", 0.09),
        Quantity("F_ex, linear protocol", "linear", "controlled/force", "force/linear", 0.15),
        Quantity("α, test", "test", "controlled/internal", "internal/test", 0.32),
        Quantity("α, linear protocol", "linear", "controlled/internal", "internal/linear", 0.25),
        Quantity("mean position, test", "test", "controlled/mean_position", "", np.nan),
        Quantity(
            "mean position, linear protocol", "linear", "controlled/mean_position", "", np.nan
        ),
        Quantity("f, test", "test", "free_energy", "free_energy/test", 0.1),
        Quantity("φ, test", "test", "dual_dissipation", "dual_dissipation/test", 0.5),
    ),
    "chain": (
        Quantity("ε, force-driven, test", "test", "force/strain", "force/strain/test", 0.70),
        Quantity("ε, end-driven, test", "test", "end/strain", "end/strain/test", 0.60),
        Quantity("F_ex, end-driven, test", "test", "end/force", "end/force/test", 0.90),
        Quantity("last spring, end-driven, test", "test", "end/last_force", "", np.nan),
        Quantity("α, end-driven, test", "test", "end/internal", "end/internal/test", 2.5),
        Quantity("open fraction, test", "test", "end/open_fraction", "", np.nan),
        Quantity("open fraction, sinusoidal", "sinusoidal", "end/open_fraction", "", np.nan),
        Quantity("ε, sinusoidal", "sinusoidal", "end/strain", "end/strain/sinusoidal", 0.75),
        Quantity("F_ex, sinusoidal", "sinusoidal", "end/force", "end/force/sinusoidal", 0.90),
    ),
}
PUBLISHED: dict[Example, dict[str, dict[str, float]]] = {
    "trap": {"published": published.TRAP, "re-run": published.TRAP_AGAIN},
    "chain": {
        "published": published.CHAIN,
        "re-run": published.CHAIN_AGAIN,
        "mixture": published.CHAIN_MIXTURE,
    },
}


@dataclass(frozen=True)
class Reproduction:
    """What the runs gave.

    Attributes:
        example: Which.
        runs: For each seed, set → evaluation.
        baselines: Name → set → evaluation; the closed-form reference model of the chain,
            without and with a fit.
        certificates: For each seed, its audits.
        mixtures: For each seed of its own, the law with a Gaussian mixture in place of the flow.
        surprise: Decoder → −⟨ln q⟩ on the test set in nats per replica, for each of its seeds.
        cpu_seconds: Of each training, on one core.
        peak_gigabytes: Largest memory of the process, data included.
    """

    example: Example
    runs: list[dict[str, Evaluation]]
    baselines: dict[str, dict[str, Evaluation]]
    certificates: list[list[Audit]]
    mixtures: list[dict[str, Evaluation]]
    surprise: dict[str, list[float]]
    cpu_seconds: list[float]
    peak_gigabytes: float

    def table(self) -> str:
        """Return the table: published figures, baselines, floor, median and spread of the seeds."""
        figures = PUBLISHED[self.example]
        header = ["error in %", *figures, *self.baselines, "floor", "median", "spread", "target"]
        header += ["of exact mean", *(["own mixture"] if self.mixtures else [])]
        rows: list[list[Cell]] = []
        for line in QUANTITIES[self.example]:
            ours, mixed = (
                [_error(run[line.ensemble], line.key) for run in runs]
                for runs in (self.runs, self.mixtures)
            )
            exact = [run[line.ensemble].noise_free.get(line.key) for run in self.runs]
            rows.append(
                [
                    line.label,
                    *(source.get(line.published) for source in figures.values()),
                    *(_error(each[line.ensemble], line.key) for each in self.baselines.values()),
                    self.runs[0][line.ensemble].floor.get(line.key),
                    float(np.median(ours)),
                    f"{min(ours):.3g} to {max(ours):.3g}",
                    line.target if np.isfinite(line.target) else None,
                    None if None in exact else float(np.median(np.array(exact, dtype=float))),
                    *([_median(mixed)] if mixed else []),
                ]
            )
        seconds = self.cpu_seconds
        decoders = ", ".join(
            f"{name} {np.median(nats):.4f} ({len(nats)} seeds)"
            for name, nats in self.surprise.items()
        )
        return (
            f"{text_table(header, rows)}\n"
            f"−⟨ln q⟩ on the test set, nats: {decoders}\n"
            f"{len(self.runs)} seeds; training {np.median(seconds):.0f} s of CPU time "
            f"({min(seconds):.0f} to {max(seconds):.0f}), peak memory of the process "
            f"{self.peak_gigabytes:.2g} GB"
        )

    def record(self) -> dict[str, Any]:
        """Return the numbers, for JSON."""
        return {
            "example": self.example,
            "runs": [{name: e.record() for name, e in run.items()} for run in self.runs],
            "stress_spread_percent": stress_spread(
                [
                    {name: {"predicted_stress": e.stresses()} for name, e in run.items()}
                    for run in self.runs
                ]
            ),
            "baselines": {
                name: {ensemble: e.record() for ensemble, e in found.items()}
                for name, found in self.baselines.items()
            },
            "certificates": [[audit.record() for audit in each] for each in self.certificates],
            "mixtures": [{name: e.record() for name, e in run.items()} for run in self.mixtures],
            "surprise_nats": self.surprise,
            "training_cpu_seconds": self.cpu_seconds,
            "peak_gigabytes": self.peak_gigabytes,
        }


def _median(errors: list[float]) -> float | None:
    return float(np.median(errors)) if np.isfinite(errors).all() else None


def _error(found: Evaluation, key: str) -> float:
    """Return one error; NaN for what a law without an exportable decoder does not say."""
    return found.errors.get(key, found.potentials.get(key, np.nan))


def reproduce(
    example: Example,
    config: Path,
    out: Path,
    *,
    seeds: Sequence[int],
    mixture_seeds: Sequence[int] = (),
    factor: int = 10,
    progress: bool = True,
) -> Reproduction:
    """Simulate, train with several seeds, and judge every law on the test sets.

    Data and trainings that are in ``out`` already are used again.

    Args:
        example: Which example of the paper.
        config: TOML with the sets train, test and linear (trap) or sinusoidal (chain).
        out: Folder.
        seeds: Of the trainings.
        mixture_seeds: Of trainings with a Gaussian mixture in place of the flow.
        factor: Replicas of the chain's noise-free truth over those of the test set.
        progress: Show progress bars.
    """
    study = SimulationConfig.from_toml(config)
    base = TrainingConfig.from_toml(config)
    names = list(dict.fromkeys(line.ensemble for line in QUANTITIES[example]))
    data = {
        name: _simulated(study, name, config.parent, out, progress)
        for name in ("train", *names, *(["slow"] if example == "trap" else []))
    }
    mixture = dataclasses.replace(base, decoder="mixture")
    planned = {f"run_{seed}": dataclasses.replace(base, seed=seed) for seed in seeds}
    planned |= {
        f"mixture_{seed}": dataclasses.replace(mixture, seed=seed) for seed in mixture_seeds
    }
    models = [
        train(
            chosen, data["train"], out / folder, resume=True, progress=progress, tensorboard=False
        )
        for folder, chosen in planned.items()
    ]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    laws = [open_law(out / folder) for folder in planned]
    references = _references(data["train"]) if example == "chain" else {}
    truths = {
        name: _truths(example, laws, references, data[name], factor, progress) for name in names
    }
    runs, certificates = [], []
    for i, law in enumerate(laws):
        logger.info("judging %s of %s", law.name, list(planned)[i])
        found = {name: evaluate(law, data[name], noise_free=truths[name][i]) for name in names}
        runs.append(found)
        if i < len(seeds):
            certificates.append(certify(law, data["test"], found["test"], data.get("slow")))
    baselines = {}
    for i, (label, reference) in enumerate(references.items(), start=len(laws)):
        normalisation = Normalisation.of(encoded(reference, data["train"]).internal)
        baselines[label] = {
            name: evaluate(
                reference, data[name], normalisation=normalisation, noise_free=truths[name][i]
            )
            for name in names
        }
    own = len(seeds)
    test = prepare([data["test"]], torch.device("cpu"), base.seed, nodes=base.nodes)
    block = test.training[0]
    nats = [surprise(model.law, block) for model in models]
    decoders = {"flow": nats[:own]} | ({"mixture": nats[own:]} if mixture_seeds else {})
    seconds = [float(model.record["provenance"]["cpu_seconds"]) for model in models[:own]]
    return Reproduction(
        example, runs[:own], baselines, certificates, runs[own:], decoders, seconds, peak
    )


def _simulated(
    study: SimulationConfig, name: str, folder: Path, out: Path, progress: bool
) -> TrajectoryEnsemble:
    path, chosen = out / "data" / f"{name}.h5", study.pick(name)
    if not path.exists():
        run_set(study, chosen, folder=folder, progress=progress).save(path)
    data = TrajectoryEnsemble.load(path)
    _require_set(path, data, study, chosen, folder)
    return data


def _require_set(
    path: Path, data: TrajectoryEnsemble, study: SimulationConfig, chosen: SetConfig, folder: Path
) -> None:
    """Refuse data of an earlier configuration that lie in the folder."""
    system = build_system(study, folder)
    require_system(system, data.system, data.parameters, str(path))
    count, instants, _, replicas, _ = data.microstate.shape
    protocols = build_protocols(study, chosen)
    interval = np.float64(study.time_step * chosen.stride)
    time: FloatArray = np.arange(instants, dtype=np.float64) * interval
    wanted = {
        "seed": (data.seed, chosen.seed),
        "time_step": (data.time_step, study.time_step),
        "replicas": (replicas, study.replicas),
        "protocols": (count, len(protocols)),
        "duration": (float(data.time[-1]), chosen.duration),
    }
    differing = [f"{key} {here} and not {there}" for key, (here, there) in wanted.items()
                 if not math.isclose(here, there, rel_tol=1e-6)]  # fmt: skip
    if not differing and not all(
        np.allclose(each.value(time), λ, rtol=1e-6, atol=1e-9)
        for each, λ in zip(protocols, data.control, strict=True)
    ):
        differing = ["other protocols"]
    if differing:
        raise ValueError(
            f"{path}: must be what the configuration says, as it is used again; it has "
            f"{', '.join(differing)}. Choose another folder with --out, or move the file away."
        )


def _references(training: TrajectoryEnsemble) -> dict[str, ClosedFormReference]:
    fitted = fitted_reference(training)
    return {"closed form, no fit": ClosedFormReference(training), fitted.name: fitted}


def _truths(
    example: Example,
    laws: Sequence[ExportedLaw],
    references: dict[str, ClosedFormReference],
    data: TrajectoryEnsemble,
    factor: int,
    progress: bool,
) -> Sequence[Trajectories | None]:
    """Return the noise-free means of every law; those of the trap need no simulation."""
    if example == "trap":
        return [None] * len(laws)
    every: list[Law] = [*laws, *references.values()]
    return noise_free_means(
        every, data, seed=NOISE_FREE_SEED + data.seed, factor=factor, progress=progress
    )
