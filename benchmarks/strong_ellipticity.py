"""Where a law of a lattice at finite strain is strongly elliptic, and where it loses that.

    python benchmarks/strong_ellipticity.py [MODEL] [--points N] [--json FILE]

The law, by default exported_models/lattice, is used through `DirectionStretch`. Printed is the
smallest eigenvalue of the acoustic tensor over all directions, relative to that of the undeformed
lattice. *Sudden* is the tangent at the rest state of the internal variables, *relaxed* that of a
step so long that they are in equilibrium, *any state* the sudden one at random internal variables
within the envelope. First for random deformations whose law strains fill the envelope of the
training data, or boxes that are larger; then along rays of stretch from 1 to 0.5 and 1.4, the pull
at an angle to the first direction of bonds: the stretch at which the eigenvalue first vanishes,
found by bisection, and in brackets by how many half widths of the envelope the law's strain is
outside there (0: inside; sudden and relaxed alike leave populations inside their bounds).
"""

from __future__ import annotations

import argparse
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import numpy.typing as npt
from machine import describe_machine
from records import ROOT, write
from tabulate import tabulate

import ibvonn_fem
from ibvonn_fem.kinematics import DirectionStretch
from ibvonn_fem.kinematics.ellipticity import Ellipticity, strong_ellipticity
from ibvonn_fem.kinematics.settings import MANDEL, PLANE, ROOT2

FloatArray = npt.NDArray[np.float64]

LONG = 1e20
"""Step after which internal variables are in equilibrium [time of the model]."""

STRETCHES = np.concatenate([np.arange(1.0, 0.495, -0.01), np.arange(1.0, 1.405, 0.01)])
BOXES = (1.0, 1.5, 2.0)
ANGLES = (0.0, 15.0, 30.0)


class Lattice:
    """A law with true stretches of its directions, and deformations of it."""

    def __init__(self, model: ibvonn_fem.ExportedModel) -> None:
        self.model = model
        self.solid = DirectionStretch(model)
        self.size = self.solid.setting.dimension
        self.rest = float(self.smallest(np.zeros((1, self.size, self.size)), "sudden")[0])

    def evaluate(self, gradient: FloatArray, kind: str, seed: int = 0) -> Ellipticity:
        """Ellipticity of one kind, `sudden`, `relaxed` or `any state`."""
        if kind == "any state":
            low, high = self.model.manifest.envelope.statev.T
            places = np.random.default_rng(seed).beta(0.5, 0.5, (len(gradient), len(low)))
            statev = low + places * (high - low)
            return strong_ellipticity(self.model, self.solid, gradient, statev=statev)
        dt = LONG if kind == "relaxed" else 0.0
        return strong_ellipticity(self.model, self.solid, gradient, dt=dt)

    def smallest(self, gradient: FloatArray, kind: str) -> FloatArray:
        """Smallest eigenvalue [stress]."""
        return self.evaluate(gradient, kind).smallest

    def of_strain(self, strain: FloatArray) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
        """Symmetric H whose true stretches are those of law strains, and which of them exist."""
        basis = self.model.manifest.strain_basis
        assert basis is not None
        lengths = self.solid.strain_map.lengths  # type: ignore[attr-defined]
        stretch = 1.0 + strain @ basis[:, 0].T / lengths
        green = np.linalg.solve(basis[:, 0], (0.5 * lengths * (stretch**2 - 1.0)).T).T
        cauchy = np.tile(np.eye(self.size), (len(strain), 1, 1))
        for column, position in enumerate(self.solid.setting.strains):
            i, j = MANDEL[position]
            cauchy[:, i, j] += 2.0 * green[:, column] / (1.0 if i == j else ROOT2)
            cauchy[:, j, i] = cauchy[:, i, j]
        values, vectors = np.linalg.eigh(cauchy)
        exists = (stretch > 0.0).all(1) & (values > 0.0).all(1)
        root = np.sqrt(np.maximum(values, 0.0))
        stretched = np.einsum("nik,nk,njk->nij", vectors, root, vectors)
        return stretched - np.eye(self.size), exists


def rays(size: int) -> dict[str, Callable[[float], FloatArray]]:
    """Deformations F by stretch, the axis of the pull along x."""
    one = np.eye(size)

    def along(stretch: float) -> FloatArray:
        f = one.copy()
        f[0, 0] = stretch
        return f

    def sheared(stretch: float) -> FloatArray:
        f = along(stretch)
        f[1, 1] = 1.0 / stretch
        return f

    name = "in all directions"
    return {"along one axis": along, "at constant area": sheared, name: lambda s: s * one}


def turned(f: FloatArray, angle: float) -> FloatArray:
    """Q F Qᵀ, turned about z."""
    c, s = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    q = np.eye(len(f))
    q[:2, :2] = [[c, -s], [s, c]]
    return np.asarray(q @ f @ q.T)


