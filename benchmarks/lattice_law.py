"""Judge laws of a lattice on paths that nobody trained on, and on its equilibrium.

    python benchmarks/lattice_law.py [MODEL …] [--config TOML] [--data FOLDER] [--sets NAME …]
        [--json FILE]

Every model, exported or a run of `ibvonn train`, is a column; by default the learned law and the
mean-field law. `--config configs/lattice_fcc.toml` is the lattice in space; its mean-field law is
made of the training records, in the folder of the data. Two more baselines of the plane:

    python -m ibvonn_train.evaluation.mean_field_model build/lattice/affine \\
        build/lattice/train_*.h5 --affine
    ibvonn train configs/lattice.toml build/lattice/train_*.h5 --internal means=1 \\
        --out build/lattice/convex

The sets of the TOML whose names begin with "unseen" are simulated into the folder, by default
build/ and the name of the law, where they are not there yet; the slowest take minutes. Errors are
relative L2 norms in per cent, means over the paths and in brackets the worst; behind the stroke the
error of the populations where more than 5 % of the bonds of a direction are open. The sampling
error is that of the simulated means. "Elastic" keeps all bonds as they were at rest. The relaxed
state is compared with a Metropolis sampling of the bonds, at random strains of the box.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from machine import describe_machine
from records import write

from ibvonn_train.audits.bounds import bounds_of
from ibvonn_train.audits.relaxed_response import relaxed
from ibvonn_train.data.ensemble import TrajectoryEnsemble
from ibvonn_train.evaluation import open_law
from ibvonn_train.evaluation.interface import FloatArray, Law
from ibvonn_train.evaluation.law_rollouts import encoded, roll_out
from ibvonn_train.evaluation.mean_field_model import export_mean_field, fitted_friction
from ibvonn_train.simulation import PeriodicLattice
from ibvonn_train.simulation.simulation_config import SimulationConfig
from ibvonn_train.simulation.study import build_system, run_set
from ibvonn_train.studies.tables import text_table
from ibvonn_train.training import TrainingConfig

CONFIG = Path(__file__).parents[1] / "configs" / "lattice.toml"
SHIPPED = Path("exported_models")
POPULATED = 0.05
"""Smallest fraction of open bonds that is compared."""
STRAINS, REPLICAS, SWEEPS = 24, 64, 80


def per_path(value: FloatArray, reference: FloatArray) -> FloatArray:
    """Return the relative L2 error in per cent of each protocol."""
    axes = tuple(range(1, value.ndim))
    difference = np.square(value - reference).sum(axes)
    error: FloatArray = 100.0 * np.sqrt(difference / np.square(reference).sum(axes))
    return error


def judged(law: Law, data: TrajectoryEnsemble) -> dict[str, Any]:
    """Return the errors on one set."""
    measured = encoded(law, data)
    run = roll_out(law, data, measured)["controlled"]
    stress = per_path(run.stress, measured.stress)
    assert data.stress_variance is not None
    noise = np.sqrt(data.stress_variance / data.replicas)
    floor = per_path(measured.stress + noise, measured.stress)
    rest = np.zeros_like(run.internal).reshape(-1, law.internal_size)
    elastic = law.rates(measured.strain.reshape(-1, law.strain_size), rest).stress
    bounds = bounds_of(law)
    populations = float("nan")
    if bounds is not None:
        p = measured.internal - bounds[:, 0]
        seen = p > POPULATED
        away = (run.internal - measured.internal)[seen]
        populations = 100.0 * float(np.linalg.norm(away) / np.linalg.norm(p[seen]))
    return {
        "stress": stress.tolist(),
        "sampling_error": floor.tolist(),
        "populations": populations,
        "elastic": per_path(elastic.reshape(run.stress.shape), measured.stress).tolist(),
    }


def equilibrium(law: Law, system: PeriodicLattice) -> dict[str, float]:
    """Return the errors of the relaxed state in per cent."""
    low, high = law.envelope[: law.strain_size].T
    rng = np.random.default_rng(7)
    strain = rng.uniform(low, high, (STRAINS, law.strain_size))
    spins = system.spins()
    p, stress, error = spins.relaxed(
        strain + law.strain_reference, replicas=REPLICAS, sweeps=SWEEPS, seed=9
    )
    states = [relaxed(law, each) for each in strain]
    own = np.array([state.stress for state in states])
    record = {
        "stress": 100 * float(np.linalg.norm(own - stress) / np.linalg.norm(stress)),
        "standard_error": 100 * float(np.linalg.norm(error) / np.linalg.norm(stress)),
    }
    bounds = bounds_of(law)
    if bounds is not None:
        fractions = np.array([state.internal for state in states]) - bounds[:, 0]
        record["populations"] = 100 * float(np.linalg.norm(fractions - p) / np.linalg.norm(p))
    return record


def shown(result: dict[str, Any]) -> str:
    """Return the errors of a law on one set: stress, and populations where it has any."""
    stress = f"{np.mean(result['stress']):.2f} ({max(result['stress']):.2f})"
    populations = result["populations"]
    return stress if np.isnan(populations) else f"{stress} | {populations:.1f}"


class Records:
    """The sets of a TOML, read from a folder or simulated into it.

    Args:
        toml: The study.
        folder: Of the files.
    """

    def __init__(self, toml: Path, folder: Path) -> None:
        self.config, self.toml, self.folder = SimulationConfig.from_toml(toml), toml, folder
        folder.mkdir(parents=True, exist_ok=True)

    def names(self, beginning: str) -> list[str]:
        """Names of the sets that begin so."""
        return [each.name for each in self.config.sets if each.name.startswith(beginning)]

    def load(self, name: str) -> TrajectoryEnsemble:
        """The record of a set."""
        path = self.folder / f"{name}.h5"
        if not path.is_file():
            run_set(self.config, self.config.pick(name), folder=self.toml.parent).save(path)
        return TrajectoryEnsemble.load(path)

    def system(self) -> PeriodicLattice:
        """The lattice."""
        system = build_system(self.config, self.toml.parent)
        assert isinstance(system, PeriodicLattice)
        return system


def default_models(law: str, records: Records) -> list[Path]:
    """The learned law that ships, and the mean-field law, made of the training if none ships."""
    mean_field = SHIPPED / f"{law}_mean_field"
    if not mean_field.is_dir():
        mean_field = records.folder / mean_field.name
    if not mean_field.is_dir():
        training = [records.load(name) for name in records.names("train")]
        export_mean_field(mean_field, training, friction=fitted_friction(training))
    return [SHIPPED / law, mean_field]


def labels(models: Sequence[Path]) -> list[str]:
    """Names of columns: of the folders, with so many of those above as make them different."""
    for count in range(1, max(len(model.parts) for model in models) + 1):
        names = ["/".join(model.parts[-count:]) for model in models]
        if len(set(names)) == len(names):
            return names
    raise SystemExit(f"lattice_law: every model must be given once; got {models}.")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", type=Path)
    parser.add_argument("--config", type=Path, default=CONFIG)
    parser.add_argument("--data", type=Path, help="default: build/ and the name of the law")
    parser.add_argument("--sets", nargs="*", help="default: all whose names begin with unseen")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    name_of_law = TrainingConfig.from_toml(arguments.config).name
    records = Records(arguments.config, arguments.data or Path("build") / name_of_law)
    models = arguments.models or default_models(name_of_law, records)
    laws = dict(zip(labels(models), map(open_law, models), strict=True))
    record: dict[str, Any] = {"machine": describe_machine(), "models": list(laws)}
    rows = []
    for name in arguments.sets or records.names("unseen"):
        data = records.load(name)
        record[name] = results = {key: judged(law, data) for key, law in laws.items()}
        first = next(iter(results.values()))
        rows.append(
            [
                name,
                f"{records.config.pick(name).duration:g}",
                f"{np.mean(first['sampling_error']):.2f}",
                *(shown(result) for result in results.values()),
                f"{np.mean(first['elastic']):.0f}",
            ]
        )
    print(text_table(["set", "duration", "sampling error", *laws, "elastic"], rows))
    system = records.system()
    record["equilibrium"] = relaxed_states = {
        key: equilibrium(law, system) for key, law in laws.items()
    }
    for key, numbers in relaxed_states.items():
        words = ", ".join(f"{k.replace('_', ' ')} {value:.2f} %" for k, value in numbers.items())
        print(f"relaxed state of {key} against Metropolis sampling: {words}")
    if arguments.json:
        write(arguments.json, record)


if __name__ == "__main__":
    main()
