"""How far the law of a lattice at small strain goes, against bonds that have true lengths.

    python benchmarks/true_lengths.py [--replicas N] [--durations T …] [--far] [--learned FOLDER]
        [--json FILE] [--figure FILE]

exported_models/lattice was learned on elongations that are linear in strain and displacements.
Through `DirectionStretch` it is a law at finite strain, by geometry alone. Here a periodic cell of
the same bonds with true lengths, which turn and whose nodes do not move affinely, is deformed along
paths F(t) = 1 + s(t) (F₁ − 1): s rises to 1 in 0.35 T, is held for 0.2 T, falls in 0.3 T and rests.
Printed are relative L2 errors of the nominal stress P in per cent of the path's own:

*true stretches*  the law through `DirectionStretch`, in 2000 implicit steps;
*less rest*       the same after each has lost its stress at rest: a lattice with true lengths bears
                  a thermal stress there, of the order of k_BT, which the law does not know;
*small strain*    the same law through `FullStrain`, its stress taken for P;
*own data*        the law against a cell with linearised elongations that has the same elongations
                  of the affine motion: what the law is off where it was learned;
*elastic*         all bonds as they were at rest, true stretches;
*sampling*        standard error of the simulated P.

`--far` takes paths to stretches of 1.3 in place of these. `--learned FOLDER` adds a law that is
trained on cells with true lengths (configs/lattice_true_lengths.toml; the recipe but its last
stage, the density of microstates), its stress at rest with it. Records and law that are in FOLDER
are used again.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import numpy.typing as npt
from machine import describe_machine
from records import ROOT, write
from tabulate import tabulate

import ibvonn_fem
from ibvonn_fem.kinematics import DirectionStretch, FullStrain
from ibvonn_fem.kinematics.evaluation import Evaluation
from ibvonn_train.data.ensemble import TrajectoryEnsemble
from ibvonn_train.export import export_trained
from ibvonn_train.simulation import PeriodicLattice, simulate
from ibvonn_train.simulation.protocols import Protocol
from ibvonn_train.simulation.simulation_config import SimulationConfig
from ibvonn_train.simulation.study import run_set
from ibvonn_train.training import TrainingConfig, train
from ibvonn_train.training.training_config import ExpertConfig

FloatArray = npt.NDArray[np.float64]

CONFIG = ROOT / "configs" / "lattice_true_lengths.toml"
ROOT2 = float(np.sqrt(2.0))
KNOTS, HEIGHTS = (0.0, 0.35, 0.55, 0.85, 1.0), (0.0, 1.0, 1.0, 0.0, 0.0)
POINTS, REFINED = 100, 20
"""Stored intervals of a path, and implicit steps of the law in each."""


def deformations(far: bool) -> dict[str, FloatArray]:
    """F₁ of every path; the first direction of bonds is along x."""
    paths: dict[str, FloatArray] = {}
    if far:
        for stretch in (1.20, 1.25, 1.30):
            paths[f"along a bond, {stretch}"] = np.diag([stretch, 1.0])
            paths[f"across a bond, {stretch}"] = np.diag([1.0, stretch])
        paths["all around, 1.25"] = np.diag([1.25, 1.25])
        paths["pull, narrower, 1.25"] = np.diag([1.25, 0.95])
        paths["shear and pull, 1.25"] = np.array([[1.25, 0.2], [0.0, 1.0]])
        return paths
    for stretch in (1.05, 1.10, 1.15):
        paths[f"along a bond, {stretch}"] = np.diag([stretch, 1.0])
        paths[f"across a bond, {stretch}"] = np.diag([1.0, stretch])
    paths["all around, 1.10"] = np.diag([1.10, 1.10])
    paths["constant area, 1.08"] = np.diag([1.08, 1.0 / 1.08])
    for shear in (0.10, 0.20):
        paths[f"simple shear, {shear}"] = np.array([[1.0, shear], [0.0, 1.0]])
    paths["shear and pull, 1.15"] = np.array([[1.15, 0.1], [0.0, 0.95]])
    paths["compression, 0.94"] = np.diag([0.94, 1.0])
    return paths


def trained(folder: Path) -> ibvonn_fem.ExportedModel:
    """Return the law of cells with true lengths, from the folder where it is there."""
    if not (folder / "law" / "manifest.json").is_file():
        config = SimulationConfig.from_toml(CONFIG)
        folder.mkdir(parents=True, exist_ok=True)
        records = []
        for each in config.sets:
            path = folder / f"{each.name}.h5"
            if not path.is_file():
                run_set(config, each, folder=CONFIG.parent).save(path)
            records.append(TrajectoryEnsemble.load(path))
        expert = ExpertConfig(density_steps=0)
        start = time.process_time()
        model = train(
            TrainingConfig(name="lattice_true_lengths", expert=expert), records, folder / "run"
        )
        print(f"training: {time.process_time() - start:.0f} s of CPU time")
        export_trained(model, folder / "law")
    return ibvonn_fem.load_model(folder / "law")


class DeformationPath:
    """A path in time, as deformations and as strains of the lattice."""

    def __init__(self, lattice: Any, target: FloatArray, duration: float) -> None:
        self.lattice, self.duration = lattice, duration
        self.change = target - np.eye(len(target))
        self.inverse = np.linalg.inv(lattice.strain_basis).T
        # Components that are round-off have no slope.
        self.inverse[:, np.abs(self.strain(0.5 * duration)) < 1e-12] = 0.0

    def gradient(self, t: npt.ArrayLike) -> FloatArray:
        """H(t), shape ``(…, d, d)``."""
        s = np.interp(np.asarray(t) / self.duration, KNOTS, HEIGHTS)
        return np.multiply.outer(s, self.change)

    def bonds(self, t: npt.ArrayLike) -> FloatArray:
        """F X_a, shape ``(…, n_direction, d)``."""
        moved = np.einsum("...ij,aj->...ai", self.gradient(t), self.lattice.bonds)
        return np.asarray(self.lattice.bonds + moved)

    def strain(self, t: npt.ArrayLike) -> FloatArray:
        """ε with A ε = l (|F n| − 1), shape ``(…, n_ε)``."""
        e = np.linalg.norm(self.bonds(t), axis=-1) - self.lattice.lengths
        return np.asarray(e @ self.inverse)

    def rate(self, t: npt.ArrayLike) -> FloatArray:
        """Slope of the strain over time, from the right at knots."""
        piece = np.searchsorted(KNOTS[1:-1], np.asarray(t) / self.duration, side="right")
        slopes = np.diff(HEIGHTS) / np.diff(KNOTS) / self.duration
        moving = np.multiply.outer(slopes[piece], self.lattice.bonds @ self.change.T)
        bonds = self.bonds(t)
        rate = (bonds * moving).sum(-1) / np.linalg.norm(bonds, axis=-1)
        return np.asarray(rate @ self.inverse)

    def protocol(self, name: str) -> Protocol:
        """What drives the simulation."""
        return Protocol(name, self.strain, self.rate)


def nominal(lattice: Any, gradient: FloatArray, stress: FloatArray) -> FloatArray:
    """P = F S, shape ``(…, d, d)``, of the stress that is conjugate to ε."""
    f = gradient + np.eye(lattice.dimension)
    stretch = np.linalg.norm(np.einsum("...ij,aj->...ai", f, lattice.directions), axis=-1)
    tension = stress @ np.linalg.inv(lattice.strain_basis) / stretch
    products = np.einsum("ai,aj->aij", lattice.directions, lattice.bonds)
    second = np.einsum("...a,aij->...ij", tension, products)
    return np.asarray(f @ second)


def respond(
    model: ibvonn_fem.ExportedModel, solid: Any, paths: list[DeformationPath]
) -> dict[str, Any]:
    """P at the stored instants of each path, of the law in small implicit steps."""
    small = isinstance(solid, FullStrain)
    evaluate = Evaluation(model, solid, solid.shape[0], len(paths))
    times = np.linspace(0.0, paths[0].duration, POINTS * REFINED + 1)
    statev, old = model.initial_state(len(paths)), None
    stress, validity = [], 0.0
    for step, now in enumerate(times):
        h = np.stack([path.gradient(now) for path in paths])
        measure = h.reshape(len(paths), -1)
        if small:
            shear = (h[:, 0, 1] + h[:, 1, 0]) / ROOT2
            measure = np.stack([h[:, 0, 0], h[:, 1, 1], shear], -1)
        measure = np.ascontiguousarray(measure)
        dt = float(times[1]) if step else 0.0
        response = evaluate(measure, measure if old is None else old, statev, dt)
        assert (response.law.residual <= model.manifest.residual_tolerance).all()
        statev, old = response.law.statev_new.copy(), measure
        if step % REFINED == 0:
            p = response.stress.copy()
            if small:
                p = np.stack([p[:, 0], p[:, 2] / ROOT2, p[:, 2] / ROOT2, p[:, 1]], -1)
            stress.append(p.reshape(-1, 2, 2))
            kernel = model.kernel.update(response.strain, response.strain, statev, 0.0)
            validity = np.maximum(validity, kernel.validity)
    return {"stress": np.stack(stress, 1), "validity": validity}


def elastic(model: ibvonn_fem.ExportedModel, paths: list[DeformationPath]) -> FloatArray:
    """P with the internal variables of rest, true stretches."""
    times = np.linspace(0.0, paths[0].duration, POINTS + 1)
    solid = DirectionStretch(model)
    evaluate = Evaluation(model, solid, 4, POINTS + 1)
    rows = []
    for path in paths:
        measure = path.gradient(times).reshape(-1, 4)
        response = evaluate(measure, measure, model.initial_state(len(times)), 0.0)
        rows.append(response.stress.reshape(-1, 2, 2).copy())
    return np.stack(rows)


def percent(value: FloatArray, reference: FloatArray) -> FloatArray:
    """Relative L2 error of each path."""
    axes = tuple(range(1, value.ndim))
    error = np.square(value - reference).sum(axes) / np.square(reference).sum(axes)
    return np.asarray(100.0 * np.sqrt(error))


def judged(
    model: ibvonn_fem.ExportedModel,
    learned: ibvonn_fem.ExportedModel | None,
    duration: float,
    replicas: int,
    far: bool,
) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, FloatArray]]]:
    """Errors by path, and what a picture needs."""
    parameters = {
        key: value
        for key, value in model.manifest.raw["microscopic"]["parameters"].items()
        if key not in ("effective_thermal_energy", "reference_volume")
    }
    system = PeriodicLattice(**parameters, true_lengths=True)
    targets = deformations(far)
    names = list(targets)
    paths = [DeformationPath(system.lattice, target, duration) for target in targets.values()]
    times = np.linspace(0.0, duration, POINTS + 1)
    gradient = np.stack([path.gradient(times) for path in paths])
    measured = {}
    for true in (True, False):
        record = simulate(
            PeriodicLattice(**parameters, true_lengths=true),
            [path.protocol(name) for path, name in zip(paths, names, strict=True)],
            duration=duration,
            time_step=model.manifest.raw["microscopic"]["time_step"],
            stride=round(duration / POINTS / model.manifest.raw["microscopic"]["time_step"]),
            replicas=replicas,
            seed=1,
            record="histogram",
            progress=False,
        )
        stress = nominal(system.lattice, gradient, record.stress[:, :, 0])
        assert record.stress_variance is not None
        noise = np.sqrt(record.stress_variance[:, :, 0] / replicas)
        error = np.zeros_like(stress)
        for column, size in enumerate(np.moveaxis(noise, -1, 0)):  # of independent components
            own = np.zeros_like(noise)
            own[..., column] = size
            error += nominal(system.lattice, gradient, own) ** 2
        measured[true] = stress, np.sqrt(error)
    finite = respond(model, DirectionStretch(model), paths)
    own, noise = measured[True]
    law = finite["stress"]
    columns = {
        "true stretches": percent(law, own),
        "less rest": percent(law - law[:, :1], own - own[:, :1]),
        "small strain": percent(respond(model, FullStrain(3), paths)["stress"], own),
        "own data": percent(law, measured[False][0]),
        "elastic": percent(elastic(model, paths), own),
        "sampling": percent(own + noise, own),
        "validity": finite["validity"],
    }
    if learned is not None:
        answer = respond(learned, DirectionStretch(learned, stress_free=False), paths)
        columns["learned"] = percent(answer["stress"], own)
        columns["its validity"] = answer["validity"]
    rows = {
        name: {key: float(values[number]) for key, values in columns.items()}
        for number, name in enumerate(names)
    }
    series = {"gradient": gradient, "measured": own, "law": law}
    return rows, {key: dict(zip(names, v, strict=True)) for key, v in series.items()}


def draw(results: dict[float, dict[str, dict[str, FloatArray]]], path: Path) -> None:
    """P_11 against the stretch of the paths along a bond, and P_12 of simple shear."""
    import matplotlib.pyplot as plt

    panels = [
        ("along a bond, 1.15", 0, 0),
        ("across a bond, 1.15", 1, 1),
        ("simple shear, 0.2", 0, 1),
    ]
    fig, axes = plt.subplots(1, 3, figsize=(12, 3.8), layout="constrained")
    for axis, (name, i, j) in zip(axes, panels, strict=True):
        for number, (duration, series) in enumerate(results.items()):
            x = series["gradient"][name][:, i, j] + float(i == j)
            axis.plot(
                x, series["measured"][name][:, i, j], ".", ms=3, color=f"C{number}",
                label=f"T = {duration:g}, simulated",
            )  # fmt: skip
            axis.plot(x, series["law"][name][:, i, j], lw=1, color=f"C{number}", label="law")
        axis.set(
            title=name,
            xlabel="shear [–]" if i != j else "stretch [–]",
            ylabel=f"P_{i + 1}{j + 1} [–]",
        )
    axes[0].legend()
    fig.savefig(path, dpi=150)
    plt.close(fig)


def main() -> None:
    """Print a table for each duration."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replicas", type=int, default=48)
    parser.add_argument("--durations", type=float, nargs="+", default=[500.0, 5000.0])
    parser.add_argument("--far", action="store_true", help="stretches of 1.2 to 1.3")
    parser.add_argument("--learned", type=Path, help="folder of a law of cells with true lengths")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--figure", type=Path)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ibvonn_fem.EnvelopeWarning)
    model = ibvonn_fem.load_model(ROOT / "exported_models" / "lattice")
    learned = trained(arguments.learned) if arguments.learned else None
    document: dict[str, Any] = {"machine": describe_machine(), "replicas": arguments.replicas}
    series = {}
    for duration in arguments.durations:
        rows, series[duration] = judged(model, learned, duration, arguments.replicas, arguments.far)
        document[f"T = {duration:g}"] = rows
        keys = list(next(iter(rows.values())))
        table = [[name, *(f"{row[key]:.2f}" for key in keys)] for name, row in rows.items()]
        mean = [np.mean([row[key] for row in rows.values()]) for key in keys]
        table.append(["mean", *(f"{value:.2f}" for value in mean)])
        print(f"T = {duration:g}: error of P in % of its own; validity in half widths")
        print(tabulate(table, ["path", *keys], disable_numparse=True), end="\n\n")
    if arguments.json:
        write(arguments.json, document)
    if arguments.figure and not arguments.far:
        draw(series, arguments.figure)


if __name__ == "__main__":
    main()