def in_boxes(lattice: Lattice, points: int) -> list[dict[str, Any]]:
    """Smallest value in boxes around the envelope, by kind of tangent."""
    envelope = lattice.model.manifest.envelope.strain
    middle, half = envelope.mean(1), 0.5 * np.ptp(envelope, axis=1)
    rows = []
    for box in BOXES:
        random = np.random.default_rng(1).uniform(-1.0, 1.0, (points, len(half)))
        gradient, exists = lattice.of_strain(middle + box * half * random)
        gradient = gradient[exists]
        for kind in ("sudden", "relaxed", "any state"):
            value = lattice.smallest(gradient, kind) / lattice.rest
            solved = np.isfinite(value)
            worst = int(np.nanargmin(value))
            stretches = np.linalg.eigvalsh(gradient[worst] + np.eye(lattice.size))
            rows.append(
                {
                    "box": box,
                    "tangent": kind,
                    "points": int(solved.sum()),
                    "not solved": int((~solved).sum()),
                    "smallest": float(value[worst]),
                    "not elliptic": float((value[solved] <= 0.0).mean()),
                    "stretches": stretches.tolist(),
                }
            )
    return rows


def lost_at(
    lattice: Lattice, path: Callable[[float], FloatArray], angle: float, kind: str, sign: float
) -> tuple[float, float] | None:
    """First stretch along a ray from 1 where ellipticity is lost, and the excursion there."""

    def evaluate(stretches: npt.ArrayLike) -> Ellipticity:
        f = np.array([turned(path(s), angle) for s in np.atleast_1d(stretches)])
        return lattice.evaluate(f - np.eye(lattice.size), kind)

    line = STRETCHES[sign * (STRETCHES - 1.0) >= 0.0]
    line = line[np.argsort(np.abs(line - 1.0))]
    value = evaluate(line).smallest
    lost = np.flatnonzero(~(value > 0.0))
    if not len(lost):
        return None
    inside, outside = line[lost[0] - 1], line[lost[0]]
    for _ in range(12):
        middle = 0.5 * (inside + outside)
        if evaluate(middle).smallest[0] > 0.0:
            inside = middle
        else:
            outside = middle
    return float(outside), float(evaluate(outside).validity[0])


def along_rays(lattice: Lattice) -> list[dict[str, Any]]:
    """Where ellipticity is lost, in compression and in tension."""
    rows = []
    for name, path in rays(lattice.size).items():
        for angle in ANGLES if name != "in all directions" else (0.0,):
            row: dict[str, Any] = {"deformation": name, "angle": angle}
            for kind in ("sudden", "relaxed"):
                for sign, word in ((-1.0, "compression"), (1.0, "tension")):
                    row[f"{kind}, {word}"] = lost_at(lattice, path, angle, kind, sign)
            rows.append(row)
    return rows


def shown(place: tuple[float, float] | None) -> str:
    """A stretch with its excursion."""
    return "never" if place is None else f"{place[0]:.3f} ({place[1]:.2f})"


def main() -> None:
    """Print two tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    default = ROOT / "exported_models" / "lattice"
    parser.add_argument("model", type=Path, nargs="?", default=default)
    parser.add_argument("--points", type=int, default=2000)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ibvonn_fem.EnvelopeWarning)
    lattice = Lattice(ibvonn_fem.load_model(arguments.model))
    dimension = "the plane" if lattice.solid.setting is PLANE else "space"
    print(
        f"{lattice.model.manifest.name}, in {dimension}: smallest acoustic eigenvalue at rest "
        f"{lattice.rest:.4f} [stress]"
    )
    boxes = in_boxes(lattice, arguments.points)
    header = ["box / envelope", "tangent", "points", "not solved", "smallest / rest"]
    table = [
        [
            *(row[key] for key in ("box", "tangent", "points", "not solved")),
            f"{row['smallest']:.3f}",
            f"{100.0 * row['not elliptic']:.1f}",
            " ".join(f"{s:.3f}" for s in row["stretches"]),
        ]
        for row in boxes
    ]
    print(tabulate(table, [*header, "not elliptic %", "principal stretches of the smallest"]))
    losses = along_rays(lattice)
    keys = [key for key in losses[0] if ", " in key]
    table = [
        [row["deformation"], f"{row['angle']:g}°", *(shown(row[key]) for key in keys)]
        for row in losses
    ]
    print("\nstretch at which it is lost (excursion from the envelope in half widths)")
    print(tabulate(table, ["deformation", "pull at", *keys]))
    if arguments.json:
        document = {"machine": describe_machine(), "rest": lattice.rest}
        write(arguments.json, {**document, "boxes": boxes, "rays": losses})


if __name__ == "__main__":
    main()
