"""What decks of CalculiX need: the library of a law, the order of nodes, a run and its forces."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import numpy as np

from ibvonn_fem.emit_c.emit import emit_c
from ibvonn_fem.files.c_compiler import find_compiler

# CalculiX numbers the midsides 12 23 13 14 24 34, DOLFINx 34 24 23 14 13 12.
TET10 = [0, 1, 2, 3, 9, 6, 8, 7, 5, 4]
# CalculiX numbers the midsides 12 23 31, DOLFINx 23 31 12.
TRI6 = [0, 1, 2, 5, 3, 4]


def compile_law(directory: Path, folder: Path, name: str) -> None:
    """Compile ``libNAME.so`` of an exported law: a deck calls it by ``@ABAQUS_NAME``."""
    emit_c(directory, folder / name)
    subprocess.run(
        [find_compiler(), "-O2", "-DLAW_JSTEP", "-fPIC", "-shared", "-o", folder / f"lib{name}.so",
         folder / name / "constitutive.c", "-lm"],
        check=True,
    )  # fmt: skip


def tetrahedra(nodes: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Quadratic tetrahedra of DOLFINx in the order of CalculiX, of positive orientation."""
    cells = cells[:, TET10].copy()
    volume = np.linalg.det(nodes[cells[:, 1:4]] - nodes[cells[:, 0]][:, np.newaxis])
    mirrored = cells[volume < 0.0]
    cells[volume < 0.0] = mirrored[:, [0, 2, 1, 3, 6, 5, 4, 7, 9, 8]]
    return cells


def triangles(nodes: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Quadratic triangles of DOLFINx in the order of CalculiX, counter-clockwise."""
    cells = cells[:, TRI6].copy()
    edges = nodes[cells[:, 1:3], :2] - nodes[cells[:, 0], :2][:, np.newaxis]
    mirrored = cells[np.linalg.det(edges) < 0.0]
    cells[np.linalg.det(edges) < 0.0] = mirrored[:, [0, 2, 1, 5, 4, 3]]
    return cells


def forces(ccx: Path, name: str, folder: Path) -> np.ndarray:
    """Run the deck ``name`` and return time and the total force on the set MOVING, ``(n, 4)``."""
    environment = {**os.environ, "LD_LIBRARY_PATH": str(folder), "OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        [ccx, "-i", name], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    printed = folder / f"{name}.dat"
    text = printed.read_text() if run.returncode == 0 and printed.exists() else ""
    number = r"\s+([-+.\dE]+)"
    result = re.findall(
        r"total force .* for set MOVING and time" + number + r"\s+" + number * 3, text
    )
    assert result, f"CalculiX failed:\n{run.stdout[-2000:]}{run.stderr[-2000:]}"
    return np.array(result, dtype=float)
