"""The exported law of the fcc lattice: cubic symmetry, dissipation, tangent."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ibvonn_fem import load_model
from ibvonn_fem.model.exported_model import ExportedModel

pytestmark = [
    pytest.mark.fem,
    pytest.mark.filterwarnings("ignore::ibvonn_fem.errors.EnvelopeWarning"),
]

MODEL = Path(__file__).parents[2] / "exported_models" / "lattice_fcc"
ROOT2 = np.sqrt(2.0)
PAIRS = [(0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)]
"""Components in Mandel order."""
Array = np.ndarray[Any, Any]


@pytest.fixture(scope="module")
def law() -> ExportedModel:
    return load_model(MODEL)


def states(law: ExportedModel, count: int, seed: int) -> tuple[Array, Array, Array]:
    """Return random strains at both ends of a step, and random α, within the envelope."""
    rng = np.random.default_rng(seed)
    envelope = law.manifest.envelope
    low, high = envelope.strain.T
    old, new = rng.uniform(low, high, (2, count, len(low)))
    first, last = envelope.statev.T
    return old, new, first + rng.beta(0.3, 0.3, (count, len(first))) * (last - first)


def turned(vectors: Array, rotation: Array) -> Array:
    """Return tensors in Mandel order ``(n, 6)``, turned."""
    factors = np.array([1.0] * 3 + [ROOT2] * 3)
    tensors = np.zeros((len(vectors), 3, 3))
    for (i, j), column in zip(PAIRS, (vectors / factors).T, strict=True):
        tensors[:, i, j] = tensors[:, j, i] = column
    moved = rotation @ tensors @ rotation.T
    return np.stack([moved[:, i, j] for i, j in PAIRS], 1) * factors


def rotations_of_the_cube() -> list[Array]:
    """All 24: signed permutations of the axes with determinant 1."""
    matrices = []
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1.0, -1.0), repeat=3):
            matrix = np.diag(signs)[list(order)]
            if np.linalg.det(matrix) > 0.0:
                matrices.append(matrix)
    return matrices


def test_random_steps_converge_and_dissipate(law: ExportedModel) -> None:
    """Over seven decades of the time step, anywhere in the envelope; the tangent is symmetric."""
    old, new, statev = states(law, 2000, 0)
    for dt in (1e-2, 1.0, 1e2, 1e5):
        update = law.update(new, old, statev, dt)
        assert np.isfinite(update.stress).all()
        assert update.dissipation.min() >= -1e-12 * float(np.abs(update.energy).max())
        tangent = update.tangent.reshape(-1, 6, 6)
        np.testing.assert_allclose(tangent, tangent.transpose(0, 2, 1), atol=1e-9)
        assert np.linalg.eigvalsh(tangent).min() > 0.0


def test_rotations_of_the_cube_permute_the_directions(law: ExportedModel) -> None:
    """Directions are read off the strain basis: e_a = n_a·ε n_a."""
    old, new, statev = states(law, 50, 1)
    classes = json.loads((MODEL / "manifest.json").read_text(encoding="utf-8"))["classes"]
    bases = np.array([np.ravel(each["strain_basis"]) for each in classes])
    here = law.update(new, old, statev, 10.0)
    for rotation in rotations_of_the_cube():
        # Direction a of the turned strain is direction image[a] of the one before.
        images = np.abs(turned(bases, rotation)[:, None] - bases).max(2).argmin(1)
        moved = np.empty_like(statev)
        moved[:, images] = statev
        there = law.update(turned(new, rotation), turned(old, rotation), moved, 10.0)
        np.testing.assert_allclose(there.stress, turned(here.stress, rotation), atol=1e-9)
        np.testing.assert_allclose(there.statev_new[:, images], here.statev_new, atol=1e-9)


def test_a_rotation_that_the_cube_has_not_is_no_symmetry(law: ExportedModel) -> None:
    """The control of the test above: elastically, fcc is not isotropic."""
    angle = np.pi / 8.0
    c, s = np.cos(angle), np.sin(angle)
    rotation = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    rest = law.initial_state(1)
    strain = np.array([[0.02, 0.0, 0.0, 0.0, 0.0, 0.0]])
    zero = np.zeros_like(strain)
    here = law.update(strain, zero, rest, 0.0).stress.copy()
    there = law.update(turned(strain, rotation), zero, rest, 0.0).stress
    assert np.abs(there - turned(here, rotation)).max() > 0.05 * np.abs(here).max()


def test_tangent_is_the_derivative_of_the_stress(law: ExportedModel) -> None:
    old, new, statev = states(law, 30, 2)
    tangent = law.update(new, old, statev, 20.0).tangent.reshape(-1, 6, 6).copy()
    step = 1e-6
    for column in range(6):
        ends = []
        for sign in (1.0, -1.0):
            moved = new.copy()
            moved[:, column] += sign * step
            ends.append(law.update(moved, old, statev, 20.0).stress.copy())
        slope = (ends[0] - ends[1]) / (2.0 * step)
        np.testing.assert_allclose(tangent[:, :, column], slope, atol=5e-4)
