"""Trajectories of a trapped particle as other simulators would write them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np

TIME_STEP, THERMAL_ENERGY = 0.01, 0.01
AMPLITUDES, FREQUENCIES = (0.5, -0.8), (2.0, 3.0)
DESCRIPTION = """
[import]
system = "tethered_particle"
seed = 3
{top}
[import.time]
time_step = 0.01
{time}
[import.layout]
{layout}
[import.microstate]
{microstate}
[import.load]
{load}
[import.values]
a = [0.5, -0.8]
w = [2.0, 3.0]
[import.parameters]
friction = 1.0
thermal_energy = 0.01
stiffness = 1.0
reference_length = 1.0
"""


def description(folder: Path, *, name: str = "study.toml", **parts: str) -> Path:
    """Write the description of the trap; parts replace the usual lines of a table."""
    usual = {
        "top": "",
        "time": "",
        "layout": "",
        "microstate": 'coordinates = ["x"]',
        "load": 'strain = "a*sin(w*t)"\nstress = "stiffness*(strain - x)"',
    }
    path = folder / name
    path.write_text(DESCRIPTION.format(**{**usual, **parts}), encoding="utf-8")
    return path


def trap_paths(replicas: int = 60, instants: int = 41, seed: int = 0) -> list[np.ndarray]:
    """Positions of the two protocols, each ``(n_time, n_replica)``."""
    rng = np.random.default_rng(seed)
    paths = []
    for a, w in zip(AMPLITUDES, FREQUENCIES, strict=True):
        x = np.sqrt(THERMAL_ENERGY / 2) * rng.standard_normal(replicas)
        rows = []
        for n in range(instants):
            rows.append(x)
            force = a * np.sin(w * n * TIME_STEP) - 2 * x
            noise = np.sqrt(2 * THERMAL_ENERGY * TIME_STEP) * rng.standard_normal(replicas)
            x = x + TIME_STEP * force + noise
        paths.append(np.array(rows))
    return paths


def write_npz(path: Path, x: np.ndarray, **more: np.ndarray) -> Path:
    steps = np.arange(len(x))
    np.savez(path, step=steps, time=TIME_STEP * steps, x=x, **more)
    return path


def write_wide_csv(path: Path, x: np.ndarray) -> Path:
    head = ["time", *(f"x_{i + 1}" for i in range(x.shape[1]))]
    rows = [[TIME_STEP * n, *row] for n, row in enumerate(x)]
    lines = [",".join(head), *(",".join(f"{value:.15g}" for value in row) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def write_long_csv(path: Path, x: np.ndarray) -> Path:
    lines = ["time,id,x"]
    for n, row in enumerate(x):
        order = np.random.default_rng(n).permutation(len(row))
        lines += [f"{TIME_STEP * n:.15g},{i + 1},{row[i]:.15g}" for i in order]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def write_dump(
    path: Path,
    x: np.ndarray,
    *,
    digits: int = 15,
    steps: Sequence[int] | None = None,
    box: Sequence[tuple[float, float]] | None = None,
    flags: str = "pp pp pp",
    columns: str = "id x",
    ids: dict[int, Sequence[int]] | None = None,
    shuffle: bool = True,
) -> Path:
    """A LAMMPS dump whose ids are unsorted.

    Args:
        path: Of the file.
        x: ``(n_time, n_particle)`` or ``(n_time, n_particle, n_column)``, the columns after id.
        digits: Significant ones.
        steps: Of the frames.
        box: Bounds of the first axis in each frame.
        flags: Of the boundaries.
        columns: As in ``ITEM: ATOMS``.
        ids: Frame → ids in place of 1, 2, …
        shuffle: Whether particles are dumped in another order in every frame.
    """
    values = x[:, :, None] if x.ndim == 2 else x
    lines = []
    for n, frame in enumerate(values):
        low, high = (-50.0, 50.0) if box is None else box[n]
        numbers = (ids or {}).get(n, range(1, len(frame) + 1))
        order = np.random.default_rng(n).permutation(len(frame)) if shuffle else range(len(frame))
        lines += ["ITEM: TIMESTEP", str(n if steps is None else steps[n])]
        lines += ["ITEM: NUMBER OF ATOMS", str(len(frame))]
        lines += [f"ITEM: BOX BOUNDS {flags}", f"{low} {high}", "-50 50", "-50 50"]
        lines.append(f"ITEM: ATOMS {columns}")
        for i in order:
            lines.append(" ".join([str(numbers[i]), *(f"{v:.{digits}g}" for v in frame[i])]))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def write_ave_time(path: Path, columns: dict[str, np.ndarray], steps: Sequence[int]) -> Path:
    lines = ["# Time-averaged data for fix out", f"# TimeStep {' '.join(columns)}"]
    rows = zip(steps, *columns.values(), strict=True)
    lines += [" ".join(f"{value:.15g}" for value in row) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def write_h5md(
    path: Path, x: np.ndarray, *, shuffle: bool = True, **observables: np.ndarray
) -> Path:
    """An H5MD file whose particles are stored in another order in every frame."""
    instants, particles = x.shape
    ids = np.array(
        [
            np.random.default_rng(n).permutation(particles) if shuffle else np.arange(particles)
            for n in range(instants)
        ]
    )
    position = np.zeros((instants, particles, 3))
    position[:, :, 0] = np.take_along_axis(x, ids, axis=1)
    steps = np.arange(instants)
    with h5py.File(path, "w") as file:
        file.create_group("h5md").attrs["version"] = (1, 1)
        part = file.create_group("particles/all")
        for name, value in (("position", position), ("id", ids + 1)):
            part[f"{name}/value"], part[f"{name}/step"] = value, steps
            part[f"{name}/time"] = TIME_STEP * steps
        part.create_group("box").attrs["boundary"] = [b"none", b"none", b"none"]
        part["box/edges"] = np.full(3, 100.0)
        for name, value in observables.items():
            group = file.create_group(f"observables/{name}")
            group["value"], group["step"], group["time"] = value, steps, TIME_STEP * steps
    return path


def rows_of(text: str) -> dict[str, str]:
    """Lines of what an import prints, by their first words."""
    facts: dict[str, str] = {}
    for line in text.splitlines():
        facts.setdefault(line[:14].strip(), line[14:].strip())
    return facts


def attributes(path: Path) -> dict[str, object]:
    with h5py.File(path) as file:
        return {key: json.loads(v) if str(v)[:1] in "[{" else v for key, v in file.attrs.items()}
