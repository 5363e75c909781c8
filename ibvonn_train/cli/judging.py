"""Opening a law and judging it on ensembles, as the options of `evaluate` and `export` say."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from ..audits import Audit, certify
from ..data import TrajectoryEnsemble
from ..evaluation import Evaluation, ExportedLaw, Gauge, evaluate, open_law
from ..evaluation.truth import NOISE_FREE_SEED, noise_free_means
from ..simulation import MicroscopicSystem
from ..simulation.study import own_system
from ..tables import ConfigError


def opened(path: Path, options: argparse.Namespace) -> ExportedLaw:
    """Open a law, with the microscopic energy of the system that --system names.

    Raises:
        ConfigError: If that system has none.
    """
    energy = None
    system = _own(options)
    if system is not None:
        energy = getattr(system, "microscopic_energy", None)
        if energy is None:
            raise ConfigError(
                f"--system: {options.system} has no method microscopic_energy(microstate, strain)."
            )
    return open_law(path, energy)


def judged(
    law: ExportedLaw,
    data: dict[str, TrajectoryEnsemble],
    gauge: Gauge | None,
    options: argparse.Namespace,
) -> dict[str, Evaluation]:
    """Judge a law on every ensemble, beside the noise-free truth where it is asked for.

    Raises:
        ValueError: If the number of repetitions is not positive.
    """
    if options.repeat is not None and options.repeat < 1:
        raise ValueError(f"--repeat: must be at least 1; got {options.repeat}.")
    system, found = _own(options), {}
    for name, each in data.items():
        truth = None
        if options.repeat and law.averaged:
            truth = noise_free_means(
                [law],
                each,
                seed=NOISE_FREE_SEED + each.seed,
                factor=options.repeat,
                system=system,
                progress=not options.quiet,
            )[0]
        found[name] = evaluate(law, each, gauge=gauge, noise_free=truth)
    return found


def _own(options: argparse.Namespace) -> MicroscopicSystem | None:
    """Return the system that --system names."""
    return None if options.system is None else own_system(options.system, Path())()


def gauge_of(law: ExportedLaw, training: list[Path] | None) -> Gauge | None:
    """Return the gauge of the training ensembles, or the one that the law knows."""
    if training is None:
        return law.training_gauge
    states = [law.encode(TrajectoryEnsemble.load(path).microstate)[1] for path in training]
    return Gauge.of(np.concatenate([each.reshape(-1, law.internal_size) for each in states]))


def audits_of(
    law: ExportedLaw,
    data: dict[str, TrajectoryEnsemble],
    found: dict[str, Evaluation],
    options: argparse.Namespace,
) -> list[Audit]:
    """Return the certificate on the first of the ensembles."""
    name = next(iter(data))
    slow = None if options.slow is None else TrajectoryEnsemble.load(options.slow)
    return certify(law, data[name], found[name], slow)
