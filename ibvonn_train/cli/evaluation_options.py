"""Opening a law and evaluating it on ensembles, as the options of `evaluate` and `export` say."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..audits import Audit, certify
from ..data.ensemble import TrajectoryEnsemble, open_ensemble
from ..data.same_system import DESCRIPTIVE, same
from ..evaluation import Evaluation, ExportedLaw, Normalisation, evaluate, open_law
from ..evaluation.encoded_records import encode_record
from ..evaluation.interface import FloatArray
from ..evaluation.noise_free import noise_free_means
from ..files.memory import require_memory
from ..files.toml_tables import ConfigError, shown
from ..simulation import MicroscopicSystem
from ..simulation.study import own_system, system_of_record


def ensembles(paths: Sequence[Path]) -> dict[str, TrajectoryEnsemble]:
    """Read ensembles, by the names of their files.

    Raises:
        ValueError: If two have one name, or an ensemble with what is made of it does not fit into
            memory.
    """
    by_name: dict[str, TrajectoryEnsemble] = {}
    for path in paths:
        if path.stem in by_name:
            raise ValueError(
                f"{path}: must have a name of its own, under which its results stand; another "
                f"ensemble is called {path.stem!r} too. Rename one."
            )
        by_name[path.stem] = _encodable(path)
    return by_name


def _encodable(path: Path) -> TrajectoryEnsemble:
    """Read an ensemble whose microstates are encoded all at once, in double precision."""
    with open_ensemble(path) as stored:
        if stored.histogram is not None:
            return stored.select(slice(None))
        shape, width = stored.samples.shape, stored.samples.dtype.itemsize
    require_memory(
        f"{path}: evaluating a law on {' x '.join(map(str, shape))} microstates",
        float(math.prod(shape)) * (width + 16),
        "Take fewer protocols or replicas, or another machine.",
    )
    return TrajectoryEnsemble.load(path)


def opened(
    path: Path, options: argparse.Namespace, data: dict[str, TrajectoryEnsemble]
) -> ExportedLaw:
    """Open a law for these data, with the microscopic energy of the system that --system names.

    Raises:
        ConfigError: If that system has none, or is not that of the data.
        ValueError: If the data are of another system than the law.
    """
    law = open_law(path)
    for name, ensemble in data.items():
        _require_of_law(law, name, ensemble)
    system = _own(options, next(iter(data.values())))
    if system is None:
        return law
    if system.microscopic_energy is None:
        raise ConfigError(
            f"--system: {options.system} has no method microscopic_energy(microstate, strain)."
        )
    return open_law(path, system.microscopic_energy)


def _require_of_law(law: ExportedLaw, name: str, data: TrajectoryEnsemble) -> None:
    """Refuse data of other temperature, friction or units than the law was learned from.

    The size of the system and the step of its integrator may differ.
    """
    micro = law.manifest["microscopic"] or {}
    recorded = micro.get("parameters") or {}
    pairs = {
        key: (value, recorded[key])
        for key, value in data.parameters.items()
        if key in recorded and key not in SIZES and not isinstance(value, str)
    }
    units = law.manifest["units"]
    pairs |= {
        f"unit of {key}": (data.units.get(key, "1"), units[key])
        for key in ("length", "force", "time", "energy")
        if key in units and data.units
    }
    for key, (here, there) in pairs.items():
        if not same(here, there):
            raise ValueError(
                f"{name}: must be of the system of the law {law.name!r}; {key} is {shown(here)} "
                f"here and {shown(there)} in the data that the law was learned from. Evaluate the "
                "law on data of its own system."
            )


SIZES = (*DESCRIPTIVE, "springs", "effective_thermal_energy")
"""Parameters that may differ between a law and the data that it is evaluated on."""


def evaluations(
    law: ExportedLaw,
    data: dict[str, TrajectoryEnsemble],
    normalisation: Normalisation[FloatArray] | None,
    options: argparse.Namespace,
) -> dict[str, Evaluation]:
    """Evaluate a law on every ensemble, against the noise-free reference too if --repeat is given.

    Raises:
        ValueError: If the number of repetitions is not positive.
    """
    if options.repeat is not None and options.repeat < 1:
        raise ValueError(f"--repeat: must be at least 1; got {options.repeat}.")
    results = {}
    for name, ensemble in data.items():
        system, reference = _own(options, ensemble), None
        if options.repeat:
            reference = noise_free_means(
                [law],
                ensemble,
                factor=options.repeat,
                system=system,
                progress=not options.quiet,
            )[0]
        results[name] = evaluate(law, ensemble, normalisation=normalisation, noise_free=reference)
    return results


def _own(options: argparse.Namespace, data: TrajectoryEnsemble) -> MicroscopicSystem | None:
    """Return the system that --system names, with the parameters of the data."""
    if options.system is None:
        return None
    maker = own_system(options.system, Path())
    return system_of_record(
        maker, data.system, data.parameters, data.drive.kind, f"--system {options.system}"
    )


def normalisation_of(
    law: ExportedLaw, training: list[Path] | None
) -> Normalisation[FloatArray] | None:
    """Return the normalisation over the training ensembles, or the one that the law knows."""
    if training is None:
        return law.training_normalisation
    states = []
    for path in training:
        data = _encodable(path)
        _require_of_law(law, str(path), data)
        states.append(encode_record(law, data))
    return Normalisation.of(
        np.concatenate([series.reshape(-1, law.internal_size) for series in states])
    )


def audits_of(
    law: ExportedLaw,
    data: dict[str, TrajectoryEnsemble],
    results: dict[str, Evaluation],
    options: argparse.Namespace,
) -> list[Audit]:
    """Return the certificate on the first of the ensembles."""
    name = next(iter(data))
    slow = None
    if options.slow is not None:
        slow = _encodable(options.slow)
        _require_of_law(law, str(options.slow), slow)
    return certify(law, data[name], results[name], slow)
