"""Repeat the two examples of the paper with several seeds; one table for each example."""

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
from ..evaluation import Evaluation, Law, Normalisation, evaluate, open_law
from ..evaluation.closed_form_reference import ClosedFormReference, fitted_reference
from ..evaluation.law_rollouts import Trajectories, encoded
from ..evaluation.noise_free import NOISE_FREE_SEED, noise_free_means
from ..simulation.simulation_config import SetConfig, SimulationConfig
from ..simulation.study import build_protocols, build_system, require_system, run_set
from ..training import TrainingConfig, train
from ..training.dataset import prepare
from ..training.validation import decoder_negative_log_likelihood
from . import published
from .tables import Cell, stress_spread, text_table

logger = logging.getLogger(__name__)

Example = Literal["trap", "chain"]


@dataclass(frozen=True)
class Quantity:
    """One line of the table.

    Attributes:
        label: Name in the table.
        ensemble: Name of the set of the study.
        key: "DRIVE/QUANTITY" of the errors, or the name of a potential.
        published: Key of the published errors.
        target: Target of the error in per cent.
    """

    label: str
    ensemble: str
    key: str
    published: str
    target: float


QUANTITIES: dict[Example, tuple[Quantity, ...]] = {
    "trap": (
        Quantity("F_ex, test", "test", "controlled/stress", "force/test", 0.09),
        Quantity("F_ex, linear protocol", "linear", "controlled/stress", "force/linear", 0.15),
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
    "trap": {"published": published.TRAP},
    "chain": {"published": published.CHAIN, "published, mixture": published.CHAIN_MIXTURE},
}


@dataclass(frozen=True)
class Reproduction:
    """Results of the runs.

    Attributes:
        example: Name of the example.
        runs: For each seed, set → evaluation.
        baselines: Name → set → evaluation of the closed-form reference model of the chain, without
            and with a fit.
        certificates: For each seed, the audits.
        negative_log_likelihood: −⟨ln q⟩ of the decoder on the test set in nats per replica, for
            each seed.
        cpu_seconds: CPU time of each training, on one core.
        peak_gigabytes: Peak memory of the process, data included.
    """

    example: Example
    runs: list[dict[str, Evaluation]]
    baselines: dict[str, dict[str, Evaluation]]
    certificates: list[list[Audit]]
    negative_log_likelihood: list[float]
    cpu_seconds: list[float]
    peak_gigabytes: float

    def table(self) -> str:
        """Return the table: published and reference errors, sampling error, errors of the seeds."""
        figures = PUBLISHED[self.example]
        header = ["error in %", *figures, *self.baselines, "sampling error", "median", "range"]
        header += ["target", "error to noise-free"]
        rows: list[list[Cell]] = []
        for line in QUANTITIES[self.example]:
            ours = [_error(run[line.ensemble], line.key) for run in self.runs]
            exact = [run[line.ensemble].noise_free.get(line.key) for run in self.runs]
            rows.append(
                [
                    line.label,
                    *(source.get(line.published) for source in figures.values()),
                    *(_error(runs[line.ensemble], line.key) for runs in self.baselines.values()),
                    self.runs[0][line.ensemble].sampling_error.get(line.key),
                    float(np.median(ours)),
                    f"{min(ours):.3g} to {max(ours):.3g}",
                    line.target if np.isfinite(line.target) else None,
                    None if None in exact else float(np.median(np.array(exact, dtype=float))),
                ]
            )
        seconds = self.cpu_seconds
        return (
            f"{text_table(header, rows)}\n"
            "negative log-likelihood −⟨ln q⟩ on the test set, in nats: "
            f"{np.median(self.negative_log_likelihood):.4f}\n"
            f"{len(self.runs)} seeds; training took {np.median(seconds):.0f} s of CPU time "
            f"({min(seconds):.0f} to {max(seconds):.0f} s), peak memory of the process "
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
                name: {ensemble: e.record() for ensemble, e in runs.items()}
                for name, runs in self.baselines.items()
            },
            "certificates": [
                [a.record() for a in certificate] for certificate in self.certificates
            ],
            "negative_log_likelihood_nats": self.negative_log_likelihood,
            "training_cpu_seconds": self.cpu_seconds,
            "peak_gigabytes": self.peak_gigabytes,
        }


def _error(evaluation: Evaluation, key: str) -> float:
    """Return one error, or NaN where the law has none, as without an exportable decoder."""
    return evaluation.errors.get(key, evaluation.potentials.get(key, np.nan))


def reproduce(
    example: Example,
    config: Path,
    out: Path,
    *,
    seeds: Sequence[int],
    factor: int = 10,
    progress: bool = True,
) -> Reproduction:
    """Simulate, train with several seeds, and evaluate every law on the test sets.

    Data and trainings that exist in ``out`` are used again.

    Args:
        example: Name of the example of the paper.
        config: TOML with the sets train, test and linear (trap) or sinusoidal (chain).
        out: Folder of data and trainings.
        seeds: Seeds of the trainings.
        factor: Replicas of the noise-free reference of the chain over those of the test set.
        progress: Show progress bars.
    """
    study = SimulationConfig.from_toml(config)
    base = TrainingConfig.from_toml(config)
    names = list(dict.fromkeys(line.ensemble for line in QUANTITIES[example]))
    data = {
        name: _simulated(study, name, config.parent, out, progress)
        for name in ("train", *names, *(["slow"] if example == "trap" else []))
    }
    planned = {f"run_{seed}": dataclasses.replace(base, seed=seed) for seed in seeds}
    models = [
        train(
            chosen, data["train"], out / folder, resume=True, progress=progress, tensorboard=False
        )
        for folder, chosen in planned.items()
    ]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    laws = [open_law(out / folder) for folder in planned]
    closed_forms = _closed_forms(data["train"]) if example == "chain" else {}
    every: list[Law] = [*laws, *closed_forms.values()]
    references = {name: _references(example, every, data[name], factor, progress) for name in names}
    runs, certificates = [], []
    for i, law in enumerate(laws):
        logger.info("evaluating %s of %s", law.name, list(planned)[i])
        run = {name: evaluate(law, data[name], noise_free=references[name][i]) for name in names}
        runs.append(run)
        certificates.append(certify(law, data["test"], run["test"], data.get("slow")))
    baselines = {}
    for i, (label, closed_form) in enumerate(closed_forms.items(), start=len(laws)):
        normalisation = Normalisation.of(encoded(closed_form, data["train"]).internal)
        baselines[label] = {
            name: evaluate(
                closed_form, data[name], normalisation=normalisation, noise_free=references[name][i]
            )
            for name in names
        }
    test = prepare([data["test"]], torch.device("cpu"), base.seed, nodes=base.expert.nodes)
    block = test.training[0]
    nats = [decoder_negative_log_likelihood(model.law, block) for model in models]
    seconds = [float(model.record["provenance"]["cpu_seconds"]) for model in models]
    return Reproduction(example, runs, baselines, certificates, nats, seconds, peak)


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
    """Refuse data in the folder that an earlier configuration simulated."""
    system = build_system(study, folder)
    require_system(system, data.system, data.parameters, str(path))
    instants = len(data.time)
    protocols = build_protocols(study, chosen)
    interval = np.float64(study.time_step * chosen.stride)
    time: FloatArray = np.arange(instants, dtype=np.float64) * interval
    expected = {
        "seed": (data.seed, chosen.seed),
        "time_step": (data.time_step, study.time_step),
        "replicas": (data.replicas, study.replicas),
        "protocols": (data.protocols, len(protocols)),
        "duration": (float(data.time[-1]), chosen.duration),
    }
    differing = [f"{key} {here} and not {there}" for key, (here, there) in expected.items()
                 if not math.isclose(here, there, rel_tol=1e-6)]  # fmt: skip
    if not differing and not all(
        np.allclose(protocol.value(time).reshape(λ.shape), λ, rtol=1e-6, atol=1e-9)
        for protocol, λ in zip(protocols, data.drive.path(data.strain)[0], strict=True)
    ):
        differing = ["other protocols"]
    if differing:
        raise ValueError(
            f"{path}: must agree with the configuration to be used again; it has "
            f"{', '.join(differing)}. Choose another folder with --out, or move the file away."
        )


def _closed_forms(training: TrajectoryEnsemble) -> dict[str, ClosedFormReference]:
    fitted = fitted_reference(training)
    return {"closed form, no fit": ClosedFormReference(training), fitted.name: fitted}


def _references(
    example: Example, laws: Sequence[Law], data: TrajectoryEnsemble, factor: int, progress: bool
) -> Sequence[Trajectories | None]:
    """Return the noise-free reference of each law; that of the trap needs no simulation."""
    if example == "trap":
        return [None] * len(laws)
    return noise_free_means(
        laws, data, seed=NOISE_FREE_SEED + data.seed, factor=factor, progress=progress
    )
